"""Up to which instant everything X had queued for a connection is in our hands.

Instants are microseconds since 1970 in X's time. Each rule answers a way in which a simpler one ran ahead of the truth.
"""

from collections.abc import Callable

from connector.events.times import US_PER_S

FUTURE_TOLERANCE_US = 5 * US_PER_S
"""An `event_at` further ahead of the latest that X's time can be at its receipt says nothing about time."""
MIN_WAIT_US = 5 * US_PER_S
"""A keep-alive says something only to a reader that waited at least this long for it."""
BACKFILL_QUIET_US = 60 * US_PER_S
"""A backfill is over when this long no event dated before the connect has come."""


class Watermark:
    """Moves forward from `position_us`, where the last committed entry said coverage ends.

    `is_backfill_credible` is asked once a backfill has gone quiet; while it says no, the watermark holds.
    """

    def __init__(self, position_us: int, is_backfill_credible: Callable[[], bool] = lambda: True) -> None:
        self.position_us = position_us
        self._is_backfill_credible = is_backfill_credible
        self._connected_at_us = 0
        self._last_old_us: int | None = None

    def connected(self, at_us: int, *, has_backfill: bool) -> None:
        """Begin a live connection, answered at `at_us`; with a backfill the watermark holds until that is over."""
        self._connected_at_us = at_us
        self._last_old_us = at_us if has_backfill else None

    def set_back(self, to_us: int) -> None:
        """Begin no later than at an instant: X's first answer shows that the clock it began by was ahead."""
        self.position_us = min(self.position_us, to_us)

    def advance(self, to_us: int) -> None:
        """Move to an instant known by other means: the end of a whole replay slice, or of a recorded gap."""
        self.position_us = max(self.position_us, to_us)

    def events(self, received_at_us: int, earliest_us: int, latest_us: int | None) -> None:
        """Take events read at `received_at_us`, dated `earliest_us` and later.

        `latest_us` is the latest of their dates that is credible: see `FUTURE_TOLERANCE_US`.
        """
        if self._last_old_us is not None and earliest_us < self._connected_at_us:
            self._last_old_us = max(self._last_old_us, received_at_us)
        if latest_us is not None:
            self._move(received_at_us, min(received_at_us, latest_us))

    def keep_alive(self, received_at_us: int, waited_since_us: int) -> None:
        """Take a keep-alive for which the reader waited, undisturbed and at least `MIN_WAIT_US`, since that instant."""
        self._move(received_at_us, waited_since_us)

    def _move(self, received_at_us: int, to_us: int) -> None:
        if self._last_old_us is not None:
            if received_at_us - self._last_old_us < BACKFILL_QUIET_US or not self._is_backfill_credible():
                return
            self._last_old_us = None
        self.advance(to_us)
