"""Names follow from the prefix; topics are made as the contract says."""

from collections import Counter

import pytest

from connector.events.batch import BATCH_TYPES
from connector.events.catalog import BY_NAME, EVENT_TYPES, STREAM_PARTITIONS, STREAMS
from connector.events.schemas import BATCH_LEDGER, BATCH_RUN, COVERAGE, GAP, LEDGER, batch_schema, event_schema
from connector.kafka.topics import TopicNames, TopicSpec, subject, topic_specs
from connector.settings import KafkaSettings, RetentionSettings
from tests.rig.oracle import EVENTS

_DAY_MS = 24 * 60 * 60 * 1000
_SETTINGS = KafkaSettings(bootstrap_servers="broker:9092")
_EVENT_TOPICS = [f"x.compliance.{event}" for event in EVENTS]
_BATCH_TOPICS = ["x.compliance.batch.tweet", "x.compliance.batch.user"]
_OWN_TOPICS = ["x.compliance-coverage", "x.compliance-gap", "x.compliance-dead-letter", "x.compliance-ledger"]
_RUN_TOPICS = ["x.compliance-batch", "x.compliance-batch-ledger"]
_HOLDINGS = "x.compliance-holdings"
_INNER_TOPICS = [
    "x.compliance-schema-id",
    *(f"x.compliance-owner-{stream}" for stream in ("tweet", "user", "like", "label")),
]


def _specs(settings: KafkaSettings = _SETTINGS) -> dict[str, TopicSpec]:
    return {spec.name: spec for spec in topic_specs(settings)}


def test_specs_are_all_topics_of_the_contract_in_order() -> None:
    """Events of every stream first, then batch results, then the connector's own."""
    assert list(_specs()) == [*_EVENT_TOPICS, *_BATCH_TOPICS, *_OWN_TOPICS, *_RUN_TOPICS, _HOLDINGS, *_INNER_TOPICS]


def test_group_and_transactional_ids_follow_from_the_prefix() -> None:
    """Both live below the prefix, one transactional id for each process."""
    names = TopicNames("a.b")
    assert names.group == "a.b.connector"
    assert names.transactional_id("connector-0") == "a.b.connector-0"


def test_own_topics_are_outside_the_events_prefix() -> None:
    """A pattern or prefixed ACL on the events' prefix catches none of the connector's own."""
    names = TopicNames("x.compliance")
    assert [names.coverage, names.gap, names.dead_letter, names.ledger] == _OWN_TOPICS
    assert [names.batch_run, names.batch_ledger, names.holdings] == [*_RUN_TOPICS, _HOLDINGS]
    assert [names.schema_id, *map(names.owner, STREAMS)] == _INNER_TOPICS
    assert not any(name.startswith("x.compliance.") for name in [*_OWN_TOPICS, *_RUN_TOPICS, _HOLDINGS, *_INNER_TOPICS])


def test_batch_results_are_within_the_events_prefix() -> None:
    """Who may read all events may read what X answers about ids, too."""
    names = TopicNames("x.compliance")
    assert [names.batch("tweets"), names.batch("users")] == _BATCH_TOPICS


def test_ownership_topic_has_a_partition_for_each_of_its_stream() -> None:
    """What the replicas share is what there is to do."""
    counted = {stream: _specs()[f"x.compliance-owner-{stream}"].partitions for stream in STREAMS}
    assert counted == Counter(partition.stream for partition in STREAM_PARTITIONS)


@pytest.mark.parametrize(
    ("name", "partitions"),
    [("x.compliance-batch", 1), ("x.compliance-batch-ledger", 2), (_HOLDINGS, 6), ("x.compliance-schema-id", 1)],
)
def test_state_by_key_is_compacted(name: str, partitions: int) -> None:
    """The newest record of each key is kept forever; the ledger has a partition for each type of job."""
    spec = _specs()[name]
    assert (spec.partitions, spec.config["cleanup.policy"]) == (partitions, "compact")
    assert "retention.ms" not in spec.config
    assert sorted(each.ledger_partition for each in BATCH_TYPES) == [0, 1]


