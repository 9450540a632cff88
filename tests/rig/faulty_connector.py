"""The real command line with at most one fault armed; run as a module in place of `connector`.

The product has no hooks: its own functions are wrapped here, and do what they do. What passes the armed place for the
n-th time first makes the marker file, then the process is killed or stopped, or the thread stands still forever.
"""

import faulthandler
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partialmethod
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer

from connector import cli
from connector.coverage.messages import EndReason, LinesRead, Message, Opened
from connector.coverage.plan import Live
from connector.events.catalog import STREAM_PARTITIONS
from connector.events.times import US_PER_S
from connector.kafka import restore
from connector.kafka.ledger import Mode
from connector.kafka.topics import TopicNames
from connector.kafka.transaction import Part, Record, TransactionalWriter
from connector.partition.batch import Transaction
from connector.partition.state import PartitionState
from connector.source.channel import Channel
from tests.rig.fault_points import GROUP_VARIABLE, Deed, Fault, Point

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
    """The client's producer; counts the events and ledger entries of its latest transaction."""

    latest: "_Producer"
    """The one that began a transaction last: a process has one at a time."""
    events = entries = 0

    def begin_transaction(self) -> None:
        """Begin, and count from there."""
        _Producer.latest = self
        self.events = self.entries = 0
        super().begin_transaction()

    def produce(self, topic: str, *arguments: Any) -> None:  # noqa: ANN401 - handed on
        """Produce, and count."""
        super().produce(topic, *arguments)
        self.events += "." in topic  # the connector's own topics, and the prefixes of stages, have none
        self.entries += topic.endswith("-ledger")


def _produce_with(kind: type[_Producer]) -> None:
    made = partialmethod(TransactionalWriter.__init__, make_producer=kind)
    TransactionalWriter.__init__ = made  # type: ignore[method-assign,assignment] # wrapped, see the module's docstring


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
    """Strike within one of the parts that hold events: those before are written as a whole, those behind not at all."""
    commit = TransactionalWriter.commit

    def half(records: Sequence[Record]) -> Iterator[Record]:
        yield from records[: len(records) // 2]
        _Producer.latest.flush(_FLUSH_S)
        wire.strike()
        yield from records[len(records) // 2 :]

    def committing(self: TransactionalWriter, parts: Sequence[Part]) -> float:
        divisible = [part for part in parts if len(part.records) > 1]
        if divisible and wire.is_hit():
            struck = divisible[len(divisible) // 2]
            halved = replace(struck, records=half(struck.records))  # type: ignore[arg-type] # it is only iterated
            parts = [halved if part is struck else part for part in parts]
        return commit(self, parts)

    _produce_with(_Producer)
    TransactionalWriter.commit = committing  # type: ignore[method-assign] # wrapped, see the module's docstring


def _at_commit(wire: Tripwire, *, is_before: bool, least_entries: int = 1) -> None:
    class Committing(_Producer):
        def commit_transaction(self, *arguments: Any) -> None:  # noqa: ANN401 - handed on
            counts = self.events > 0 and self.entries >= least_entries
            if counts and is_before:
                wire.pass_by()
            super().commit_transaction(*arguments)
            if counts and not is_before:
                wire.pass_by()

    _produce_with(Committing)


def _in_restore(wire: Tripwire) -> None:
    class Reading(Consumer):
        def poll(self, *arguments: Any) -> Any:  # noqa: ANN401 - handed on
            message = super().poll(*arguments)
            if message is not None and message.error() is None:
                wire.pass_by()
            return message

    made = partialmethod(restore.LedgerReader.__init__, make_consumer=Reading)
    restore.LedgerReader.__init__ = made  # type: ignore[method-assign,assignment] # wrapped, see the module's docstring


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
    """Return the date of an event of the simulator; None if the line is not one."""
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

    def committing(self: TransactionalWriter, parts: Sequence[Part]) -> float:
        for part in parts:
            if not part.records:  # only the first entry of all comes alone: with it nothing is due yet
                wire.pass_by()
        return commit(self, parts)

    TransactionalWriter.commit = committing  # type: ignore[method-assign] # wrapped, see the module's docstring


def _initiated(wire: Tripwire) -> None:
    """Strike after there is a producer, before the ledger is read."""
    restored = restore.LedgerReader.restore

    def restoring(self: restore.LedgerReader, known_end: int = 0, known_entry: int = 0) -> restore.Restored:
        wire.pass_by()
        return restored(self, known_end, known_entry)

    restore.LedgerReader.restore = restoring  # type: ignore[method-assign] # wrapped, see the module's docstring


_ARMING: dict[Point, Callable[[Tripwire], None]] = {
    Point.AFTER_RECEIVE: _after_receive,
    Point.AFTER_ENCODE: _after_encode,
    Point.MID_PRODUCE: _mid_produce,
    Point.BEFORE_COMMIT: lambda wire: _at_commit(wire, is_before=True),
    Point.BEFORE_FULL_COMMIT: lambda wire: _at_commit(wire, is_before=True, least_entries=len(STREAM_PARTITIONS)),
    Point.AFTER_COMMIT: lambda wire: _at_commit(wire, is_before=False),
    Point.RESTORE: _in_restore,
    Point.BACKFILL: _in_backfill,
    Point.REPLAY: _in_replay,
    Point.FIRST_COMMIT: _before_first_commit,
    Point.INITIATED: _initiated,
}


def _join(group: str) -> None:
    """Own what that consumer group assigns, whichever replica owns it by the shared one."""
    TopicNames.group = property(lambda names: f"{names.prefix}.{group}")  # type: ignore[assignment,method-assign] # wrapped


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)  # a replica that is stuck can be asked where
    if (armed := Fault.from_environment()) is not None:
        fault, marker = armed
        _ARMING[fault.point](Tripwire(fault, marker))
    if (group := os.environ.get(GROUP_VARIABLE)) is not None:
        _join(group)
    cli.main()
