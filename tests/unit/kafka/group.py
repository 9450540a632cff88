"""A group commit over ledgers in memory, whose transactions end as a test says."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum
from typing import cast

from connector.errors import ConnectorError, WriterLostError
from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.kafka.commits import PartitionWriter
from connector.kafka.current_writer import ReplacementCause
from connector.kafka.group_commit import GroupCommit
from connector.kafka.restore import Tail
from connector.kafka.threads import Threads
from connector.kafka.transaction import Committed, MisplacedError, Part, Record, TransactionalWriter
from tests.rig.process import wait_until

PATIENCE_S = 10.0

A, B, C = STREAM_PARTITIONS[:3]


class Records(list[Record]):
    """Records that can be watched."""


class Fate(Enum):
    """What becomes of an attempt to commit."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    ANSWER_LOST = "committed, but the answer is lost"
    NOT_WRITTEN = "nothing reached the log"


@dataclass
class Log:
    """One ledger partition: what is at each offset, None for markers and what was aborted."""

    places: list[bytes | None] = field(default_factory=list)

    def append(self, value: bytes, *, is_committed: bool) -> None:
        """Write an entry and its marker."""
        self.places += [value if is_committed else None, None]

    @property
    def committed(self) -> list[bytes]:
        """What a reader is shown."""
        return [value for value in self.places if value is not None]


class FakeKafka:
    """Ledgers, and producers whose attempts meet with `fates`, and then succeed."""

    def __init__(self) -> None:
        self.logs = {partition: Log() for partition in STREAM_PARTITIONS}
        self.fates: list[Fate | Exception] = []
        self.transactions: list[list[StreamPartition]] = []
        self.refused: set[bytes] = set()
        self.made = 0
        self.failures_to_make: list[Exception] = []
        self.tail_error: ConnectorError | None = None
        self.now_s = 1000.0
        self.attempt_takes_s = 0.1
        self.hold: Callable[[], object] = list
        self.on_read: Callable[[], object] = list
        self.polled = threading.Event()
        self.poll_error: Exception | None = None
        self.report_error: Exception | None = None
        self.replaced: list[tuple[ReplacementCause, str]] = []

    def make_writer(self) -> TransactionalWriter:
        """Make a producer."""
        if self.failures_to_make:
            raise self.failures_to_make.pop(0)
        self.made += 1
        return cast("TransactionalWriter", self)

    def poll(self) -> None:
        """Call nothing back, or fail once."""
        self.polled.set()
        if (error := self.poll_error) is not None:
            self.poll_error = None
            raise error

    def commit(self, parts: Sequence[Part]) -> float:
        """Attempt it: written are the entries of all parts, or none."""
        self.transactions.append([part.partition for part in parts])
        self.hold()
        self.now_s += self.attempt_takes_s
        misplaced = {
            part.partition: "misplaced" for part in parts if len(self.logs[part.partition].places) != part.place
        }
        fate = self.fates.pop(0) if self.fates else Fate.COMMITTED
        if isinstance(fate, Exception):
            raise fate
        if fate is Fate.NOT_WRITTEN:
            raise WriterLostError("not written")
        is_refused = any(part.entry.value in self.refused for part in parts)
        is_committed = not misplaced and not is_refused and fate is not Fate.ABORTED
        for part in parts:
            self.logs[part.partition].append(part.entry.value, is_committed=is_committed)
        if misplaced:
            raise MisplacedError(misplaced)
        if is_refused or fate is not Fate.COMMITTED:
            raise WriterLostError("refused" if is_refused else fate.value)
        return self.attempt_takes_s

    def read_tail(self, partition: StreamPartition, place: int, should_stop: Callable[[], bool]) -> Tail:
        """Return what is committed from `place` on."""
        if self.tail_error is not None:
            raise self.tail_error
        assert not should_stop()
        self.on_read()
        places = self.logs[partition].places
        found = [(offset, value) for offset, value in enumerate(places) if value is not None and offset >= place]
        return Tail(list[tuple[int, bytes | None]](found), len(places))


class Bench:
    """A group over such a Kafka, and threads that commit."""

    def __init__(self, exits: ExitStack, *failures_to_make: Exception) -> None:
        self.kafka = FakeKafka()
        self.kafka.failures_to_make += failures_to_make
        self.on_pause: Callable[[], object] = list
        self.suspects: set[StreamPartition] = set()
        self.group = self.make_group(self.suspects)
        self.group.start()
        exits.callback(self.group.close)
        self._pool = exits.enter_context(ThreadPoolExecutor(10))

    def make_group(self, suspects: set[StreamPartition], is_common: bool = True) -> GroupCommit:  # noqa: FBT001, FBT002
        """Return a group over this Kafka."""
        del is_common

        def replaced(cause: ReplacementCause, detail: str) -> None:
            if self.kafka.report_error is not None:
                raise self.kafka.report_error
            self.kafka.replaced.append((cause, detail))

        def pause(seconds: float) -> None:
            self.kafka.now_s += seconds
            self.on_pause()

        kafka = self.kafka
        return GroupCommit(kafka.make_writer, kafka.read_tail, replaced, suspects, Threads(lambda: kafka.now_s, pause))

    def writer(self, partition: StreamPartition) -> PartitionWriter:
        """Return what `partition` commits through, once there is a producer."""
        self.group.join()
        return PartitionWriter(partition, self.group)

    def join(self, *partitions: StreamPartition) -> list[PartitionWriter]:
        """Return writers that expect their first entries at the ends of the logs."""
        writers = [self.writer(partition) for partition in partitions]
        self.expect(*zip(partitions, writers, strict=True))
        return writers

    def expect(self, *writers: tuple[StreamPartition, PartitionWriter]) -> None:
        """Let writers expect their next entries at the ends of the logs."""
        for partition, writer in writers:
            writer.expect_entry_at(len(self.kafka.logs[partition].places))

    def start(self, writer: PartitionWriter, value: bytes, records: Sequence[Record] = ()) -> "Future[Committed]":
        """Commit an entry in a thread."""
        return self._pool.submit(writer.commit, records, Record("ledger", b"k", value))

    def together(self, *writers: PartitionWriter) -> "list[Future[Committed]]":
        """Have entries `0`, `1` and so on committed in one transaction, or try to."""
        for writer in writers:
            writer.announce(self.kafka.now_s)
        commits = [self.start(writer, b"%d" % number) for number, writer in enumerate(writers)]
        wait(commits, PATIENCE_S)
        assert len(self.kafka.transactions[0]) == len(writers)
        return commits

    def behind(
        self,
        first: tuple[PartitionWriter, bytes],
        *others: tuple[PartitionWriter, bytes],
        meanwhile: Callable[[], object] = list,
    ) -> "list[Future[Committed]]":
        """Hold the transaction of the first part until the others wait and `meanwhile` has been called."""
        goes_on = threading.Event()
        self.kafka.hold = goes_on.wait
        commits = [self.start(*first)]
        wait_until(lambda: bool(self.kafka.transactions), "a transaction is under way")
        commits += [self.start(*each) for each in others]
        wait_until(lambda: self.group.waiting == len(others), "the others wait")
        meanwhile()
        goes_on.set()
        wait(commits, PATIENCE_S)
        return commits

    @property
    def causes(self) -> list[ReplacementCause]:
        """Why producers were replaced."""
        return [cause for cause, _ in self.kafka.replaced]
