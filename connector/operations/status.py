"""All stream partitions of all replicas, from the consumer group, the coverage topic and the gap topic.

Facts that only a replica knows, its latest errors and the connects left in X's window, are requested from the given
addresses.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

from connector.errors import DependencyUnavailableError
from connector.events.catalog import StreamPartition
from connector.events.times import format_us
from connector.kafka.cluster import Cluster, GroupMember
from connector.kafka.newest import NewestRecords
from connector.kafka.topics import TopicNames
from connector.pages.words import duration
from connector.quoting import shown
from connector.settings import HttpSettings, Settings
from connector.telemetry.coverage_records import Covered
from connector.telemetry.coverage_topic import CoverageTopic
from connector.telemetry.http import ask
from connector.telemetry.open_gaps import RecordedGap, read_gap
from connector.telemetry.status import STOPPED, State
from connector.x.clock import wall_us

_PORT: int = HttpSettings.model_fields["port"].default


class ReplicaPartition(msgspec.Struct, frozen=True):
    """A stream partition, according to a replica."""

    state: str
    plan: str | None = None
    last_error: str | None = None
    last_error_at: str | None = None
    last_end: str | None = None
    last_end_at: str | None = None
    waits_for: str | None = None
    next_attempt: str | None = None


class Replica(msgspec.Struct, frozen=True):
    """The part of a replica's /status that is read here."""

    partitions: dict[str, ReplicaPartition]
    connects_left: dict[str, int]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The input from group, topics and replicas; `owners` are names of replicas."""

    owners: Mapping[StreamPartition, str]
    coverage: Mapping[StreamPartition, Covered]
    gaps: Collection[RecordedGap]
    replicas: Collection[Replica]


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One stream partition; `trouble` is what needs attention, None if all is well.

    Unknown values are None: all from `state` on if its owner was not asked.
    """

    partition: StreamPartition
    owner: str | None
    mode: str | None
    complete_until_us: int | None
    behind_us: int | None
    open_gaps: int
    trouble: str | None
    state: str | None = None
    last_error: str | None = None
    last_error_at: str | None = None
    last_end: str | None = None
    last_end_at: str | None = None
    waits_for: str | None = None
    next_attempt: str | None = None

    @property
    def details(self) -> str:
        """Details from its owner, if it was asked and has any."""
        said = {
            "waits for": self.waits_for,
            "next attempt": self.next_attempt,
            f"connection ended at {self.last_end_at}": self.last_end,
            f"last error at {self.last_error_at}": self.last_error,
        }
        return "; ".join(f"{name}: {text}" for name, text in said.items() if text)

    def as_json(self) -> dict[str, Any]:
        """Return it with instants as RFC 3339 text, lengths in seconds."""
        return {
            "partition": str(self.partition),
            "owner": self.owner,
            "mode": self.mode,
            "complete_until": None if self.complete_until_us is None else format_us(self.complete_until_us),
            "behind_s": None if self.behind_us is None else self.behind_us // 1_000_000,
            "open_gaps": self.open_gaps,
            "trouble": self.trouble,
            "state": self.state,
            "last_error": self.last_error,
            "last_error_at": self.last_error_at,
            "last_end": self.last_end,
            "last_end_at": self.last_end_at,
            "waits_for": self.waits_for,
            "next_attempt": self.next_attempt,
        }


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """The findings at `at_us`; `unreachable` are replicas that did not answer, with the reason."""

    at_us: int
    members: tuple[str, ...]
    partitions: tuple[PartitionState, ...]
    connects_left: Mapping[str, Mapping[str, int]]
    unreachable: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def is_well(self) -> bool:
        """Whether every stream partition is owned and nearly up to date."""
        return not any(each.trouble for each in self.partitions)

    def as_json(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(
            {
                "at": format_us(self.at_us),
                "is_well": self.is_well,
                "members": self.members,
                "partitions": [each.as_json() for each in self.partitions],
                "connects_left": self.connects_left,
                "unreachable": self.unreachable,
                "foreign_records": len(self.foreign),
            }
        )


class FleetReader:
    """Reads the status of all replicas repeatedly, inside a `with`; `urls` are replicas to ask directly.

    Making one, and `read`, raise `DependencyUnavailableError` or `NotProvisionedError` if Kafka or the registry fails.
    """

    def __init__(self, settings: Settings, urls: Sequence[str]) -> None:
        self._names = TopicNames(settings.kafka.topic_prefix)
        self._partitions = settings.x.stream_partitions
        self._urls = urls
        self._foreign: list[str] = []
        self._cluster = Cluster(settings.kafka)
        with ExitStack() as stack:
            on_foreign = self._foreign.append
            self._coverage = stack.enter_context(CoverageTopic(settings, self._partitions, on_foreign))
            self._gaps = stack.enter_context(NewestRecords(settings, self._names.gap, read_gap, on_foreign))
            self._clients = stack.pop_all()

    def read(self) -> FleetStatus:
        """Return what there is now."""
        members = self._cluster.group_members(self._names.group)
        coverage, gaps = self._coverage.read(lambda: False), self._gaps.read(lambda: False)
        replicas, unreachable = ask_replicas(self._urls)
        at_us = wall_us()
        evidence = Evidence(
            self._owners(members), {each.partition: each for each in coverage}, gaps, tuple(replicas.values())
        )
        return FleetStatus(
            at_us=at_us,
            members=tuple(sorted(member.name for member in members)),
            partitions=tuple(judge(each, evidence, at_us) for each in self._partitions),
            connects_left={url: replica.connects_left for url, replica in replicas.items()},
            unreachable=tuple(unreachable),
            foreign=tuple(dict.fromkeys(self._foreign)),
        )

    def _owners(self, members: Collection[GroupMember]) -> dict[StreamPartition, str]:
        places = {(self._names.owner(each.stream), each.number - 1): each for each in self._partitions}
        return {places[place]: member.name for member in members for place in member.partitions if place in places}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clients.close()


def judge(partition: StreamPartition, evidence: Evidence, at_us: int) -> PartitionState:
    """Return the state of a stream partition from what is known at `at_us`."""
    owner, covered = evidence.owners.get(partition), evidence.coverage.get(partition)
    replica = next((found for each in evidence.replicas if (found := _owned(each, partition))), None)
    said = _said(replica)
    return PartitionState(
        partition=partition,
        owner=owner,
        mode=None if covered is None else covered.mode,
        complete_until_us=None if covered is None else covered.covered_until_us,
        behind_us=None if covered is None else covered.behind_us(at_us),
        open_gaps=sum(gap.partition == partition and gap.is_open for gap in evidence.gaps),
        trouble=_trouble(owner, covered, replica, at_us),
        state=said.get("state"),
        last_error=said.get("last_error"),
        last_error_at=said.get("last_error_at"),
        last_end=None if "plan" in said else said.get("last_end"),
        last_end_at=None if "plan" in said else said.get("last_end_at"),
        waits_for=said.get("waits_for"),
        next_attempt=said.get("next_attempt"),
    )


def ask_replicas(urls: Sequence[str]) -> tuple[dict[str, Replica], list[str]]:
    """Return the answer of each replica, by address, and why others did not answer."""
    found: dict[str, Replica] = {}
    unreachable = []
    for url in urls:
        try:
            parts = urlsplit(url)
            found[url] = msgspec.json.decode(ask(parts.hostname or "", parts.port or _PORT, "/status"), type=Replica)
        except DependencyUnavailableError as error:
            unreachable.append(f"{url}: {shown(str(error))}")
        except ValueError as error:
            unreachable.append(f"{url}: not a connector: {shown(str(error))}")
    return found, unreachable


def _owned(replica: Replica, partition: StreamPartition) -> ReplicaPartition | None:
    found = replica.partitions.get(str(partition))
    return None if found is None or found.state == State.NOT_OWNED.value else found


def _said(replica: ReplicaPartition | None) -> dict[str, str]:
    told = {} if replica is None else msgspec.structs.asdict(replica)
    return {name: shown(text) for name, text in told.items() if text is not None}


def _trouble(owner: str | None, covered: Covered | None, replica: ReplicaPartition | None, at_us: int) -> str | None:
    """Return the gravest problem of a stream partition, or None."""
    if owner is None:
        return "NO OWNER"
    if replica is not None and replica.state in STOPPED:
        return f"STOPPED: {replica.state}"
    if covered is None:
        return "NO COVERAGE"
    if covered.is_late(at_us):
        return "BEHIND"
    if covered.is_silent(at_us):
        return f"no update for {duration(at_us - covered.written_at_us)}"
    return f"CLOCK {duration(covered.ahead_us(at_us))} ahead" if covered.is_ahead(at_us) else None
