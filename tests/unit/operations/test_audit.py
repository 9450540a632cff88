"""The auditor audited: a sound history gives no finding, and every kind of damage gives one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from connector.events.catalog import StreamPartition
from connector.events.identity import pack_ids, unpack_ids
from connector.kafka.ledger import CLOCKS_APART_US, Counts, LedgerEntry, Mode
from connector.operations.audit import PartitionAudit

_PARTITION = StreamPartition("tweet", 1)
_STEP_US = 10


def _id(number: int) -> bytes:
    return number.to_bytes(16, "big")


@dataclass(frozen=True)
class _Transaction:
    """What one transaction put into the topics: its entry, its events as id and sequence, its dead letters' ids."""

    entry: LedgerEntry
    events: tuple[tuple[bytes, int], ...] = ()
    letters: tuple[bytes, ...] = ()


def _entry(number: int, sequence: int, at_us: int, ids: Sequence[bytes] = (), letters: int = 0) -> LedgerEntry:
    return LedgerEntry(
        entry=number,
        writer_id="w",
        partition=_PARTITION,
        covered_until_before_us=max(0, at_us - _STEP_US),
        covered_until_us=at_us,
        covers_to_us=at_us,
        counts=Counts(len(ids), len(ids) - letters, 0, letters, 0),
        sequence=sequence,
        mode=Mode.LIVE,
        slice_us=None,
        ids=pack_ids(ids),
        oldest_offset=None,
        written_at_us=at_us,
    )


def _history(*steps: tuple[int, int] | None) -> list[_Transaction]:
    """Return a sound history: each step is how many events and dead letters a transaction holds, None is a reset."""
    history: list[_Transaction] = []
    number = sequence = ids = 0
    for at, step in enumerate([(0, 0), *steps]):
        at_us = at * _STEP_US
        if step is None:
            known = [
                each for before in history if before.entry.mode is Mode.LIVE for each in unpack_ids(before.entry.ids)
            ]
            reset = replace(
                _entry(0, sequence, at_us, known),
                mode=Mode.RESET,
                counts=Counts(),
                covered_until_before_us=0,
            )
            history.append(_Transaction(reset))
            number = 0
        else:
            count, letters = step
            new = tuple(_id(ids + each) for each in range(1, count + letters + 1))
            ids += count + letters
            events = tuple((each, sequence + place) for place, each in enumerate(new[:count], 1))
            sequence += count
            history.append(_Transaction(_entry(number, sequence, at_us, new, letters), events, new[count:]))
        number += 1
    return history


def _audit(history: list[_Transaction], since_us: int = 0, recent: int = 0) -> PartitionAudit:
    """Return the audit of a history; the last `recent` entries are read after the events were."""
    audit = PartitionAudit(_PARTITION, since_us)
    first = len(history) - recent
    for transaction in history[:first]:
        audit.entry(transaction.entry, transaction.entry.written_at_us)
    for transaction in history:
        for event_id, sequence in transaction.events:
            audit.event(event_id, sequence)
        for event_id in transaction.letters:
            audit.dead_letter(event_id)
    for transaction in history[first:]:
        audit.entry(transaction.entry, transaction.entry.written_at_us, is_recent=True)
    return audit


def _findings(history: list[_Transaction]) -> list[str]:
    return list(_audit(history).findings())


_SOUND = _history((2, 1), (0, 0), (1, 1), (3, 0))


def _damaged(at: int, **changes: object) -> list[_Transaction]:
    """Return the sound history with another transaction in the place of one."""
    return [*_SOUND[:at], replace(_SOUND[at], **changes), *_SOUND[at + 1 :]]  # type: ignore[arg-type] # any field


def test_sound_history_gives_no_finding() -> None:
    """And its figures are those of what was read."""
    audit = _audit(_SOUND)
    assert list(audit.findings()) == []
    assert (audit.entries, audit.records, audit.covered_until_us) == (5, 8, 4 * _STEP_US)


def test_history_of_nothing_gives_no_finding() -> None:
    """A partition that nobody works."""
    audit = PartitionAudit(_PARTITION)
    assert (list(audit.findings()), audit.entries, audit.covered_until_us) == ([], 0, None)


