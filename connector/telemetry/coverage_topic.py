"""Reads the coverage topic for the page and for commands: its newest records, and where they begin.

A month of it holds millions of records, of which ten matter: reading begins at the newest of each stream partition.
"""

from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.kafka.newest import NewestRecords
from connector.kafka.reading import (
    BEGINNING,
    AvroReader,
    ForeignRecordError,
    OpenTopic,
    TopicReader,
    foreign_records_refused,
)
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames
from connector.settings import Settings
from connector.telemetry.coverage_records import Covered, read_covered
from connector.x.clock import wall_us

_AGES_US = tuple(minutes * 60 * US_PER_S for minutes in (10, 24 * 60, 8 * 24 * 60))
"""How far back reading begins: further only if a stream partition has no newer record."""
MOST_FROM_BEGINNING = 100_000
"""How many records are searched for the first one of a stream partition."""


class CoverageTopic:
    """The newest coverage of stream partitions, inside a `with`; `on_foreign` receives the problem of a foreign record.

    For those in `wanted` the newest record is searched for up to eight days back.

    Making one raises as `NewestRecords` does.
    """

    def __init__(
        self,
        settings: Settings,
        wanted: Collection[StreamPartition],
        on_foreign: Callable[[str], None],
        *,
        open_topic: OpenTopic = TopicReader,
        wall: Callable[[], int] = wall_us,
    ) -> None:
        self._settings = settings
        self._on_foreign = on_foreign
        self._open_topic = open_topic
        self._wall = wall
        self._since_us: dict[StreamPartition, int | None] = {}
        self._topic = TopicNames(settings.kafka.topic_prefix).coverage
        with ExitStack() as stack:
            self._newest = stack.enter_context(self._open(frozenset(wanted)))
            self._clients = stack.pop_all()

    def read(self, should_stop: Callable[[], bool]) -> Collection[Covered]:
        """Read on to the end, and return the newest record of each stream partition.

        Raises `ConnectorError` if Kafka or the registry fails; then it must not be called again.
        """
        found = self._newest.read(should_stop)
        if new := {covered.partition for covered in found} - self._since_us.keys():
            self._since_us |= self._first(new)
        return [replace(covered, since_us=self._since_us[covered.partition]) for covered in found]

    def _open(self, wanted: frozenset[StreamPartition]) -> NewestRecords[Covered]:
        """Return a reader that begins as late as possible."""
        now_us = self._wall()
        for age_us in _AGES_US:
            start_us = max(0, now_us - age_us)
            newest = NewestRecords(
                self._settings, self._topic, read_covered, self._on_foreign, start_us, open_topic=self._open_topic
            )
            with ExitStack() as stack:
                stack.enter_context(newest)
                found = {covered.partition for covered in newest.read(lambda: False)}
                if wanted <= found or age_us == _AGES_US[-1]:
                    stack.pop_all()
                    break
        return newest

    def _first(self, wanted: Collection[StreamPartition]) -> dict[StreamPartition, int | None]:
        """Return the coverage of the first record of each, None if it is not among the first of the topic."""
        first: dict[StreamPartition, int | None] = {}
        keys = {str(partition).encode() for partition in wanted}
        with (
            RegistryClient(self._settings.schema_registry) as registry,
            self._open_topic(self._settings.kafka, [self._topic], BEGINNING) as reader,
        ):
            decoder = AvroReader(registry)
            for count, record in enumerate(reader.to_end()):
                if record.key in keys:
                    try:
                        with foreign_records_refused(record):
                            covered = read_covered(decoder.decode(record), record)
                    except ForeignRecordError:
                        continue
                    keys.discard(record.key)
                    if covered is not None:
                        first.setdefault(covered.partition, covered.covered_until_us)
                if not keys or count >= MOST_FROM_BEGINNING:
                    break
        return dict.fromkeys(wanted) | first

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clients.close()
