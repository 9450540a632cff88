"""When the committer commits, what it leaves together, and what it does when that fails."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from connector.coverage.messages import Ended, EndReason, KeepAlive, Message, Progress
from connector.coverage.plan import Live, Replay
from connector.coverage.recovery import MINUTE_US
from connector.errors import FencedError, WriterLostError
from connector.events.times import US_PER_S
from connector.kafka.ledger import LedgerEntry, Mode, first_entry
from connector.kafka.restore import OffsetEntry
from connector.kafka.transaction import Committed, Record
from connector.partition.committer import Committer
from connector.settings import PipelineSettings
from connector.telemetry.metrics import Metrics
from connector.telemetry.partition import PartitionTelemetry
from connector.telemetry.status import PartitionStatus
from tests.fakes.partition import NAMES, PARTITION, FakeWriter, line, lines_read, opened, reading, state_of
from tests.fakes.x import NOW_US

if TYPE_CHECKING:
    from connector.source.channel import Channel

_ENDED = Ended(EndReason.CLOSED, is_proper=True, at_us=NOW_US)
_KEEP_ALIVE = KeepAlive(reading(NOW_US + 20 * US_PER_S), NOW_US + 14 * US_PER_S)
_PATIENCE_S = 10.0


class _Clock:
    """A clock that moves on command."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class _Writer(FakeWriter):
    """Notes when each transaction was committed, in seconds since the beginning."""

    def __init__(self, clock: _Clock) -> None:
        super().__init__()
        self._clock = clock
        self.at_s: list[float] = []
        self.wait_in_commit: Callable[[], object] = list

    def commit(self, records: Sequence[Record], entry: Record) -> Committed:
        """Note the transaction and its time."""
        self.wait_in_commit()
        committed = super().commit(records, entry)
        self.at_s.append(round(self._clock.now_s - 1000.0, 3))
        return committed


class _Channel:
    """Gives a script of messages, and of seconds in which there is none; stops the committer at its end."""

    def __init__(self, clock: _Clock, stop: threading.Event, script: list[Message | float]) -> None:
        self._clock, self._stop, self._script = clock, stop, script
        self._is_empty = False
        self.settled: list[Progress] = []
        self.hung_up: list[EndReason] = []

    def wait(self, timeout_s: float, *, is_gathering: bool) -> None:
        """Let time pass if that is what comes next, and then nothing comes; gathering or not, a message is there."""
        del is_gathering
        self._is_empty = bool(self._script) and isinstance(self._script[0], float)
        if not self._script:
            self._stop.set()
            return
        step = self._script[0]
        if isinstance(step, float):
            passed_s = min(timeout_s, step)
            self._clock.now_s += passed_s
            self._script[:1] = [step - passed_s] if step - passed_s > 1e-9 else []

    def take(self) -> Iterator[Message]:
        """Yield what comes before time passes again."""
        while not self._is_empty and self._script and not isinstance(self._script[0], float):
            yield self._script.pop(0)  # type: ignore[misc] # no float, as the condition says

    def settle(self, progress: Progress) -> None:
        """Record it."""
        self.settled.append(progress)

    def hang_up(self, reason: EndReason) -> None:
        """Record it."""
        self.hung_up.append(reason)


def _begun(covered_until_us: int) -> LedgerEntry:
    """Return the newest entry of a stream partition that has reached X before."""
    return replace(first_entry(PARTITION, "w", covered_until_us), entry=7)


class _Bench:
    """A committer and what is around it."""

    def __init__(self, clock: _Clock) -> None:
        self.clock = clock
        self.writer = _Writer(clock)
        self.state = state_of(NOW_US, [OffsetEntry(3, _begun(NOW_US - MINUTE_US))])
        self.metrics = Metrics()
        self.status = PartitionStatus()
        self.settings = PipelineSettings(commit_max_events=1000)
        self.channel = _Channel(clock, threading.Event(), [])
        self.turn = threading.Lock()
        self.committer: Committer | None = None

    def run(self, *script: Message | float) -> None:
        """Run the committer through `script`."""
        stop = threading.Event()
        self.channel = _Channel(self.clock, stop, list(script))
        self.committer = Committer(
            state=self.state,
            channel=cast("Channel", self.channel),
            writer=self.writer.as_writer(),
            settings=self.settings,
            telemetry=PartitionTelemetry(PARTITION, self.metrics, self.status),
            turn=self.turn,
            monotonic_s=self.clock,
        )
        self.committer.run(stop.is_set)

    @property
    def received(self) -> list[int]:
        """How many lines each transaction accounts for."""
        return [entry.counts.received for _, entry in self.writer.transactions]

    def count(self, name: str, **labels: str) -> float:
        """Return the value of a counter."""
        return self.metrics.registry.get_sample_value(f"compliance_connector_{name}_total", labels) or 0.0


@pytest.fixture
def bench() -> _Bench:
    """Give a committer whose clock moves only as its script says."""
    return _Bench(_Clock())


