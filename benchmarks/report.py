"""The results: what was measured, as one value, a table, and JSON."""

import itertools
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.latency import Latency
from benchmarks.scale import CatchUp, Restore
from benchmarks.stages import OFF_THE_WAY
from benchmarks.watch import ITSELF, Pace

_MIB = 1024**2
_MANY = 100_000
"""Below this count most of the time is a fixed cost, and a time per million would mislead."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the measurements were made on."""

    processor: str
    cores: int
    python: str

    def __str__(self) -> str:
        return f"{self.cores} cores of {self.processor}, with Kafka, registry and feeder on them; Python {self.python}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Connector and scripts, these by name, on the same feed, one right after the other."""

    connector: Pace
    scripts: Mapping[str, Pace]


@dataclass(frozen=True, slots=True)
class Round:
    """What is measured against each other. `on_one_core` is with 20 events a chunk, as is what has no headers."""

    with_1_a_chunk: Comparison
    with_20_a_chunk: Comparison
    on_one_core: Comparison
    connector_without_headers: Pace
    ceiling_events_per_s: float
    feeder_events_per_s: float
    stages_us: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Results:
    """All that was measured. `memory_bytes` is by number of ids known, `replicas` events/s by number of replicas."""

    machine: Machine
    seconds: float
    events_a_round: int
    rounds: Sequence[Round]
    latencies: Sequence[Latency]
    replicas: Mapping[int, float]
    memory_bytes: Mapping[int, int]
    restores: Sequence[Restore]
    catch_up: CatchUp


def this_machine() -> Machine:
    """Return what this machine is."""
    return Machine(_processor(), os.cpu_count() or 1, platform.python_version())


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - one line of it
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def as_table(results: Results) -> str:
    """Return the results as Markdown."""
    rows = [
        *_throughput(results.rounds),
        *_latencies(results.latencies),
        *_scale(results),
        *_stages(results.rounds),
    ]
    title = f"{results.machine}; median of {len(results.rounds)} rounds of {results.events_a_round:,} events"
    return as_markdown(title, ("figure", "value"), rows)


def as_markdown(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table under a title."""
    first, *others = (f"| {' | '.join(cells)} |" for cells in (head, *rows))
    return "\n".join([title, "", first, "|---" * len(head) + "|", *others, ""])


def _throughput(rounds: Sequence[Round]) -> Iterator[tuple[str, str]]:
    comparisons = {
        "1 event a chunk": [each.with_1_a_chunk for each in rounds],
        "20 events a chunk": [each.with_20_a_chunk for each in rounds],
        "on one core, 20 a chunk": [each.on_one_core for each in rounds],
    }
    for name, compared in comparisons.items():
        yield f"connector, {name}", _pace([each.connector for each in compared])
    yield "connector without headers, 20 a chunk", _pace([each.connector_without_headers for each in rounds])
    scripts = rounds[0].with_1_a_chunk.scripts
    for script, (name, compared) in itertools.product(scripts, comparisons.items()):
        yield f"{script} script, {name}", _pace([each.scripts[script] for each in compared])
    ceiling = median(each.ceiling_events_per_s for each in rounds)
    yield "librdkafka alone, records encoded before", f"{ceiling:,.0f} events/s"
    yield "feeder alone, 1 event a chunk", f"{median(each.feeder_events_per_s for each in rounds):,.0f} events/s"
    for script, (name, compared) in itertools.product(scripts, comparisons.items()):
        yield f"connector against {script} script, {name}", _ratio(compared, script)
    share = median(each.with_20_a_chunk.connector.events_per_s / each.ceiling_events_per_s for each in rounds)
    yield "connector against librdkafka alone", f"{share:.2f}"


def _pace(paces: Sequence[Pace]) -> str:
    rate = median(each.events_per_s for each in paces)
    own = median(each.cpu_us_itself for each in paces)
    others = [
        *((name, median(each.cpu_us[name] for each in paces)) for name in paces[0].cpu_us if name != ITSELF),
        ("idle", median(each.idle_us for each in paces)),
    ]
    rest = ", ".join(f"{name} {us:.1f}" for name, us in others)
    return f"{rate:,.0f} events/s, {own:.1f} µs CPU/event ({rest})"


def _ratio(compared: Sequence[Comparison], script: str) -> str:
    """Return the medians of the ratios of each round, so that a slow minute slows both sides of a ratio."""
    pairs = [(each.connector, each.scripts[script]) for each in compared]
    faster = median(connector.events_per_s / other.events_per_s for connector, other in pairs)
    leaner = median(other.cpu_us_itself / connector.cpu_us_itself for connector, other in pairs)
    return f"{faster:.2f} by events/s, {leaner:.2f} by events for the same CPU"


def _stages(rounds: Sequence[Round]) -> Iterator[tuple[str, str]]:
    """Yield each step, and what the connector took in all beyond the steps that are on its way with 20 a chunk."""
    steps = {name: median(each.stages_us[name] for each in rounds) for name in rounds[0].stages_us}
    for name, us in steps.items():
        yield f"step: {name}", f"{us:.1f} µs/event"
    whole = median(each.with_20_a_chunk.connector.cpu_us_itself for each in rounds)
    rest = whole - sum(us for name, us in steps.items() if name not in OFF_THE_WAY)
    yield "step: everything else", f"{rest:.1f} µs/event, to {whole:.1f} in all"


def _latencies(latencies: Sequence[Latency]) -> Iterator[tuple[str, str]]:
    for each in latencies:
        parts = ", ".join(f"{name} {ms:,.0f} ms" for name, ms in each.received_to_committed_ms.items())
        yield f"received to committed at {each.rate:,.0f} events/s", parts
        yield f"CPU at {each.rate:,.0f} events/s", f"{each.cpu_cores:.0%} of one core"
        yield f"Kafka's CPU at {each.rate:,.0f} events/s", f"{each.kafka_cpu_cores:.0%} of one core"
        yield f"bytes on disk a record at {each.rate:,.0f} events/s", f"{each.bytes_a_record:.0f}"
        before, after = (size / _MIB for size in each.rss_bytes)
        knows = f" ({each.ids_known:,} ids known)" if each.ids_known else ""
        yield (
            f"memory at {each.rate:,.0f} events/s{knows}",
            f"{before:,.0f} MiB, then {after:,.0f} MiB",
        )


def _scale(results: Results) -> Iterator[tuple[str, str]]:
    for replicas, rate in results.replicas.items():
        yield f"replicas: {replicas}", f"{rate:,.0f} events/s"
    (few, low), (many, high) = sorted(results.memory_bytes.items())
    yield "known ids", f"{(high - low) / (many - few):.0f} bytes an id"
    for restore in results.restores:
        at_once = f", of {restore.partitions} stream partitions at once" if restore.partitions > 1 else ""
        yield f"restore of {restore.ids:,} ids{at_once}", _seconds(restore.seconds, restore.ids)
    catch_up = results.catch_up
    yield (
        f"catch-up of {catch_up.stretch_s / 60:.0f} minutes",
        f"{catch_up.events:,} events in {catch_up.seconds:.0f} s, {catch_up.events / catch_up.seconds:,.0f} events/s",
    )
    yield f"ledger verify of {catch_up.events:,} events", _seconds(catch_up.verify_s, catch_up.events)


def _seconds(seconds: float, count: int) -> str:
    per_million = f", {seconds / count * 1_000_000:.2f} s a million" if count >= _MANY else ""
    return f"{seconds:.2f} s{per_million}"
