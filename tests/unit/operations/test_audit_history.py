"""The audit over time: ids known and forgotten, resets, retention, other releases, clocks that are off."""

from dataclasses import replace
from typing import Any

import pytest

from connector.events.times import format_us
from connector.kafka.digests import entry_digest, gap_number, number_set, record_sets
from connector.kafka.ledger import CLOCKS_APART_US
from connector.kafka.transaction import Record
from connector.operations.audit import AuditRange, SeenGap
from tests.unit.operations.histories import (
    STEP_US,
    Bench,
    Transaction,
    findings_of,
    made_entry,
    made_history,
    made_id,
    number_of,
    value_of,
    with_digests,
)

_YEAR_US = 365 * 24 * 3600 * 1_000_000


def test_id_that_is_published_again_while_it_is_known_is_found() -> None:
    """Also after a reset, which keeps ids known."""
    for steps in (((1, 0), (1, 0)), ((1, 0), None, (1, 0))):
        history = made_history(*steps)
        last = history[-1]
        event = replace(last.events[0], id=made_id(1))
        again = Transaction(replace(last.entry, ids=made_id(1), records=None), (event,))
        history[-1] = with_digests(again, last.entry.previous)
        assert findings_of(history) == [
            f"1 accounted for before, such as {made_id(1).hex()} in entry {last.entry.entry}",
        ]


def test_id_that_is_no_longer_known_may_come_again() -> None:
    """The duplicate window is over: the entry says which ids its writer knew."""
    history = made_history((1, 0), (1, 0))
    last = history[-1]
    event = replace(last.events[0], id=made_id(1))
    again = Transaction(replace(last.entry, ids=made_id(1), records=None, oldest_offset=4), (event,))
    history[-1] = with_digests(again, last.entry.previous)
    assert findings_of(history) == []


def test_reset_in_the_middle_begins_a_new_row() -> None:
    """With entries of its own from 0 on; what it must keep known was accounted for before, and the sequence goes on."""
    assert findings_of(made_history((2, 1), None, (1, 1), (2, 0), None, None, (1, 0))) == []


def test_events_that_a_reset_left_out_are_counted_and_are_no_finding() -> None:
    """The ledger that accounted for them was lost, and the gap says so."""
    history = made_history((2, 0), (3, 0), None, (1, 0))
    bench = Bench()
    bench.entries([*history[:2], *history[3:]])
    bench.records(history)
    assert (bench.findings, bench.audit.figures.unaccounted) == ([], 3)


def test_ledger_that_begins_later_than_the_events_is_no_finding() -> None:
    """Retention removed what accounted for them: said, and not reported as events that nothing accounts for."""
    history = made_history((2, 0), (3, 0), (1, 0))
    bench = Bench()
    bench.entries(history[2:])
    bench.records(history)
    assert (bench.findings, bench.audit.figures.before_ledger) == ([], 3)


def test_what_retention_has_removed_is_not_missed_but_counted() -> None:
    """By kind: topics are kept for different times."""
    history = made_history((2, 1), (2, 1))
    bench = Bench(AuditRange(kept_since_us={"tweet.edit": 2 * STEP_US, "coverage": 0}))
    bench.entries(history)
    bench.records([replace(history[1], events=history[1].events[1:]), history[2]])
    assert (bench.findings, bench.audit.figures.unchecked) == ([], 1)


@pytest.mark.parametrize("kind", ["promise", "tweet.promote"])
def test_records_of_kinds_that_a_later_version_writes_are_not_missed_but_counted(kind: str) -> None:
    """Neither their topic nor what is in it can be read; everything else is audited."""
    history = made_history((2, 0), (2, 1))
    newest = history[-1]
    sets = {**(newest.entry.records or {}), kind: number_set([17, 18])}
    bench = Bench()
    bench.entries([*history[:-1], replace(newest, entry=replace(newest.entry, records=sets))])
    bench.records(history)
    assert (bench.findings, bench.audit.figures.unknown) == ([], 2)