@pytest.mark.parametrize(
    ("history", "findings"),
    [
        (
            _damaged(1, events=_SOUND[1].events[1:]),
            ["1 accounted for in the ledger, but in no topic", "1 sequence numbers are missing, the first is 1"],
        ),
        (_damaged(4, events=_SOUND[4].events[:-1]), ["1 accounted for in the ledger, but in no topic"]),
        (_damaged(3, letters=()), ["1 accounted for in the ledger, but in no topic"]),
        (
            _damaged(1, events=(*_SOUND[1].events, _SOUND[1].events[0])),
            ["event 00000000000000000000000000000001 is there twice", "sequence 1 belongs to more than one event"],
        ),
        (
            _damaged(1, letters=_SOUND[1].letters * 2),
            ["dead letter 00000000000000000000000000000003 is there twice"],
        ),
        (
            _damaged(1, letters=(*_SOUND[1].letters, _SOUND[1].events[0][0])),
            ["1 there as event and as dead letter, such as 00000000000000000000000000000001"],
        ),
        (
            _damaged(4, events=((_id(6), 4), (_id(7), 5), (_id(8), 8))),
            ["2 sequence numbers are missing, the first is 6", "sequence 8 is beyond the ledger's 6"],
        ),
        (
            _damaged(4, events=(), letters=()),
            ["3 accounted for in the ledger, but in no topic"],
        ),
        (
            [*_SOUND[:3], *_damaged(3)[4:], replace(_SOUND[3], entry=_SOUND[4].entry)],
            [
                "ledger tweet/1 entry 4: follows entry 2, begins at another coverage, the sequence does not add up",
                "ledger tweet/1 entry 4: follows entry 4",
            ],
        ),
    ],
    ids=[
        "an event is lost",
        "the last event is lost",
        "a dead letter is lost",
        "an event is repeated",
        "a dead letter is repeated",
        "an event is a dead letter too",
        "a hole in the sequence",
        "an entry without its events",
        "an entry in the place of another",
    ],
)
def test_damage_is_found_and_named(history: list[_Transaction], findings: list[str]) -> None:
    """With the id, the number or the entry where to look."""
    found = _findings(history)
    for finding in findings:
        assert any(each.startswith(finding) for each in found), found


def test_events_without_their_entry_are_found() -> None:
    """The other half of a torn transaction: the last one, so that no entry after it tells."""
    audit = _audit([*_SOUND[:-1]])
    for event_id, sequence in _SOUND[-1].events:
        audit.event(event_id, sequence)
    assert list(audit.findings()) == [
        f"3 in a topic, but not accounted for in the ledger, such as {_id(6).hex()}, {_id(7).hex()}, {_id(8).hex()}",
        "sequence 6 is beyond the ledger's 3",
    ]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_missing_entry_is_found_by_the_next(at: int) -> None:
    """Also an idle one, which no event would tell of."""
    audit = _audit([*_SOUND[:at], *_SOUND[at + 1 :]])
    assert any(f"entry {at + 1}: follows entry {at - 1}" in finding for finding in audit.findings())


@pytest.mark.parametrize("at", [0, 1, 4])
def test_repeated_entry_is_found(at: int) -> None:
    """Its number, and its ids where it has some."""
    audit = PartitionAudit(_PARTITION)
    for each, transaction in enumerate(_SOUND):
        for _ in range(2 if each == at else 1):
            audit.entry(transaction.entry, transaction.entry.written_at_us)
    findings = list(audit.findings())
    assert any(f"entry {at}: follows entry {at}" in finding for finding in findings)
    ids = [finding for finding in findings if "was accounted for before" in finding]
    assert len(ids) == _SOUND[at].entry.id_count


def test_unreadable_entry_is_a_finding() -> None:
    """In the words of whoever could not read it."""
    audit = _audit(_SOUND)
    audit.unreadable("offset 7: cut off")
    assert list(audit.findings()) == ["offset 7: cut off"]


def test_many_ids_are_counted_and_few_are_shown() -> None:
    """A report of millions helps nobody."""
    audit = PartitionAudit(_PARTITION)
    for number in range(1000):
        audit.event(_id(number), 1)
    findings = list(audit.findings())
    assert findings[0].startswith("1000 in a topic")
    assert all(len(finding) < 300 for finding in findings)
    assert len(findings) == 2