def test_first_transaction_is_made_at_once(bench: _Bench) -> None:
    """The new writer and how far coverage is are on record from the start."""
    bench.run(0.0)
    assert bench.writer.at_s == [0.0]
    assert NAMES.coverage in {record.topic for record in bench.writer.transactions[0][0]}


def test_new_partition_commits_nothing_before_x_is_reached(bench: _Bench) -> None:
    """Until then its coverage is a guess; from then on all is as ever, and a stop before leaves nothing."""
    bench.state = state_of(NOW_US - MINUTE_US)
    bench.run(25.0)
    assert bench.committer is not None
    bench.committer.finish()
    assert bench.writer.at_s == []
    bench.run(opened(), 25.0)
    assert bench.writer.at_s == [25.0, 35.0, 45.0]


def test_events_wait_for_the_next_common_moment(bench: _Bench) -> None:
    """Each 200 ms there is one, whenever events came and whichever commits; it is announced, so that others wait."""
    bench.run(0.45, opened(), lines_read(line(1)), 0.1, lines_read(line(2)), 0.04, lines_read(line(3)), 5.0)
    assert bench.writer.at_s == [0.0, 0.6]
    assert bench.received == [0, 3]
    assert [round(due_s - 1000, 3) for due_s in bench.writer.due_at_s] == [10.0, 0.6, 10.6]


def test_idle_partitions_commit_at_common_moments(bench: _Bench) -> None:
    """So that their coverage shares a transaction."""
    bench.clock.now_s += 0.123
    bench.run(opened(), 25.0)
    assert bench.writer.at_s == [0.123, 10.0, 20.0]


def test_idle_partition_commits_its_coverage_now_and_then(bench: _Bench) -> None:
    """Every ten seconds, keep-alives or not."""
    bench.run(opened(), 3.0, _KEEP_ALIVE, 27.5)
    assert bench.writer.at_s == [0.0, 10.0, 20.0, 30.0]
    assert bench.status.covered_until_us == NOW_US + 14 * US_PER_S


@pytest.mark.parametrize("state", [None, NOW_US - MINUTE_US])
def test_idle_partition_whose_commit_interval_is_the_longer_one_does_not_spin(bench: _Bench, state: int | None) -> None:
    """It wakes up once an interval, begun or not."""
    bench.settings = PipelineSettings(commit_interval_ms=5000, idle_commit_interval_s=1)
    bench.state = bench.state if state is None else state_of(state)
    bench.clock.now_s += 0.1
    bench.run(21.0)
    assert bench.writer.at_s == ([0.1, 5.0, 10.0, 15.0, 20.0] if state is None else [])
    assert [due_s - 1000 for due_s in bench.writer.due_at_s] == [5.0, 10.0, 15.0, 20.0, 25.0]


def test_transaction_never_holds_more_than_the_most_events(bench: _Bench) -> None:
    """It is closed before the lines that would be too many."""
    groups = [lines_read(*[line(10_000 * group + number) for number in range(400)]) for group in range(8)]
    bench.run(0.0, opened(), *groups, 1.0)
    assert sum(bench.received) == 3200
    assert max(bench.received) == 800


@pytest.mark.slow
def test_transaction_of_many_bytes_is_closed_early(bench: _Bench) -> None:
    """Before the interval is over."""
    big = line(1).replace(b'"7"', b'"7", "new": "%d' + b"x" * 900_000 + b'"')
    bench.run(0.0, opened(), *[lines_read(big % number) for number in range(40)])
    assert len(bench.received) == 3
    assert all(sum(len(record.value) for record in records) < 18 * 1024**2 for records, _ in bench.writer.transactions)


def test_end_of_a_connection_is_committed_at_once(bench: _Bench) -> None:
    """The reader waits for it before it plans the next."""
    bench.run(0.0, opened(), lines_read(line(1)), _ENDED, opened(), _ENDED)
    assert bench.writer.at_s == [0.0, 0.0, 0.0]
    assert [entry.mode for _, entry in bench.writer.transactions] == [Mode.DISCONNECTED] * 3
    assert len(bench.channel.settled) == 3


def test_committer_that_waits_for_kafka_keeps_no_other_waiting(bench: _Bench) -> None:
    """The others apply what they have, and hand it in."""
    is_waiting, goes_on = threading.Event(), threading.Event()

    def wait() -> None:
        is_waiting.set()
        goes_on.wait()

    slow = _Bench(bench.clock)
    slow.turn = bench.turn
    slow.writer.wait_in_commit = wait
    waiting = threading.Thread(target=slow.run, args=[opened(), lines_read(line(1)), _ENDED], daemon=True)
    waiting.start()
    assert is_waiting.wait(_PATIENCE_S)
    working = threading.Thread(target=bench.run, args=[opened(), lines_read(line(1)), _ENDED], daemon=True)
    working.start()
    working.join(_PATIENCE_S)
    assert (bench.received, len(slow.channel.settled)) == ([1], 0)
    goes_on.set()
    waiting.join(_PATIENCE_S)
    assert slow.received == [1]


