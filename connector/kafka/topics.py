"""What the connector calls its topics, subjects, group and transactional ids, and how its topics must be made.

Pure. Must not know how a topic is created or looked up, nor what is in a record.

Topics and subjects exist for all streams, whichever are switched on: switching one on later needs nothing but the
setting.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from connector.events.batch import BATCH_TYPES, BY_JOB_TYPE
from connector.events.catalog import BY_NAME, EVENT_TYPES, STREAM_PARTITIONS, STREAMS, EventType
from connector.events.schemas import (
    BATCH_LEDGER,
    BATCH_RUN,
    COVERAGE,
    GAP,
    LEDGER,
    AvroSchema,
    batch_schema,
    event_schema,
)
from connector.settings import KafkaSettings

MESSAGE_MAX_BYTES = 2 * 1024**2
"""Largest record, for the producer and for every topic."""

LEDGER_PARTITIONS = len(STREAM_PARTITIONS)
"""The ledger has exactly one partition for each stream partition."""

BATCH_LEDGER_PARTITIONS = len(BATCH_TYPES)
"""The ledger of the batch runs has exactly one partition for each type of job."""

_PEAK_EVENTS_PER_S = 6_000
_COVERAGE_AGE_MINUTES = 15
_BYTES_PER_ID = 20

_PROFILE_MODIFICATION = BY_NAME["user.profile-modification"]

# Age deletes even the newest record of a quiet topic, so what is state is never deleted by age.
_STATE = {"retention.ms": "-1"}
_NEWEST_BY_KEY = {"cleanup.policy": "compact"}

# Kafka deletes whole segments, each once its newest record is too old: what a segment spans comes on top of retention.
_SEGMENTS_KEPT = 10
_LONGEST_SEGMENT = timedelta(days=1)


def ledger_bytes_needed(window_minutes: int) -> int:
    """Return what a ledger partition must be able to hold, in bytes, so that retention removes no id that matters.

    Ids matter for the duplicate window, in covered time, and coverage is at most 15 minutes old while X is up. The rate
    is the planning rate of a whole replica, all of it on one stream partition. An id takes 16 bytes, which do not
    compress; the rest of an entry, of which there are at most five a second, adds less than 4 bytes an id.
    """
    return _PEAK_EVENTS_PER_S * 60 * (window_minutes + _COVERAGE_AGE_MINUTES) * _BYTES_PER_ID


@dataclass(frozen=True, slots=True)
class TopicNames:
    """All names that follow from the prefix.

    The connector's own topics start `PREFIX-`, so that neither a pattern nor a prefixed ACL on the `PREFIX.` of events
    and batch results catches them.
    """

    prefix: str

    def event(self, event_type: EventType) -> str:
        """Return the topic of `event_type`, `PREFIX.tweet.delete`."""
        return self.records(event_type.name)

    def batch(self, job_type: str) -> str:
        """Return the topic of the batch results of `job_type`, `PREFIX.batch.tweet` for tweets."""
        return self.records(BY_JOB_TYPE[job_type].name)

    def records(self, name: str) -> str:
        """Return the topic of the records whose `event_type` is `name`."""
        return f"{self.prefix}.{name}"

    @property
    def coverage(self) -> str:
        """The topic that says how far each stream partition is complete."""
        return f"{self.prefix}-coverage"

    @property
    def gap(self) -> str:
        """The topic of the ranges that the streams cannot bring back."""
        return f"{self.prefix}-gap"

    @property
    def dead_letter(self) -> str:
        """The topic of the lines of X's that could not be understood; their bytes, so it has no subject."""
        return f"{self.prefix}-dead-letter"

    @property
    def ledger(self) -> str:
        """The topic of the connector's own accounts."""
        return f"{self.prefix}-ledger"

    @property
    def batch_run(self) -> str:
        """The topic of the batch runs: what X was asked about, and what came of it."""
        return f"{self.prefix}-batch"

    @property
    def batch_ledger(self) -> str:
        """The topic of the connector's own accounts of the batch runs."""
        return f"{self.prefix}-batch-ledger"

    @property
    def holdings(self) -> str:
        """The topic of the ids that stores hold, which they write; any value, so it has no subject."""
        return f"{self.prefix}-holdings"

    @property
    def schema_id(self) -> str:
        """The topic of the schema ids that the registry has confirmed."""
        return f"{self.prefix}-schema-id"

    def owner(self, stream: str) -> str:
        """Return the topic whose partitions the replicas share as those of `stream`; nothing is ever written to it."""
        return f"{self.prefix}-owner-{stream}"

    @property
    def group(self) -> str:
        """The consumer group through which replicas share the stream partitions."""
        return f"{self.prefix}.connector"

    def transactional_id(self, process: str) -> str:
        """Return the transactional id of the one producer of `process`, a name that no other process has."""
        return f"{self.prefix}.{process}"

    def schemas(self) -> dict[str, AvroSchema]:
        """Return the schema of every topic that holds Avro, by topic."""
        return {
            **{self.event(event_type): event_schema(event_type) for event_type in EVENT_TYPES},
            **{self.batch(batch_type.job_type): batch_schema(batch_type) for batch_type in BATCH_TYPES},
            self.coverage: COVERAGE,
            self.gap: GAP,
            self.ledger: LEDGER,
            self.batch_run: BATCH_RUN,
            self.batch_ledger: BATCH_LEDGER,
        }


