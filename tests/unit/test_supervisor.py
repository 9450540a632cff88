"""What the supervisor starts and stops as ownership changes."""

import threading
from collections.abc import Callable
from typing import Any, Self, cast

import pytest
from structlog.testing import capture_logs

from connector.errors import (
    ConnectorError,
    DependencyUnavailableError,
    HungError,
    NotProvisionedError,
    OwnCorruptionError,
    SettingsError,
)
from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.kafka.ownership import Membership
from connector.partition.worker import PartitionWorker
from connector.settings import KafkaSettings, SchemaRegistrySettings, Settings, XSettings
from connector.supervisor import DRAIN_S, HUNG_S, Supervisor
from connector.telemetry.metrics import Metrics
from connector.telemetry.service import ServiceTelemetry
from connector.telemetry.status import ServiceStatus, State, Statuses

_TWEETS = STREAM_PARTITIONS[:4]
_SETTINGS = Settings(
    x=XSettings(streams=("tweet",)),
    kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"),
    schema_registry=SchemaRegistrySettings(url="http://127.0.0.1:1"),
)


class _Worker:
    """Records what it is asked to do; ends when it is joined, unless it hangs."""

    def __init__(self, bench: "_Bench", partition: StreamPartition) -> None:
        self._bench = bench
        self.partition = partition
        self.told: list[str] = []
        self.is_hung = False

    def start(self) -> None:
        """Begin."""
        self.told.append("start")

    def stop(self, *, may_commit: bool) -> None:
        """Ask for the end."""
        self.told.append("stop" if may_commit else "abandon")
        self._bench.order.append("stop")

    def join(self, timeout_s: float) -> bool:
        """Use up the time when hanging."""
        self._bench.order.append("join")
        self._bench.waited_s += timeout_s if self._bench.hangs else 0.0
        return not self._bench.hangs


class _Membership(Membership):
    """Plays the group: each poll does the next of `events`; leaving it revokes what is left, as the client does."""

    def __init__(self, bench: "_Bench") -> None:
        self._bench = bench
        self.has_joined = True

    def poll(self, timeout_s: float, on_trouble: Callable[[str], None]) -> None:
        """Do the next thing."""
        del timeout_s
        if not self._bench.events:
            self._bench.stop.set()
            return
        self._bench.events.pop(0)(on_trouble)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bench.has_left = True
        self._bench.supervisor.revoked(STREAM_PARTITIONS)


class _Bench:
    """A supervisor with a played group and played workers."""

    def __init__(self) -> None:
        self.events: list[Callable[[Callable[[str], None]], None]] = []
        self.made: list[_Worker] = []
        self.order: list[str] = []
        self.hangs = self.has_left = False
        self.waited_s = 0.0
        self.check_error: Exception | None = None
        self.stop = threading.Event()
        self.statuses = Statuses(_TWEETS)
        self.membership = _Membership(self)
        self.supervisor = Supervisor(
            _SETTINGS,
            self._make,
            self.statuses,
            ServiceTelemetry(Metrics(), ServiceStatus(self.statuses, 0, None, 0)),
            check=self._check,
            join_group=lambda *_: self.membership,
            monotonic_s=self.monotonic,
        )

    def _check(self) -> None:
        if self.check_error is not None:
            raise self.check_error

    def _make(self, partition: StreamPartition) -> PartitionWorker:
        self.made.append(_Worker(self, partition))
        return cast("PartitionWorker", self.made[-1])

    def monotonic(self) -> float:
        """Return the supervisor's clock."""
        return self.waited_s

    def run(self, *events: Callable[[Callable[[str], None]], Any]) -> None:
        """Let the supervisor go through `events`."""
        self.events = list(events)
        self.supervisor.run(self.stop)

    @property
    def told(self) -> dict[StreamPartition, list[str]]:
        """The calls to each worker."""
        return {worker.partition: worker.told for worker in self.made}


@pytest.fixture
def bench() -> _Bench:
    """Give a supervisor."""
    return _Bench()


