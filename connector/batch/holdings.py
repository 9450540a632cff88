"""Reads the ids on the holdings topic: those of one type whose last record is not null.

Must not know how they are used.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from itertools import groupby, islice
from pathlib import Path

from connector.batch.ids import MOST_EXAMPLES, PROGRESS_EVERY, IdSource, InvalidIdsError, is_id
from connector.batch.sorting import sorted_lines
from connector.events.batch import BY_JOB_TYPE
from connector.events.identity import digest
from connector.kafka.reading import BEGINNING, OpenTopic, ReadRecord, TopicReader
from connector.kafka.topics import TopicNames
from connector.quoting import shown
from connector.settings import KafkaSettings
from connector.x.batch_api import JobType

_PREFIXES = tuple(f"{each.entity}:".encode() for each in BY_JOB_TYPE.values())
_MOST_INVALID = 100_000
"""Invalid keys remembered, so that a null can withdraw one; more of them are an error, or skipped for good."""

_EXAMPLE_BYTES = 60


class HeldIds:
    """The held ids of one type, from their topic.

    A key that is neither `tweet:ID` nor `user:ID` is an error, unless `skip_invalid` or a null follows it. Of
    invalid keys `most_remembered` can be withdrawn by a null.
    """

    source = IdSource.TOPIC
    unit = "records"

    def __init__(
        self,
        settings: KafkaSettings,
        kind: JobType,
        *,
        skip_invalid: bool,
        most_remembered: int = _MOST_INVALID,
        open_topic: OpenTopic = TopicReader,
    ) -> None:
        self.valid = 0
        self.invalid = 0
        self._settings = settings
        self._topic = TopicNames(settings.topic_prefix).holdings
        self._prefix = f"{BY_JOB_TYPE[kind].entity}:".encode()
        self._skip_invalid = skip_invalid
        self._most_remembered = most_remembered
        self._open_topic = open_topic
        self._invalid: dict[bytes, str] = {}
        self._not_remembered = 0

    def distinct(self, folder: Path, on_progress: Callable[[int], None]) -> Generator[bytes, None, None]:
        """Yield the ids, as `Ids` has it; needs up to twice the size of the records' ids as text in `folder`.

        Raises `NotProvisionedError` if topic or right is missing, and `DependencyUnavailableError`.
        """
        with self._open_topic(self._settings, [self._topic], BEGINNING) as reader:
            changes = self._changes(reader.to_end(), on_progress)
            with closing(sorted_lines(changes, folder)) as ordered:
                for held in _held(ordered):
                    self.valid += 1
                    yield held

    def identity(self) -> str:
        """Return the topic's name: its content changes all the time, but an unfinished run still resumes."""
        return self._topic

    def _changes(self, records: Iterable[ReadRecord], on_progress: Callable[[int], None]) -> Iterator[bytes]:
        """Yield a line for each record of a valid key, in an order that sorting makes that of Kafka.

        Raises `InvalidIdsError` after the last record.
        """
        prefix, start = self._prefix, len(self._prefix)
        for number, record in enumerate(records, 1):
            key = record.key
            if key.startswith(prefix) and is_id(key[start:]):
                place = b"%04x%016x" % (record.partition, record.offset)
                yield b"%b %b%b" % (key[start:], place, b"-" if record.is_tombstone else b"+")
            elif not (key.startswith(_PREFIXES) and is_id(key.partition(b":")[2])):
                self._reject(record)
            if number % PROGRESS_EVERY == 0:
                on_progress(number)
        self.invalid = len(self._invalid) + self._not_remembered
        if self.invalid and not self._skip_invalid:
            raise _error(self.invalid, self._invalid.values())

    def _reject(self, record: ReadRecord) -> None:
        """Count a key that is invalid, or no longer held. Keys are distinguished by hash: they may be long."""
        known = digest(b"%d " % record.partition, record.key)
        if record.is_tombstone:
            self._invalid.pop(known, None)
        elif known in self._invalid or len(self._invalid) < self._most_remembered:
            place = f"partition {record.partition} offset {record.offset}"
            self._invalid[known] = f"  {place}: {shown(record.key[:_EXAMPLE_BYTES]) or 'not printable'}"
        else:
            self._not_remembered += 1


def _error(count: int, examples: Iterable[str]) -> InvalidIdsError:
    return InvalidIdsError(
        f"invalid keys: {count:,}; a key is tweet:ID or user:ID, and an ID 1 to 19 digits (--skip-invalid skips them)",
        *islice(examples, MOST_EXAMPLES),
    )


def _held(ordered: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the ids that are held by the last record of any partition: ids are sorted, and their records by place."""
    for held, lines in groupby(ordered, lambda line: line[: line.index(b" ")]):
        last = {line[-_PLACE:-_OFFSET]: line[-1:] for line in lines}
        if b"+" in last.values():
            yield held


_OFFSET = 17
_PLACE = 21
"""Digits of the offset and of the partition, and the sign, from the end of a line."""
