"""The record and the emission: in order, on time, at the requested rate, whichever clients are connected."""

import json
import sys
import threading
import time

import pytest

from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.clock import NANOS
from connector.simulator.record import PartitionLog
from tests.unit.simulator.reader import eventually

_TWEET_1 = StreamPartition("tweet", 1)


def test_log_positions_stay_valid_when_old_lines_are_forgotten() -> None:
    """With a limit the oldest lines go; what is left keeps its positions."""
    log = PartitionLog(_TWEET_1, limit=100)
    for number in range(1000):
        log.append(b"%d" % number, number, "event")
    assert log.end == 1000
    assert 100 <= log.end - log.first <= 125
    assert [emitted.line for emitted in log.read(990, 1010)] == [b"%d" % number for number in range(990, 1000)]
    assert log.read(0, 10) == []


def test_log_position_at_finds_the_first_line_not_before_a_time() -> None:
    """Lines of equal times belong together; a time that goes back is raised."""
    log = PartitionLog(_TWEET_1, limit=None)
    for time_ns in (10, 20, 20, 15, 30):
        log.append(b"{}", time_ns, "event")
    assert [emitted.emitted_at for emitted in log.read(0, 5)] == [10, 20, 20, 20, 30]
    assert [log.position_at(time_ns) for time_ns in (0, 10, 11, 20, 21, 30, 31)] == [0, 0, 1, 1, 4, 4, 5]


def test_emit_without_a_target_spreads_over_all_partitions_of_the_streams() -> None:
    """No client is connected; the record holds everything, mostly on the tweet stream."""
    sim = Simulator(SimulatorConfig(streams=("tweet", "user", "label")))
    sim.emit(5000)
    record = sim.record()
    assert len(record) == 5000
    assert {emitted.stream for emitted in record} == {"tweet", "user", "label"}
    assert {emitted.partition for emitted in record if emitted.stream == "user"} == {1, 2, 3, 4}
    assert sum(emitted.stream == "tweet" for emitted in record) > 2500
    assert {emitted.kind for emitted in record} == {"event"}


def test_emit_same_seed_gives_the_same_events_however_they_are_asked_for() -> None:
    """A partition's sequence does not hang on when or together with what it is emitted."""
    one, other = Simulator(SimulatorConfig(seed=7)), Simulator(SimulatorConfig(seed=7))
    one.emit(50, _TWEET_1)
    for _ in range(5):
        other.emit(10, StreamPartition("tweet", 2))
        other.emit(10, _TWEET_1)
    assert _bodies(one) == _bodies(other)
    assert len(_bodies(one)) == 50


def _bodies(sim: Simulator) -> list[dict[str, dict[str, object]]]:
    bodies: list[dict[str, dict[str, object]]] = [
        dict(json.loads(e.line)["data"]) for e in sim.record() if e.partition == 1
    ]
    for body in bodies:
        next(iter(body.values())).pop("event_at")
    return bodies


def test_emit_line_puts_exactly_this_line_on_record() -> None:
    """Bytes of any kind go on record and out, but a line feed would make them two lines."""
    sim = Simulator()
    sim.emit_line("like", 1, b"\xff\x00 no JSON", "broken")
    (emitted,) = sim.record()
    assert (emitted.stream, emitted.partition, emitted.kind, emitted.line) == ("like", 1, "broken", b"\xff\x00 no JSON")
    with pytest.raises(ValueError, match="no line feed"):
        sim.emit_line("like", 1, b"{}\n{}", "broken")
    with pytest.raises(ValueError, match="like/2"):
        sim.emit_line("like", 2, b"{}", "broken")


@pytest.mark.slow
def test_rate_is_kept_without_anybody_connected() -> None:
    """The emitting thread works by the clock: after the time for 300 events there are about as many."""
    with Simulator(SimulatorConfig(rate=1000.0)) as sim:
        started_ns = sim.clock.now_ns()
        assert eventually(lambda: len(sim.record()) >= 300)
        sim.stop_emitting()
        took_s = (sim.clock.now_ns() - started_ns) / NANOS
        count = len(sim.record())
        assert count <= 1000 * (took_s + 0.5)
        assert not eventually(lambda: len(sim.record()) > count, deadline_s=0.1)


@pytest.mark.skipif(sys.gettrace() is not None, reason="a tracer takes more time than what is measured")
@pytest.mark.slow
def test_emit_costs_less_processor_time_than_thirty_thousand_a_second_allow() -> None:
    """The generator is no bottleneck for a load test."""
    sim = Simulator()
    before_s = time.thread_time()
    sim.emit(30_000)
    assert time.thread_time() - before_s < 1.0


def test_advance_skips_time_with_nothing_emitted() -> None:
    """A skipped hour is empty on record even at a rate, since the rate is of time that passes."""
    with Simulator(SimulatorConfig(rate=50.0)) as sim:
        before_ns = sim.clock.now_ns()
        sim.advance(3600)
        assert eventually(lambda: bool(sim.record()))
        sim.stop_emitting()
        skipped = [e for e in sim.record() if before_ns + 2 * NANOS < e.emitted_at < before_ns + 3599 * NANOS]
        assert skipped == []
        assert sim.clock.now_ns() - before_ns >= 3600 * NANOS


def test_advance_emitting_spreads_events_evenly_over_the_skipped_time() -> None:
    """A tenth of the events falls in each tenth of the skipped time."""
    sim = Simulator()
    before_ns = sim.clock.now_ns()
    sim.advance(3600, emitting=True, rate=0.5)
    record = sim.record()
    assert len(record) == 1800
    tenths = [int((emitted.emitted_at - before_ns) / (360 * NANOS)) for emitted in record]
    assert all(abs(tenths.count(tenth) - 180) <= 1 for tenth in range(10))


def test_advance_backwards_is_refused() -> None:
    """Time does not go back, with emission or without."""
    sim = Simulator()
    for emitting in (False, True):
        with pytest.raises(ValueError, match="only goes forward"):
            sim.advance(-1, emitting=emitting, rate=10)


@pytest.mark.slow
def test_record_is_safe_to_read_while_events_come_in() -> None:
    """Reading and emitting at the same time neither loses nor repeats."""
    sim = Simulator()
    writer = threading.Thread(target=sim.emit, args=(20_000,))
    writer.start()
    while writer.is_alive():
        assert len(sim.record()) <= 20_000
    writer.join()
    assert len(sim.record()) == 20_000
    assert {(e.stream, e.partition) for e in sim.record()} == {(p.stream, p.number) for p in STREAM_PARTITIONS}


@pytest.mark.parametrize(
    ("setting", "value"),
    [("streams", ("tweets",)), ("streams", ()), ("rate", -1.0), ("keep_alive_s", 0.0), ("record_limit", 0)],
)
def test_config_senseless_value_is_named(setting: str, value: object) -> None:
    """A wrong setting says which one it is."""
    with pytest.raises(ValueError, match=setting.removesuffix("s")):
        SimulatorConfig(**{setting: value})  # type: ignore[arg-type] # wrong on purpose
