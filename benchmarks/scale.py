"""Two replicas, the memory of known ids, restoring, catching up, auditing."""

import signal
import time
from dataclasses import dataclass
from functools import partial

from benchmarks.feeding import Feeding
from benchmarks.prefill import prefill
from benchmarks.stand import Stand, committed, partitions_of
from benchmarks.throughput import STREAM_NAMES
from benchmarks.usage import rss_bytes
from benchmarks.watch import watch
from connector.coverage.known_ids import KnownIds
from connector.events.catalog import StreamPartition
from connector.kafka.ledger_decoding import decode_shipped
from connector.kafka.restore import LedgerReader
from connector.settings import RunSettings
from tests.rig.process import wait_until
from tests.rig.service import Config, ConnectorProcess, Probe

_STREAM_NAMES = ("tweet", "user")
_EVENTS_PER_CHUNK = 25
_PATIENCE_S = 60.0
_AUDIT_PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class Restore:
    """How long it took to read back the ledgers of `partitions` stream partitions at once, with `ids` ids in all."""

    ids: int
    seconds: float
    partitions: int = 1


@dataclass(frozen=True, slots=True)
class CatchUp:
    """A stretch of the past read again: its length, how long that took, and how long `ledger verify` of it took."""

    stretch_s: float
    events: int
    seconds: float
    verify_s: float


def measure_replicas(stand: Stand, events: int, replicas: int) -> float:
    """Return the events/s of `replicas` connectors together."""
    partitions = partitions_of(STREAM_NAMES)
    with (
        Feeding(stand.folder, partitions, events_per_chunk=_EVENTS_PER_CHUNK) as feeding,
        stand.config(feeding.url, STREAM_NAMES) as config,
        stand.connector(config, replicas) as connectors,
    ):
        [(pid, _), *_] = connectors
        probes = [probe for _, probe in connectors]
        share = len(partitions) // replicas
        owned = partial(_has_restored, partitions=share)
        wait_until(lambda: all(map(owned, probes)), f"each of {replicas} has {share} partitions", _PATIENCE_S)
        feeding.listen()
        feeding.started()
        return watch(lambda: sum(map(committed, probes)), events, pid, {}).events_per_s


def measure_restore(stand: Stand, ids: int) -> Restore:
    """Write a ledger with `ids` ids and read it back."""
    partition = StreamPartition("tweet", 1)
    with stand.config("http://127.0.0.1:1", _STREAM_NAMES) as config:
        settings = RunSettings.model_validate(config).kafka
        prefill(settings, partition, ids)
        began = time.perf_counter()
        memory = KnownIds(0)
        for offset, entry, *_ in LedgerReader(settings, partition, decode_shipped).restore().placed:
            memory.remember(offset, entry.covers_to_us, entry.ids)
        return Restore(len(memory), time.perf_counter() - began)


def measure_restores_at_once(stand: Stand, ids: int) -> Restore:
    """Write a ledger with `ids` ids for every stream partition, and let a connector read back all of them at once."""
    partitions = partitions_of(STREAM_NAMES)
    with stand.config("http://127.0.0.1:1", STREAM_NAMES) as config:
        settings = RunSettings.model_validate(config).kafka
        for partition in partitions:
            prefill(settings, partition, ids)
        with ConnectorProcess(stand.folder, ["run"], config) as process:
            restored = partial(process.logged, "partition_restored")
            wait_until(lambda: len(restored()) == len(partitions), "all ledgers are read back", _PATIENCE_S)
            told = restored()
            return Restore(sum(each["ids"] for each in told), max(each["duration_s"] for each in told), len(partitions))


def measure_memory(stand: Stand, ids: int) -> int:
    """Return the bytes that a connector holds once it has read back ledgers with `ids` ids together."""
    partitions = partitions_of(_STREAM_NAMES)
    with stand.config("http://127.0.0.1:1", _STREAM_NAMES) as config:
        settings = RunSettings.model_validate(config).kafka
        for partition in partitions:
            prefill(settings, partition, ids // len(partitions))
        with stand.connector(config) as [(pid, probe)]:
            wait_until(lambda: _has_restored(probe, len(partitions)), "all ledgers are read back", _PATIENCE_S)
            return rss_bytes(pid)


def measure_catch_up(stand: Stand, stretch_s: int, rate: int) -> CatchUp:
    """Let a connector read `stretch_s` seconds of the past again, `rate` events/s of all its stream partitions.

    Afterwards it is stopped, and what it wrote is audited.
    """
    partitions = partitions_of(_STREAM_NAMES)
    with (
        Feeding(stand.folder, partitions, events_per_chunk=_EVENTS_PER_CHUNK, replay_rate=rate) as feeding,
        stand.config(feeding.url, _STREAM_NAMES) as config,
    ):
        settings = RunSettings.model_validate(config).kafka
        for partition in partitions:
            prefill(settings, partition, 0, covered_s_ago=stretch_s)
        with ConnectorProcess(stand.folder, ["run"], config) as process:
            probe = process.probe()
            wait_until(lambda: _has_restored(probe, len(partitions)), "all ledgers are read back", _PATIENCE_S)
            feeding.listen()
            began = time.time()
            seconds = feeding.started() - began
            events = committed(probe)
            process.signal(signal.SIGTERM)
            process.wait()
        return CatchUp(stretch_s, events, seconds, _verify(stand, config))


def _verify(stand: Stand, config: Config) -> float:
    """Return how long the process `ledger verify` takes, which must find everything sound."""
    began = time.monotonic()
    with ConnectorProcess(stand.folder, ["ledger", "verify"], config) as process:
        assert process.wait(_AUDIT_PATIENCE_S) == 0, process.stdout
    return time.monotonic() - began


def _has_restored(probe: Probe, partitions: int) -> bool:
    states = [partition["state"] for partition in probe.status()["partitions"].values()]
    return states.count("running") == partitions
