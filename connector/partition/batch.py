"""A transaction in the making, and one that is ready to be committed. Pure values; `state` decides what goes in."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from connector.coverage.gap import Gap
from connector.coverage.plan import Plan
from connector.coverage.recovery import Refetch
from connector.events.catalog import EventType
from connector.kafka.ledger import LedgerEntry
from connector.kafka.transaction import Record
from connector.telemetry.delays import Arrival


@dataclass(slots=True)
class PendingBatch:
    """What has been applied since the last commit."""

    records: list[Record] = field(default_factory=list)
    size_bytes: int = 0
    ids: dict[bytes, None] = field(default_factory=dict)
    letter_ids: list[bytes] = field(default_factory=list)
    received: int = 0
    duplicate: int = 0
    control: int = 0
    types: list[EventType] = field(default_factory=list)
    dead_lettered: Counter[str] = field(default_factory=Counter)
    unknown_types: Counter[str] = field(default_factory=Counter)
    unknown_fields: Counter[str] = field(default_factory=Counter)
    arrivals: list[Arrival] = field(default_factory=list)
    covers_to_us: int = 0
    ended: Plan | None = None
    gaps: list[Gap] = field(default_factory=list)
    refetches: list[Refetch] = field(default_factory=list)

    def add(self, id_: bytes, record: Record) -> None:
        """Add the record of a line, whose id is known from now on."""
        self.ids[id_] = None
        self.records.append(record)
        self.size_bytes += len(record.value)

    def ids_in_order(self) -> Iterable[bytes]:
        """Return the ids of the events, and then those of the dead letters."""
        letters = set(self.letter_ids)
        return [*(id_ for id_ in self.ids if id_ not in letters), *self.letter_ids] if letters else self.ids

    def published(self) -> Counter[str]:
        """Return the number of events of each type, by name."""
        return Counter({event_type.name: count for event_type, count in Counter(self.types).items()})


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction ready to be committed: its records, and the ledger entry that accounts for them."""

    records: Sequence[Record]
    entry: LedgerEntry
    entry_record: Record
    published: Counter[str]
    dead_lettered: Counter[str]
    unknown_types: Counter[str]
    unknown_fields: Counter[str]
    arrivals: Sequence[Arrival]
    gaps: Sequence[Gap]
    refetches: Sequence[Refetch]
    has_coverage: bool
