"""What a reader hands on, in the order in which X delivered it. Instants are microseconds since 1970 in X's time."""

from collections.abc import Sequence
from dataclasses import dataclass

from connector.coverage.plan import Lost, Plan
from connector.events.decode import LongLine
from connector.x.client import Connection


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection was granted; `lost` is what it does not reach.

    X's time may be later than its answer says by as much as that was on its way: at most `answer_us`.
    """

    connection: Connection
    plan: Plan
    at_us: int
    answer_us: int
    lost: Lost | None


@dataclass(frozen=True, slots=True)
class Received:
    """Lines read at `at_us`, as X's time is known to be at least; it is `latest_us` at most."""

    lines: Sequence[bytes | LongLine]
    at_us: int
    latest_us: int


@dataclass(frozen=True, slots=True)
class KeptAlive:
    """A keep-alive came at `at_us`; the reader had waited for it, undisturbed, since `waited_since_us`."""

    at_us: int
    waited_since_us: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The connection is over; `is_whole` says that X ended the body properly, and not within a line."""

    is_whole: bool


Delivery = Opened | Received | KeptAlive | Ended
