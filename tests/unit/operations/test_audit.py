"""The auditor audited: a sound history gives no finding, and every kind of damage gives one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from connector.events.catalog import StreamPartition
from connector.events.identity import pack_ids, unpack_ids
from connector.events.times import format_us
from connector.kafka.digests import entry_digest, gap_number, number_set, record_number, record_sets
from connector.kafka.ledger import CLOCKS_APART_US, Counts, LedgerEntry, Mode
from connector.kafka.transaction import Record
from connector.operations.audit import AuditRange, PartitionAudit, SeenEvent, SeenGap

_PARTITION = StreamPartition("tweet", 1)
_STEP_US = 10_000
_TOPICS = ("tweet.delete", "tweet.edit")
_YEAR_US = 365 * 24 * 3600 * 1_000_000


@dataclass(frozen=True)
class _Event:
    """An event on its topic; its value stands for everything else in it."""

    id: bytes
    sequence: int
    kind: str
    value: bytes

    @property
    def record(self) -> Record:
        """The record of it."""
        return Record(f"p.{self.kind}", self.id, self.value)


@dataclass(frozen=True)
class _Transaction:
    """What one transaction put into the topics: its entry, its events, its dead letters' ids, whether coverage."""

    entry: LedgerEntry
    events: tuple[_Event, ...] = ()
    letters: tuple[bytes, ...] = ()
    has_coverage: bool = False

    @property
    def coverage(self) -> Record:
        """The record of coverage that goes with the entry."""
        return _coverage(self.entry.written_at_us)


def _id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def _coverage(written_us: int) -> Record:
    return Record("p-coverage", b"tweet/1", str(written_us).encode())


def _letter(letter_id: bytes) -> Record:
    return Record("p-dead-letter", letter_id, b"line")


def _number(record: Record) -> int:
    return record_number(record.topic.encode(), record.key, record.value)


def _value(entry: LedgerEntry) -> bytes:
    return repr(entry).encode()


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
        oldest_offset=0,
        written_at_us=at_us,
    )


def _with_digests(transaction: _Transaction, previous: bytes | None) -> _Transaction:
    records = [event.record for event in transaction.events] + [_letter(each) for each in transaction.letters]
    if transaction.has_coverage:
        records.append(transaction.coverage)
    sets = record_sets(records, "p")
    if transaction.entry.mode is Mode.RESET:
        gap = _gap_of_reset(transaction.entry)
        sets["gap"] = number_set([gap_number(gap.id, gap.start_ms, gap.end_ms, gap.cause, gap.recorded_ms)])
    return replace(transaction, entry=replace(transaction.entry, records=sets, previous=previous, owner="r"))


def _gap_of_reset(entry: LedgerEntry) -> SeenGap:
    start_ms, at_ms = entry.covered_until_before_us // 1000, entry.written_at_us // 1000
    return SeenGap(f"reset {at_ms}", start_ms, at_ms, "ledger-reset", at_ms, entry.written_at_us, None)


def _history(*steps: tuple[int, int] | None, without_digests: int = 0) -> list[_Transaction]:
    """Return a sound history: each step is how many events and dead letters a transaction holds, None is a reset.

    The first entries, as many as are said to be without digests, are of a release that wrote none.
    """
    history: list[_Transaction] = []
    number = sequence = ids = 0
    for at, step in enumerate([(0, 0), *steps]):
        at_us = at * _STEP_US
        if step is None:
            known = [
                each for before in history if before.entry.mode is Mode.LIVE for each in unpack_ids(before.entry.ids)
            ]
            reset = replace(
                _entry(0, sequence, at_us, known), mode=Mode.RESET, counts=Counts(), covered_until_before_us=0
            )
            transaction = _Transaction(reset, has_coverage=True)
            number = 0
        else:
            count, letters = step
            new = tuple(_id(ids + each) for each in range(1, count + letters + 1))
            ids += count + letters
            events = tuple(
                _Event(each, sequence + place, _TOPICS[place % 2], each * 2)
                for place, each in enumerate(new[:count], 1)
            )
            sequence += count
            entry = _entry(number, sequence, at_us, new, letters)
            transaction = _Transaction(entry, events, new[count:], has_coverage=at % 2 == 1)
        if at >= without_digests:
            is_first = not history or step is None
            transaction = _with_digests(transaction, None if is_first else entry_digest(_value(history[-1].entry)))
        history.append(transaction)
        number += 1
    return history