def subject(topic: str) -> str:
    """Return the registry subject of the values of `topic`."""
    return f"{topic}-value"


def owner_partitions(stream: str) -> int:
    """Return how many partitions the ownership topic of `stream` has: one for each of X's."""
    return STREAMS[stream].partitions or 1


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it must be; `config` holds Kafka's topic configuration, values as text."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str] = field(hash=False)


def topic_specs(settings: KafkaSettings) -> list[TopicSpec]:
    """Return every topic the connector needs: events in the catalog's order, batch results, then its own.

    Coverage, gaps, dead letters and batch runs have one partition: they are few, and a reader then sees all of them in
    one order.
    """
    names, retention = TopicNames(settings.topic_prefix), settings.retention

    def spec(name: str, partitions: int, more: Mapping[str, str]) -> TopicSpec:
        config = {
            "cleanup.policy": "delete",
            "max.message.bytes": str(MESSAGE_MAX_BYTES),
            # By the brokers' clock: ours may be wrong, and Kafka refuses what is dated an hour ahead and soon deletes
            # what is dated long ago.
            "message.timestamp.type": "LogAppendTime",
            "min.insync.replicas": str(settings.min_insync_replicas),
            "unclean.leader.election.enable": "false",
        }
        return TopicSpec(name, partitions, settings.replication_factor, {**config, **more})

    def event(event_type: EventType) -> TopicSpec:
        days = retention.profile_days if event_type is _PROFILE_MODIFICATION else retention.events_days
        return spec(names.event(event_type), settings.partitions, _kept_for(days))

    return [
        *(event(event_type) for event_type in EVENT_TYPES),
        *(
            spec(names.batch(each.job_type), settings.partitions, _kept_for(retention.events_days))
            for each in BATCH_TYPES
        ),
        spec(names.coverage, 1, _kept_for(retention.coverage_days)),
        spec(names.gap, 1, _STATE | {"retention.bytes": "-1"}),
        spec(names.dead_letter, 1, _kept_for(retention.dead_letter_days)),
        spec(names.ledger, LEDGER_PARTITIONS, _STATE | {"retention.bytes": str(retention.ledger_bytes)}),
        spec(names.batch_run, 1, _NEWEST_BY_KEY),
        spec(names.batch_ledger, BATCH_LEDGER_PARTITIONS, _NEWEST_BY_KEY),
        spec(names.holdings, settings.partitions, _NEWEST_BY_KEY),
        spec(names.schema_id, 1, _NEWEST_BY_KEY),
        *(spec(names.owner(stream), owner_partitions(stream), {}) for stream in STREAMS),
    ]


def _kept_for(days: int) -> dict[str, str]:
    """Return what removes a record within a tenth of `days` after them, and at most a day.

    And none before: brokers may have a default for `retention.bytes`, by which events would go that count as kept.
    """
    retention = timedelta(days=days)
    return {
        "retention.ms": _ms(retention),
        "retention.bytes": "-1",
        "segment.ms": _ms(min(retention / _SEGMENTS_KEPT, _LONGEST_SEGMENT)),
    }


def _ms(duration: timedelta) -> str:
    return str(duration // timedelta(milliseconds=1))
