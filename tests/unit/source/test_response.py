"""The body of one connection: what is put into the channel, what a keep-alive says, and what counts as silence."""

import pytest

from connector.coverage.messages import EndReason, KeepAlive, LinesRead
from connector.events.decode import LongLine
from connector.events.times import US_PER_S
from connector.settings import XSettings
from connector.source.response import MAX_LINES
from connector.x.backoff import Curve
from connector.x.errors import Failure
from tests.fakes.x import NOW_US
from tests.unit.source.world import TOKEN, Piece, World, event

_NETWORK_S = 0.25


def test_keep_alive_after_an_undisturbed_wait_says_since_when() -> None:
    """By the earliest that X's time can be."""
    world = World()
    world.run([world.wait(20), b"\r\n"])
    [kept] = world.put(KeepAlive)
    assert (kept.at.earliest_us, kept.waited_since_us) == (NOW_US + 20 * US_PER_S, NOW_US)


def test_keep_alive_after_a_short_wait_says_nothing_of_time() -> None:
    """A slow reader gets them too."""
    world = World()
    world.run([world.wait(4.5), b"\r\n", world.wait(4.5), b"\r\n", world.wait(5), b"\r\n"])
    assert [kept.waited_since_us is None for kept in world.put(KeepAlive)] == [True, True, False]


def test_keep_alive_after_a_stall_says_nothing_of_time() -> None:
    """A process that did not run did not wait."""
    world = World()

    def stall() -> None:
        world.time.advance(20)

    world.run([stall, b"\r\n", stall, world.watch.tick, world.wait(6), b"\r\n", world.wait(6), b"\r\n"])
    assert [kept.waited_since_us is None for kept in world.put(KeepAlive)] == [True, True, False]


def test_keep_alive_within_an_unfinished_line_says_nothing_of_time() -> None:
    """What comes after it was queued already."""
    world = World()
    world.run([world.wait(20), b"\r\n{", world.wait(20), b"}\r\n\r\n"])
    assert [kept.waited_since_us for kept in world.put(KeepAlive)] == [None]
    assert world.lines == [b"{}"]


def test_large_chunk_is_handed_on_in_groups() -> None:
    """So that a transaction can be closed between them; none is empty, none too large, all in order."""
    lines = [b"%d" % number for number in range(2 * MAX_LINES + 1)]
    world = World()
    world.run([b"\n".join(lines) + b"\n"])
    assert [len(read.lines) for read in world.put(LinesRead)] == [MAX_LINES, MAX_LINES, 1]
    assert world.lines == lines


def test_large_lines_are_handed_on_in_groups_by_size() -> None:
    """A megabyte at a time, however few lines."""
    world = World(settings=XSettings(line_limit_bytes=1024 * 1024))
    world.run([(b"x" * 500_000 + b"\n") * 5])
    assert [len(read.lines) for read in world.put(LinesRead)] == [2, 2, 1]


def test_long_line_is_handed_on_cut() -> None:
    """Between its neighbours."""
    world = World()
    world.run([b"a\n" + b"x" * 5000 + b"\r\nb\n"])
    before, long, after = world.lines
    assert (before, after) == (b"a", b"b")
    assert isinstance(long, LongLine)
    assert (len(long.head), long.length) == (1024, 5000)


@pytest.mark.slow
def test_secret_that_x_repeats_is_hidden_wherever_the_chunks_end() -> None:
    """All that is read may be published; the lines beside it stay as they are."""
    body = b'{"a": "Bearer %s"}\r\nb\r\nc %s\r\n' % (TOKEN.encode(), TOKEN.encode()[:20])
    for cut in range(1, len(body)):
        world = World()
        world.run([body[:cut], body[cut:]])
        assert world.lines == [b'{"a": "Bearer [secret]"}', b"b", b"c [secret]"], cut
        assert sum(lines for (lines,) in world.observed.of("secrets_hidden")) == 2


def test_secret_that_x_escapes_is_hidden_and_the_lines_beside_it_stay() -> None:
    """JSON may write any letter so; what holds no secret comes as it was, escapes and all."""
    escaped = b"".join(b"\\u%04x" % letter for letter in TOKEN.encode())
    beside = b'{"note": "\\u0041\\u00e9"}'
    world = World()
    world.run([b'{"a": "%s"}\r\n%s\r\n' % (escaped, beside)])
    assert world.lines == [b'{"a": "[secret]"}', beside]
    assert world.observed.of("secrets_hidden") == [(1,)]


def test_secret_in_what_is_not_a_line_yet_is_not_reported() -> None:
    """It is when the line is there."""
    world = World()
    world.run([b"a\r\n" + TOKEN.encode(), b"b\r\n"])
    assert world.lines == [b"a", b"[secret]b"]
    assert world.observed.of("secrets_hidden") == [(1,)]


def test_secret_in_a_long_line_is_hidden_in_what_is_kept_of_it() -> None:
    """Also where it is cut off."""
    for before in (0, 1024 - len(TOKEN) // 2 - 5, 1024 - len(TOKEN)):
        world = World()
        world.run([b"x" * before + TOKEN.encode() + b"y" * 5000, b"\n"])
        [long] = world.lines
        assert isinstance(long, LongLine)
        assert b"[secret]" in long.head
        assert TOKEN[: len(TOKEN) // 2].encode() not in long.head
        assert long.length == before + len(TOKEN) + 5000


def test_bytes_are_reported_as_they_come() -> None:
    """Lines or not, with the best clock there is."""
    world = World()
    world.run([b"abc", b"d\n"])
    assert world.observed.of("read") == [(3, NOW_US), (2, NOW_US)]


def test_silent_body_is_reported_as_silent() -> None:
    """The socket brought nothing for too long; X is asked again at once, as it had delivered before."""
    world = World()
    world.run([event(), Failure(Curve.NETWORK, "silent", "ReadTimeout")])
    assert world.observed.of("disconnected") == [(EndReason.SILENT, 0)]
    assert world.delays_s == [0.0]


def test_line_that_never_ends_is_given_up_in_bounded_time() -> None:
    """Single bytes keep the socket alive, but prove nothing; X is asked again after a back-off."""
    world = World()
    brought: list[int] = []
    drip: list[Piece] = [world.wait(5), b"x", lambda: brought.append(1)] * 20
    world.run(drip)
    assert len(brought) < 12
    assert world.observed.of("disconnected") == [(EndReason.SILENT, len(brought))]
    assert world.delays_s == [_NETWORK_S]


def test_line_that_is_slow_but_ends_is_no_fault() -> None:
    """Each end of a line is a new beginning, a keep-alive's too."""
    world = World()
    wait = world.wait(40)
    world.run([wait, b"x", world.wait(5), b"\n", wait, b"\r\n", wait, event()])
    assert world.observed.of("disconnected") == [(EndReason.CLOSED, 0)]


def test_time_in_which_the_channel_is_full_is_not_x_s_silence() -> None:
    """The reader waits for Kafka then, and X is not to blame."""
    world = World()
    world.on_lines = world.wait(120)
    world.run([event(1), event(2)])
    assert world.observed.of("disconnected") == [(EndReason.CLOSED, 0)]
    assert len(world.lines) == 2


def test_tick_that_comes_late_leaves_the_next_connection_alone() -> None:
    """It is of a connection that has ended, and the thread that ticks may be slow."""
    world = World()

    def tick_late() -> None:
        for _ in range(1000):
            world.watch.acts[0]()

    world.run([event(1)], [tick_late, event(2)])
    assert [reason for reason, _ in world.observed.of("disconnected")] == [EndReason.CLOSED] * 2
