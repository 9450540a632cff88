"""One transaction for all that a process owns: stream partitions submit their parts, one thread commits them together.

Databases call this a group commit. While a transaction is being committed, the parts for the next one gather; a
transaction that is due waits a moment for all parts that are due at the same time.

A failed transaction fails as few stream partitions as possible. A new producer ends what the old one left open; then
the tail of each ledger shows whether its part was committed. A part that was not is retried alone, so that a record
that Kafka refuses, or an entry that is out of place, affects only its own stream partition. A partition whose part
failed alone commits through its own producer when it restarts, and no longer delays the others.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Protocol

from connector.errors import FencedError, HungError, WriterLostError
from connector.events.catalog import StreamPartition
from connector.kafka.current_writer import CurrentWriter, ReplacementCause
from connector.kafka.restore import Tail
from connector.kafka.threads import THREADS, Threads
from connector.kafka.transaction import (
    Committed,
    MisplacedError,
    Part,
    TransactionalWriter,
    UndeliveredError,
)

GATHER_S = 0.05
"""How long a transaction waits for other parts that are due as well."""
RESOLVE_S = 20.0
"""How long after its beginning the parts of a failed transaction are still resolved.

After that a stream partition restores, which resolves it in any case.
"""
_IDLE_POLL_S = 1.0
"""How often an idle producer is polled: its statistics queue up until then."""
_CLOSED = "the process ends"
_LOST = "the consumer group no longer counts this process as the owner"


class ReadTail(Protocol):
    """Reads the end of a ledger."""

    def __call__(self, partition: StreamPartition, place: int, should_stop: Callable[[], bool]) -> Tail:
        """Return what is committed at `place` and beyond. Raises a `ConnectorError`, also when asked to stop."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A part to be committed, as long as it `is_wanted`."""

    part: Part
    is_wanted: Callable[[], bool]
    done: Future[Committed]

    def refuse(self) -> bool:
        """Fail the part if another process may own its stream partition by now; return whether it may."""
        if self.is_wanted():
            return False
        self.done.set_exception(WriterLostError(_LOST))
        return True


