"""Which dead letters are events by now, and the ledger entry of a transaction that publishes them."""

from dataclasses import replace

import pytest

from connector.coverage.known_ids import KnownIds
from connector.coverage.recovery import Recovery
from connector.events.catalog import StreamPartition
from connector.events.decode import Event
from connector.events.identity import event_id
from connector.kafka.ledger import Counts, LedgerEntry, Mode, RecordSet, Writer
from connector.kafka.restore import OffsetEntry
from connector.operations.dead_letters import Letter, LetterKey
from connector.operations.replay import entry_after, judge

_LINE = b'{"data":{"user_suspend":{"user":{"id":"7"},"event_at":"2026-03-14T09:26:53Z"}}}'
_LINE_ID = event_id("user", "user_suspend", {"user": {"id": "7"}, "event_at": "2026-03-14T09:26:53Z"})
_PLACE = StreamPartition("user", 2)
_IDS = [bytes([number]) * 16 for number in range(3)]


def _letter(line: bytes, id_: bytes, stream: str = "user") -> Letter:
    key = LetterKey(StreamPartition(stream, 2), id_)
    return Letter(key, "unknown-type", "", len(line), len(line), 0, None, None, 1, 1)


def test_a_whole_line_of_a_type_that_is_known_now_is_an_event() -> None:
    """Its id is the one under which it is a dead letter."""
    judged = judge(_letter(_LINE, _LINE_ID), _LINE, ["user"])
    assert isinstance(judged, Event)
    assert judged.type.name == "user.suspend"


@pytest.mark.parametrize(
    ("letter", "line", "why"),
    [
        (replace(_letter(_LINE, _LINE_ID), length=1000), _LINE, "is cut"),
        (_letter(_LINE, bytes(16)), _LINE, "which is not its id"),
        (_letter(b"no json", bytes(16)), b"no json", "still not-json"),
        (_letter(b'{"data":{"moon":{}}}', bytes(16)), b'{"data":{"moon":{}}}', "still unknown-type: type moon"),
        (_letter(b'{"title":"t","type":"u"}', bytes(16)), b'{"title":"t","type":"u"}', "system message from X"),
        (_letter(_LINE, bytes(16), "like"), _LINE, "not among x.streams"),
        (_letter(_LINE, bytes(16), "batch.user"), _LINE, "batch run"),
    ],
)
def test_any_other_says_why_it_stays(letter: Letter, line: bytes, why: str) -> None:
    """Cut, of another id, still not understood, or of what is not replayed."""
    judged = judge(letter, line, ["user"])
    assert isinstance(judged, str)
    assert why in judged


def _newest(oldest_offset: int | None, ids: bytes = _IDS[0]) -> OffsetEntry:
    entry = LedgerEntry(
        entry=5,
        writer_id="w",
        partition=_PLACE,
        covered_until_before_us=90,
        covered_until_us=100,
        covers_to_us=120,
        counts=Counts(received=1, published=1),
        sequence=40,
        mode=Mode.LIVE,
        slice_us=(80, 110),
        ids=ids,
        oldest_offset=oldest_offset,
        written_at_us=1,
        recovery=Recovery(lateness_us=3),
    )
    return OffsetEntry(10, entry, 0, b"d" * 32)


@pytest.mark.parametrize(("oldest_offset", "expected"), [(None, 10), (4, 4)])
def test_the_entry_follows_moves_nothing_and_keeps_every_id_known(oldest_offset: int | None, expected: int) -> None:
    """What is covered, learned and needed stays as it was; the newest entry is needed from then on, too."""
    newest = _newest(oldest_offset)
    sets = {"user.suspend": RecordSet(2, b""), "replayed": RecordSet(2, b"")}
    entry = entry_after(newest, _IDS[1:], sets, Writer("me", "replay"), 7)
    entry.check()
    entry.check_follows(newest.entry)
    assert (entry.covered_until_us, entry.covers_to_us, entry.recovery) == (100, 120, newest.entry.recovery)
    assert (entry.sequence, entry.mode, entry.slice_us) == (42, Mode.DISCONNECTED, None)
    assert (entry.oldest_offset, entry.previous, entry.records) == (expected, newest.digest, sets)


def test_ids_of_a_replay_are_forgotten_with_those_of_the_entry_before() -> None:
    """An id that its dead letter and its event both have is known until both are forgotten."""
    known = KnownIds(window_us=10)
    newest = _newest(None)
    known.remember(10, newest.entry.covers_to_us, newest.entry.ids)
    entry = entry_after(newest, _IDS[:2], {}, Writer("me", "replay"), 7)
    known.remember(12, entry.covers_to_us, entry.ids)
    assert len(known) == 3
    known.forget(130)
    assert all(each in known for each in _IDS[:2])
    known.forget(131)
    assert len(known) == 0
    assert not any(each in known for each in _IDS)