def _gap(gap_id: str, recorded_ms: int, *, end_ms: int = 20, problem: str | None = None) -> SeenGap:
    return SeenGap(gap_id, 10, end_ms, "replay-refused", recorded_ms, recorded_ms * 1000, problem)


def _gap_history(*ids: str) -> Bench:
    """Return an audit of an entry that accounts for gaps."""
    [first, last] = made_history((0, 0))
    numbers = [gap_number(each, 10, 20, "replay-refused", STEP_US // 1000) for each in ids]
    bench = Bench()
    bench.entries([first, replace(last, entry=replace(last.entry, records={"gap": number_set(numbers)}))])
    return bench


def test_gaps_are_those_that_the_ledger_accounts_for() -> None:
    """Found by when they were recorded, and by what stays as it is however often they are written."""
    bench = _gap_history("g", "h")
    bench.audit.gap(_gap("g", STEP_US // 1000))
    bench.audit.gap(_gap("h", STEP_US // 1000))
    assert bench.findings == []


def test_gap_that_is_gone_altered_or_made_up_is_found() -> None:
    """Whatever is said of gaps, the ledger must have said it; one beside a sound one is not excused."""
    bench = _gap_history("g", "h")
    bench.audit.gap(_gap("g", STEP_US // 1000))
    assert bench.findings[0].startswith("1 gap records of entry 1")
    bench.audit.gap(_gap("h", STEP_US // 1000, end_ms=19))
    assert bench.findings[0].startswith("gap records of entry 1")
    bench.audit.gap(_gap("made up", 7 * STEP_US // 1000, problem="gaps in an odd state"))
    bench.audit.gap(_gap("of 1970", 0))
    assert "2 in a topic, but not accounted for in the ledger, such as gap made up, gap of 1970" in bench.findings
    assert "1 gaps in an odd state, such as made up" in bench.findings


def test_coverage_of_before_any_entry_is_no_older_release_s() -> None:
    """Where all entries have digests, what a record says of when it was written excuses nothing."""
    bench, history = Bench(), made_history((1, 0))
    bench.entries(history)
    bench.records(history)
    bench.audit.coverage(1234, 0, STEP_US)
    assert bench.findings == [
        "1 in a topic, but not accounted for in the ledger, such as coverage of 1970-01-01T00:00:00.000000Z"
    ]


def _reset_history(*, has_gap: bool = True, start_us: int = 0, gap_start_ms: int = 0) -> list[str]:
    """Return the findings of a ledger that begins again and skips time."""
    [first, last] = made_history(None)
    reset, at_ms = last.entry, STEP_US // 1000
    sets = {"gap": number_set([gap_number("g", gap_start_ms, at_ms, "ledger-reset", at_ms)])} if has_gap else {}
    bench = Bench()
    bench.entries([first, Transaction(replace(reset, covered_until_before_us=start_us, records=sets))])
    if has_gap:
        bench.audit.gap(SeenGap("g", gap_start_ms, at_ms, "ledger-reset", at_ms, STEP_US, None))
    return bench.findings


def test_time_that_a_reset_skips_is_a_gap() -> None:
    """From where coverage ended before; anything less would be coverage without evidence."""
    assert _reset_history() == []
    assert _reset_history(has_gap=False) == [
        f"1 resets that skip time without a gap, such as that of {format_us(STEP_US)}"
    ]
    assert _reset_history(gap_start_ms=1) == ["1 gaps of a reset that are shorter than what it skipped, such as g"]
    [found] = _reset_history(start_us=1)
    assert found.startswith("1 resets that begin after the coverage before")


def test_dead_letter_that_comes_again_after_the_window_belongs_to_the_later_entry() -> None:
    """Its id is the same; the topic has both."""
    history = made_history((0, 1), (0, 1))
    last = history[-1]
    again = Transaction(replace(last.entry, ids=made_id(1), records=None, oldest_offset=4), letters=(made_id(1),))
    history[-1] = with_digests(again, last.entry.previous)
    assert findings_of(history) == []
    bench = Bench()
    bench.entries(history)
    bench.records([*history[:-1], replace(history[-1], letters=())])
    assert [finding.partition(",")[0] for finding in bench.findings] == ["1 dead-letter records of entry 2"]


def test_takeover_by_a_release_without_digests_is_no_finding() -> None:
    """It cannot say after which entry it writes; what it writes is audited by id."""
    history = made_history((1, 0), (1, 0), (1, 0))
    history[2] = replace(history[2], entry=replace(history[2].entry, records=None, previous=None, owner=None))
    after = entry_digest(value_of(history[2].entry))
    history[3] = replace(history[3], entry=replace(history[3].entry, previous=after))
    assert findings_of(history) == []


def test_mark_of_a_dead_letter_belongs_to_the_entry_that_replayed_it() -> None:
    """And its id, which was accounted for as that of a dead letter, may be published now."""
    history = made_history((0, 1), (1, 0))
    mark = Record("p-dead-letter", made_id(1), b"")
    replayed = replace(history[-1].events[0], id=made_id(1))
    entry = replace(history[-1].entry, ids=made_id(1), records=None)
    last = with_digests(Transaction(entry, (replayed,)), history[-1].entry.previous)
    sets = {**(last.entry.records or {}), "replayed": record_sets([mark], "p")["dead-letter"]}
    history[-1] = replace(last, entry=replace(last.entry, records=sets))
    bench = Bench()
    bench.entries(history)
    bench.records(history)
    assert [finding.split(" of ")[0] for finding in bench.findings] == ["1 replayed records"]
    bench.audit.mark(made_id(1), number_of(mark), STEP_US)
    assert bench.findings == []


@pytest.mark.parametrize("ahead_us", [-(10**9), 10**9])
def test_replica_whose_clock_is_off_makes_nothing_missed_and_nothing_missing(ahead_us: int) -> None:
    """What must be there is chosen by Kafka's dates, as what was read is; `written_at` is that replica's own."""
    history = made_history((2, 0), (1, 0), (1, 0))
    bench = Bench(AuditRange(2 * STEP_US))
    for transaction in history[1:]:
        entry = transaction.entry
        bench.entry(
            replace(entry, written_at_us=entry.written_at_us + ahead_us, previous=None, records=None),
            entry.written_at_us,
        )
    bench.event(history[2].events[0], 2 * STEP_US)
    [lost] = history[3].events
    assert f"1 accounted for in the ledger, but in no topic, such as {lost.id.hex()}" in bench.findings


@pytest.mark.parametrize("field", ["covered_until_us", "covers_to_us", "written_at_us"])
def test_entry_from_long_after_its_date_and_now_is_found(field: str) -> None:
    """Forged, and sound in all else: coverage a year ahead would be believed for a year."""
    changes: dict[str, Any] = {field: _YEAR_US}
    [first, second] = made_history((1, 0))
    bench = Bench(AuditRange(now_us=_YEAR_US - CLOCKS_APART_US - 1))
    bench.entry(first.entry, 0)
    bench.entry(replace(second.entry, **changes), 0)
    name = field.removesuffix("_us")
    expected = f"ledger tweet/1 entry 1: {name} is 1971-01-01T00:00:00.000000Z, and the latest"
    assert any(expected in finding for finding in bench.findings)


@pytest.mark.parametrize(("now_us", "dated_us"), [(1, 0), (0, 1)], ids=["our clock", "Kafka's date"])
def test_entry_that_one_clock_vouches_for_is_sound(now_us: int, dated_us: int) -> None:
    """Whichever is right: the other may be behind by any time."""
    bench = Bench(AuditRange(now_us=now_us * _YEAR_US))
    bench.entry(made_entry(0, 0, _YEAR_US), dated_us * _YEAR_US)
    assert bench.findings == []
