"""Gives each stream partition what it commits through: the group of the process, or for a while its own group.

A stream partition whose part failed alone, for example because its ledger partition has no leader, would delay all
others with each attempt. It becomes a suspect: from its next life on it has its own producer, until it has committed
for some minutes. Two owners are kept apart by the place of an entry, whichever producer writes it.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from connector.errors import WriterLostError
from connector.events.catalog import StreamPartition
from connector.kafka.group_commit import GroupCommit
from connector.kafka.transaction import TAKEN_BY_A_TRANSACTION, Committed, Part, Record

SUSPECTED_S = 300.0
"""How long a suspect keeps its own producer, if it commits."""


class Commits:
    """The producers of a process, inside a `with`: one for all stream partitions, and one for each suspect.

    `make_group` makes a group that adds to the given suspects, and receives whether it is the common one. `monotonic_s`
    is a clock in seconds.
    """

    def __init__(
        self,
        make_group: Callable[[set[StreamPartition], bool], GroupCommit],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_group = make_group
        self._monotonic_s = monotonic_s
        self._suspects: set[StreamPartition] = set()
        self._common = make_group(self._suspects, True)  # noqa: FBT003 - as `make_group` says

    def __enter__(self) -> Self:
        self._common.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._common.close()

    def join(self, partition: StreamPartition) -> "PartitionWriter":
        """Return what a stream partition commits through until it leaves. Raises a `ConnectorError`."""
        if partition not in self._suspects:
            self._common.join()
            return PartitionWriter(partition, self._common)
        own = self._make_group(self._suspects, False)  # noqa: FBT003 - as `make_group` says
        own.start()
        try:
            own.join()
        except BaseException:
            own.close()
            raise
        until_s = self._monotonic_s() + SUSPECTED_S

        def is_trusted() -> bool:
            return self._monotonic_s() >= until_s

        return PartitionWriter(partition, self._common, own, is_trusted, partial(self._suspects.discard, partition))

    def check(self) -> None:
        """Raise `HungError` if nothing can be committed any more."""
        self._common.check()


class PartitionWriter:
    """What one stream partition commits through, from a restore on; must not be used after an error."""

    def __init__(
        self,
        partition: StreamPartition,
        common: GroupCommit,
        own: GroupCommit | None = None,
        is_trusted: Callable[[], bool] = lambda: True,
        on_trusted: Callable[[], None] = lambda: None,
    ) -> None:
        """Commit through the `common` group, but through its `own` until `is_trusted`; then call `on_trusted`."""
        self._partition = partition
        self._common = common
        self._own = own
        self._is_trusted = is_trusted
        self._on_trusted = on_trusted
        self._is_lost = False
        self.next_offset: int | None = None
        """The place of the next ledger entry; None until it is set."""

    @property
    def has_own_producer(self) -> bool:
        """Whether it commits apart from the others."""
        return self._own is not None

    def expect_entry_at(self, offset: int) -> None:
        """Set the end of the log as it was read: the first ledger entry is committed only there.

        Each later one is committed only directly after the previous one.
        """
        self.next_offset = offset

    def announce(self, due_at_s: float) -> None:
        """Announce when the next commit is due, by the group's clock: others wait a moment for it then."""
        (self._own or self._common).expect(self._partition, due_at_s)

    def commit(self, records: Sequence[Record], entry: Record) -> Committed:
        """Commit `records` and the ledger's `entry`, in one transaction with what others commit now.

        Raises `WriterLostError`: `FencedError` if the entry is out of place; and the errors of reading the ledger if
        its outcome is unclear.
        """
        if self.next_offset is None:
            raise WriterLostError("it is not known where the ledger ends")
        group = self._own or self._common
        part = Part(self._partition, records, entry, self.next_offset)
        committed = group.commit(part, lambda: not self._is_lost)
        self.next_offset = committed.ledger_offset + TAKEN_BY_A_TRANSACTION
        if self._own is not None and self._is_trusted():
            self._own.renew()  # Kafka may write a marker after its answer: the place of the next entry is after it
            self._leave_own()
            self._on_trusted()
        return committed

    def lose(self) -> None:
        """Stop starting attempts, from any thread: another process owns the stream partition."""
        self._is_lost = True

    def leave(self) -> None:
        """Stop committing."""
        self._common.leave(self._partition)
        self._leave_own()

    def _leave_own(self) -> None:
        if self._own is not None:
            self._own.close()
            self._own = None