class _Bench:
    """Feeds an audit what transactions put into the topics, as Kafka would date and place it."""

    def __init__(self, audited: AuditRange | None = None) -> None:
        self.audit = PartitionAudit(_PARTITION, audited or AuditRange())
        self._offset = 0

    def entries(self, history: Sequence[_Transaction], *, is_recent: bool = False) -> None:
        for each in history:
            self.entry(each.entry, each.entry.written_at_us, is_recent=is_recent)

    def entry(self, entry: LedgerEntry, dated_us: int, *, is_recent: bool = False) -> None:
        self.audit.entry(entry, self._offset, dated_us, entry_digest(_value(entry)), is_recent=is_recent)
        self._offset += 2

    def records(self, history: Sequence[_Transaction]) -> None:
        for each in history:
            dated_us = each.entry.written_at_us
            for event in each.events:
                self.event(event, dated_us)
            for letter_id in each.letters:
                self.audit.dead_letter(letter_id, _number(_letter(letter_id)), dated_us)
            if each.entry.mode is Mode.RESET:
                self.audit.gap(_gap_of_reset(each.entry))
            if each.has_coverage:
                self.audit.coverage(_number(each.coverage), each.entry.written_at_us, dated_us)

    def event(self, event: _Event, dated_us: int = 0, partition: int = 0) -> None:
        number = _number(event.record)
        seen = SeenEvent(event.kind, event.record.topic, partition, dated_us, event.id, event.sequence, number)
        self.audit.event(seen)

    @property
    def findings(self) -> list[str]:
        return list(self.audit.findings())


def _findings(history: list[_Transaction], recent: int = 0) -> list[str]:
    """Return the findings of a history; the last `recent` entries are read after the records were."""
    bench, first = _Bench(), len(history) - recent
    bench.entries(history[:first])
    bench.records(history)
    bench.entries(history[first:], is_recent=True)
    return bench.findings


def test_sound_history_gives_no_finding() -> None:
    """And its figures are those of what was read."""
    bench, history = _Bench(), _history((2, 1), (0, 0), (1, 1), (3, 0))
    bench.entries(history)
    bench.records(history)
    figures = bench.audit.figures
    assert bench.findings == []
    assert (figures.entries, figures.events, figures.dead_letters) == (5, 6, 2)
    assert (figures.covered_until_us, figures.first) == (4 * _STEP_US, (0, 0))
    assert figures.head == entry_digest(_value(history[-1].entry))
    assert bench.audit.has_seen_anything


def test_history_of_nothing_gives_no_finding() -> None:
    """A partition that is not owned."""
    bench = _Bench()
    assert (bench.findings, bench.audit.has_seen_anything) == ([], False)


_STEPS = st.lists(st.none() | st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12)


@given(steps=_STEPS, recent=st.integers(0, 13), without_digests=st.integers(0, 13))
def test_any_sound_history_gives_no_finding(
    steps: list[tuple[int, int] | None], recent: int, without_digests: int
) -> None:
    """Idle, with resets, upgraded at any point, and however much was committed while the records were read."""
    history = _history(*steps, without_digests=without_digests)
    assert _findings(history, min(recent, len(history))) == []


@given(steps=_STEPS, start=st.integers(0, 13), end=st.integers(0, 13), margin=st.integers(0, 3))
def test_any_sound_history_read_in_part_gives_no_finding(
    steps: list[tuple[int, int] | None], start: int, end: int, margin: int
) -> None:
    """The records of a range and a little around it, and the ledger of a little more."""
    history = _history(*steps)
    assume(start < end)
    bench = _Bench(AuditRange(start * _STEP_US, end * _STEP_US))
    bench.entries(history[max(0, start - 2 * margin) : end + 2 * margin])
    bench.records(history[max(0, start - margin) : end + margin])
    assert bench.findings == []


@given(steps=_STEPS, recent=st.integers(1, 13), read=st.integers(0, 13))
def test_records_of_recent_entries_may_or_may_not_have_been_read(
    steps: list[tuple[int, int] | None], recent: int, read: int
) -> None:
    """They were committed while the records were read."""
    history = _history(*steps)
    early = max(0, len(history) - recent)
    bench = _Bench()
    bench.entries(history[:early])
    bench.records(history[: early + read])
    bench.entries(history[early:], is_recent=True)
    assert bench.findings == []


