"""Settings compared at one steady rate: compression, its level, the commit interval, and how long readers gather."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.latency import Latency, measure_latency
from benchmarks.report import Machine, as_markdown, this_machine
from benchmarks.stand import Stand

GRID: Mapping[str, dict[str, dict[str, object]]] = {
    **{f"compression {name}": {"kafka": {"compression": name}} for name in ("none", "gzip", "lz4", "zstd")},
    **{f"compression zstd, level {level}": {"kafka": {"properties": {"compression.level": level}}} for level in (1, 3)},
    **{f"commit every {ms} ms": {"pipeline": {"commit_interval_ms": ms}} for ms in (100, 150, 200, 300)},
    **{f"gather for {ms} ms": {"x": {"gather_interval_ms": ms}} for ms in (0, 20, 50, 100)},
}
"""Settings by name, as sections; all others keep their defaults, including the compression level."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What was measured at `rate` events/s for `seconds` each; `latencies` is by name in `GRID`."""

    machine: Machine
    rate: int
    seconds: float
    latencies: Mapping[str, Latency]


def measure_sweep(stand: Stand, rate: int, seconds: float, names: Iterable[str]) -> Sweep:
    """Measure the named settings of `GRID`, after a first time that does not count: Kafka's JVM is cold then."""
    measure_latency(stand, rate, seconds, 0)
    latencies = {name: measure_latency(stand, rate, seconds, 0, **GRID[name]) for name in names}
    return Sweep(this_machine(), rate, seconds, latencies)


def as_sweep_table(sweep: Sweep) -> str:
    """Return the results as Markdown."""
    title = f"{sweep.machine}; {sweep.rate:,} events/s for {sweep.seconds:g} s each"
    head = ("setting", "CPU of the connector", "CPU of Kafka", "p50", "p99", "bytes a record")
    return as_markdown(title, head, [(name, *_cells(latency)) for name, latency in sweep.latencies.items()])


def _cells(latency: Latency) -> tuple[str, ...]:
    milliseconds = latency.received_to_committed_ms
    return (
        f"{latency.cpu_cores:.0%} of one core",
        f"{latency.kafka_cpu_cores:.0%} of one core",
        f"{milliseconds['p50']:,.0f} ms",
        f"{milliseconds['p99']:,.0f} ms",
        f"{latency.bytes_a_record:.0f}",
    )