def test_reset_in_the_middle_begins_a_new_row() -> None:
    """With entries of its own from 0 on; what it must keep known was accounted for before, and the sequence goes on."""
    assert _findings(_history((2, 1), None, (1, 1), (2, 0), None, None, (1, 0))) == []


def test_entry_after_a_reset_must_follow_it() -> None:
    """A reset excuses itself only."""
    history = _history((2, 0), None, (1, 0))
    odd = replace(history[-1], entry=replace(history[-1].entry, entry=7))
    assert any("entry 7: follows entry 0" in finding for finding in _findings([*history[:-1], odd]))


def test_id_that_is_published_again_after_a_reset_is_found() -> None:
    """What a reset keeps known must not come again."""
    history = _history((1, 0), None, (1, 0))
    again = replace(history[-1], entry=replace(history[-1].entry, ids=_id(1)), events=((_id(1), 2),))
    findings = _findings([*history[:-1], again])
    assert f"event {_id(1).hex()} is there twice" in findings
    assert f"ledger entry 1: id {_id(1).hex()} was accounted for before" in findings


def test_reset_that_keeps_ids_of_what_was_not_read_is_no_loss() -> None:
    """Their events are older than `since_us`, and the entries that account for them too."""
    history = _history((2, 0), (1, 0), None, (1, 0))
    audit = PartitionAudit(_PARTITION, since_us=history[3].entry.written_at_us)
    for transaction in history[3:]:
        audit.entry(transaction.entry, transaction.entry.written_at_us)
        for event_id, sequence in transaction.events:
            audit.event(event_id, sequence)
    assert list(audit.findings()) == []


@pytest.mark.parametrize("ahead_us", [-(10**9), 10**9])
def test_replica_whose_clock_is_off_makes_nothing_missed_and_nothing_missing(ahead_us: int) -> None:
    """What must be there is told by Kafka's dates, as what was read is; `written_at` is that replica's own."""
    history = _history((2, 0), (1, 0), (1, 0))
    audit = PartitionAudit(_PARTITION, since_us=2 * _STEP_US)
    for transaction in history[1:]:
        entry = transaction.entry
        audit.entry(replace(entry, written_at_us=entry.written_at_us + ahead_us), entry.written_at_us)
    [(event_id, sequence)] = history[2].events
    audit.event(event_id, sequence)
    [(lost_id, _)] = history[3].events
    assert list(audit.findings()) == [f"1 accounted for in the ledger, but in no topic, such as {lost_id.hex()}"]


_STEPS = st.lists(st.none() | st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12)


@given(steps=_STEPS, recent=st.integers(0, 13))
def test_any_sound_history_gives_no_finding(steps: list[tuple[int, int] | None], recent: int) -> None:
    """Idle, with resets, and however much of the ledger was written while the events were read."""
    history = _history(*steps)
    assert list(_audit(history, recent=min(recent, len(history))).findings()) == []


@given(steps=_STEPS, since=st.integers(0, 13), margin=st.integers(0, 3))
def test_any_sound_history_read_in_part_gives_no_finding(
    steps: list[tuple[int, int] | None], since: int, margin: int
) -> None:
    """Events from `since_us` on, and the ledger from a little before."""
    history = _history(*steps)
    audit = PartitionAudit(_PARTITION, since_us=since * _STEP_US)
    for transaction in history[max(0, since - margin) :]:
        audit.entry(transaction.entry, transaction.entry.written_at_us)
    for transaction in history[since:]:
        for event_id, sequence in transaction.events:
            audit.event(event_id, sequence)
        for event_id in transaction.letters:
            audit.dead_letter(event_id)
    assert list(audit.findings()) == []


@given(steps=_STEPS, recent=st.integers(1, 13))
def test_records_of_recent_entries_may_not_have_been_read_yet(steps: list[tuple[int, int] | None], recent: int) -> None:
    """They were committed while the events were read."""
    history = _history(*steps)
    early = history[: max(0, len(history) - recent)]
    audit = _audit(early)
    for transaction in history[len(early) :]:
        audit.entry(transaction.entry, transaction.entry.written_at_us, is_recent=True)
    assert list(audit.findings()) == []