def test_events_of_after_the_range_are_no_matter_of_its_audit() -> None:
    """A service that publishes while a range of the past is audited: neither they nor their entries are read whole."""
    history = _history((1, 0), (2, 0), (3, 0))
    bench = _Bench(AuditRange(0, 2 * _STEP_US))
    bench.entries(history[:2])
    bench.records(history)
    assert bench.findings == []
    bench = _Bench(AuditRange(7 * _STEP_US, 8 * _STEP_US))
    bench.records(history)
    assert (bench.findings, bench.audit.has_seen_anything) == ([], False)


_MUTATIONS: dict[str, Callable[[_Transaction], _Transaction | None]] = {
    "lose an event": lambda each: replace(each, events=each.events[1:]),
    "lose the last event": lambda each: replace(each, events=each.events[:-1]),
    "lose a dead letter": lambda each: replace(each, letters=each.letters[1:]),
    "lose all": lambda each: replace(each, events=(), letters=()),
    "repeat an event": lambda each: replace(each, events=each.events + each.events[:1]),
    "repeat a dead letter": lambda each: replace(each, letters=each.letters + each.letters[:1]),
    "shift a sequence": lambda each: replace(
        each, events=tuple(replace(event, sequence=event.sequence + 1) for event in each.events)
    ),
    "publish what is not accounted for": lambda each: replace(each, letters=(*each.letters, b"?" * 16)),
    "lose the entry": lambda _: None,
}
_MUTATIONS_OF_CONTENT: dict[str, Callable[[_Transaction], _Transaction]] = {
    "alter a value": lambda each: replace(
        each, events=tuple(replace(event, value=event.value + b"!") for event in each.events)
    ),
    "move to another topic": lambda each: replace(
        each, events=tuple(replace(event, kind="tweet.drop") for event in each.events)
    ),
    "lose coverage": lambda each: replace(each, has_coverage=False),
    "make coverage up": lambda each: replace(each, has_coverage=True),
}


@given(
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=8),
    at=st.integers(1, 8),
    name=st.sampled_from(sorted(_MUTATIONS | _MUTATIONS_OF_CONTENT)),
    has_reset=st.booleans(),
    has_digests=st.booleans(),
)
def test_any_single_damage_is_found(
    steps: list[tuple[int, int]], at: int, name: str, *, has_reset: bool, has_digests: bool
) -> None:
    """Wherever it is in a history, reset or not; what needs digests is found where there are some."""
    assume(has_digests or name in _MUTATIONS)
    history = _history(*([None] if has_reset else []), *steps, without_digests=0 if has_digests else 99)
    assume(at < len(history) and history[at].entry.mode is Mode.LIVE)
    damaged = (_MUTATIONS | _MUTATIONS_OF_CONTENT)[name](history[at])
    assume(damaged != history[at])
    bench = _Bench()
    if damaged is None:
        assume(history[at].entry.ids or at + 1 < len(history))
        bench.entries([*history[:at], *history[at + 1 :]])
        bench.records(history)
    else:
        bench.entries(history)
        bench.records([*history[:at], damaged, *history[at + 1 :]])
    assert bench.findings


def _damage(at: int, **changes: Any) -> list[str]:  # noqa: ANN401 - any field
    """Return the findings of a history with another transaction in the place of one."""
    history = _history((2, 1), (0, 0), (1, 1), (3, 0))
    bench = _Bench()
    bench.entries(history)
    bench.records([*history[:at], replace(history[at], **changes), *history[at + 1 :]])
    return bench.findings


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            _damage(1, events=()),
            "1 tweet.delete records of entry 1, committed by 1970-01-01T00:00:00.010000Z, are missing",
        ),
        (_damage(3, letters=()), "1 dead-letter records of entry 3, committed by"),
        (_damage(3, letters=(_id(5), _id(5))), "1 dead-letter records more than entry 3, committed by"),
        (
            _damage(3, letters=(_id(5), _id(77))),
            "1 in a topic, but not accounted for in the ledger, such as dead letter ",
        ),
        (_damage(3, has_coverage=False), "1 coverage records of entry 3"),
        (_damage(2, has_coverage=True), "such as coverage of 1970-01-01T00:00:00.020000Z"),
        (_damage(4, events=(_Event(_id(6), 9, "tweet.edit", b""),)), "sequence 9 is beyond the ledger's 6"),
    ],
)
def test_damage_is_named(found: list[str], expected: str) -> None:
    """With the entry, the id or the number where to look."""
    assert any(expected in finding for finding in found), found


