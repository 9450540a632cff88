"""What crosses between a reader and its committer, as values of tests."""

from connector.coverage.messages import LinesRead, Opened, Reading
from connector.coverage.plan import Live, Plan
from connector.coverage.recovery import MINUTE_US
from connector.events.times import US_PER_S
from connector.kafka.ledger import first_entry
from connector.kafka.restore import OffsetEntry
from connector.partition.state import PartitionState
from tests.unit.partition.fakes import PARTITION, builder
from tests.unit.x.fakes import NOW_US

WINDOW_US = 15 * MINUTE_US


def reading(at_us: int = NOW_US) -> Reading:
    """Return a look at clocks that agree; X cuts its time to the second."""
    return Reading(at_us, at_us + US_PER_S, at_us + US_PER_S, at_us, at_us)


def opened(plan: Plan | None = None, at_us: int = NOW_US) -> Opened:
    """Return the opening of a connection, live without backfill unless said otherwise."""
    return Opened(plan or Live(0), reading(at_us), 0)


def lines_read(*lines: bytes, at_us: int = NOW_US) -> LinesRead:
    """Return lines that were read at once."""
    return LinesRead(lines, reading(at_us))


def new_state(covered_until_us: int = NOW_US, *restored: OffsetEntry) -> PartitionState:
    """Return the state of a new partition, or of what was restored."""
    first = OffsetEntry(0, first_entry(PARTITION, "w", covered_until_us))
    return PartitionState(PARTITION, builder(), "w", restored or [first], window_us=WINDOW_US)
