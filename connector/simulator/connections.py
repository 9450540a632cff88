"""Owns who is connected: one live connection for each stream partition, a few replays, and what each was given."""

import threading
from collections import Counter
from dataclasses import dataclass

import msgspec

from connector.events.catalog import StreamPartition
from connector.simulator.faults import Mode

_PATIENCE_S = 1.0
_REMEMBERED = 10_000


class Connection(msgspec.Struct, frozen=True):
    """A stream connection as it stood when asked for.

    `opened_at` and `ended_at` are simulated ns. `lines` were handed to the socket whole, duplicates included; those of
    the last write count only once all of it was taken. `backfill_minutes` is 0 for none. `ended` is None while it
    lasts, then `client-gone`, `slow-reader`, `replayed`, or the kind of the fault.
    """

    stream: str
    partition: int
    mode: Mode
    backfill_minutes: int
    opened_at: int
    lines: int
    ended_at: int | None
    ended: str | None


@dataclass(slots=True, eq=False)
class Slot:
    """A connection's place; `lines` is counted up by the thread that delivers."""

    partition: StreamPartition
    mode: Mode
    backfill_minutes: int
    opened_at: int
    lines: int = 0
    ended_at: int | None = None
    ended: str | None = None


class Connections:
    """All stream connections, those that ended included."""

    def __init__(self, replay_limit: int) -> None:
        self._limits: dict[Mode, int] = {"live": 1, "replay": replay_limit}
        self._changed = threading.Condition()
        self._slots: list[Slot] = []

    def claim(self, slot: Slot) -> bool:
        """Take a place; False when none gets free within the moment it takes to notice that a client is gone."""
        with self._changed:
            free = self._changed.wait_for(lambda: self._has_place(slot), _PATIENCE_S)
            if free:
                self._slots.append(slot)
                if len(self._slots) > _REMEMBERED and self._slots[0].ended is not None:
                    del self._slots[0]
            return free

    def _has_place(self, wanted: Slot) -> bool:
        rivals = sum(
            slot.ended is None and slot.partition == wanted.partition and slot.mode == wanted.mode
            for slot in self._slots
        )
        return rivals < self._limits[wanted.mode]

    def release(self, slot: Slot, ended: str, ended_at: int) -> None:
        """Give the place back."""
        with self._changed:
            slot.ended, slot.ended_at = ended, ended_at
            self._changed.notify_all()

    def snapshot(self) -> list[Connection]:
        """Return all connections as they stand, in the order they were opened."""
        with self._changed:
            return [
                Connection(
                    stream=slot.partition.stream,
                    partition=slot.partition.number,
                    mode=slot.mode,
                    backfill_minutes=slot.backfill_minutes,
                    opened_at=slot.opened_at,
                    lines=slot.lines,
                    ended_at=slot.ended_at,
                    ended=slot.ended,
                )
                for slot in self._slots
            ]

    def endings(self) -> Counter[str]:
        """Return how many connections ended for each reason."""
        return Counter(connection.ended for connection in self.snapshot() if connection.ended is not None)