def test_altered_records_are_named_by_kind_and_entry() -> None:
    """There are as many as there should be."""
    altered = tuple(replace(each, value=b"?") for each in _history((2, 1))[1].events)
    assert _damage(1, events=altered) == [
        f"{kind} records of entry 1, committed by {format_us(_STEP_US)}, are not those that the ledger accounts for"
        for kind in ("tweet.edit", "tweet.delete")
    ]


def test_records_in_another_order_are_found() -> None:
    """By Kafka partition of a topic: sequence and offset grow together."""
    history = _history((3, 0))
    bench = _Bench()
    bench.entries(history)
    first, second, third = history[1].events
    for event in (third, second, first):
        bench.event(event)
    assert bench.findings[0] == "1 out of order, such as sequence 1 in p.tweet.edit partition 0"


@pytest.mark.parametrize("at", [1, 2, 3])
def test_missing_entry_is_found_by_the_next(at: int) -> None:
    """Also an idle one, which no event would tell of."""
    history = _history((2, 1), (0, 0), (1, 1), (3, 0))
    assert any(
        f"entry {at + 1}: follows entry {at - 1}" in finding
        for finding in _findings([*history[:at], *history[at + 1 :]])
    )


@pytest.mark.parametrize(
    ("previous", "expected"),
    [(b"?" * 32, "is not the one that it was written after"), (None, "do not say after which they were written")],
)
def test_entry_that_is_not_chained_to_the_one_before_is_found(previous: bytes | None, expected: str) -> None:
    """It may be sound in itself, whatever it claims."""
    history = _history((2, 1), (0, 0))
    history[-1] = replace(history[-1], entry=replace(history[-1].entry, previous=previous))
    assert any(expected in finding for finding in _findings(history))


def test_unreadable_entry_is_a_finding() -> None:
    """In the words of what could not be read."""
    bench = _Bench()
    bench.audit.unreadable("offset 7: cut off")
    assert bench.findings == ["1 no sound entries of the ledger, such as offset 7: cut off"]


def test_many_findings_are_counted_and_few_are_shown() -> None:
    """A report of millions helps nobody, and its memory has a bound."""
    bench = _Bench()
    bench.entries(_history((1, 0)))
    for number in range(2, 1000):
        bench.event(_Event(_id(number), 1, "tweet.edit", b""))
    assert all(len(finding) < 300 for finding in bench.findings)
    assert len(bench.findings) == 3


def test_id_that_is_published_again_while_it_is_known_is_found() -> None:
    """Also after a reset, which keeps ids known."""
    for steps in (((1, 0), (1, 0)), ((1, 0), None, (1, 0))):
        history = _history(*steps)
        last = history[-1]
        event = replace(last.events[0], id=_id(1))
        again = _Transaction(replace(last.entry, ids=_id(1), records=None), (event,))
        history[-1] = _with_digests(again, last.entry.previous)
        assert _findings(history) == [
            f"1 accounted for before, such as {_id(1).hex()} in entry {last.entry.entry}",
        ]


def test_id_that_is_no_longer_known_may_come_again() -> None:
    """The duplicate window is over: the entry says which ids its writer knew."""
    history = _history((1, 0), (1, 0))
    last = history[-1]
    event = replace(last.events[0], id=_id(1))
    again = _Transaction(replace(last.entry, ids=_id(1), records=None, oldest_offset=4), (event,))
    history[-1] = _with_digests(again, last.entry.previous)
    assert _findings(history) == []


def test_reset_in_the_middle_begins_a_new_row() -> None:
    """With entries of its own from 0 on; what it must keep known was accounted for before, and the sequence goes on."""
    assert _findings(_history((2, 1), None, (1, 1), (2, 0), None, None, (1, 0))) == []


def test_events_that_a_reset_left_out_are_counted_and_are_no_finding() -> None:
    """The ledger that accounted for them was lost, and the gap says so."""
    history = _history((2, 0), (3, 0), None, (1, 0))
    bench = _Bench()
    bench.entries([*history[:2], *history[3:]])
    bench.records(history)
    assert (bench.findings, bench.audit.figures.unaccounted) == ([], 3)


def test_ledger_that_begins_later_than_the_events_is_no_finding() -> None:
    """Retention removed what accounted for them: said, and not reported as events that nothing accounts for."""
    history = _history((2, 0), (3, 0), (1, 0))
    bench = _Bench()
    bench.entries(history[2:])
    bench.records(history)
    assert (bench.findings, bench.audit.figures.before_ledger) == ([], 3)


