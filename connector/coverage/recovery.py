"""What the next connection must know of earlier ones: one value, committed with every ledger entry. Pure.

Owns what follows from a replay that was interrupted, contradicts known events, or never ends. Must not know sessions,
sockets or Kafka. Instants are microseconds since 1970 in X's time, durations are microseconds.
"""

from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from connector.coverage.gap import Gap, GapCause, Suspicion
from connector.events.times import US_PER_S

MINUTE_US = 60 * US_PER_S
SLICE_US = 15 * MINUTE_US
SHORTEST_SLICE_US = MINUTE_US
TRIES_AT_SHORTEST = 3
PATIENCE_US = 5 * MINUTE_US
"""How long the same range is tried before it is given up: incidents at X pass."""
PATIENCE_WITH_NOTHING_US = 30 * MINUTE_US
"""The same if not a line came: then X delivers nothing at all, and the range is not at fault."""
LATENESS_LIMIT_US = 5 * MINUTE_US
"""X may emit an event this long after its `event_at`; later ones are stragglers, which no overlap can wait for."""
LATENESS_KEPT_US = 60 * MINUTE_US


class Range(msgspec.Struct, frozen=True):
    """A time range from `start_us`, included, to `end_us`, excluded."""

    start_us: int
    end_us: int


class Refetch(msgspec.Struct, frozen=True):
    """A time range whose completeness is in doubt, to be requested again before anything else."""

    start_us: int
    end_us: int
    suspicion: Suspicion


class Recovery(msgspec.Struct, frozen=True, omit_defaults=True):
    """What recovery has learned, from connection to connection and from process to process.

    `slice_us` is how much new time the next replay may ask for; `tries` counts its interruptions, the first of them at
    `trying_since_us`, and `lost_in_row` the ranges given up since the last whole slice. `last_slice` is the whole slice
    that coverage ends with, and the empty ones before it, while a later event may still show that it was incomplete;
    `is_last_refetched` whether it was a refetch. `settled_us` is the coverage when it ended, `settled_at_us` when X
    had answered it. `lateness_us` is the longest time from an event's date to its emission in
    the hour since `lateness_since_us` and in the one before it, `lateness_lately_us` in this hour alone.
    """

    refetch: Refetch | None = None
    slice_us: int = SLICE_US
    tries: int = 0
    trying_since_us: int = 0
    lost_in_row: int = 0
    last_slice: Range | None = None
    is_last_refetched: bool = False
    settled_us: int = 0
    settled_at_us: int = 0
    distrusts_replay: bool = False
    distrusts_backfill: bool = False
    lateness_us: int = 0
    lateness_lately_us: int = 0
    lateness_since_us: int = 0

    def as_text(self) -> str:
        """Return the value as JSON, for the ledger."""
        return msgspec.json.encode(self).decode()

    @staticmethod
    def from_text(text: str | None) -> "Recovery":
        """Return the value in a ledger entry; an entry without one gives the defaults. Raises `ValueError`."""
        if text is None:
            return Recovery()
        try:
            return msgspec.json.decode(text, type=Recovery)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(f"recovery: {error}") from error

    @property
    def latest_us(self) -> int:
        """The latest of all instants in it; 0 without any."""
        ranges = (self.refetch, self.last_slice)
        ends_us = (each.end_us for each in ranges if each is not None)
        return max(*ends_us, self.trying_since_us, self.settled_us, self.settled_at_us, self.lateness_since_us, 0)

    def late(self, lateness_us: int, now_us: int) -> "Recovery":
        """Record that an event was emitted `lateness_us` after its date; the largest of the last hour counts.

        An hour begins with the first late event after the end of the previous one.
        """
        if now_us - self.lateness_since_us < LATENESS_KEPT_US:
            before_us, lately_us, since_us = self.lateness_us, self.lateness_lately_us, self.lateness_since_us
        else:
            before_us, lately_us, since_us = self.lateness_lately_us, 0, now_us
        return replace(
            self,
            lateness_us=max(lateness_us, before_us),
            lateness_lately_us=max(lateness_us, lately_us),
            lateness_since_us=since_us,
        )

    def caught_up(self) -> "Recovery":
        """Forget interruptions: a live connection has brought what the replays were to bring."""
        return replace(self, slice_us=SLICE_US, tries=0, trying_since_us=0, lost_in_row=0)

    def suspected(self, start_us: int, end_us: int, suspicion: Suspicion) -> "Recovery":
        """Request a time range again."""
        return replace(self, refetch=Refetch(start_us, end_us, suspicion), last_slice=None)

    def without_refetch(self) -> tuple["Recovery", list[Gap]]:
        """Give up the range in doubt: it is out of reach, or X no longer grants replays; return its gap."""
        if self.refetch is None:
            return self, []
        gap = Gap(self.refetch.start_us, self.refetch.end_us, GapCause(self.refetch.suspicion.value))
        return replace(self, refetch=None), [gap]


NOTHING_LEARNED = Recovery()
"""The initial value of a stream partition."""


