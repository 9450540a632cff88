"""The results: what was measured, as one value, a table, and JSON."""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.latency import Latency
from benchmarks.scale import CatchUp, Restore
from benchmarks.stages import OFF_THE_WAY
from benchmarks.watch import ITSELF, Pace

_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Machine:
    """What the measurements were made on."""

    processor: str
    cores: int
    python: str


@dataclass(frozen=True, slots=True)
class Duel:
    """Connector and script on the same feed, one right after the other; the script may have been left out."""

    connector: Pace
    script: Pace | None


@dataclass(frozen=True, slots=True)
class Round:
    """What is measured against each other. `on_one_core` is with 20 events a chunk, as is what has no headers."""

    with_1_a_chunk: Duel
    with_20_a_chunk: Duel
    on_one_core: Duel
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
    machine = results.machine
    rows = [
        *_throughput(results.rounds),
        *_latencies(results.latencies),
        *_scale(results),
        *_stages(results.rounds),
    ]
    title = (
        f"{machine.cores} cores of {machine.processor}, with Kafka, registry and feeder on them; Python "
        f"{machine.python}; median of {len(results.rounds)} rounds of {results.events_a_round:,} events"
    )
    return "\n".join(
        [title, "", "| figure | value |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows), ""]
    )


def _throughput(rounds: Sequence[Round]) -> Iterator[tuple[str, str]]:
    duels = {
        "1 event a chunk": [each.with_1_a_chunk for each in rounds],
        "20 events a chunk": [each.with_20_a_chunk for each in rounds],
        "on one core, 20 a chunk": [each.on_one_core for each in rounds],
    }
    for name, fought in duels.items():
        yield f"connector, {name}", _pace([each.connector for each in fought])
    yield "connector without headers, 20 a chunk", _pace([each.connector_without_headers for each in rounds])
    for name, fought in duels.items():
        if scripts := [each.script for each in fought if each.script is not None]:
            yield f"xdk script, {name}", _pace(scripts)
    ceiling = median(each.ceiling_events_per_s for each in rounds)
    yield "librdkafka alone, records encoded before", f"{ceiling:,.0f} events/s"
    yield "feeder alone, 1 event a chunk", f"{median(each.feeder_events_per_s for each in rounds):,.0f} events/s"
    for name, fought in duels.items():
        yield from _ratios(name, fought)
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


def _ratios(name: str, duels: Sequence[Duel]) -> Iterator[tuple[str, str]]:
    """Yield the medians of what each round gives by itself, so that a slow minute slows both sides of a ratio."""
    pairs = [(each.connector, each.script) for each in duels if each.script is not None]
    if pairs:
        faster = median(connector.events_per_s / script.events_per_s for connector, script in pairs)
        leaner = median(script.cpu_us_itself / connector.cpu_us_itself for connector, script in pairs)
        yield f"connector against script, {name}", f"{faster:.2f} by events/s, {leaner:.2f} by events for the same CPU"


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
        yield f"restore of {restore.ids:,} ids", f"{restore.seconds:.2f} s"
    catch_up = results.catch_up
    yield (
        f"catch-up of {catch_up.stretch_s / 60:.0f} minutes",
        f"{catch_up.events:,} events in {catch_up.seconds:.0f} s, {catch_up.events / catch_up.seconds:,.0f} events/s",
    )