def test_what_retention_has_removed_is_not_missed_but_counted() -> None:
    """By kind: topics are kept for different times."""
    history = _history((2, 1), (2, 1))
    bench = _Bench(AuditRange(kept_since_us={"tweet.edit": 2 * _STEP_US, "coverage": 0}))
    bench.entries(history)
    bench.records([replace(history[1], events=history[1].events[1:]), history[2]])
    assert (bench.findings, bench.audit.figures.unchecked) == ([], 1)


@pytest.mark.parametrize("kind", ["promise", "tweet.promote"])
def test_records_of_kinds_that_a_later_version_writes_are_not_missed_but_counted(kind: str) -> None:
    """Neither their topic nor what is in it can be read; everything else is audited."""
    history = _history((2, 0), (2, 1))
    newest = history[-1]
    sets = {**(newest.entry.records or {}), kind: number_set([17, 18])}
    bench = _Bench()
    bench.entries([*history[:-1], replace(newest, entry=replace(newest.entry, records=sets))])
    bench.records(history)
    assert (bench.findings, bench.audit.figures.unknown) == ([], 2)


def _gap(gap_id: str, recorded_ms: int, *, end_ms: int = 20, problem: str | None = None) -> SeenGap:
    return SeenGap(gap_id, 10, end_ms, "replay-refused", recorded_ms, recorded_ms * 1000, problem)