def _without(values: tuple[object, ...], at: int) -> tuple[object, ...]:
    return values[:at] + values[at + 1 :]


_MUTATIONS: dict[str, Callable[[_Transaction], _Transaction | None]] = {
    "lose an event": lambda each: replace(each, events=each.events[1:]),
    "lose the last event": lambda each: replace(each, events=each.events[:-1]),
    "lose a dead letter": lambda each: replace(each, letters=each.letters[1:]),
    "lose all": lambda each: replace(each, events=(), letters=()),
    "repeat an event": lambda each: replace(each, events=each.events + each.events[:1]),
    "repeat a dead letter": lambda each: replace(each, letters=each.letters + each.letters[:1]),
    "shift a sequence": lambda each: replace(each, events=tuple((one, number + 1) for one, number in each.events)),
    "publish what is not accounted for": lambda each: replace(each, letters=(*each.letters, b"?" * 16)),
    "lose the entry": lambda _: None,
}


@given(
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=8),
    at=st.integers(1, 8),
    name=st.sampled_from(sorted(_MUTATIONS)),
    has_reset=st.booleans(),
)
def test_any_single_damage_is_found(steps: list[tuple[int, int]], at: int, name: str, *, has_reset: bool) -> None:
    """Wherever it is in a history, reset or not."""
    history = _history(*([None] if has_reset else []), *steps)
    assume(at < len(history) and history[at].entry.mode is Mode.LIVE)
    damaged = _MUTATIONS[name](history[at])
    assume(damaged != history[at])
    if damaged is not None:
        assert _findings([*history[:at], damaged, *history[at + 1 :]])
        return
    assume(history[at].entry.ids or at + 1 < len(history))
    audit = PartitionAudit(_PARTITION)
    for each, transaction in enumerate(history):
        if each != at:
            audit.entry(transaction.entry, transaction.entry.written_at_us)
        for event_id, sequence in transaction.events:
            audit.event(event_id, sequence)
        for event_id in transaction.letters:
            audit.dead_letter(event_id)
    assert list(audit.findings())


@pytest.mark.parametrize("field", ["covered_until_us", "covers_to_us", "written_at_us"])
def test_entry_from_long_after_its_date_and_now_is_found(field: str) -> None:
    """Forged, and sound in all else: coverage a year ahead would be believed for a year."""
    year_us = 365 * 24 * 3600 * 1_000_000
    changes: dict[str, Any] = {field: year_us}
    [first, second] = _history((1, 0))
    audit = PartitionAudit(_PARTITION, now_us=year_us - CLOCKS_APART_US - 1)
    audit.entry(first.entry, 0)
    audit.entry(replace(second.entry, **changes), 0)
    [found] = [each for each in audit.findings() if "any clock" in each]
    name = field.removesuffix("_us")
    assert found.startswith(f"ledger tweet/1 entry 1: {name} is 1971-01-01T00:00:00.000000Z, and the latest")


@pytest.mark.parametrize(("now_us", "dated_us"), [(1, 0), (0, 1)], ids=["our clock", "Kafka's date"])
def test_entry_that_one_clock_vouches_for_is_sound(now_us: int, dated_us: int) -> None:
    """Whichever is right: the other may be behind by any time."""
    year_us = 365 * 24 * 3600 * 1_000_000
    audit = PartitionAudit(_PARTITION, now_us=now_us * year_us)
    audit.entry(_entry(0, 0, year_us), dated_us * year_us)
    assert list(audit.findings()) == []


@pytest.mark.timeout(20)
def test_time_grows_with_the_events_and_not_with_their_square() -> None:
    """A day has many millions."""
    audit = PartitionAudit(_PARTITION)
    for number in range(1, 100_001):
        audit.event(_id(number), number)
    assert next(audit.findings()).startswith("100000 in a topic, but not accounted for")


def test_event_with_a_sequence_far_beyond_all_others_is_found_at_once() -> None:
    """What is missing before it is counted, not gone through one by one."""
    audit = _audit(_history((2, 0)))
    audit.event(_id(99), 2**62)
    found = list(audit.findings())
    assert f"{2**62 - 3} sequence numbers are missing, the first is 3" in found
    assert f"sequence {2**62} is beyond the ledger's 2" in found
