"""Dead letters as their headers have them; never their bytes, which may hold anything. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from connector.kafka.reading import ReadRecord
from connector.quoting import shown

_MOST_DETAIL = 120
_MOST_WORD = 40


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A line that could not be published; `at_us` is when Kafka took it, microseconds since 1970."""

    at_us: int
    place: str
    reason: str
    detail: str
    event_id: str


def read_dead_letter(record: ReadRecord) -> DeadLetter:
    """Return what the headers of a record say; one that another has written may say anything, or nothing."""
    headers = record.headers

    def word(name: str, limit: int = _MOST_WORD) -> str:
        return shown(headers.get(name, b""), limit) or "not said"

    place = f"{word('stream')}/{word('stream-partition')}"
    return DeadLetter(record.timestamp_us, place, word("reason"), word("detail", _MOST_DETAIL), word("event-id"))


def by_reason(letters: Iterable[DeadLetter]) -> list[tuple[str, int]]:
    """Return how many there are of each reason, the most frequent first."""
    return Counter(letter.reason for letter in letters).most_common()
