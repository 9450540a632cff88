"""Topics whose settings would break a promise: refused at start, and noticed when they change at run time."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from connector.events.catalog import StreamPartition
from connector.kafka import watch as watch_module
from connector.partition import worker as worker_module
from connector.simulator.server import Simulator
from tests.rig.audit import check_once_in_order, expected_events, read_history
from tests.rig.process import wait_until
from tests.rig.service import (
    STREAM_PARTITIONS,
    Config,
    ConnectorProcess,
    delete_topics,
    make_config,
    override,
    provision_topics,
    provisioned,
    running,
)
from tests.rig.session import Kafka, SchemaRegistry

_TIMEOUT_S = 30.0
_TWEETS = [place for place in STREAM_PARTITIONS if place[0] == "tweet"]


@pytest.fixture
def config(kafka: Kafka, registry: SchemaRegistry, simulator: Simulator, prefix: str) -> Iterator[Config]:
    """Give settings with which everything is provisioned."""
    with provisioned(make_config(kafka.bootstrap_servers, registry.url, prefix, simulator.base_url, 2)) as config:
        yield config


def _set(config: Config, topic: str, **values: str) -> None:
    """Change a topic's configuration."""
    entries = [
        ConfigEntry(key.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for key, value in values.items()
    ]
    name = config["kafka"]["topic_prefix"] + topic
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
    admin = _admin(config)  # named: were it gone, its futures would never be done
    admin.incremental_alter_configs([resource])[resource].result(_TIMEOUT_S)


def _add_partition(config: Config, topic: str) -> None:
    name = config["kafka"]["topic_prefix"] + topic
    admin = _admin(config)
    admin.create_partitions([NewPartitions(name, 3)])[name].result(_TIMEOUT_S)


def _admin(config: Config) -> AdminClient:
    return AdminClient({"bootstrap.servers": config["kafka"]["bootstrap_servers"]})


def test_topics_that_would_break_a_promise_are_all_refused_with_how_to_correct_them(
    config: Config, tmp_path: Path
) -> None:
    """By `run`, long before its deadline, and by `check --online`, in one message."""
    prefix = config["kafka"]["topic_prefix"]
    _set(config, ".tweet.delete", cleanup_policy="compact")
    _set(config, "-coverage", cleanup_policy="compact,delete")
    _set(config, "-dead-letter", cleanup_policy="compact")
    _set(config, "-gap", retention_bytes="1000000")
    _set(config, "-ledger", retention_bytes="1048576", unclean_leader_election_enable="true", retention_ms="60000")
    _add_partition(config, ".tweet.drop")
    wanted = [
        f"topic {prefix}.tweet.delete would lose records: cleanup.policy is compact; set it to delete",
        f"topic {prefix}.tweet.drop has 3 partitions and should have 2, kafka.partitions",
        f"topic {prefix}-coverage would lose records: cleanup.policy is compact,delete",
        f"topic {prefix}-gap would lose records: retention.bytes is 1000000; set it to -1",
        f"topic {prefix}-dead-letter would lose records: cleanup.policy is compact",
        f"topic {prefix}-ledger would lose records: unclean.leader.election.enable is true; set it to false",
        f"topic {prefix}-ledger would lose records: retention.ms is 60000; set it to -1",
        f"topic {prefix}-ledger would lose ids that are still needed: retention.bytes is 1048576",
    ]
    for command in (["run"], ["check", "--online"]):
        with ConnectorProcess(tmp_path, command, override(config, pipeline={"start_deadline_s": 600})) as process:
            assert process.wait() == 78
            said = process.stdout + process.stderr
        assert [line for line in wanted if line not in said] == [], said


def test_partition_added_to_an_event_topic_stops_its_stream_until_a_person_has_acted(
    config: Config, kafka: Kafka, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other streams go on; the stream goes on with the old number, and nothing is lost or published twice."""
    monkeypatch.setattr(watch_module, "LOOK_S", 1.0)
    monkeypatch.setattr(worker_module, "CORRUPT_WAIT_S", 1.0)
    topic = f"{config['kafka']['topic_prefix']}.tweet.undrop"
    with running(config) as probe:
        probe.await_connected(simulator)
        _add_partition(config, ".tweet.undrop")
        wait_until(lambda: probe.metric("partition_topics_changed") == len(_TWEETS), "the tweet stream stopped")
        for stream, number in _TWEETS:
            status = probe.partition(stream, number)
            assert status["state"] == "topics-changed"
            assert f"topic {topic} has 3 partitions and should have 2" in status["last_error"]
        before = {place: probe.partition(*place)["sequence"] for place in _TWEETS}
        for place in STREAM_PARTITIONS:
            simulator.emit(5, StreamPartition(*place))
        wait_until(lambda: probe.partition("user", 1)["sequence"] == 5, "the user stream goes on")
        assert {place: probe.partition(*place)["sequence"] for place in _TWEETS} == before

        delete_topics(kafka.bootstrap_servers, topic)
        provision_topics(config)
        probe.await_sequences(simulator)
        assert probe.metric("partition_topics_changed") == 0
    history = read_history(
        kafka.bootstrap_servers, config["schema_registry"]["url"], config["kafka"]["topic_prefix"], 2
    )
    assert list(check_once_in_order(history, expected_events(history.prefix, simulator.record()))) == []
