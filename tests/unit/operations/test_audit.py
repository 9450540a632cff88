"""The audit of a sound history, read whole or in part: no finding."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from connector.kafka.digests import entry_digest
from connector.operations.audit import AuditRange
from tests.unit.operations.histories import STEP_US, Bench, findings_of, made_history, value_of

pytestmark = pytest.mark.slow


def test_sound_history_gives_no_finding() -> None:
    """And its figures are those of what was read."""
    bench, history = Bench(), made_history((2, 1), (0, 0), (1, 1), (3, 0))
    bench.entries(history)
    bench.records(history)
    figures = bench.audit.figures
    assert bench.findings == []
    assert (figures.entries, figures.events, figures.dead_letters) == (5, 6, 2)
    assert (figures.covered_until_us, figures.first) == (4 * STEP_US, (0, 0))
    assert figures.head == entry_digest(value_of(history[-1].entry))
    assert bench.audit.has_seen_anything


def test_history_of_nothing_gives_no_finding() -> None:
    """A partition that is not owned."""
    bench = Bench()
    assert (bench.findings, bench.audit.has_seen_anything) == ([], False)


_STEPS = st.lists(st.none() | st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12)


@given(steps=_STEPS, recent=st.integers(0, 13), without_digests=st.integers(0, 13))
def test_any_sound_history_gives_no_finding(
    steps: list[tuple[int, int] | None], recent: int, without_digests: int
) -> None:
    """Idle, with resets, upgraded at any point, and however much was committed while the records were read."""
    history = made_history(*steps, without_digests=without_digests)
    assert findings_of(history, min(recent, len(history))) == []


@given(steps=_STEPS, start=st.integers(0, 13), end=st.integers(0, 13), margin=st.integers(0, 3))
def test_any_sound_history_read_in_part_gives_no_finding(
    steps: list[tuple[int, int] | None], start: int, end: int, margin: int
) -> None:
    """The records of a range and a little around it, and the ledger of a little more."""
    history = made_history(*steps)
    assume(start < end)
    bench = Bench(AuditRange(start * STEP_US, end * STEP_US))
    bench.entries(history[max(0, start - 2 * margin) : end + 2 * margin])
    bench.records(history[max(0, start - margin) : end + margin])
    assert bench.findings == []


@given(steps=_STEPS, recent=st.integers(1, 13), read=st.integers(0, 13))
def test_records_of_recent_entries_may_or_may_not_have_been_read(
    steps: list[tuple[int, int] | None], recent: int, read: int
) -> None:
    """They were committed while the records were read."""
    history = made_history(*steps)
    early = max(0, len(history) - recent)
    bench = Bench()
    bench.entries(history[:early])
    bench.records(history[: early + read])
    bench.entries(history[early:], is_recent=True)
    assert bench.findings == []


def test_events_of_after_the_range_are_no_matter_of_its_audit() -> None:
    """A service that publishes while a range of the past is audited: neither they nor their entries are read whole."""
    history = made_history((1, 0), (2, 0), (3, 0))
    bench = Bench(AuditRange(0, 2 * STEP_US))
    bench.entries(history[:2])
    bench.records(history)
    assert bench.findings == []
    bench = Bench(AuditRange(7 * STEP_US, 8 * STEP_US))
    bench.records(history)
    assert (bench.findings, bench.audit.has_seen_anything) == ([], False)
