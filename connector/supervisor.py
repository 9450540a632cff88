"""Starts and stops the processing of stream partitions as the group assigns and revokes them.

Two replicas that both believe they own a partition are kept apart by its ledger, not by the group.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable

from connector.errors import HungError, OwnCorruptionError
from connector.events.catalog import StreamPartition
from connector.kafka.ownership import Membership, Owner
from connector.partition.worker import PartitionWorker
from connector.settings import KafkaSettings, Settings
from connector.source.heartbeat import Heartbeat
from connector.telemetry.service import ServiceTelemetry
from connector.telemetry.status import State, Statuses

POLL_S = 0.2
DRAIN_S = 8.0
"""How long all workers together may take to finish the transaction in hand."""


JOIN_TOLD_S = 4.0
"""How long joining the group may take before it is logged: a first member waits for others, by default 3 s."""
JOIN_TOLD_AGAIN_S = 30.0

HUNG_S = 60.0
"""How long the group may go without a poll, releases included; then it reassigns our partitions."""


class JoinWait:
    """How long this process has waited for the group, and when to report it: after 4 s, then every 30 s."""

    def __init__(self, session_timeout_ms: int, monotonic_s: Callable[[], float]) -> None:
        self._session_timeout_s = session_timeout_ms / 1000
        self._monotonic_s = monotonic_s
        self._since_s: float | None = None
        self._told_after_s = JOIN_TOLD_S
        self._trouble: str | None = None

    def troubled(self, detail: str) -> None:
        """Remember the latest error of the client of the group."""
        self._trouble = detail

    def joined(self) -> None:
        """Record that the group was joined: the next wait starts at zero."""
        self._since_s, self._told_after_s, self._trouble = None, JOIN_TOLD_S, None

    def due(self) -> tuple[float, str] | None:
        """Return how many seconds it has waited and why, if it is time to report that."""
        now_s = self._monotonic_s()
        self._since_s = now_s if self._since_s is None else self._since_s
        waited_s = now_s - self._since_s
        if waited_s < self._told_after_s:
            return None
        self._told_after_s = waited_s + JOIN_TOLD_AGAIN_S
        trouble, self._trouble = self._trouble, None
        return waited_s, trouble or (
            "the group waits for its earlier members; the session of one that has not left it ends within "
            f"{self._session_timeout_s:g} s"
        )


class Supervisor:
    """Starts and stops workers as ownership changes; `run` is called once, in one thread.

    `monotonic_s` is a clock in seconds.
    """

    def __init__(  # noqa: PLR0913 - what it is wired to
        self,
        settings: Settings,
        make_worker: Callable[[StreamPartition], PartitionWorker],
        statuses: Statuses,
        telemetry: ServiceTelemetry,
        *,
        check: Callable[[], None] = lambda: None,
        join_group: Callable[[KafkaSettings, Iterable[str], int, Owner], Membership] = Membership,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_worker = make_worker
        self._statuses = statuses
        self._workers: dict[StreamPartition, PartitionWorker] = {}
        self._membership = join_group(settings.kafka, settings.x.streams, settings.pipeline.session_timeout_ms, self)
        self._telemetry = telemetry
        self._check = check
        self._monotonic_s = monotonic_s
        self._heartbeat = Heartbeat(monotonic_s)
        self._join_wait = JoinWait(settings.pipeline.session_timeout_ms, monotonic_s)

    def run(self, stop: threading.Event) -> None:
        """Process the assigned partitions until `stop` is set, or `check` raises.

        Raises `SettingsError` when another process has the same group instance id, `OwnCorruptionError` when all owned
        partitions stopped because of an untrusted ledger, and `HungError` when one gives no sign of life.
        """
        with self._membership as membership:
            try:
                while not stop.is_set():
                    self._heartbeat.beat()
                    membership.poll(POLL_S, self._troubled)
                    self._tell_of_a_wait()
                    self._check()
                    self._check_none_hangs()
                    self._check_not_all_corrupt()
            except BaseException:
                self._release(list(self._workers), may_commit=False)
                raise
            self._release(list(self._workers), may_commit=True)

    @property
    def is_hung(self) -> bool:
        """Whether the thread that polls the group gives no sign of life."""
        return self._heartbeat.age_s > HUNG_S

    @property
    def has_joined(self) -> bool:
        """Whether this process is a member of the group."""
        return self._membership.has_joined

    @property
    def is_ready(self) -> bool:
        """Whether the group was joined and every owned partition is restored."""
        return self.has_joined and all(
            self._statuses[partition].state is State.RUNNING for partition in list(self._workers)
        )

    def assigned(self, partitions: Collection[StreamPartition]) -> None:
        """Start processing these stream partitions."""
        for partition in partitions:
            self._workers[partition] = self._make_worker(partition)
            self._workers[partition].start()

    def revoked(self, partitions: Collection[StreamPartition]) -> None:
        """Finish the transactions in hand, then release the partitions."""
        self._release(partitions, may_commit=True)

    def lost(self, partitions: Collection[StreamPartition]) -> None:
        """Stop without committing: another replica may already own them."""
        self._telemetry.partitions_lost(len(partitions))
        self._release(partitions, may_commit=False)

    def _release(self, partitions: Collection[StreamPartition], *, may_commit: bool) -> None:
        workers = [self._workers.pop(partition) for partition in partitions if partition in self._workers]
        for worker in workers:
            worker.stop(may_commit=may_commit)
        deadline = self._monotonic_s() + DRAIN_S
        for worker in workers:
            if not worker.join(max(0.0, deadline - self._monotonic_s())):
                worker.stop(may_commit=False)  # an attempt that begins now would be beside the next owner's
                self._telemetry.drain_incomplete(worker.partition)
            self._statuses.renew(worker.partition)

    def _troubled(self, detail: str) -> None:
        self._join_wait.troubled(detail)
        self._telemetry.group_troubled(detail)

    def _tell_of_a_wait(self) -> None:
        """Report that the group lets this process wait, and why."""
        if self.has_joined:
            self._join_wait.joined()
        elif (due := self._join_wait.due()) is not None:
            self._telemetry.waiting_for_group(*due)

    def _check_none_hangs(self) -> None:
        """End a process with a hung thread, so that others take over its partitions."""
        if hung := [str(partition) for partition, worker in self._workers.items() if worker.is_hung]:
            raise HungError(f"no sign of life from {', '.join(hung)}")

    def _check_not_all_corrupt(self) -> None:
        states = [self._statuses[partition].state for partition in self._workers]
        if states and all(state is State.CORRUPT for state in states):
            raise OwnCorruptionError("every owned stream partition stopped, since its ledger cannot be trusted")