def test_schemas_are_those_of_every_topic_but_the_dead_letters() -> None:
    """Each topic has its own schema, and a subject named after it."""
    names = TopicNames("x.compliance")
    schemas = names.schemas()
    topics = [*_EVENT_TOPICS, *_BATCH_TOPICS, *_OWN_TOPICS, *_RUN_TOPICS]
    assert list(schemas) == [name for name in topics if name != names.dead_letter]
    assert all(schemas[names.batch(each.job_type)] is batch_schema(each) for each in BATCH_TYPES)
    assert (schemas[names.batch_run], schemas[names.batch_ledger]) == (BATCH_RUN, BATCH_LEDGER)
    assert all(schemas[names.event(event_type)] is event_schema(event_type) for event_type in EVENT_TYPES)
    assert (schemas[names.coverage], schemas[names.gap], schemas[names.ledger]) == (COVERAGE, GAP, LEDGER)
    assert subject(names.event(BY_NAME["tweet.edit"])) == "x.compliance.tweet.edit-value"


_KEPT_30_DAYS = {"retention.ms": str(30 * _DAY_MS), "retention.bytes": "-1", "segment.ms": str(_DAY_MS)}


@pytest.mark.parametrize("name", _EVENT_TOPICS + _BATCH_TOPICS)
def test_event_topic_is_made_as_the_contract_says(name: str) -> None:
    """Six partitions, three replicas, 14 days and up to one more, 3 and up to 0.3 for what holds personal text.

    By age alone: a broker's own `log.retention.bytes` would remove events of ranges that coverage calls complete.
    """
    days, more = (3, 0.3) if name.endswith("profile-modification") else (14, 1)
    assert _specs()[name] == TopicSpec(
        name,
        partitions=6,
        replication=3,
        config={
            "cleanup.policy": "delete",
            "retention.ms": str(days * _DAY_MS),
            "retention.bytes": "-1",
            "segment.ms": str(round(more * _DAY_MS)),
            "max.message.bytes": "2097152",
            "message.timestamp.type": "LogAppendTime",
            "min.insync.replicas": "2",
            "unclean.leader.election.enable": "false",
        },
    )


@pytest.mark.parametrize(
    ("name", "partitions", "config"),
    [
        ("x.compliance-coverage", 1, _KEPT_30_DAYS),
        ("x.compliance-dead-letter", 1, _KEPT_30_DAYS),
        ("x.compliance-gap", 1, {"retention.ms": "-1", "retention.bytes": "-1"}),
        ("x.compliance-ledger", 10, {"retention.ms": "-1", "retention.bytes": "10737418240"}),
    ],
)
def test_own_topic_is_made_as_the_contract_says(name: str, partitions: int, config: dict[str, str]) -> None:
    """What is state is never deleted by age; the ledger has a partition for each stream partition."""
    common = {
        "cleanup.policy": "delete",
        "max.message.bytes": "2097152",
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": "2",
        "unclean.leader.election.enable": "false",
    }
    assert _specs()[name] == TopicSpec(name, partitions, 3, common | config)


def test_specs_of_other_settings_follow_them() -> None:
    """Every setting for provision reaches the topics it is about, and only those."""
    settings = KafkaSettings(
        bootstrap_servers="broker:9092",
        topic_prefix="p",
        replication_factor=5,
        min_insync_replicas=4,
        partitions=12,
        retention=RetentionSettings(
            events_days=1, profile_days=2, coverage_days=3, dead_letter_days=4, ledger_bytes=256 * 1024**2
        ),
    )
    specs = _specs(settings)
    assert {(spec.replication, spec.config["min.insync.replicas"]) for spec in specs.values()} == {(5, "4")}
    assert {spec.partitions for name, spec in specs.items() if name.startswith("p.")} == {12}
    assert [specs[name].partitions for name in ("p-coverage", "p-gap", "p-dead-letter", "p-ledger")] == [1, 1, 1, 10]
    assert specs["p.tweet.delete"].config["retention.ms"] == str(_DAY_MS)
    assert specs["p.tweet.delete"].config["segment.ms"] == str(_DAY_MS // 10)
    assert specs["p.batch.user"].config["retention.ms"] == str(_DAY_MS)
    assert specs["p.user.profile-modification"].config["retention.ms"] == str(2 * _DAY_MS)
    assert specs["p-coverage"].config["retention.ms"] == str(3 * _DAY_MS)
    assert specs["p-dead-letter"].config["retention.ms"] == str(4 * _DAY_MS)
    assert specs["p-ledger"].config["retention.bytes"] == str(256 * 1024**2)
