"""The newest records of a topic, kept up to date by reading on. Must not know what a record means."""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from connector.kafka.reading import (
    BEGINNING,
    AvroReader,
    ForeignRecordError,
    OpenTopic,
    ReadRecord,
    TopicReader,
    foreign_records_refused,
)
from connector.kafka.registry import RegistryClient
from connector.settings import KafkaSettings, Settings

T = TypeVar("T")

MOST_KEYS = 10_000
"""Most keys kept: those written last."""
_MOST_KEY_BYTES = 200


class NewestRecords(Generic[T]):
    """The result of `read_value` for the newest record of each key of `topic`, inside a `with`.

    `read_value` receives the fields of a record, times as raw integers, and the record itself, and returns None to keep
    nothing; it raises `ValueError` or the like for a record that the connector did not write, such as one without a
    value. Such a record is left out, and `on_foreign` receives the problem.
    Records before `start` are not read: microseconds since 1970, or the beginning.

    Making one raises as `TopicReader` and `RegistryClient` do.
    """

    def __init__(  # noqa: PLR0913 - what is read, and what is made of it
        self,
        settings: Settings,
        topic: str,
        read_value: Callable[[Mapping[str, Any], ReadRecord], T | None],
        on_foreign: Callable[[str], None],
        start: int = BEGINNING,
        *,
        open_topic: OpenTopic = TopicReader,
    ) -> None:
        self._read_value = read_value
        self._on_foreign = on_foreign
        self._newest: dict[bytes, T] = {}
        with ExitStack() as stack:
            self._decoder = AvroReader(stack.enter_context(RegistryClient(settings.schema_registry)))
            self._reader = stack.enter_context(open_topic(settings.kafka, [topic], start))
            self._clients = stack.pop_all()

    def read(self, should_stop: Callable[[], bool]) -> Collection[T]:
        """Read on to the end, and return what is kept; incomplete when asked to stop.

        Raises `ConnectorError` if Kafka or the registry fails; then it must not be called again.
        """
        for record in self._reader.to_end(should_stop):
            try:
                self._take(record)
            except ForeignRecordError as error:
                self._on_foreign(str(error))
        return list(self._newest.values())

    def _take(self, record: ReadRecord) -> None:
        """Keep the value of a record. Raises `ForeignRecordError`."""
        with foreign_records_refused(record):
            if len(record.key) > _MOST_KEY_BYTES:
                raise ValueError(f"a key of {len(record.key)} bytes")
            value = self._read_value(self._decoder.decode(record), record)
        self._newest.pop(record.key, None)
        if value is not None:
            self._newest[record.key] = value
        if len(self._newest) > MOST_KEYS:
            del self._newest[next(iter(self._newest))]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clients.close()


class LatestRecords(Generic[T]):
    """The results of `read_value` for the latest `most` records of `topic` since `start`, inside a `with`, undecoded.

    A record for which it raises `ForeignRecordError` is left out, and `on_foreign` receives the problem.

    Making one raises as `TopicReader` does.
    """

    def __init__(  # noqa: PLR0913 - what is read, and what is made of it
        self,
        settings: KafkaSettings,
        topic: str,
        read_value: Callable[[ReadRecord], T],
        on_foreign: Callable[[str], None],
        *,
        start: int,
        most: int,
        open_topic: OpenTopic = TopicReader,
    ) -> None:
        self._read_value = read_value
        self._on_foreign = on_foreign
        self._latest: deque[T] = deque(maxlen=most)
        self._clients = ExitStack()
        self._reader = self._clients.enter_context(open_topic(settings, [topic], start))

    def read(self, should_stop: Callable[[], bool]) -> Collection[T]:
        """Read on to the end, and return what is kept, oldest first; incomplete when asked to stop.

        Raises `ConnectorError` if Kafka fails; then it must not be called again.
        """
        for record in self._reader.to_end(should_stop):
            try:
                self._latest.append(self._read_value(record))
            except ForeignRecordError as error:
                self._on_foreign(str(error))
        return list(self._latest)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clients.close()
