"""Where the time goes: each step of the path by itself, one after the other in one thread."""

import gc
import itertools
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from benchmarks.corpus import read_lines
from benchmarks.feeding import Feeding
from benchmarks.stand import Stand, partitions_of
from benchmarks.throughput import STREAM_NAMES, encoded_records, make_builder
from connector.coverage.known_ids import KnownIds
from connector.coverage.plan import Live
from connector.events.catalog import StreamPartition
from connector.events.decode import Event, decode
from connector.events.identity import pack_ids
from connector.kafka.clients import producer_config
from connector.kafka.ledger import first_entry
from connector.kafka.topics import TopicNames
from connector.kafka.transaction import TAKEN_BY_A_TRANSACTION, Part, Record, TransactionalWriter
from connector.settings import RunSettings, XSettings
from connector.x.client import XClient
from connector.x.framing import Framer

OFF_THE_WAY = {"read, 1 event a chunk", "commit"}
"""Steps that take no CPU, or are no part of the way with 20 events a chunk."""
_LINE_LIMIT = 512 * 1024
_RUNS = 5
_PARTITION = StreamPartition("tweet", 1)

Stages = dict[str, float]
"""Microseconds an event, by step: CPU, but for `commit`, which waits for Kafka."""


def measure_stages(stand: Stand, events_per_transaction: int) -> Stages:
    """Measure every step once, over the events of all streams."""
    lines = {
        partition: [line.rstrip() for line in read_lines(stand.folder, partition)[: events_per_transaction // 8]]
        for partition in partitions_of(STREAM_NAMES)
    }
    with stand.config("http://127.0.0.1:1", STREAM_NAMES) as config:
        settings = RunSettings.model_validate(config)
        return {
            "read, 1 event a chunk": _read(stand, 1),
            "read, 20 events a chunk": _read(stand, 20),
            "frame": _frame(stand),
            **_of_lines(lines, settings),
            **_commit(stand, settings, events_per_transaction),
        }


def _read(stand: Stand, events_per_chunk: int) -> float:
    """Read a stream partition through the connector's client; CPU, since the reader waits for the feeder."""
    size = sum(map(len, read_lines(stand.folder, _PARTITION)))
    with Feeding(stand.folder, [_PARTITION], events_per_chunk=events_per_chunk) as feeding:
        feeding.listen()
        settings = XSettings.model_validate({"base_url": feeding.url, "bearer_token": "simulator-token"})
        client = XClient(settings)
        with client.open(_PARTITION, Live(0)) as connection:
            began = time.thread_time()
            for chunk in connection.chunks():
                size -= len(chunk)
                if size <= 0:
                    break
            return _us(time.thread_time() - began, len(read_lines(stand.folder, _PARTITION)))


def _frame(stand: Stand) -> float:
    chunks = read_lines(stand.folder, _PARTITION)
    framer = Framer(_PARTITION.stream, _LINE_LIMIT)
    return _time(lambda: [framer.feed(chunk) for chunk in chunks], len(chunks))


def _of_lines(lines: Mapping[StreamPartition, list[bytes]], settings: RunSettings) -> Stages:
    """Measure what is done with a line up to its record."""
    count = sum(map(len, lines.values()))
    decoded = [
        (partition, event)
        for partition, own in lines.items()
        for event in (decode(partition.stream, line) for line in own)
        if isinstance(event, Event)
    ]
    builders = {partition: make_builder(partition, settings, has_headers=True) for partition in lines}
    bare = {partition: make_builder(partition, settings, has_headers=False) for partition in lines}
    memory = KnownIds(0)
    memory.remember(0, 0, pack_ids(event.id for _, event in decoded))
    decoding = _time(
        lambda: [decode(partition.stream, line) for partition, own in lines.items() for line in own], count
    )
    encode_bare = _time(lambda: [bare[place].event(event, 1, 1, "stream") for place, event in decoded], count)
    encode = _time(lambda: [builders[place].event(event, 1, 1, "stream") for place, event in decoded], count)
    return {
        "decode and identify": decoding,
        "duplicate check": _time(lambda: [event.id in memory for _, event in decoded], count),
        "encode": encode_bare,
        "headers": encode - encode_bare,
    }


def _commit(stand: Stand, settings: RunSettings, events: int) -> Stages:
    """Measure whole transactions, with and without headers."""
    names = TopicNames(settings.kafka.topic_prefix)
    builder = make_builder(_PARTITION, settings, has_headers=True)
    entry = builder.ledger(first_entry(_PARTITION, "0" * 32, time.time_ns() // 1000))
    records = list(encoded_records(stand, settings, events))
    bare = [msgspec.structs.replace(record, headers=None) for record in records]
    clock = _Clock()
    writer = TransactionalWriter(producer_config(settings.kafka, names.transactional_id("stages")), clock.read)
    places = itertools.count(0, TAKEN_BY_A_TRANSACTION)

    def commit(records: list[Record]) -> _Committed:
        clock.looks.clear()
        writer.commit([Part(_PARTITION, records, entry, next(places))])
        began, produced, ended = clock.looks[0], clock.looks[1], clock.looks[-1]
        return _Committed(
            _us(produced.thread_s - began.thread_s, len(records)),
            _us((ended.process_s - ended.thread_s) - (began.process_s - began.thread_s), len(records)),
            _us(ended.at_s - produced.at_s, len(records)),
        )

    runs = [(commit(bare), commit(records)) for _ in range(_RUNS)][1:]  # the first one finds out where all topics are
    produce = min(without.produce_us for without, _ in runs)
    return {
        "produce": produce,
        "produce headers": min(whole.produce_us for _, whole in runs) - produce,
        "librdkafka's threads": min(whole.client_us for _, whole in runs),
        "commit": min(whole.commit_us for _, whole in runs),
    }


def _time(work: Callable[[], object], count: int) -> float:
    """Return the least of several runs, without Python's collector, which would bill one step for another's objects."""
    gc.disable()
    try:
        return min(_time_once(work, count) for _ in range(_RUNS))
    finally:
        gc.enable()


def _time_once(work: Callable[[], object], count: int) -> float:
    began = time.thread_time()
    work()
    return _us(time.thread_time() - began, count)


def _us(seconds: float, events: int) -> float:
    return seconds / events * 1e6


class _Committed(NamedTuple):
    """A transaction: CPU of producing its records, CPU of the client's own threads, and the time its commit took."""

    produce_us: float
    client_us: float
    commit_us: float


class _Look(NamedTuple):
    at_s: float
    thread_s: float
    process_s: float


class _Clock:
    """The clock of a writer, which asks it before the records are produced, between that and the commit, and after."""

    def __init__(self) -> None:
        self.looks: list[_Look] = []

    def read(self) -> float:
        self.looks.append(_Look(time.perf_counter(), time.thread_time(), time.process_time()))
        return self.looks[-1].at_s
