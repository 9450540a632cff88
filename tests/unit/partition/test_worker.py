"""The lives of a worker: how each begins, what ends it, and how long it waits before the next."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from structlog.testing import capture_logs

from connector.coverage.messages import KeepAlive
from connector.errors import (
    DependencyUnavailableError,
    FencedError,
    OwnCorruptionError,
    TopicsChangedError,
    WriterLostError,
)
from connector.events.catalog import StreamPartition
from connector.kafka.ledger import first_entry
from connector.kafka.ledger_decoding import decode_shipped
from connector.kafka.restore import LedgerReader, OffsetEntry, Restored
from connector.kafka.transaction import Committed, Record
from connector.partition.worker import CORRUPT_WAIT_S, HUNG_S, PartitionWorker, SharedResources
from connector.settings import KafkaSettings, SchemaRegistrySettings, Settings, XSettings
from connector.source.channel import Channel, ChannelClosedError
from connector.source.connect_limiter import ConnectLimiter
from connector.source.reader import Reader
from connector.source.stall import StallWatch
from connector.telemetry.metrics import Metrics
from connector.telemetry.partition import PartitionTelemetry
from connector.telemetry.status import PartitionStatus, State
from connector.x.clock import MAX_LEAD_US, XClock
from tests.fakes.partition import LIMITS, PARTITION, SCHEMA_IDS, FakeWriter, reading
from tests.fakes.x import NOW_US
from tests.rig.process import wait_until

if TYPE_CHECKING:
    from connector.kafka.commits import Commits

_DEADLINE_S = 30.0
_SETTINGS = Settings(
    x=XSettings(),
    kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1", topic_prefix="p"),
    schema_registry=SchemaRegistrySettings(url="http://127.0.0.1:1"),
)
_LOG_END = 9
_KNOWN = OffsetEntry(7, replace(first_entry(PARTITION, "before", NOW_US), entry=5))


class _Wait:
    """Records each delay instead of waiting for it."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.on_wait: Callable[[], None] = lambda: None

    def __call__(self, seconds: float) -> None:
        self.on_wait()
        self.delays.append(seconds)


class _Writer(FakeWriter):
    """A writer that says when its first transaction is there."""

    def __init__(self, committed: threading.Event) -> None:
        super().__init__()
        self._committed = committed

    def commit(self, records: Sequence[Record], entry: Record) -> Committed:
        """Note the transaction."""
        committed = super().commit(records, entry)
        self._committed.set()
        return committed


class _Reader(Reader):
    """Reads nothing; wakes the committer when it is stopped."""

    def __init__(self, channel: Channel, **_: object) -> None:
        self._channel = channel

    def run(self) -> None:
        """Have nothing to do."""

    def stop(self) -> None:
        """Wake the committer, unless it is gone."""
        with suppress(ChannelClosedError):
            self._channel.put(KeepAlive(reading(), None))


class _Bench:
    """A worker whose writer, ledger and reader are played; each life begins with one of `fates`."""

    def __init__(self) -> None:
        self.wall_us = NOW_US
        self.metrics, self.status = Metrics(), PartitionStatus()
        self.clock = XClock(lambda: self.wall_us, lambda: 0)
        self.fates: list[Exception | None] = []
        self.ledger: Callable[[], list[OffsetEntry]] = list
        self.writers: list[_Writer] = []
        self.clock_s = 0.0
        self.life_s = 0.0
        self.limit_fates: list[Exception] = []
        self.topic_problem: str | None = None
        self.commit_error: Exception | None = None
        self.known: list[tuple[int, ...]] = []
        self.committed = threading.Event()
        shared = SharedResources(
            settings=_SETTINGS,
            schema_ids=SCHEMA_IDS,
            decode_entry=decode_shipped,
            read_limits_bytes=self._read_limits,
            open_connection=cast("Any", None),
            clock=self.clock,
            stall_watch=StallWatch(),
            limiter=ConnectLimiter(2),
            turn=threading.Lock(),
            commits=cast("Commits", self),
            check_topics=self._check_topics,
            open_ledger=self._open_ledger,
            make_reader=_Reader,
        )
        telemetry = PartitionTelemetry(PARTITION, self.metrics, self.status)
        self.wait = _Wait()
        self.jitter = 0.5
        self.worker = PartitionWorker(
            PARTITION, shared, telemetry, wait=self.wait, jitter=lambda: self.jitter, monotonic_s=lambda: self.clock_s
        )

    def _open_ledger(self, *_: object, clock_us: Callable[[], int]) -> LedgerReader:
        self.clock_us = clock_us
        return cast("LedgerReader", self)

    def _read_limits(self) -> dict[str, int]:
        if self.limit_fates:
            raise self.limit_fates.pop(0)
        return LIMITS

    def _check_topics(self, stream: str) -> None:
        assert stream == PARTITION.stream
        if self.topic_problem is not None:
            raise TopicsChangedError(self.topic_problem)

    def join(self, partition: StreamPartition) -> _Writer:
        """Begin a life."""
        assert partition == PARTITION
        self.clock_s += self.life_s
        if not self.fates:
            self.worker.stop()
            raise WriterLostError("the test is over")
        fate = self.fates.pop(0)
        if fate is not None:
            raise fate
        self.writers.append(_Writer(self.committed))
        self.writers[-1].error = self.commit_error
        return self.writers[-1]

    def check_is_new(self) -> None:
        """Find no records of coverage."""

    def restore(self, *known: int) -> Restored:
        """Return what the ledger holds."""
        self.known.append(known)
        return Restored(self.ledger(), 0, _LOG_END)

    def run(self, *fates: Exception | None) -> list[float]:
        """Live through `fates` to the end, and return the delays between."""
        self.fates = list(fates)
        self.worker.start()
        assert self.worker.join(_DEADLINE_S)
        return self.wait.delays[: len(fates)]

    def count(self, name: str, **labels: str) -> float:
        """Return what a counter has reached."""
        where = {"stream": "tweet", "partition": "2", **labels}
        return self.metrics.registry.get_sample_value(f"compliance_connector_{name}_total", where) or 0.0


