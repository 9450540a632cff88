"""An X that chooses the lines of backfill and replay by the date of the event."""

from datetime import datetime

import pytest

from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.clock import NANOS
from connector.simulator.faults import (
    Drop,
    Straggler,
)
from tests.unit.simulator.history import LIKE_1, event_at_ns, interval, recorded
from tests.unit.simulator.reader import (
    LIKE,
    connected,
    get,
    lines_of,
)


def _by_event_at(sim: Simulator) -> None:
    """Emit ten events a minute for ten minutes, every second of them 200 s late."""
    for _ in range(10):
        for _ in range(5):
            sim.emit(1, LIKE_1)
            sim.inject(Straggler(stream="like", late_s=200))
        sim.advance(60)


@pytest.mark.parametrize("record_limit", [None, 60])
def test_select_by_event_at_chooses_a_replay_by_date(record_limit: int | None) -> None:
    """Every line dated in the interval whenever emitted, in the order of emission, and no other."""
    with Simulator(SimulatorConfig(select_by="event-at", record_limit=record_limit)) as sim:
        _by_event_at(sim)
        asked = interval(sim, 400, 200)
        start_ns, end_ns = (
            round(datetime.fromisoformat(str(asked[name])).timestamp()) * NANOS for name in ("start_time", "end_time")
        )
        kept = sim.emission.logs[LIKE_1].read(0, 10**9)
        expected = [emitted.line for emitted in kept if start_ns <= event_at_ns(emitted.line) < end_ns]
        by_emission = [emitted.line for emitted in kept if start_ns <= emitted.emitted_at < end_ns]
        assert lines_of(get(sim, LIKE, **asked).content) == expected != by_emission
        assert len(expected) > 20


def test_select_by_event_at_leaves_late_lines_out_of_a_backfill_then_goes_live() -> None:
    """What is dated before the minutes asked for is missing; what is emitted from now on is not chosen at all."""
    with Simulator(SimulatorConfig(select_by="event-at")) as sim:
        _by_event_at(sim)
        sim.advance(30)
        start_ns = sim.clock.now_ns() - 180 * NANOS
        chosen = [line for line in recorded(sim) if event_at_ns(line) >= start_ns]
        assert len(chosen) == 10
        with connected(sim, LIKE, backfill_minutes=3) as reader:
            assert reader.lines(10) == chosen
            sim.inject(Straggler(stream="like", late_s=7200))
            assert reader.lines(1) == recorded(sim)[-1:]


def test_select_by_event_at_counts_lines_for_other_faults() -> None:
    """A cut after seven lines is after seven that were chosen; asked again, the replay is whole."""
    with Simulator(SimulatorConfig(select_by="event-at")) as sim:
        _by_event_at(sim)
        asked = interval(sim, 400, 200)
        sim.inject(Drop(stream="like", mode="replay", after_lines=7))
        with connected(sim, LIKE, **asked) as replay:
            cut, _ = replay.rest_and_failure()
        whole = lines_of(get(sim, LIKE, **asked).content)
        assert lines_of(cut) == whole[:7]