def _gap_history(*ids: str) -> _Bench:
    """Return an audit of an entry that accounts for gaps."""
    [first, last] = _history((0, 0))
    numbers = [gap_number(each, 10, 20, "replay-refused", _STEP_US // 1000) for each in ids]
    bench = _Bench()
    bench.entries([first, replace(last, entry=replace(last.entry, records={"gap": number_set(numbers)}))])
    return bench


def test_gaps_are_those_that_the_ledger_accounts_for() -> None:
    """Found by when they were recorded, and by what stays as it is however often they are written."""
    bench = _gap_history("g", "h")
    bench.audit.gap(_gap("g", _STEP_US // 1000))
    bench.audit.gap(_gap("h", _STEP_US // 1000))
    assert bench.findings == []


def test_gap_that_is_gone_altered_or_made_up_is_found() -> None:
    """Whatever is said of gaps, the ledger must have said it; one beside a sound one is not excused."""
    bench = _gap_history("g", "h")
    bench.audit.gap(_gap("g", _STEP_US // 1000))
    assert bench.findings[0].startswith("1 gap records of entry 1")
    bench.audit.gap(_gap("h", _STEP_US // 1000, end_ms=19))
    assert bench.findings[0].startswith("gap records of entry 1")
    bench.audit.gap(_gap("made up", 7 * _STEP_US // 1000, problem="gaps in an odd state"))
    bench.audit.gap(_gap("of 1970", 0))
    assert "2 in a topic, but not accounted for in the ledger, such as gap made up, gap of 1970" in bench.findings
    assert "1 gaps in an odd state, such as made up" in bench.findings


def test_coverage_of_before_any_entry_is_no_older_release_s() -> None:
    """Where all entries have digests, what a record says of when it was written excuses nothing."""
    bench, history = _Bench(), _history((1, 0))
    bench.entries(history)
    bench.records(history)
    bench.audit.coverage(1234, 0, _STEP_US)
    assert bench.findings == [
        "1 in a topic, but not accounted for in the ledger, such as coverage of 1970-01-01T00:00:00.000000Z"
    ]


def _reset_history(*, has_gap: bool = True, start_us: int = 0, gap_start_ms: int = 0) -> list[str]:
    """Return the findings of a ledger that begins again and skips time."""
    [first, last] = _history(None)
    reset, at_ms = last.entry, _STEP_US // 1000
    sets = {"gap": number_set([gap_number("g", gap_start_ms, at_ms, "ledger-reset", at_ms)])} if has_gap else {}
    bench = _Bench()
    bench.entries([first, _Transaction(replace(reset, covered_until_before_us=start_us, records=sets))])
    if has_gap:
        bench.audit.gap(SeenGap("g", gap_start_ms, at_ms, "ledger-reset", at_ms, _STEP_US, None))
    return bench.findings


def test_time_that_a_reset_skips_is_a_gap() -> None:
    """From where coverage ended before; anything less would be coverage that nobody vouches for."""
    assert _reset_history() == []
    assert _reset_history(has_gap=False) == [
        f"1 resets that skip time without a gap, such as that of {format_us(_STEP_US)}"
    ]
    assert _reset_history(gap_start_ms=1) == ["1 gaps of a reset that are shorter than what it skipped, such as g"]
    [found] = _reset_history(start_us=1)
    assert found.startswith("1 resets that begin after the coverage before")


def test_dead_letter_that_comes_again_after_the_window_belongs_to_the_later_entry() -> None:
    """Its id is the same; the topic has both."""
    history = _history((0, 1), (0, 1))
    last = history[-1]
    again = _Transaction(replace(last.entry, ids=_id(1), records=None, oldest_offset=4), letters=(_id(1),))
    history[-1] = _with_digests(again, last.entry.previous)
    assert _findings(history) == []
    bench = _Bench()
    bench.entries(history)
    bench.records([*history[:-1], replace(history[-1], letters=())])
    assert [finding.partition(",")[0] for finding in bench.findings] == ["1 dead-letter records of entry 2"]


def test_takeover_by_a_release_without_digests_is_no_finding() -> None:
    """It cannot say after which entry it writes; what it writes is audited by id."""
    history = _history((1, 0), (1, 0), (1, 0))
    history[2] = replace(history[2], entry=replace(history[2].entry, records=None, previous=None, owner=None))
    after = entry_digest(_value(history[2].entry))
    history[3] = replace(history[3], entry=replace(history[3].entry, previous=after))
    assert _findings(history) == []


def test_mark_of_a_dead_letter_belongs_to_the_entry_that_replayed_it() -> None:
    """And its id, which was accounted for as that of a dead letter, may be published now."""
    history = _history((0, 1), (1, 0))
    mark = Record("p-dead-letter", _id(1), b"")
    replayed = replace(history[-1].events[0], id=_id(1))
    entry = replace(history[-1].entry, ids=_id(1), records=None)
    last = _with_digests(_Transaction(entry, (replayed,)), history[-1].entry.previous)
    sets = {**(last.entry.records or {}), "replayed": record_sets([mark], "p")["dead-letter"]}
    history[-1] = replace(last, entry=replace(last.entry, records=sets))
    bench = _Bench()
    bench.entries(history)
    bench.records(history)
    assert [finding.split(" of ")[0] for finding in bench.findings] == ["1 replayed records"]
    bench.audit.mark(_id(1), _number(mark), _STEP_US)
    assert bench.findings == []


@pytest.mark.parametrize("ahead_us", [-(10**9), 10**9])
def test_replica_whose_clock_is_off_makes_nothing_missed_and_nothing_missing(ahead_us: int) -> None:
    """What must be there is told by Kafka's dates, as what was read is; `written_at` is that replica's own."""
    history = _history((2, 0), (1, 0), (1, 0))
    bench = _Bench(AuditRange(2 * _STEP_US))
    for transaction in history[1:]:
        entry = transaction.entry
        bench.entry(
            replace(entry, written_at_us=entry.written_at_us + ahead_us, previous=None, records=None),
            entry.written_at_us,
        )
    bench.event(history[2].events[0], 2 * _STEP_US)
    [lost] = history[3].events
    assert f"1 accounted for in the ledger, but in no topic, such as {lost.id.hex()}" in bench.findings


@pytest.mark.parametrize("field", ["covered_until_us", "covers_to_us", "written_at_us"])
def test_entry_from_long_after_its_date_and_now_is_found(field: str) -> None:
    """Forged, and sound in all else: coverage a year ahead would be believed for a year."""
    changes: dict[str, Any] = {field: _YEAR_US}
    [first, second] = _history((1, 0))
    bench = _Bench(AuditRange(now_us=_YEAR_US - CLOCKS_APART_US - 1))
    bench.entry(first.entry, 0)
    bench.entry(replace(second.entry, **changes), 0)
    name = field.removesuffix("_us")
    expected = f"ledger tweet/1 entry 1: {name} is 1971-01-01T00:00:00.000000Z, and the latest"
    assert any(expected in finding for finding in bench.findings)


@pytest.mark.parametrize(("now_us", "dated_us"), [(1, 0), (0, 1)], ids=["our clock", "Kafka's date"])
def test_entry_that_one_clock_vouches_for_is_sound(now_us: int, dated_us: int) -> None:
    """Whichever is right: the other may be behind by any time."""
    bench = _Bench(AuditRange(now_us=now_us * _YEAR_US))
    bench.entry(_entry(0, 0, _YEAR_US), dated_us * _YEAR_US)
    assert bench.findings == []
