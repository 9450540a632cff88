"""Processes of the connector over the model of Kafka, and what must hold when they are done.

Their commits are the product's own, threads and all; this plays the stream partitions. Each has a sequence of events,
which is numbered, and whose last number its ledger entries hold.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

import msgspec

from connector.errors import (
    ConnectorError,
    DependencyUnavailableError,
    FencedError,
    OwnCorruptionError,
    WriterLostError,
)
from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.kafka import transaction
from connector.kafka.commits import Commits, PartitionWriter
from connector.kafka.current_writer import ReplacementCause
from connector.kafka.group_commit import GroupCommit
from connector.kafka.restore import STABLE_DEADLINE_S, Tail
from connector.kafka.transaction import Record, TransactionalWriter
from tests.unit.kafka.transactions.kafka import Kafka, Producer, Where
from tests.unit.kafka.transactions.turns import Turns

_PARTITIONS = STREAM_PARTITIONS[:3]
_EVENTS: Where = ("events", 0)
_COMMIT_EVERY_S = 0.2
_STAGES = 25
_TURNS_A_STAGE = 100
_FENCED_WAITS_S = (6.0, 12.0)
_CORRUPTION_WAIT_S = 60.0
_WAIT_S = 0.5


class Entry(msgspec.Struct, frozen=True):
    """A ledger entry: its number, and that of the last event it covers."""

    number: int
    last_event: int
    process: str


class Event(msgspec.Struct, frozen=True):
    """An event of a stream partition."""

    partition: str
    number: int


@dataclass(frozen=True, slots=True)
class Conduct:
    """What processes do by the product; a test replaces a part of it to see that the model notices."""

    make_writer: type[TransactionalWriter] = TransactionalWriter
    see_tail: Callable[[Tail], Tail] = lambda tail: tail


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: what is wrong in the logs, what was raised that must not be, and its trace."""

    seed: int
    problems: list[str]
    failures: list[str]
    entries: int
    trace: list[str]

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed}", *self.trace[-60:], *self.failures, *self.problems])


class _Ids:
    """Makes producers: one that cannot begin has a successor of another transactional id."""

    def __init__(self, first: str, make: Callable[[str], TransactionalWriter]) -> None:
        self._first = self._id = first
        self._make = make
        self._made = 0

    def make(self) -> TransactionalWriter:
        """Return a producer. Raises `WriterLostError`."""
        try:
            return self._make(self._id)
        except WriterLostError:
            self._made += 1
            new_id = f"{self._first}.{self._made}"
            writer = self._make(new_id)
            self._id = new_id
            return writer


class _Process:
    """Commits for the stream partitions that it believes to own, from `run` on."""

    def __init__(self, name: str, first_id: str, kafka: Kafka, conduct: Conduct) -> None:
        self.name = name
        self.owned: tuple[StreamPartition, ...] = _PARTITIONS
        self._first_id = first_id
        self._kafka = kafka
        self._turns = kafka.turns
        self._conduct = conduct
        self._groups = 0
        self._known_end: dict[StreamPartition, int] = {}
        self._writers: dict[StreamPartition, PartitionWriter] = {}

    def own(self, partitions: tuple[StreamPartition, ...]) -> None:
        """Believe to own these from now on; a thread that serves another one learns of it later than its writer."""
        self.owned = partitions
        for partition, writer in self._writers.items():
            if partition not in partitions:
                writer.lose()

    def run(self) -> None:
        """Begin, and go on until the run is over."""
        with Commits(self._make_group, self._turns.clock) as commits:
            for partition in _PARTITIONS:
                self._turns.start(str(partition), partial(self._serve, commits, partition))
            self._turns.wait(inf)

    def _make_group(self, suspects: set[StreamPartition], is_common: bool) -> GroupCommit:  # noqa: FBT001 - Commits' own
        self._groups += 1
        first_id = self._first_id if is_common else f"{self.name}-{self._groups}"
        make_producer: Any = partial(Producer, self._kafka)
        ids = _Ids(
            first_id,
            lambda name: self._conduct.make_writer({"transactional.id": name}, self._turns.clock, make_producer),
        )
        return GroupCommit(
            ids.make,
            self._read_tail,
            self._replaced,
            suspects,
            self._turns.threads,
        )

    def _replaced(self, cause: ReplacementCause, detail: str) -> None:
        self._turns.note(f"drops its producer, {cause}: {detail}")

    def _serve(self, commits: Commits, partition: StreamPartition) -> None:
        """Live one life after the other."""
        while True:
            wait_s = _WAIT_S
            if partition in self.owned:
                try:
                    self._live(commits, partition)
                except ConnectorError as error:
                    self._turns.note(f"{type(error).__name__}: {error}")
                    wait_s = self._wait_s(error)
            self._turns.pause(wait_s)

    def _wait_s(self, error: ConnectorError) -> float:
        if isinstance(error, FencedError):
            return self._turns.random.choice(_FENCED_WAITS_S)
        return _CORRUPTION_WAIT_S if isinstance(error, OwnCorruptionError) else _WAIT_S

    def _live(self, commits: Commits, partition: StreamPartition) -> None:
        """Restore, and commit while the partition is owned. Raises a `ConnectorError`."""
        writer = self._writers[partition] = commits.join(partition)
        try:
            newest = self._restore(partition, writer)
            while partition in self.owned:
                due_s = self._turns.now_s + _COMMIT_EVERY_S
                writer.announce(due_s)
                self._turns.wait(due_s)
                newest = self._commit(partition, writer, newest)
        finally:
            writer.leave()

    def _restore(self, partition: StreamPartition, writer: PartitionWriter) -> Entry:
        self._turns.step()
        found, end = self._read(partition, 0, self._log_end(partition), lambda: False)
        assert end >= self._known_end.get(partition, 0), f"{partition}: its log ends at {end}"
        newest = msgspec.json.decode(found[-1][1], type=Entry) if found else Entry(-1, 0, self.name)
        self._turns.note(f"restored up to {end}, {newest}")
        writer.expect_entry_at(end)
        return newest

    def _commit(self, partition: StreamPartition, writer: PartitionWriter, newest: Entry) -> Entry:
        """Commit some events and the next entry, and return it."""
        last = newest.last_event + self._turns.random.randint(0, 3)
        events = [Event(str(partition), number) for number in range(newest.last_event + 1, last + 1)]
        entry = Entry(newest.number + 1, last, self.name)
        records = [Record(_EVENTS[0], b"", msgspec.json.encode(event)) for event in events]
        number = partition.ledger_partition
        committed = writer.commit(records, Record("ledger", b"", msgspec.json.encode(entry), None, number))
        self._turns.note(f"committed at {committed.ledger_offset}, {entry}")
        self._known_end[partition] = committed.ledger_offset + transaction.TAKEN_BY_A_TRANSACTION
        return entry

    def _log_end(self, partition: StreamPartition) -> int:
        return self._kafka.log(_ledger(partition)).end

    def _read_tail(self, partition: StreamPartition, place: int, should_stop: Callable[[], bool]) -> Tail:
        self._turns.step()
        end = self._log_end(partition)
        if end <= place:
            return Tail([], end)
        found, end = self._read(partition, place, end, should_stop)
        return self._conduct.see_tail(Tail([*found], end))

    def _read(
        self, partition: StreamPartition, start: int, end: int, should_stop: Callable[[], bool]
    ) -> tuple[list[tuple[int, bytes]], int]:
        """Return what is committed from `start` to `end`, and where the log ends once nothing is open before `end`."""
        log = self._kafka.log(_ledger(partition))
        until_s = self._turns.now_s + STABLE_DEADLINE_S
        while True:
            self._turns.step()
            if log.stable_end >= end:
                committed = log.committed()
                reached = next((offset for offset, _ in committed if offset >= end), log.stable_end)
                return [(offset, value) for offset, value in committed if start <= offset < end], reached
            if should_stop():
                raise DependencyUnavailableError("stopped while reading")
            if self._turns.now_s > until_s:
                raise OwnCorruptionError("a transaction stays open")