def test_assigned_partitions_are_processed_until_the_stop(bench: _Bench) -> None:
    """Then each finishes its transaction, before the group is left."""
    bench.run(lambda _: bench.supervisor.assigned([_TWEETS[1], _TWEETS[3]]))
    assert bench.told == {_TWEETS[1]: ["start", "stop"], _TWEETS[3]: ["start", "stop"]}
    assert bench.has_left


def test_wait_for_the_group_is_said_after_4_seconds_then_every_30_with_its_reason(bench: _Bench) -> None:
    """The latest trouble of the client where there is one; and each wait begins anew."""
    bench.membership.has_joined = False

    def at(now_s: float, trouble: str | None = None, *, joins: bool = False) -> Callable[[Callable[[str], None]], None]:
        def poll(on_trouble: Callable[[str], None]) -> None:
            bench.waited_s, bench.membership.has_joined = now_s, joins
            if trouble is not None:
                on_trouble(trouble)

        return poll

    with capture_logs() as logs:
        bench.run(at(0), at(3.9), at(4), at(33.9, "no coordinator"), at(34), at(64), at(70, joins=True), at(80), at(84))
    waits = [(log["waited_s"], log["reason"]) for log in logs if log["event"] == "waiting_for_group"]
    members = "the group waits for its earlier members; the session of one that has not left it ends within 30 s"
    assert waits == [(4, members), (34, "no coordinator"), (64, members), (4, members)]


def test_revoked_partitions_finish_and_the_others_go_on(bench: _Bench) -> None:
    """Only what is named is given up."""
    bench.events = []
    bench.supervisor.assigned([_TWEETS[0], _TWEETS[1]])
    bench.supervisor.revoked([_TWEETS[1], STREAM_PARTITIONS[9]])
    assert bench.told == {_TWEETS[0]: ["start"], _TWEETS[1]: ["start", "stop"]}
    bench.supervisor.revoked([_TWEETS[1]])
    assert bench.told[_TWEETS[1]] == ["start", "stop"]


def test_lost_partitions_commit_nothing_more(bench: _Bench) -> None:
    """Another replica may already own them."""
    bench.supervisor.assigned([_TWEETS[2]])
    bench.supervisor.lost([_TWEETS[2]])
    assert bench.told == {_TWEETS[2]: ["start", "abandon"]}


def test_returning_partition_gets_a_new_worker(bench: _Bench) -> None:
    """A worker lives once."""
    for _ in range(2):
        bench.supervisor.assigned([_TWEETS[0]])
        bench.supervisor.revoked([_TWEETS[0]])
    assert [worker.told for worker in bench.made] == [["start", "stop"]] * 2


def test_workers_that_hang_delay_the_leaving_by_one_deadline_together(bench: _Bench) -> None:
    """All are asked to stop before any is waited for; none may commit once the next owner may."""
    bench.hangs = True
    bench.run(lambda _: bench.supervisor.assigned([_TWEETS[0], _TWEETS[1], _TWEETS[2], _TWEETS[3]]))
    assert bench.order == ["stop"] * 4 + ["join", "stop"] * 4
    assert all(told == ["start", "stop", "abandon"] for told in bench.told.values())
    assert bench.waited_s <= DRAIN_S


@pytest.mark.parametrize("error", [SettingsError(["twin"]), DependencyUnavailableError("twin")], ids=type)
def test_membership_beyond_repair_abandons_everything(bench: _Bench, error: ConnectorError) -> None:
    """As after a twin with the same instance id: nothing is owned any more, though the group did not say so."""

    def fail(_: object) -> None:
        raise error

    with pytest.raises(type(error)):
        bench.run(lambda _: bench.supervisor.assigned([_TWEETS[0]]), fail)
    assert bench.told == {_TWEETS[0]: ["start", "abandon"]}
    assert bench.has_left


def test_check_that_fails_ends_the_process_without_a_commit(bench: _Bench) -> None:
    """As when the registry contradicts the schema ids that records are written with."""

    def contradict(_: object) -> None:
        bench.check_error = NotProvisionedError("another id")

    with pytest.raises(NotProvisionedError, match="another id"):
        bench.run(lambda _: bench.supervisor.assigned([_TWEETS[0]]), contradict)
    assert bench.told == {_TWEETS[0]: ["start", "abandon"]}


