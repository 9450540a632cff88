"""The real command line with at most one fault armed; run as a module in place of `connector`.

The product has no hooks: its own functions are wrapped here, and do what they do. What passes the armed place for the
n-th time first makes the marker file, then the process is killed or stopped, or the thread stands still for ever.
"""

import faulthandler
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer

from connector import cli
from connector.coverage.messages import EndReason, LinesRead, Message, Opened
from connector.coverage.plan import Live
from connector.events.times import US_PER_S
from connector.kafka import restore, transaction
from connector.kafka.ledger import Mode
from connector.kafka.transaction import Committed, Record, TransactionalWriter
from connector.partition.batch import Transaction
from connector.partition.state import PartitionState
from connector.source.channel import Channel
from tests.faults.points import Deed, Fault, Point

_FLUSH_S = 5.0


class Tripwire:
    """Counts passages, and does the deed at the one that was asked for."""

    def __init__(self, fault: Fault, marker: Path) -> None:
        self._fault = fault
        self._marker = marker
        self._lock = threading.Lock()
        self._passages = 0

    def is_hit(self) -> bool:
        """Count a passage; tell whether it is the one."""
        with self._lock:
            self._passages += 1
            return self._passages == self._fault.passage

    def strike(self) -> None:
        """Leave the proof, and do the deed."""
        self._marker.write_text(self._fault.point, encoding="utf-8")
        match self._fault.deed:
            case Deed.KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            case Deed.STOP:
                os.kill(os.getpid(), signal.SIGSTOP)
            case Deed.HANG:
                threading.Event().wait()

    def pass_by(self) -> None:
        """Count a passage, and strike if it is the one."""
        if self.is_hit():
            self.strike()


class _Producer(Producer):
    """The client's producer; each thread knows the one with which it began its latest transaction."""

    latest = threading.local()

    def begin_transaction(self) -> None:
        """Begin, and record where."""
        self.latest.producer = self
        super().begin_transaction()


def _flush() -> None:
    """Have the records of this thread's transaction with the broker before the fault strikes."""
    _Producer.latest.producer.flush(_FLUSH_S)


def _after_receive(wire: Tripwire) -> None:
    take = Channel.take

    def taking(self: Channel) -> Iterator[Message]:
        for message in take(self):
            if isinstance(message, LinesRead):
                wire.pass_by()
            yield message

    Channel.take = taking  # type: ignore[method-assign] # wrapped, see the module's docstring


def _after_encode(wire: Tripwire) -> None:
    prepare = PartitionState.prepare

    def preparing(self: PartitionState, written_at_us: int) -> Transaction:
        transaction = prepare(self, written_at_us)
        if transaction.published:
            wire.pass_by()
        return transaction

    PartitionState.prepare = preparing  # type: ignore[method-assign] # wrapped, see the module's docstring


def _mid_produce(wire: Tripwire) -> None:
    commit = TransactionalWriter.commit

    def committing(self: TransactionalWriter, records: Sequence[Record], entry: Record) -> Committed:
        def half() -> Iterator[Record]:
            yield from records[: len(records) // 2]
            _flush()
            wire.strike()
            yield from records[len(records) // 2 :]

        is_hit = len(records) > 1 and wire.is_hit()
        return commit(self, half() if is_hit else records, entry)  # type: ignore[arg-type] # it is only iterated

    transaction.Producer = _Producer  # type: ignore[attr-defined] # wrapped, see the module's docstring
    TransactionalWriter.commit = committing  # type: ignore[method-assign] # wrapped, see the module's docstring


def _at_commit(wire: Tripwire, *, is_before: bool) -> None:
    class Committing(_Producer):
        def commit_transaction(self, *arguments: Any) -> None:  # noqa: ANN401 - handed on
            if is_before and wire.is_hit():
                _flush()
                wire.strike()
            super().commit_transaction(*arguments)
            if not is_before:
                wire.pass_by()

    transaction.Producer = Committing  # type: ignore[attr-defined] # wrapped, see the module's docstring


def _in_restore(wire: Tripwire) -> None:
    class Reading(Consumer):
        def poll(self, *arguments: Any) -> Any:  # noqa: ANN401 - handed on
            message = super().poll(*arguments)
            if message is not None and message.error() is None:
                wire.pass_by()
            return message

    restore.Consumer = Reading  # type: ignore[attr-defined] # wrapped, see the module's docstring


def _in_backfill(wire: Tripwire) -> None:
    """Strike after lines were applied that X emitted before the connection."""
    apply = PartitionState.apply
    opened_at_us = dict[PartitionState, int]()

    def applying(self: PartitionState, message: Message) -> EndReason | None:
        reason = apply(self, message)
        if isinstance(message, Opened):
            opened_at_us[self] = message.at.earliest_us if isinstance(message.plan, Live) else 0
        if isinstance(message, LinesRead) and isinstance(first := message.lines[0], bytes):
            date_us = _event_at_us(first)
            if date_us is not None and date_us < opened_at_us[self]:
                wire.pass_by()
        return reason

    PartitionState.apply = applying  # type: ignore[method-assign] # wrapped, see the module's docstring


def _event_at_us(line: bytes) -> int | None:
    """Return the date of an event of the simulator; None where the line is none."""
    try:
        [body] = json.loads(line)["data"].values()
        return round(datetime.fromisoformat(body["event_at"]).timestamp() * US_PER_S)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _in_replay(wire: Tripwire) -> None:
    apply = PartitionState.apply

    def applying(self: PartitionState, message: Message) -> EndReason | None:
        reason = apply(self, message)
        if isinstance(message, LinesRead) and self.mode is Mode.REPLAY:
            wire.pass_by()
        return reason

    PartitionState.apply = applying  # type: ignore[method-assign] # wrapped, see the module's docstring


def _before_first_commit(wire: Tripwire) -> None:
    commit = TransactionalWriter.commit

    def committing(self: TransactionalWriter, records: Sequence[Record], entry: Record) -> Committed:
        if not records:  # only the first entry of all comes alone: with it nothing is due yet
            wire.pass_by()
        return commit(self, records, entry)

    TransactionalWriter.commit = committing  # type: ignore[method-assign] # wrapped, see the module's docstring


def _initiated(wire: Tripwire) -> None:
    """Strike after the predecessor was fenced, before the ledger is read."""
    restored = restore.LedgerReader.restore

    def restoring(self: restore.LedgerReader, known_end: int = 0) -> restore.Restored:
        wire.pass_by()
        return restored(self, known_end)

    restore.LedgerReader.restore = restoring  # type: ignore[method-assign] # wrapped, see the module's docstring


_ARMING: dict[Point, Callable[[Tripwire], None]] = {
    Point.AFTER_RECEIVE: _after_receive,
    Point.AFTER_ENCODE: _after_encode,
    Point.MID_PRODUCE: _mid_produce,
    Point.BEFORE_COMMIT: lambda wire: _at_commit(wire, is_before=True),
    Point.AFTER_COMMIT: lambda wire: _at_commit(wire, is_before=False),
    Point.RESTORE: _in_restore,
    Point.BACKFILL: _in_backfill,
    Point.REPLAY: _in_replay,
    Point.FIRST_COMMIT: _before_first_commit,
    Point.INITIATED: _initiated,
}


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)  # a replica that is stuck can be asked where
    if (armed := Fault.from_environment()) is not None:
        fault, marker = armed
        _ARMING[fault.point](Tripwire(fault, marker))
    cli.main()
