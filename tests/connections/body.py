"""Rows: what becomes of the body of a stream."""

import gzip
import zlib

from connector.simulator.faults import (
    AcceptAndClose,
    Close,
    Drop,
    Stall,
    Truncate,
)
from tests.connections.row import (
    MINUTE_S,
    NETWORK_S,
    WHERE,
    WHOLE_SLICE,
    Row,
    ended,
    event,
    events,
    good,
    replayed,
    slice_lines,
)
from tests.connections.x import BEFORE, Bare, Simulated, X
from tests.rig.peer import (
    LAST_CHUNK,
    Peer,
    chunk,
    compressed,
    cutting,
    dripping,
    gzip_head,
    head,
    in_lines,
    keeping_alive,
    sending,
    streaming,
    then_reset,
    then_silent,
    vanishing,
)


def _cut_within_gzip() -> X:
    numbers = range(1, 400)
    lines = in_lines(*map(event, numbers))
    cut = sending(gzip_head(), compressed(lines, share=0.6), LAST_CHUNK)
    return Bare(Peer(cut, streaming(chunk(lines))), events=len(numbers))


def _in_members() -> X:
    body = b"".join(gzip.compress(in_lines(event(number))) + b"\0" * (number % 3) for number in range(1, 101))
    pieces = [chunk(body[begin : begin + 61]) for begin in range(0, len(body), 61)]
    return Bare(Peer(then_silent(sending(gzip_head(), *pieces))), events=100)


def _inflating() -> X:
    bomb = zlib.compressobj(9, wbits=31)
    first = bomb.compress(in_lines(event(1), event(2))) + bomb.flush(zlib.Z_SYNC_FLUSH)
    more = bomb.compress(b"x" * 4 * 1024 * 1024) + bomb.flush(zlib.Z_FULL_FLUSH)
    script = dripping(gzip_head() + chunk(first), chunk(more), pause_s=0.05)
    return Bare(Peer(script, good(3)), events=3)


def _unmarked_slice() -> X:
    _, empty = replayed()
    body = in_lines(*slice_lines())
    return Bare(Peer(sending(head(), body), cutting(chunk(body), LAST_CHUNK), empty, good(3)), events=3)


_SILENCE = {"silence_timeout_s": 0.6}
_BROKEN = (ended("network"),)
_CLOSED = (ended("closed"),)
_TAIL = "truncated_tails_total"
_HALF = len(event(1)) // 2