def test_worker_that_gives_no_sign_of_life_ends_the_process(bench: _Bench) -> None:
    """Others take over, and nothing more is committed here."""

    def hang(_: object) -> None:
        bench.made[0].is_hung = True

    with pytest.raises(HungError, match=str(_TWEETS[0])):
        bench.run(lambda _: bench.supervisor.assigned([_TWEETS[0], _TWEETS[1]]), hang)
    assert bench.told == {_TWEETS[0]: ["start", "abandon"], _TWEETS[1]: ["start", "abandon"]}


def test_unexpected_exception_of_the_group_releases_every_partition(bench: _Bench) -> None:
    """Before the group is left, for which there is little time."""

    def fail(_: object) -> None:
        raise RuntimeError("odd")

    with pytest.raises(RuntimeError, match="odd"):
        bench.run(lambda _: bench.supervisor.assigned([_TWEETS[0]]), fail)
    assert bench.told == {_TWEETS[0]: ["start", "abandon"]}


@pytest.mark.parametrize("hangs", [True, False])
def test_released_partition_is_shown_as_such_whatever_its_threads_still_report(
    bench: _Bench,
    hangs: bool,  # noqa: FBT001 - parametrized
) -> None:
    """Also when it comes back at once and its predecessor ends late."""
    bench.hangs = hangs
    bench.supervisor.assigned([_TWEETS[0]])
    late = bench.statuses[_TWEETS[0]]
    late.state, late.covered_until_us = State.RUNNING, 7
    bench.supervisor.revoked([_TWEETS[0]])
    shown = bench.statuses[_TWEETS[0]]
    assert (shown.state, shown.covered_until_us) == (State.NOT_OWNED, None)
    bench.supervisor.assigned([_TWEETS[0]])
    bench.statuses[_TWEETS[0]].state = State.RUNNING
    late.state = State.NOT_OWNED
    assert bench.supervisor.is_ready
    assert bench.statuses[_TWEETS[0]].is_owned


def test_supervisor_that_does_not_come_back_to_the_group_hangs(bench: _Bench) -> None:
    """The probe then says so, since a process in which that hangs owns nothing and never will again."""
    seen = []

    def hang(_: object) -> None:
        for _ in range(2):
            seen.append(bench.supervisor.is_hung)
            bench.waited_s += HUNG_S + 0.1
        seen.append(bench.supervisor.is_hung)

    bench.run(hang, lambda _: seen.append(bench.supervisor.is_hung))
    assert seen == [False, True, True, False]


def test_trouble_in_the_group_ends_nothing(bench: _Bench) -> None:
    """It is said and passes."""
    bench.run(lambda _: bench.supervisor.assigned([_TWEETS[0]]), lambda tell: tell("a broker is away"), lambda _: None)
    assert bench.told == {_TWEETS[0]: ["start", "stop"]}


def test_last_partition_that_turns_corrupt_ends_the_process(bench: _Bench) -> None:
    """As long as one is in order, it is worked."""

    def spoil(number: int) -> Callable[[object], None]:
        def event(_: object) -> None:
            bench.statuses[_TWEETS[number]].state = State.CORRUPT

        return event

    with pytest.raises(OwnCorruptionError):
        bench.run(
            lambda _: bench.supervisor.assigned([_TWEETS[0], _TWEETS[1]]),
            spoil(0),
            lambda _: None,
            spoil(1),
            lambda _: None,
        )
    assert len(bench.events) == 1


def test_ready_means_joined_and_every_owned_partition_restored(bench: _Bench) -> None:
    """A replica that owns nothing is ready too."""
    supervisor = bench.supervisor
    assert supervisor.is_ready
    supervisor.assigned([_TWEETS[0], _TWEETS[1]])
    for state in State:
        bench.statuses[_TWEETS[0]].state, bench.statuses[_TWEETS[1]].state = State.RUNNING, state
        assert supervisor.is_ready == (state is State.RUNNING)
    supervisor.revoked([_TWEETS[1]])
    assert supervisor.is_ready
