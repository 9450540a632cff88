"""What the process and each of its stream partitions are doing, as /status and the metrics show it.

Plain attributes, written by the threads that they describe. Must not know Prometheus.
"""

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from connector import __version__
from connector.coverage.plan import Plan, Replay
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S, format_us
from connector.kafka.statistics import ProducerStatistics
from connector.source.connect_limiter import ConnectLimiter, Waiting
from connector.telemetry.batch_runs import LastRuns
from connector.telemetry.coverage_records import Covered
from connector.telemetry.dead_letters import DeadLetter
from connector.telemetry.group_states import WatchedGroup
from connector.telemetry.open_gaps import RecordedGap
from connector.x.clock import wall_us
from connector.x.errors import RateLimit

T = TypeVar("T")


class State(StrEnum):
    """State of a stream partition in this process."""

    NOT_OWNED = "not-owned"
    RESTORING = "restoring"
    RUNNING = "running"
    WAITING = "waiting"
    CORRUPT = "corrupt"
    TOPICS_CHANGED = "topics-changed"


STOPPED = frozenset({State.CORRUPT, State.TOPICS_CHANGED})
"""States that a stream partition leaves only after a person has fixed something."""

MODES = ("live", "replay", "disconnected")


def _nothing() -> int:
    return 0


def _no() -> bool:
    return False


def _no_offset() -> float:
    return 0.0


@dataclass(slots=True)
class PartitionStatus:
    """One stream partition since it was assigned; instants are microseconds since 1970.

    `waits_for` is why an attempt to connect has no permit yet. `has_own_producer` returns whether it commits apart from
    the others, because its part of a transaction failed on its own.
    """

    state: State = State.NOT_OWNED
    mode: str = "disconnected"
    plan: str | None = None
    covered_until_us: int | None = None
    watermark_us: int | None = None
    sequence: int | None = None
    last_byte_us: int | None = None
    last_event_us: int | None = None
    received_bytes: int = 0
    channel_bytes: Callable[[], int] = _nothing
    has_own_producer: Callable[[], bool] = _no
    known_ids: int = 0
    last_error: str | None = None
    last_error_at_us: int | None = None
    last_end: str | None = None
    last_end_at_us: int | None = None
    waits_for: str | None = None
    next_attempt_us: int | None = None
    gaps_recorded: int = 0
    last_gap: str | None = None

    @property
    def is_owned(self) -> bool:
        """Whether this process owns the stream partition."""
        return self.state is not State.NOT_OWNED

    def idle(self) -> None:
        """Record that nothing is read or committed for now; keep the known coverage."""
        self.mode, self.plan, self.waits_for = "disconnected", None, None
        self.channel_bytes, self.has_own_producer = _nothing, _no

    def as_json(self) -> dict[str, Any]:
        """Return the status with instants as RFC 3339 text."""
        shown: dict[str, Any] = {}
        for name in _SHOWN:
            value = getattr(self, name)
            if name.endswith("_us"):
                shown[name.removesuffix("_us")] = None if value is None else format_us(value)
            else:
                shown[name] = value() if callable(value) else value
        return shown


_SHOWN = tuple(member.name for member in fields(PartitionStatus))


class Statuses(Mapping[StreamPartition, PartitionStatus]):
    """The statuses of all stream partitions that this process may be given.

    Each is replaced by an empty one when the partition is assigned or released, so that late writes of an earlier
    thread are not shown. Only the last error and the last end of a connection are kept, with their times.
    """

    def __init__(self, partitions: Iterable[StreamPartition]) -> None:
        self._current = {partition: PartitionStatus() for partition in partitions}

    def renew(self, partition: StreamPartition) -> PartitionStatus:
        """Return a new status of the partition, which is shown from now on."""
        before = self._current[partition]
        self._current[partition] = PartitionStatus(
            last_error=before.last_error,
            last_error_at_us=before.last_error_at_us,
            last_end=before.last_end,
            last_end_at_us=before.last_end_at_us,
        )
        return self._current[partition]

    def __getitem__(self, partition: StreamPartition) -> PartitionStatus:
        return self._current[partition]

    def __iter__(self) -> Iterator[StreamPartition]:
        return iter(self._current)

    def __len__(self) -> int:
        return len(self._current)


class Group(Protocol):
    """The membership of this process in the consumer group."""

    @property
    def has_joined(self) -> bool:
        """Whether it is a member."""

    @property
    def is_hung(self) -> bool:
        """Whether the thread that polls the group has stopped doing so."""

    @property
    def is_ready(self) -> bool:
        """Whether it is a member, and every owned stream partition is restored."""


