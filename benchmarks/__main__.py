"""`python -m benchmarks`: measure, print the table, write the JSON."""

import argparse
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.corpus import write_corpus
from benchmarks.latency import Latency, measure_latency
from benchmarks.report import Comparison, Results, Round, as_table, this_machine
from benchmarks.scale import (
    measure_catch_up,
    measure_memory,
    measure_replicas,
    measure_restore,
    measure_restores_at_once,
)
from benchmarks.stages import measure_stages
from benchmarks.stand import Stand, make_stand
from benchmarks.sweep import GRID, Sweep, as_sweep_table, measure_sweep
from benchmarks.throughput import (
    SCRIPTS,
    measure_ceiling,
    measure_connector,
    measure_feeder,
    measure_script,
)
from connector.events.catalog import STREAM_PARTITIONS


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. `rates` are events/s, with seconds and the ids known before.

    `sweep` is a rate, the seconds for each setting, and the names of the settings.
    """

    rounds: int
    events: int
    rates: tuple[tuple[int, float, int], ...]
    ids: int
    catch_up_s: int
    catch_up_rate: int
    sweep: tuple[int, float, Collection[str]]


FULL = Size(
    rounds=3,
    events=200_000,
    rates=((600, 10.0, 0), (6_000, 80.0, 3_600_000), (30_000, 10.0, 0)),
    ids=450_000,
    catch_up_s=3600,
    catch_up_rate=1000,
    sweep=(6_000, 30.0, GRID),
)
SHORT = Size(
    rounds=1,
    events=10_000,
    rates=((800, 1.0, 12_000),),
    ids=3_000,
    catch_up_s=400,
    catch_up_rate=200,
    sweep=(800, 1.0, ("compression zstd, level 1", "commit every 100 ms")),
)


def measure(size: Size, scripts: Sequence[str]) -> Results:
    """Measure everything."""
    began = time.monotonic()
    with make_stand() as stand:
        write_corpus(stand.folder, size.events // len(STREAM_PARTITIONS))
        rounds = [_round(stand, size, number, scripts) for number in range(size.rounds)]
        return Results(
            machine=this_machine(),
            events_a_round=size.events,
            rounds=rounds,
            latencies=list(_latencies(stand, size)),
            replicas={replicas: measure_replicas(stand, size.events, replicas) for replicas in (1, 2)},
            memory_bytes={ids: measure_memory(stand, ids) for ids in (0, 8 * size.ids)},
            restores=[
                *(measure_restore(stand, ids) for ids in (size.ids // 10, size.ids)),
                measure_restores_at_once(stand, 2 * size.ids),
            ],
            catch_up=measure_catch_up(stand, size.catch_up_s, size.catch_up_rate),
            seconds=time.monotonic() - began,
        )


def _round(stand: Stand, size: Size, number: int, scripts: Sequence[str]) -> Round:
    """Measure what is held against each other one right after the other; who comes first changes with the round."""
    events = size.events
    connector = partial(measure_connector, stand, events)
    measures = {"connector": connector} | {name: partial(measure_script, stand, name, events) for name in scripts}
    first = number % len(measures)
    order = [*measures][first:] + [*measures][:first]

    def compare(events_per_chunk: int, *, has_one_core: bool = False) -> Comparison:
        paces = {name: measures[name](events_per_chunk, has_one_core=has_one_core) for name in order}
        return Comparison(paces["connector"], {name: paces[name] for name in scripts})

    return Round(
        with_1_a_chunk=compare(1),
        with_20_a_chunk=compare(20),
        on_one_core=compare(20, has_one_core=True),
        connector_without_headers=connector(20, headers=False),
        ceiling_events_per_s=measure_ceiling(stand, events),
        feeder_events_per_s=measure_feeder(stand, events, 1),
        stages_us=measure_stages(stand, min(events, 5000)),
    )


def _latencies(stand: Stand, size: Size) -> Iterator[Latency]:
    for rate, seconds, ids_known in size.rates:
        yield measure_latency(stand, rate, seconds, ids_known)


def sweep(size: Size) -> Sweep:
    """Compare settings."""
    with make_stand() as stand:
        write_corpus(stand.folder, size.events // len(STREAM_PARTITIONS))
        return measure_sweep(stand, *size.sweep)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    parser.add_argument("--short", action="store_true", help="only try that everything runs")
    parser.add_argument("--without-script", action="store_true", help="leave out the script that needs xdk")
    parser.add_argument(
        "--sweep",
        action="store_true",
        help="compare compression, its level, commit intervals and gather intervals instead",
    )
    given = parser.parse_args()
    size = SHORT if given.short else FULL
    results: Results | Sweep
    if given.sweep:
        table = as_sweep_table(results := sweep(size))
    else:
        scripts = [name for name in SCRIPTS if name != "xdk" or not given.without_script]
        table = as_table(results := measure(size, scripts))
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    sys.stdout.write(table)


if __name__ == "__main__":
    main()