def test_committer_that_fails_at_its_work_keeps_no_other_waiting(bench: _Bench) -> None:
    """Its life ends in the midst of a turn, which then is the next one's."""
    odd: Any = None
    with pytest.raises(TypeError):
        bench.run(opened(), lines_read(odd), _ENDED)
    other = _Bench(bench.clock)
    other.turn = bench.turn
    working = threading.Thread(target=other.run, args=[opened(), lines_read(line(1)), _ENDED], daemon=True)
    working.start()
    working.join(_PATIENCE_S)
    assert other.received == [1]


@pytest.mark.parametrize("kind", [WriterLostError, FencedError])
def test_commit_whose_outcome_is_unknown_ends_the_committer(bench: _Bench, kind: type[Exception]) -> None:
    """Nothing is taken for committed, by anyone."""
    bench.writer.error = kind("gone")
    with pytest.raises(kind):
        bench.run(opened(), lines_read(line(1)), _ENDED)
    assert bench.channel.settled == []
    assert bench.state.pending == 1
    assert bench.state.covered_until_us == NOW_US - MINUTE_US
    assert bench.count("events_published", stream="tweet", type="tweet.delete") == 0


def test_finish_commits_what_is_in_hand(bench: _Bench) -> None:
    """As the last transaction, which says that the partition is disconnected."""
    bench.run(0.0, opened(), lines_read(line(1)))
    assert bench.committer is not None
    bench.committer.finish()
    assert bench.received == [0, 1]
    assert bench.writer.transactions[-1][1].mode is Mode.DISCONNECTED


def test_finish_in_the_middle_of_a_slice_does_not_make_it_whole(bench: _Bench) -> None:
    """The next owner asks for it again."""
    bench.run(0.0, opened(Replay(NOW_US - 2 * MINUTE_US, NOW_US)), lines_read(line(1)))
    assert bench.committer is not None
    bench.committer.finish()
    assert bench.writer.transactions[-1][1].covered_until_us == NOW_US - MINUTE_US


def test_commit_is_shown_in_metrics_and_status(bench: _Bench) -> None:
    """What was published, dropped and is missing, as the ledger has it."""
    bench.state = state_of(NOW_US, [OffsetEntry(3, _begun(NOW_US - 3 * MINUTE_US // 2))])
    covered_until_us = NOW_US - MINUTE_US
    bench.run(0.0, opened(Live(1)), lines_read(line(1), line(1), b"junk", b'{"errors":["e"]}'), 1.0)
    where = {"stream": "tweet", "partition": "2"}
    assert bench.count("events_published", stream="tweet", type="tweet.delete") == 1
    assert bench.count("lines_received", **where) == 4
    assert bench.count("lines_duplicate", **where) == 1
    assert bench.count("lines_control", **where) == 1
    assert bench.count("lines_dead_lettered", **where, reason="not-json") == 1
    assert bench.count("gaps", **where, state="lost", cause="connect-too-slow") == 1
    assert bench.count("gap_seconds", **where, state="lost", cause="connect-too-slow") == 31
    assert bench.count("transactions_committed", **where) == 2
    sample = bench.metrics.registry.get_sample_value
    assert sample("compliance_connector_transaction_duration_seconds_count", where) == 2
    assert (bench.status.last_event_us, bench.status.known_ids) == (NOW_US, 2)
    assert bench.status.watermark_us == covered_until_us
    assert (bench.status.sequence, bench.status.mode) == (1, "live")
    assert bench.status.covered_until_us == covered_until_us


def test_reason_to_hang_up_reaches_the_channel_at_once(bench: _Bench) -> None:
    """Not only with the next commit."""
    bench.run(opened(), lines_read(b'{"errors":["e"]}'), lines_read(line(1)))
    assert bench.channel.hung_up[0] is EndReason.SYSTEM_MESSAGE


def test_progress_is_that_of_the_commit(bench: _Bench) -> None:
    """How far coverage reaches, and what the last connection was good for."""
    bench.run(0.0, opened(), lines_read(line(1, NOW_US + US_PER_S)), _ENDED)
    progress = bench.channel.settled[-1]
    assert progress.covered_until_us == bench.writer.transactions[-1][1].covered_until_us == NOW_US
    assert progress.last is not None
    assert progress.last.has_proved


def test_gap_of_a_connection_is_reported_once(bench: _Bench) -> None:
    """By the transaction that recorded it."""
    bench.state = state_of(NOW_US, [OffsetEntry(3, _begun(NOW_US - 10 * MINUTE_US))])
    bench.run(0.0, opened(), 25.0)
    where = {"stream": "tweet", "partition": "2", "state": "lost", "cause": "connect-too-slow"}
    assert bench.count("gaps", **where) == 1
    recorded = [record for records, _ in bench.writer.transactions for record in records if record.topic == NAMES.gap]
    assert len(recorded) == 1


def test_watermark_is_shown_though_the_commit_fails(bench: _Bench) -> None:
    """Coverage is not."""
    bench.writer.error = WriterLostError("l")
    with pytest.raises(WriterLostError):
        bench.run(opened(), lines_read(line(1, NOW_US + US_PER_S)), _ENDED)
    assert (bench.status.watermark_us, bench.status.covered_until_us) == (NOW_US, None)