@dataclass(frozen=True, slots=True)
class Look(Generic[T]):
    """What a look at a topic found, at `at_us`, microseconds since 1970; includes the values of other replicas."""

    at_us: int
    found: tuple[T, ...]


@dataclass(slots=True)
class ServiceStatus:
    """What concerns the process as a whole; `rate_limits` are from X's latest answer for each stream.

    `producer` is its last report. `clock_offset_s` returns how far X's clock is ahead of the wall clock now, in
    seconds. `last_runs` are the newest batch runs by type, and `oldest_gaps` says by stream when the oldest gap was
    recorded that a batch run can make up for, in milliseconds since 1970; None if that is not known. `coverage`,
    `gaps` and `dead_letters` are what the latest look at their topics found, of all replicas; None from a look that
    failed to the next. `watched_groups` are the consumer groups that the settings name, and `groups` is what the latest
    look at them found, without those that could not be looked at; None in a replica that does not watch them.
    """

    partitions: Statuses
    channel_limit_bytes: int
    instance_id: str | None
    started_at_us: int
    group: Group | None = None
    last_error: str | None = None
    last_error_at_us: int | None = None
    rate_limits: dict[str, RateLimit] = field(default_factory=dict)
    limiter: ConnectLimiter | None = None
    is_registry_unavailable: bool = False
    producer: ProducerStatistics | None = None
    clock_offset_s: Callable[[], float] = _no_offset
    last_runs: Mapping[str, LastRuns] | None = None
    oldest_gaps: Mapping[str, int | None] | None = None
    coverage: Look[Covered] | None = None
    gaps: Look[RecordedGap] | None = None
    dead_letters: Look[DeadLetter] | None = None
    watched_groups: tuple[str, ...] = ()
    groups: Look[WatchedGroup] | None = None

    @property
    def watches_groups(self) -> bool:
        """Whether this is the one replica that watches consumer groups: the owner of the first stream partition."""
        return bool(self.watched_groups) and next(iter(self.partitions.values())).is_owned

    @property
    def has_joined(self) -> bool:
        """Whether this process is a member of the consumer group."""
        return self.group is not None and self.group.has_joined

    @property
    def is_ready(self) -> bool:
        """Whether /readyz answers 200."""
        return self.group is not None and self.group.is_ready

    @property
    def streams(self) -> frozenset[str]:
        """The streams that are switched on."""
        return frozenset(partition.stream for partition in self.partitions)

    @property
    def waiting(self) -> Sequence[Waiting]:
        """The attempts to connect that wait, the first one first."""
        return () if self.limiter is None else self.limiter.waiting()

    def as_json(self) -> dict[str, Any]:
        """Return what /status shows."""
        return {
            "version": __version__,
            "host": socket.gethostname(),
            "group_instance_id": self.instance_id,
            "started_at": format_us(self.started_at_us),
            "now": format_us(wall_us()),
            "is_ready": self.is_ready,
            "has_joined_group": self.has_joined,
            "is_registry_unavailable": self.is_registry_unavailable,
            "clock_offset_s": round(self.clock_offset_s(), 1),
            "last_error": self.last_error,
            "last_error_at": None if self.last_error_at_us is None else format_us(self.last_error_at_us),
            "rate_limits": {stream: _rate_limit_as_json(said) for stream, said in list(self.rate_limits.items())},
            "connects_left": {} if self.limiter is None else self.limiter.remaining(),
            "connects_waiting": [_waiting_as_json(waiting) for waiting in self.waiting],
            "partitions": {str(partition): status.as_json() for partition, status in self.partitions.items()},
        }


def _rate_limit_as_json(said: RateLimit) -> dict[str, Any]:
    return {"limit": said.limit, "remaining": said.remaining, "reset": format_us(said.reset_s * US_PER_S)}


def _waiting_as_json(waiting: Waiting) -> dict[str, Any]:
    return {
        "partition": str(waiting.partition),
        "plan": describe(waiting.plan),
        "waits_for": waiting.reason.value,
        "at_least_s": None if waiting.wait_s is None else round(waiting.wait_s, 1),
    }


def describe(plan: Plan) -> str:
    """Return what is requested from X, in words."""
    if isinstance(plan, Replay):
        return f"replay of {format_us(plan.start_us)} to {format_us(plan.end_us)}"
    return f"live, {plan.backfill_minutes} min of backfill" if plan.backfill_minutes else "live"
