"""The results: what was measured, as one value, a table, and JSON."""

import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.latency import Latency
from benchmarks.scale import CatchUp, Restore
from benchmarks.throughput import Throughput

_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Machine:
    """What the measurements were made on."""

    processor: str
    cores: int
    python: str


@dataclass(frozen=True, slots=True)
class Round:
    """What is measured against each other; one follows the other at once. The script may have been left out."""

    connector_1_a_chunk: Throughput
    connector_20_a_chunk: Throughput
    connector_without_headers: Throughput
    script_1_a_chunk: Throughput | None
    script_20_a_chunk: Throughput | None
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
    machine = results.machine
    rows = [
        *_throughput(results.rounds),
        *_latencies(results.latencies),
        *_scale(results),
        *((f"{name}, one thread", f"{us:.1f} µs/event") for name, us in _stages(results.rounds).items()),
    ]
    title = (
        f"{machine.cores} cores of {machine.processor}, with Kafka, registry and feeder on them; Python "
        f"{machine.python}; median of {len(results.rounds)} rounds of {results.events_a_round:,} events"
    )
    return "\n".join(
        [title, "", "| figure | value |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows), ""]
    )


def _throughput(rounds: Sequence[Round]) -> Iterator[tuple[str, str]]:
    for name, measured in (
        ("connector, 1 event a chunk", [each.connector_1_a_chunk for each in rounds]),
        ("connector, 20 events a chunk", [each.connector_20_a_chunk for each in rounds]),
        ("connector without headers, 20 a chunk", [each.connector_without_headers for each in rounds]),
        ("xdk script, 1 event a chunk", [each.script_1_a_chunk for each in rounds]),
        ("xdk script, 20 events a chunk", [each.script_20_a_chunk for each in rounds]),
    ):
        found = [each for each in measured if each is not None]
        if found:
            rate = median(each.events_per_s for each in found)
            cpu = median(each.cpu_us_per_event for each in found)
            yield name, f"{rate:,.0f} events/s, {cpu:.1f} µs CPU/event"
    yield (
        "librdkafka alone, records encoded before",
        f"{median(each.ceiling_events_per_s for each in rounds):,.0f} events/s",
    )
    yield "feeder alone, 1 event a chunk", f"{median(each.feeder_events_per_s for each in rounds):,.0f} events/s"
    yield from _ratios(rounds)


def _ratios(rounds: Sequence[Round]) -> Iterator[tuple[str, str]]:
    """Yield the medians of what each round gives by itself, so that a slow minute slows both sides of a ratio."""

    def against(name: str, pairs: Iterable[tuple[Throughput, Throughput | None]]) -> Iterator[tuple[str, str]]:
        ratios = [one.events_per_s / other.events_per_s for one, other in pairs if other is not None]
        if ratios:
            yield f"connector against script, {name}", f"{median(ratios):.2f}"

    yield from against("1 event a chunk", ((each.connector_1_a_chunk, each.script_1_a_chunk) for each in rounds))
    yield from against("20 events a chunk", ((each.connector_20_a_chunk, each.script_20_a_chunk) for each in rounds))
    ceiling = median(each.connector_20_a_chunk.events_per_s / each.ceiling_events_per_s for each in rounds)
    yield "connector against librdkafka alone", f"{ceiling:.2f}"


def _stages(rounds: Sequence[Round]) -> dict[str, float]:
    return {name: median(each.stages_us[name] for each in rounds) for name in rounds[0].stages_us}


def _latencies(latencies: Sequence[Latency]) -> Iterator[tuple[str, str]]:
    for each in latencies:
        parts = ", ".join(f"{name} {ms:,.0f} ms" for name, ms in each.received_to_committed_ms.items())
        yield f"received to committed at {each.rate:,.0f} events/s", parts
        yield f"CPU at {each.rate:,.0f} events/s", f"{each.cpu_cores:.0%} of one core"
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
    yield "duplicate memory", f"{(high - low) / (many - few):.0f} bytes an id"
    for restore in results.restores:
        yield f"restore of {restore.ids:,} ids", f"{restore.seconds:.2f} s"
    catch_up = results.catch_up
    yield (
        f"catch-up of {catch_up.stretch_s / 60:.0f} minutes",
        f"{catch_up.events:,} events in {catch_up.seconds:.0f} s, {catch_up.events / catch_up.seconds:,.0f} events/s",
    )