BODY = (
    Row(
        "closed",
        "the body ends properly: a restart of X's, for instance",
        "connect again at once; what was missed comes by backfill",
        lambda: Simulated(Close(after_lines=BEFORE, **WHERE)),
        (0.0,),
        _CLOSED,
    ),
    Row(
        "closed-at-once",
        "200, and an end before anything has come",
        "no delivery: the delays grow, so that a server that accepts and drops is not hammered",
        lambda: Simulated(AcceptAndClose(times=3, **WHERE), good=4),
        (NETWORK_S, 2 * NETWORK_S, 3 * NETWORK_S),
        (*_CLOSED, *_CLOSED, *_CLOSED),
    ),
    Row(
        "dropped-at-once",
        "200, and a drop before anything has come",
        "the same",
        lambda: Simulated(AcceptAndClose(times=2, ending="drop", **WHERE), good=3),
        (NETWORK_S, 2 * NETWORK_S),
        (*_BROKEN, *_BROKEN),
    ),
    Row(
        "dropped",
        "the connection is dropped without an end of the body: a slow reader gets no more notice than that",
        "connect again at once",
        lambda: Simulated(Drop(after_lines=BEFORE, **WHERE)),
        (0.0,),
        _BROKEN,
    ),
    Row(
        "reset-within-a-chunk",
        "RST within a chunk and a line",
        "the whole lines count, the rest is dropped and comes again; connect again at once",
        lambda: Bare(
            Peer(then_reset(cutting(events(1, 2), b"400\r\n" + event(3)[:_HALF])), good(3)),
            events=3,
        ),
        (0.0,),
        (*_BROKEN, _TAIL),
    ),
    Row(
        "cut-within-a-chunk",
        "FIN within a chunk and a line",
        "the same",
        lambda: Bare(Peer(cutting(events(1, 2), b"400\r\n" + event(3)[:_HALF]), good(3)), events=3),
        (0.0,),
        (*_BROKEN, _TAIL),
    ),
    Row(
        "cut-within-a-chunk-s-size",
        "FIN within the line that gives a chunk's size",
        "the same",
        lambda: Bare(Peer(cutting(events(1, 2), b"40"), good(3)), events=3),
        (0.0,),
        _BROKEN,
    ),
    Row(
        "no-chunk",
        "an invalid chunk",
        "the same",
        lambda: Bare(Peer(cutting(events(1, 2), b"no chunk\r\n"), good(3)), events=3),
        (0.0,),
        _BROKEN,
    ),
    Row(
        "cut-within-a-line",
        "the body ends properly within a line",
        "the rest of the line is never parsed, and comes again",
        lambda: Simulated(Truncate(after_lines=1, ending="close", **WHERE)),
        (0.0,),
        (*_CLOSED, _TAIL),
    ),
    Row(
        "cut-within-gzip",
        "a compressed body ends within a member, and HTTP says that it is whole",
        "what can be decompressed counts, and the end is a break",
        _cut_within_gzip,
        (0.0,),
        (*_BROKEN, _TAIL),
    ),
    Row(
        "gzip-members",
        "a compressed body of many members, one for each event, cut anywhere, with zeros between them",
        "read them all as they arrive",
        _in_members,
        (),
        (),
    ),
    Row(
        "x-gzip",
        "a compressed body labelled `x-gzip`",
        "the same: that is gzip",
        lambda: Bare(Peer(then_silent(sending(gzip_head("x-gzip"), compressed(in_lines(event(1)))))), events=1),
        (),
        (),
    ),
    Row(
        "corrupt-gzip",
        "a compressed body is corrupt after a while",
        "what came before counts; connect again at once",
        lambda: Bare(
            Peer(sending(gzip_head(), compressed(in_lines(event(1), event(2))), chunk(b"<html>")), good(3)), events=3
        ),
        (0.0,),
        _BROKEN,
    ),
    Row(
        "inflating-gzip",
        "a compressed body inflates without end, and no line ever ends",
        "decompress it piece by piece in bounded memory, and close it as a line that never ends",
        _inflating,
        (0.0,),
        (ended("silent"), _TAIL),
        tick_s=0.02,
    ),
    Row(
        "no-gzip",
        "what should be compressed is not",
        "the delays grow, since nothing can be read",
        lambda: Bare(Peer(sending(gzip_head(), chunk(b"not compressed"), LAST_CHUNK), good(1)), events=1),
        (NETWORK_S,),
        _BROKEN,
    ),
    Row(
        "no-mark-of-the-end",
        "a body that says neither its length nor its chunks",
        "all that comes counts, and its end is a break",
        lambda: Bare(Peer(sending(head(), in_lines(event(1), event(2))), good(3)), events=3),
        (0.0,),
        _BROKEN,
    ),
    Row(
        "no-mark-of-the-end-of-a-slice",
        "the same of a replay",
        "that slice from its beginning, after a growing delay: it cannot be known to be whole",
        _unmarked_slice,
        (NETWORK_S,),
        (*_BROKEN, 'replay_slices_total{verdict="interrupted"}', *(*_CLOSED, WHOLE_SLICE) * 2),
        away_s=20 * MINUTE_S,
    ),
    Row(
        "slice-breaks-off",
        "a replay breaks off",
        "request half of that slice from its beginning, after a growing delay; part of a slice proves nothing",
        lambda: Simulated(Drop(mode="replay", **WHERE), good=4),
        (NETWORK_S,),
        (
            *_BROKEN,
            'replay_slices_total{verdict="interrupted"}',
            *(*_CLOSED, 'replay_slices_total{verdict="whole"}') * 2,
        ),
        away_s=20 * MINUTE_S,
    ),
    Row(
        "silent",
        "the socket stays open and nothing comes, not even keep-alives",
        "close after `CONNECTOR_X__SILENCE_TIMEOUT_S`, as keep-alives come at 20 s and a little; connect again at once",
        lambda: Simulated(Stall(after_lines=BEFORE, **WHERE)),
        (0.0,),
        (ended("silent"),),
        settings=_SILENCE,
    ),
    Row(
        "half-open",
        "its end of the connection vanishes silently",
        "the same",
        lambda: Bare(Peer(vanishing(events(1, 2)), good(3)), events=3),
        (0.0,),
        (ended("silent"),),
        settings=_SILENCE,
    ),
    Row(
        "dripping-line",
        "bytes trickle in, and no line ever ends",
        "close after twice that time, not counting the time in which we keep X waiting",
        lambda: Bare(
            Peer(
                dripping(head("200 OK", ("Transfer-Encoding", "chunked")) + events(1, 2), chunk(b"x"), pause_s=0.05),
                good(3),
            ),
            events=3,
        ),
        (0.0,),
        (ended("silent"), _TAIL),
        tick_s=0.02,
    ),
    Row(
        "dripping-chunk-size",
        "the same within the line that gives a chunk's size",
        "the same",
        lambda: Bare(
            Peer(
                dripping(head("200 OK", ("Transfer-Encoding", "chunked")) + events(1, 2), b"0", pause_s=0.05), good(3)
            ),
            events=3,
        ),
        (0.0,),
        (ended("silent"),),
        tick_s=0.02,
    ),
    Row(
        "quiet",
        "nothing but keep-alives, for longer than the longest silence",
        "stay connected",
        lambda: Bare(Peer(keeping_alive(times=4, pause_s=0.3, then=events(1))), events=1),
        (),
        (),
        settings=_SILENCE,
    ),
)