def _ledger(partition: StreamPartition) -> Where:
    return "ledger", partition.ledger_partition


def play(seed: int, conduct: Conduct | None = None) -> Outcome:
    """Let one to three processes commit, and Kafka then finish what is under way."""
    turns = Turns(seed)
    kafka = Kafka(turns)
    is_one_id = turns.random.random() < 0.3
    processes = [
        _Process(f"process-{number}", "id" if is_one_id else f"id-{number}", kafka, conduct or Conduct())
        for number in range(turns.random.randint(1, 3))
    ]
    for process in processes:
        turns.start("main", process.run, process.name)
    turns.meanwhile = lambda: _act(kafka)
    _play_stages(kafka, processes)
    turns.end()
    kafka.is_faulty = False
    for _ in range(300):
        turns.now_s += 1
        for _ in range(30):
            kafka.act()
    problems = [problem for partition in _PARTITIONS for problem in _problems(kafka, partition)]
    entries = sum(len(kafka.log(_ledger(partition)).committed()) for partition in _PARTITIONS)
    return Outcome(seed, problems, turns.failures, entries, turns.trace)


def _act(kafka: Kafka) -> None:
    for _ in range(kafka.turns.random.randint(0, 3)):
        kafka.act()


def _play_stages(kafka: Kafka, processes: list[_Process]) -> None:
    """Let partitions move between the processes, or all believe to own all; now and then one is offline."""
    turns = kafka.turns
    is_moving = turns.random.random() < 0.5
    for _ in range(_STAGES):
        for process in processes:
            if is_moving:
                process.own(tuple(partition for partition in _PARTITIONS if turns.random.random() < 0.5))
                if turns.random.random() < 0.1:
                    turns.hold(process.name)
        if turns.random.random() < 0.05:
            where = turns.random.choice([_EVENTS, *map(_ledger, _PARTITIONS)])
            kafka.log(where).offline_until_s = turns.now_s + turns.random.choice([1.0, 8.0, 30.0])
            turns.note(f"{where} is offline until {kafka.log(where).offline_until_s:.1f}")
        turns.play(_TURNS_A_STAGE)


def _problems(kafka: Kafka, partition: StreamPartition) -> list[str]:
    """Return where the entries are no chain, or the events not those that the last one covers, each once."""
    problems: list[str] = []
    before: Entry | None = None
    for offset, value in kafka.log(_ledger(partition)).committed():
        entry = msgspec.json.decode(value, type=Entry)
        if before is not None and (entry.number != before.number + 1 or entry.last_event < before.last_event):
            problems.append(f"{partition}: at {offset} {entry} follows {before}")
        before = entry
    events = [msgspec.json.decode(value, type=Event) for _, value in kafka.log(_EVENTS).committed()]
    found = Counter(event.number for event in events if event.partition == str(partition))
    covered = Counter(range(1, before.last_event + 1 if before else 1))
    if found != covered:
        more, less = dict(found - covered), sorted(covered - found)
        problems.append(f"{partition}: events that stand too often {more}, and not at all {less}")
    return problems
