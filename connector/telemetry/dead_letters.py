"""Dead letters, read from their headers; never their bytes, which may hold anything. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from connector.kafka.ledger import REPLAYED
from connector.kafka.reading import ReadRecord
from connector.quoting import shown

DAYS = 7
"""How far back dead letters are shown."""
MOST_RECORDS = 10_000
"""Most dead letters kept: the newest."""
_MOST_DETAIL = 120
_MOST_WORD = 40


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record of a line that could not be published; `at_us` is when Kafka took it, microseconds since 1970.

    With `is_mark` it marks a dead letter as replayed, and is not one itself.
    """

    at_us: int
    place: str
    reason: str
    detail: str
    event_id: str
    is_mark: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What all records of a dead letter have in common."""
        return self.place, self.event_id


def read_dead_letter(record: ReadRecord) -> DeadLetter:
    """Return the dead letter in the headers of a record; in a foreign one they may hold anything, or be absent.

    Raises `ForeignRecordError` if they cannot be read.
    """
    headers = record.headers

    def word(name: str, limit: int = _MOST_WORD) -> str:
        return shown(headers.get(name, b""), limit) or "not said"

    place, reason = f"{word('stream')}/{word('stream-partition')}", word("reason")
    is_mark = reason == REPLAYED and not record.value
    return DeadLetter(record.timestamp_us, place, reason, word("detail", _MOST_DETAIL), word("event-id"), is_mark)


def open_letters(records: Collection[DeadLetter], since_us: int) -> list[DeadLetter]:
    """Return the newest record since then of each dead letter not yet replayed, newest first."""
    replayed = {record.key for record in records if record.is_mark}
    newest = {record.key: record for record in records if record.at_us >= since_us and record.key not in replayed}
    return sorted(newest.values(), key=lambda letter: letter.at_us, reverse=True)


def by_reason(letters: Iterable[DeadLetter]) -> list[tuple[str, int]]:
    """Return the count for each reason, the most frequent first."""
    return Counter(letter.reason for letter in letters).most_common()