class GroupCommit:
    """Commits parts in its own thread, from `start` to `close`.

    `make_writer` and `read_tail` raise a `ConnectorError`; `on_replaced` receives why a producer was replaced, and the
    details. The stream partitions whose part failed alone are added to `suspects`.
    """

    def __init__(
        self,
        make_writer: Callable[[], TransactionalWriter],
        read_tail: ReadTail,
        on_replaced: Callable[[ReplacementCause, str], None],
        suspects: set[StreamPartition],
        threads: Threads = THREADS,
    ) -> None:
        self._threads = threads
        self._monotonic_s = threads.monotonic_s
        self._writer = CurrentWriter(make_writer, on_replaced, threads)
        self._read_tail = read_tail
        self._suspects = suspects
        self._changed = threads.condition()
        self._parts: deque[_Waiting] = deque()
        self._openings: list[Future[None]] = []
        self._is_outdated = False
        self._due_at_s: dict[StreamPartition, float] = {}
        self._is_closed = False
        self._has_died = False

    def start(self) -> None:
        """Start the thread."""
        self._threads.start("group-commit", self._run)

    def check(self) -> None:
        """Raise `HungError` if the thread has died."""
        if self._has_died:
            raise HungError("the thread that commits has died")

    def close(self) -> None:
        """Stop committing; an attempt under way is finished, waiting and unresolved parts fail."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    @property
    def waiting(self) -> int:
        """The number of parts that wait for the next transaction."""
        return len(self._parts)

    def join(self) -> None:
        """Wait until there is a producer. Raises a `ConnectorError` if none can be made."""
        self._replace_writer(is_outdated=False)

    def renew(self) -> None:
        """Replace the producer, so that Kafka has written the last marker of the old one. Raises a `ConnectorError`."""
        self._replace_writer(is_outdated=True)

    def _replace_writer(self, *, is_outdated: bool) -> None:
        opening: Future[None] = self._threads.future()
        with self._changed:
            self._check_open()
            self._is_outdated |= is_outdated
            self._openings.append(opening)
            self._changed.notify()
        opening.result()

    def leave(self, partition: StreamPartition) -> None:
        """Stop waiting for `partition`."""
        with self._changed:
            self._due_at_s.pop(partition, None)

    def expect(self, partition: StreamPartition, due_at_s: float) -> None:
        """Expect a part of `partition` at that time."""
        with self._changed:
            self._due_at_s[partition] = due_at_s

    def commit(self, part: Part, is_wanted: Callable[[], bool] = lambda: True) -> Committed:
        """Commit a part together with others. Raises `WriterLostError`, and any error of finding out what became of it.

        An attempt begins only while `is_wanted()`: a later one would take the place of the next owner's entry.
        """
        waiting = _Waiting(part, is_wanted, self._threads.future())
        with self._changed:
            self._check_open()
            self._due_at_s.pop(part.partition, None)
            self._parts.append(waiting)
            if len(self._parts) == 1 or not self._is_someone_due():
                self._changed.notify()
        return waiting.done.result()

    def _check_open(self) -> None:
        if self._is_closed:
            raise WriterLostError(_CLOSED)

    def _run(self) -> None:
        """Make a producer, which ends what an earlier run of the process left open, and commit until closed."""
        try:
            self._writer.make()
            while self._await_work():
                self._work()
        finally:
            self._has_died = not self._is_closed
            self._fail_all()

    def _work(self) -> None:
        openings, group = self._take()
        if group:
            self._commit(group)
        if openings:
            self._open(openings)

    def _await_work(self) -> bool:
        """Wait until there is something to do and all parts that are due have arrived; return False when closed."""
        while not self._wait_for_work():
            self._writer.poll()
        with self._changed:
            until_s = self._monotonic_s() + GATHER_S
            while not self._is_closed and self._is_someone_due() and (left_s := until_s - self._monotonic_s()) > 0:
                self._changed.wait(left_s)
            return not self._is_closed

    def _wait_for_work(self) -> bool:
        """Wait a little for something to do; return whether there is."""
        with self._changed:
            if not (self._parts or self._openings or self._is_closed):
                self._changed.wait(_IDLE_POLL_S)
            return bool(self._parts or self._openings or self._is_closed)

    def _is_someone_due(self) -> bool:
        """Whether a part is due by now; one that is overdue by `GATHER_S` is not waited for."""
        now_s = self._monotonic_s()
        return any(now_s - GATHER_S < due_s <= now_s for due_s in self._due_at_s.values())

    def _take(self) -> tuple[list[Future[None]], list[_Waiting]]:
        """Take the waiting parts, at most one for each stream partition: that of an earlier worker may wait, too."""
        with self._changed:
            openings, self._openings = self._openings, []
            group: dict[StreamPartition, _Waiting] = {}
            later: deque[_Waiting] = deque()
            for waiting in self._parts:
                if waiting.refuse():
                    continue
                if waiting.part.partition in group:
                    later.append(waiting)
                else:
                    group[waiting.part.partition] = waiting
            self._parts = later
            return openings, list(group.values())

    def _fail_all(self) -> None:
        with self._changed:
            self._is_closed = True
            error = WriterLostError(_CLOSED)
            for waiting in self._parts:
                waiting.done.set_exception(error)
            for opening in self._openings:
                opening.set_exception(error)

    def _open(self, openings: Iterable[Future[None]]) -> None:
        if self._is_outdated:
            self._writer.drop()
            self._is_outdated = False
        self._writer.make()
        for opening in openings:
            if self._writer.is_there:
                opening.set_result(None)
            else:
                opening.set_exception(self._writer.loss())

    def _commit(self, group: Sequence[_Waiting]) -> None:
        """Commit all parts at once; if that fails, resolve each alone. Then make a producer for what is next."""
        until_s = self._monotonic_s() + RESOLVE_S
        self._make_writer(until_s, group)
        if group := [waiting for waiting in group if not waiting.refuse()]:
            self._attempt(group, until_s)
            self._make_writer(until_s, group)

    def _make_writer(self, until_s: float, group: Sequence[_Waiting]) -> None:
        """Make a producer if there is none, unless all parts are lost: it would fence who has our transactional id."""
        self._writer.make_until(until_s, lambda: self._is_closed or not any(waiting.is_wanted() for waiting in group))

    def _attempt(self, group: Sequence[_Waiting], until_s: float) -> None:
        began_s = self._monotonic_s()
        try:
            duration_s = self._writer.commit([waiting.part for waiting in group])
        except Exception as error:  # noqa: BLE001 - whatever it was, it may be the matter of one part
            self._clear_up(group, error.with_traceback(None), began_s, until_s)
        else:
            for waiting in group:
                waiting.done.set_result(Committed(waiting.part.place, duration_s))

    def _clear_up(self, group: Sequence[_Waiting], error: Exception, began_s: float, until_s: float) -> None:
        """Answer each part of a failed transaction: fenced, out of place, the one that blocked it, or resolved."""
        if self._writer.is_fenced:
            for waiting in group:
                waiting.done.set_exception(self._writer.loss())
        elif isinstance(error, MisplacedError):
            for waiting in group:
                if (detail := error.misplaced.get(waiting.part.partition)) is not None:
                    waiting.done.set_exception(FencedError(detail))
        elif isinstance(error, UndeliveredError):
            self._isolate([waiting for waiting in group if waiting.part.partition in error.partitions], group)
        self._resolve([waiting for waiting in group if not waiting.done.done()], began_s, until_s)

    def _isolate(self, late: Sequence[_Waiting], group: Sequence[_Waiting]) -> None:
        """Fail the parts that alone blocked a transaction: retrying them would delay all others."""
        if len(late) < len(group):
            for waiting in late:
                self._suspects.add(waiting.part.partition)
                waiting.done.set_exception(UndeliveredError([waiting.part.partition]))

    def _resolve(self, group: Iterable[_Waiting], began_s: float, until_s: float) -> None:
        """Find out whether each part was committed, and commit those that were not."""
        for waiting in group:
            try:
                offset = self._resolve_one(waiting, until_s)
                waiting.done.set_result(Committed(offset, self._monotonic_s() - began_s))
            except Exception as error:  # noqa: BLE001 - the waiting committer needs the outcome, whatever failed
                waiting.done.set_exception(error)

    def _resolve_one(self, waiting: _Waiting, until_s: float) -> int:
        """Return the offset of the entry of a part, once it is committed."""
        part = waiting.part
        self._make_writer(until_s, [waiting])
        if self._writer.is_fenced:
            raise self._writer.loss()
        self._check_wanted(waiting)
        if not self._writer.is_there or self._monotonic_s() >= until_s:
            reason = self._writer.loss()
            raise WriterLostError(f"the outcome of the transaction was not known within {RESOLVE_S:.0f} s: {reason}")
        tail = self._read_tail(part.partition, part.place, lambda: self._monotonic_s() >= until_s)
        if tail.entries:
            if tail.entries[0] == (part.place, part.entry.value):
                return part.place
            raise FencedError(f"the ledger of {part.partition} has an entry of another writer from {part.place} on")
        if tail.end < part.place:
            raise WriterLostError(f"the ledger of {part.partition} is known up to {part.place}, but ends at {tail.end}")
        self._check_wanted(waiting)
        try:
            self._writer.commit([replace(part, place=tail.end)])
        except MisplacedError as error:
            raise FencedError(str(error)) from error
        except FencedError:
            raise
        except Exception:
            self._suspects.add(part.partition)
            raise
        return tail.end

    def _check_wanted(self, waiting: _Waiting) -> None:
        """Raise `WriterLostError` if no attempt may begin any more: the process ends, or may not own the partition."""
        if self._is_closed:
            raise WriterLostError(_CLOSED)
        if not waiting.is_wanted():
            raise WriterLostError(_LOST)