@pytest.fixture
def bench() -> Iterator[_Bench]:
    """Give a worker with played parts, and stop it in the end."""
    bench = _Bench()
    yield bench
    bench.worker.stop(may_commit=False)


def test_fenced_worker_leaves_the_partition_to_the_other_one(bench: _Bench) -> None:
    """Six seconds, and twice as long each time."""
    assert bench.run(*[FencedError("f")] * 6) == [6.0, 12.0, 24.0, 48.0, 96.0, 96.0]
    assert bench.count("partition_restarts", cause="fenced") == 6


@pytest.mark.parametrize(("jitter", "delays"), [(0.0, [4.5, 9.0]), (1.0, [7.5, 15.0])])
def test_two_fenced_workers_do_not_meet_again_and_again(bench: _Bench, jitter: float, delays: list[float]) -> None:
    """Each waits a little more or less."""
    bench.jitter = jitter
    assert bench.run(FencedError("f"), FencedError("f")) == delays


def test_troubled_worker_begins_again_soon_and_then_later(bench: _Bench) -> None:
    """Kafka away, no producer to be had, and what is unexpected are all the same: the partition did not start."""
    fates = [DependencyUnavailableError("d"), WriterLostError("l"), RuntimeError("r"), KeyError("k")]
    assert bench.run(*fates) == [0.5, 1.0, 2.0, 4.0]
    assert bench.count("start_failures") == 5  # the last is that with which the test ends
    assert bench.count("partition_restarts", cause="unresolved") == 0


def test_life_that_ends_after_its_restore_is_a_restart(bench: _Bench) -> None:
    """What it had not committed is given up, and the next life reads the ledger again."""
    bench.ledger = lambda: [_KNOWN]
    bench.commit_error = WriterLostError("outcome unknown")
    assert bench.run(None) == [0.5]
    assert bench.count("partition_restarts", cause="unresolved") == 1
    assert bench.writers[0].has_left
    assert bench.known == [(0, 0)]


def test_next_life_knows_how_far_the_ledger_had_reached(bench: _Bench) -> None:
    """Its end, and the number of its newest entry."""
    bench.ledger = lambda: [_KNOWN]
    bench.wait.on_wait = lambda: setattr(bench, "ledger", list)
    bench.commit_error = WriterLostError("outcome unknown")
    bench.run(None, None)
    assert bench.known[1:] == [(_LOG_END, 5)]


def test_life_that_gets_no_topic_limits_did_not_start(bench: _Bench) -> None:
    """Kafka away before there is a producer: the wait is the same, and the status tells why."""
    bench.limit_fates = [DependencyUnavailableError("no limits")] * 2
    errors = list[str | None]()
    bench.wait.on_wait = lambda: errors.append(bench.status.last_error)
    bench.worker.start()
    assert bench.worker.join(_DEADLINE_S)
    assert bench.wait.delays == [0.5, 1.0]
    assert errors == ["no limits"] * 2
    assert bench.count("start_failures") == 3  # the last is that with which the test ends


def test_worker_that_is_stopping_waits_for_nothing() -> None:
    """It says why its last life ended, and is gone."""
    with capture_logs() as logs:
        bench = _Bench()
        assert bench.run() == []
    assert bench.wait.delays == []
    assert [log["event"] for log in logs] == ["partition_assigned", "partition_start_failed", "partition_released"]


def test_delays_begin_again_after_a_life_of_some_length(bench: _Bench) -> None:
    """Fenced or not: what was long ago is no row of failures."""
    bench.life_s = 31.0
    assert bench.run(FencedError("f"), FencedError("f"), WriterLostError("l"), WriterLostError("l")) == [6, 6, 0.5, 0.5]


