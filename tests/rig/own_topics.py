"""Writes the connector's records of batch runs and gaps to the topics of an installation, as the connector would."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from connector.batch.ids import IdSource
from connector.batch.records import BatchRecords, RunAccount, RunStatus
from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import MESSAGE_MAX_BYTES, TopicNames, subject
from connector.kafka.transaction import Record
from connector.partition.records import RecordBuilder
from connector.settings import Settings
from connector.x.batch_api import JobType
from tests.rig.service import Config

_TIMEOUT_S = 20.0


def done_run(started_us: int, finished_us: int) -> RunAccount:
    """Return a run that is done: 4 of 10 ids clean, 2 unclear, 1 rejected, 2 to delete, 1 to archive."""
    return RunAccount(
        run_id="first",
        source=IdSource.TOPIC,
        status=RunStatus.DONE,
        started_us=started_us,
        finished_us=finished_us,
        ids=10,
        clean=6,
        rejected=1,
        unclear=2,
        by_action=[("delete", "deleted", 2), ("archive", None, 1)],
        shards=1,
        covers_all=True,
        last_sequence=3,
    )


@dataclass(frozen=True)
class OwnTopics:
    """The topics of an installation, and what builds records: of runs about Tweets, and of each stream partition."""

    bootstrap_servers: str
    names: TopicNames
    runs: BatchRecords
    builders: Mapping[StreamPartition, RecordBuilder]

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return those of these settings, which are provisioned."""
        settings = Settings.model_validate(config)
        names = TopicNames(settings.kafka.topic_prefix)
        with RegistryClient(settings.schema_registry) as registry:
            found = {topic: registry.find(subject(topic), schema) for topic, schema in names.schemas().items()}
        schema_ids = {topic: schema_id for topic, schema_id in found.items() if schema_id is not None}
        limits = dict.fromkeys([*schema_ids, names.dead_letter], MESSAGE_MAX_BYTES)
        return cls(
            settings.kafka.bootstrap_servers,
            names,
            BatchRecords(JobType.TWEETS, names, schema_ids, limits, has_headers=True),
            {each: RecordBuilder(each, names, schema_ids, limits, has_headers=True) for each in STREAM_PARTITIONS},
        )

    @property
    def gaps(self) -> RecordBuilder:
        """What builds gaps of `tweet/1`."""
        return self.builders[StreamPartition("tweet", 1)]

    def write(self, records: Collection[Record]) -> None:
        """Write records; an empty value removes the key."""
        producer = Producer({"bootstrap.servers": self.bootstrap_servers})
        for record in records:
            producer.produce(record.topic, record.value or None, record.key)
        assert producer.flush(_TIMEOUT_S) == 0

    def delete(self, topic: str) -> None:
        """Delete a topic."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        admin.delete_topics([topic])[topic].result(_TIMEOUT_S)