class Asked(NamedTuple):
    """A replay that has ended: the range requested, where it becomes new, and when X had answered it."""

    start_us: int
    end_us: int
    covered_until_us: int
    is_refetch: bool
    answered_us: int

    def gaps(self, cause: GapCause) -> list[Gap]:
        """Return the gap left by giving up this replay: the part beyond coverage, if any."""
        start_us = self.start_us if self.is_refetch else max(self.start_us, self.covered_until_us)
        return [Gap(start_us, self.end_us, cause)] if start_us < self.end_us else []


class Settled(NamedTuple):
    """What follows from a replay: the new recovery, how far coverage reaches, and the gaps to record."""

    recovery: Recovery
    covered_until_us: int
    gaps: list[Gap]


def whole(recovery: Recovery, asked: Asked, *, has_brought: bool) -> Settled:
    """Accept a replay as complete: it ended properly, within its bounds, and contradicts no known event.

    One that brought events of its range shows that X replays the requested range again, and vouches for the slice
    before it. An empty one vouches for nothing: both are in doubt together from then on.
    """
    covered_us = max(asked.covered_until_us, asked.end_us)
    before = None if has_brought else recovery.last_slice
    recovery = replace(
        _past(recovery, asked, covered_us),
        slice_us=min(SLICE_US, 2 * recovery.slice_us),
        tries=0,
        trying_since_us=0,
        lost_in_row=0,
        last_slice=Range(min(asked.start_us, before.start_us) if before else asked.start_us, asked.end_us),
        is_last_refetched=asked.is_refetch or (before is not None and recovery.is_last_refetched),
        distrusts_replay=recovery.distrusts_replay and not has_brought,
    )
    return Settled(recovery, covered_us, [])


def interrupted(recovery: Recovery, asked: Asked, now_us: int, *, has_brought: bool) -> Settled:
    """Ask for less after a replay that was interrupted while it brought lines; give up the shortest after some tries.

    Rests on the count and the time alone: what X has not delivered in `TRIES_AT_SHORTEST` tries and `PATIENCE_US` is
    recorded as a gap, and the rest continues. Each range given up in a row is twice as long as the previous one.
    """
    since_us = min(recovery.trying_since_us or now_us, now_us)  # X's time may have been set back since
    recovery = replace(recovery, tries=recovery.tries + 1, trying_since_us=since_us)
    is_first = recovery.lost_in_row == 0
    if is_first and has_brought and recovery.slice_us > SHORTEST_SLICE_US:
        shorter_us = max(SHORTEST_SLICE_US, recovery.slice_us // 2)
        return Settled(replace(recovery, slice_us=shorter_us, tries=0), asked.covered_until_us, [])
    patience_us = PATIENCE_US if has_brought else PATIENCE_WITH_NOTHING_US
    if recovery.tries < TRIES_AT_SHORTEST or now_us - since_us < patience_us:
        return Settled(recovery, asked.covered_until_us, [])
    if is_first and recovery.slice_us > SHORTEST_SLICE_US:
        return Settled(replace(recovery, slice_us=SHORTEST_SLICE_US), asked.covered_until_us, [])
    return _give_up(recovery, asked, slice_us=min(SLICE_US, 2 * recovery.slice_us))


def doubted(recovery: Recovery, asked: Asked, suspicion: Suspicion) -> Settled:
    """Request a replay again that contradicts known events; the second time it becomes a gap.

    While replays are distrusted, because one was in doubt twice, the first time is enough: X would only repeat itself.
    """
    if not asked.is_refetch and not recovery.distrusts_replay:
        return Settled(recovery.suspected(asked.start_us, asked.end_us, suspicion), asked.covered_until_us, [])
    cause = GapCause((recovery.refetch.suspicion if recovery.refetch else suspicion).value)
    covered_us = max(asked.covered_until_us, asked.end_us)
    recovery = replace(_past(recovery, asked, covered_us), distrusts_replay=True, last_slice=None)
    return Settled(recovery, covered_us, asked.gaps(cause))


def _give_up(recovery: Recovery, asked: Asked, *, slice_us: int) -> Settled:
    suspicion = recovery.refetch.suspicion if asked.is_refetch and recovery.refetch else None
    cause = GapCause(suspicion.value) if suspicion else GapCause.REPLAY_INTERRUPTED
    covered_us = max(asked.covered_until_us, asked.end_us)
    recovery = replace(
        _past(recovery, asked, covered_us),
        slice_us=slice_us,
        tries=0,
        trying_since_us=0,
        lost_in_row=recovery.lost_in_row + 1,
        last_slice=None,
    )
    return Settled(recovery, covered_us, asked.gaps(cause))


def _past(recovery: Recovery, asked: Asked, covered_us: int) -> Recovery:
    """Move on past a replay: the rest of a refetch begins where the replay ended."""
    refetch = recovery.refetch
    if asked.is_refetch and refetch is not None:
        is_over = asked.end_us >= refetch.end_us
        refetch = None if is_over else replace(refetch, start_us=asked.end_us)
    return replace(recovery, refetch=refetch, settled_us=covered_us, settled_at_us=asked.answered_us)
