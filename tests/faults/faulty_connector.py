"""The real command line with at most one fault armed; run as a module in place of `connector`.

The product has no hooks: its own functions are wrapped here, and do what they do. Whoever passes the armed place for
the n-th time first makes the marker file, then the process is killed or stopped, or the thread stands still for ever.
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

from connector import cli
from connector.coverage.messages import EndReason, LinesRead, Message, Opened
from connector.coverage.plan import Live
from connector.events.times import US_PER_S
from connector.kafka import restore
from connector.kafka.ledger import Mode
from connector.kafka.transaction import Committed, Record, TransactionalWriter
from connector.partition.batch import Transaction
from connector.partition.state import PartitionState
from connector.source.channel import Channel
from tests.faults.points import Deed, Fault, Point

_FLUSH_S = 5.0
_COMMIT = "commit_transaction"


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


def _flush(writer: TransactionalWriter) -> None:
    writer._producer.flush(_FLUSH_S)  # noqa: SLF001 - the records are to be with the broker when the fault strikes


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
            _flush(self)
            wire.strike()
            yield from records[len(records) // 2 :]

        is_hit = len(records) > 1 and wire.is_hit()
        return commit(self, half() if is_hit else records, entry)  # type: ignore[arg-type] # it is only iterated

    TransactionalWriter.commit = committing  # type: ignore[method-assign] # wrapped, see the module's docstring


def _at_commit(wire: Tripwire, *, is_before: bool) -> None:
    resume = TransactionalWriter._resume  # noqa: SLF001 - the one place that calls `commit_transaction`

    def resuming(self: TransactionalWriter, name: str, *arguments: Any) -> None:  # noqa: ANN401 - handed on
        if name == _COMMIT and is_before and wire.is_hit():
            _flush(self)
            wire.strike()
        resume(self, name, *arguments)
        if name == _COMMIT and not is_before:
            wire.pass_by()

    TransactionalWriter._resume = resuming  # type: ignore[assignment, method-assign] # noqa: SLF001 - as above


def _in_restore(wire: Tripwire) -> None:
    read = restore.LedgerReader._read  # noqa: SLF001 - the one place where entries come from

    def reading(self: restore.LedgerReader, *arguments: Any) -> Any:  # noqa: ANN401 - handed on
        for entry in read(self, *arguments):
            wire.pass_by()
            yield entry

    restore.LedgerReader._read = reading  # type: ignore[assignment, method-assign] # noqa: SLF001 - as above


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