@pytest.mark.parametrize("where", ["restore", "first life"])
def test_ledger_that_cannot_be_trusted_stops_the_worker_until_it_is_repaired(bench: _Bench, where: str) -> None:
    """No guess: it says why, commits nothing, and looks again after a minute."""

    def fail() -> list[OffsetEntry]:
        raise OwnCorruptionError("bad ledger")

    states: list[State] = []
    errors: list[str | None] = []

    def note() -> None:
        states.append(bench.status.state)
        errors.append(bench.status.last_error)
        bench.ledger = list
        if len(states) == 1:
            bench.worker.stop(may_commit=False)

    bench.ledger = fail
    bench.wait.on_wait = note
    delays = bench.run(None if where == "restore" else OwnCorruptionError("bad ledger"))
    assert (delays, states, errors) == ([CORRUPT_WAIT_S], [State.CORRUPT], ["bad ledger"])
    assert all(not writer.transactions for writer in bench.writers)
    assert bench.status.state is State.NOT_OWNED


@pytest.mark.slow
def test_topics_that_change_stop_the_worker_until_they_are_put_right(bench: _Bench) -> None:
    """In the middle of a life: nothing more is committed, and it looks again after a minute."""
    states: list[State] = []
    committed: list[int] = []

    def note() -> None:
        states.append(bench.status.state)
        committed.append(len(bench.writers[0].transactions))
        if len(states) == 2:
            bench.topic_problem = None

    bench.ledger = lambda: [_KNOWN]
    bench.fates = [None]
    bench.wait.on_wait = note
    bench.worker.start()
    assert bench.committed.wait(_DEADLINE_S)
    bench.topic_problem = "topic t has 7 partitions"
    assert bench.worker.join(_DEADLINE_S)
    assert bench.wait.delays[:2] == [CORRUPT_WAIT_S] * 2
    assert states[:2] == [State.TOPICS_CHANGED] * 2
    assert committed[0] == committed[1]
    assert bench.status.last_error != "topic t has 7 partitions"


def test_new_partition_is_put_on_record_before_anything_else(bench: _Bench) -> None:
    """Entry 0; and nothing more while X is not reached."""
    bench.fates = [None]
    bench.worker.start()
    wait_until(lambda: bench.status.state is State.RUNNING, "the ledger is restored", _DEADLINE_S)
    bench.worker.stop(may_commit=True)
    assert bench.worker.join(_DEADLINE_S)
    [writer] = bench.writers
    assert [entry.entry for _, entry in writer.transactions] == [0]
    assert writer.next_offset == _LOG_END
    assert bench.status.state is State.NOT_OWNED


def test_known_partition_goes_on_from_its_ledger(bench: _Bench) -> None:
    """With the next entry, and coverage where it was."""
    bench.ledger = lambda: [_KNOWN]
    bench.fates = [None]
    bench.worker.start()
    assert bench.committed.wait(_DEADLINE_S)
    bench.worker.stop(may_commit=True)
    assert bench.worker.join(_DEADLINE_S)
    entries = [entry for _, entry in bench.writers[0].transactions]
    assert [entry.entry for entry in entries] == list(range(6, len(entries) + 6))
    assert entries[0].covered_until_before_us == NOW_US
    assert entries[0].writer_id != "before"
    assert bench.writers[0].next_offset == _LOG_END


@pytest.mark.parametrize("may_commit", [True, False])
def test_stopped_worker_makes_a_last_transaction_only_if_it_may(bench: _Bench, *, may_commit: bool) -> None:
    """A worker that has lost the partition commits nothing more."""
    bench.ledger = lambda: [_KNOWN]
    bench.fates = [None]
    bench.worker.start()
    assert bench.committed.wait(_DEADLINE_S)
    bench.worker.stop(may_commit=may_commit)
    assert bench.worker.join(_DEADLINE_S)
    assert len(bench.writers[0].transactions) == (2 if may_commit else 1)
    assert bench.writers[0].is_lost is not may_commit, "nor does it try again what it has handed in"
    assert bench.wait.delays == []


def test_ledger_is_held_against_the_latest_of_wall_clock_and_x(bench: _Bench) -> None:
    """One that is right is enough: either may be behind."""
    bench.ledger = lambda: [_KNOWN]
    bench.commit_error = WriterLostError("outcome unknown")
    bench.run(None)
    bench.clock.synchronise(NOW_US)
    x_us = bench.clock.read().latest_us
    bench.wall_us = NOW_US - 1
    assert bench.clock_us() == x_us
    bench.wall_us = x_us + MAX_LEAD_US + 1
    assert bench.clock_us() == bench.wall_us


def test_committer_without_a_heartbeat_hangs_unless_it_was_asked_to_stop(bench: _Bench) -> None:
    """For the watchdog, after two minutes."""
    hung = []
    for clock_s in (HUNG_S, HUNG_S + 1):
        bench.clock_s = clock_s
        hung.append(bench.worker.is_hung)
    bench.worker.stop(may_commit=False)
    assert [*hung, bench.worker.is_hung] == [False, True, False]
