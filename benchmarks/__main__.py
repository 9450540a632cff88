"""`python -m benchmarks`: measure, print the table, write the JSON."""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.corpus import write_corpus
from benchmarks.latency import Latency, measure_latency
from benchmarks.report import Duel, Results, Round, as_table, this_machine
from benchmarks.scale import measure_catch_up, measure_memory, measure_replicas, measure_restore
from benchmarks.stages import measure_stages
from benchmarks.stand import Stand, make_stand
from benchmarks.throughput import (
    measure_ceiling,
    measure_connector,
    measure_feeder,
    measure_script,
)
from connector.events.catalog import STREAM_PARTITIONS


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. `rates` are events/s, with seconds and the ids known before."""

    rounds: int
    events: int
    rates: tuple[tuple[int, float, int], ...]
    ids: int
    catch_up_s: int
    catch_up_rate: int


FULL = Size(3, 200_000, ((600, 10.0, 0), (6_000, 80.0, 3_600_000), (30_000, 10.0, 0)), 450_000, 3600, 1000)
SHORT = Size(1, 10_000, ((800, 1.0, 12_000),), 3_000, 400, 200)


def measure(size: Size, *, has_script: bool) -> Results:
    """Measure everything."""
    began = time.monotonic()
    with make_stand() as stand:
        write_corpus(stand.folder, size.events // len(STREAM_PARTITIONS))
        rounds = [_round(stand, size, number, has_script=has_script) for number in range(size.rounds)]
        return Results(
            machine=this_machine(),
            events_a_round=size.events,
            rounds=rounds,
            latencies=list(_latencies(stand, size)),
            replicas={replicas: measure_replicas(stand, size.events, replicas) for replicas in (1, 2)},
            memory_bytes={ids: measure_memory(stand, ids) for ids in (0, 8 * size.ids)},
            restores=[measure_restore(stand, ids) for ids in (size.ids // 10, size.ids)],
            catch_up=measure_catch_up(stand, size.catch_up_s, size.catch_up_rate),
            seconds=time.monotonic() - began,
        )


def _round(stand: Stand, size: Size, number: int, *, has_script: bool) -> Round:
    """Measure what is held against each other one right after the other; who comes first changes with the round."""
    events = size.events
    connector, script = partial(measure_connector, stand, events), partial(measure_script, stand, events)

    def duel(events_per_chunk: int, *, has_one_core: bool = False) -> Duel:
        order = [connector, *([script] if has_script else [])][:: -1 if number % 2 else 1]
        paces = {measure: measure(events_per_chunk, has_one_core=has_one_core) for measure in order}
        return Duel(paces[connector], paces.get(script))

    return Round(
        with_1_a_chunk=duel(1),
        with_20_a_chunk=duel(20),
        on_one_core=duel(20, has_one_core=True),
        connector_without_headers=connector(20, headers=False),
        ceiling_events_per_s=measure_ceiling(stand, events),
        feeder_events_per_s=measure_feeder(stand, events, 1),
        stages_us=measure_stages(stand, min(events, 5000)),
    )


def _latencies(stand: Stand, size: Size) -> Iterator[Latency]:
    for rate, seconds, ids_known in size.rates:
        yield measure_latency(stand, rate, seconds, ids_known)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    parser.add_argument("--short", action="store_true", help="only try that everything runs")
    parser.add_argument("--without-script", action="store_true", help="leave out the script that needs xdk")
    given = parser.parse_args()
    results = measure(SHORT if given.short else FULL, has_script=not given.without_script)
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    sys.stdout.write(as_table(results))


if __name__ == "__main__":
    main()
