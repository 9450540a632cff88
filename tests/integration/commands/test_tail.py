"""`connector tail` as a process: what it prints, and where it goes on with a group."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from connector.events.catalog import StreamPartition
from connector.kafka import kept_position
from connector.kafka.cluster import Cluster
from connector.kafka.kept_position import OWN, KeptPosition
from connector.settings import KafkaSettings
from connector.simulator.server import Simulator
from tests.integration.commands.command import run_command
from tests.rig.audit import expected_events
from tests.rig.oracle import EVENTS
from tests.rig.process import wait_until
from tests.rig.service import Config, ConnectorProcess, override, running
from tests.rig.session import Kafka


def test_tail_prints_all_chosen_and_new_events(config: Config, simulator: Simulator, tmp_path: Path) -> None:
    """One JSON object a line on stdout: all events, those of chosen types, and those that come while it follows."""
    prefix = config["kafka"]["topic_prefix"]
    with running(config) as probe:
        simulator.emit(300)
        simulator.emit(100, StreamPartition("label", 1))
        probe.await_sequences(simulator)
        printed = _printed(run_command(tmp_path, ["tail", "--to-end"], config))
        expected = {
            event_id: event
            for events in expected_events(prefix, simulator.record()).values()
            for event_id, (_, event) in events.items()
        }
        assert {line["value"]["event_id"] for line in printed} == set(expected)
        assert len(printed) == len(expected)
        for line in printed:
            event = expected[line["value"]["event_id"]]
            assert (line["topic"], line["key"]) == (event.topic, event.key)
            assert line["value"]["event_at"].endswith("Z")
        chosen = _printed(run_command(tmp_path, ["tail", "--to-end", "label.notice", "tweet.edit"], config))
        assert {line["topic"] for line in chosen} == {f"{prefix}.label.notice", f"{prefix}.tweet.edit"}
        assert len(chosen) == sum(
            line["topic"] in {f"{prefix}.label.notice", f"{prefix}.tweet.edit"} for line in printed
        )
        with ConnectorProcess(tmp_path, ["tail", "--from-beginning"], config) as tail:
            wait_until(lambda: len(_printed(tail)) == len(printed), "it has printed all")
            simulator.emit(10)
            wait_until(lambda: len(_printed(tail)) == len(printed) + 10, "it has printed what is new")
            tail.signal(signal.SIGINT)
            assert tail.wait() == 0


def test_tail_with_a_group_goes_on_where_it_ended(config: Config, simulator: Simulator, tmp_path: Path) -> None:
    """After -n, after a signal and after a kill; what was removed meanwhile is said, not an error."""
    topic = f"{config['kafka']['topic_prefix']}.tweet.delete"
    tail = ["tail", "tweet.delete", "--from-beginning", "--group=printed-deletes"]
    with running(config) as probe:
        simulator.emit(300)
        probe.await_sequences(simulator)
        total = len(_printed(run_command(tmp_path, ["tail", "tweet.delete", "--to-end"], config)))
        found = _printed(run_command(tmp_path, [*tail, "-n", "3"], config))
        found += _printed(run_command(tmp_path, [*tail, "-n", "2"], config))
        with ConnectorProcess(tmp_path, tail, config) as first:
            wait_until(lambda: len(found) + len(_printed(first)) == total, "it has printed the rest")
            first.signal(signal.SIGTERM)
            assert first.wait() == 0
            found += _printed(first)
        assert run_command(tmp_path, [*tail, "--to-end"], config).stdout == ""
        simulator.emit(300)
        probe.await_sequences(simulator)
        total = len(_printed(run_command(tmp_path, ["tail", "tweet.delete", "--to-end"], config)))
        with ConnectorProcess(tmp_path, tail, config) as second:
            wait_until(lambda: len(found) + len(_printed(second)) == total, "it has printed what is new")
            wait_until(lambda: _behind(config, "printed-deletes", topic) == 0, "it has kept its position")
            second.signal(signal.SIGKILL)
            second.wait()
            found += _printed(second)
    assert len({line["value"]["event_id"] for line in found}) == len(found) == total
    assert run_command(tmp_path, [*tail, "--to-end"], config).stdout == ""
    [partition] = {line["partition"] for line in found[:1]}
    _forget(config, "printed-deletes", topic, partition)
    admin = AdminClient({"bootstrap.servers": config["kafka"]["bootstrap_servers"]})
    removed = TopicPartition(topic, partition, 1)
    admin.delete_records([removed])[removed].result(30)
    again = run_command(tmp_path, [*tail, "--to-end"], config)
    assert f"{topic} partition {partition}: printed-deletes had read up to offset 0, Kafka has 1 to " in again.stderr
    assert {line["partition"] for line in _printed(again)} == {partition}


def test_position_on_a_quiet_partition_is_kept_again_before_kafka_forgets_it(
    kafka: Kafka, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It forgets each offset that was not committed for a while, also while its reader runs."""
    topic, group = f"{prefix}.quiet", f"{prefix}.reader"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)
    reached: dict[tuple[str | None, int | None], int] = {(topic, 0): 0}
    with KeptPosition(settings, group) as position:
        position.keep(reached)
        assert Cluster(settings).committed(group) == reached
        admin.delete_consumer_groups([group])[group].result(30)
        position.keep(reached)
        assert Cluster(settings).committed(group) == {}
        monkeypatch.setattr(kept_position, "_RENEWAL_S", 0.0)
        position.keep(reached)
        assert Cluster(settings).committed(group) == reached
    admin.delete_topics([topic])[topic].result(30)


def _behind(config: Config, group: str, topic: str) -> int:
    cluster = Cluster(KafkaSettings(bootstrap_servers=config["kafka"]["bootstrap_servers"]))
    places = [TopicPartition(topic, number) for number in range(cluster.count_partitions([topic])[topic])]
    committed = cluster.committed(group)
    return sum(end - committed.get((str(name), number or 0), 0) for (name, number), end in cluster.ends(places).items())


def _forget(config: Config, group: str, topic: str, partition: int) -> None:
    admin = AdminClient({"bootstrap.servers": config["kafka"]["bootstrap_servers"]})
    wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition, 0, OWN)])
    admin.alter_consumer_group_offsets([wanted])[group].result(30)


def test_tail_with_a_group_that_consumers_share_is_refused(config: Config, tmp_path: Path) -> None:
    """Their positions are not tail's to move, also while they are stopped; the connector's own group is not either."""
    servers, topic = config["kafka"]["bootstrap_servers"], f"{config['kafka']['topic_prefix']}.tweet.delete"
    run_command(tmp_path, ["provision"], config)
    with Consumer({"bootstrap.servers": servers, "group.id": "shared"}) as consumer:
        consumer.subscribe([topic])
        wait_until(lambda: consumer.poll(0.1) is None and bool(consumer.assignment()), "it has joined")
        refused = run_command(tmp_path, ["tail", "--group", "shared", "--to-end"], config, 78)
        assert "consumers share the partitions of the group shared" in refused.stderr
        consumer.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
    refused = run_command(tmp_path, ["tail", "--group", "shared", "--to-end"], config, 78)
    assert "another program has committed offsets for the group shared: name a group" in refused.stderr
    own = f"{config['kafka']['topic_prefix']}.connector"
    assert "is the connector's own group" in run_command(tmp_path, ["tail", "--group", own], config, 64).stderr


def _printed(tail: ConnectorProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in tail.stdout.split("\n")[:-1]]


def test_tail_of_an_unknown_event_is_a_usage_error(config: Config, tmp_path: Path) -> None:
    """The wrong name and the right ones are said."""
    tail = run_command(tmp_path, ["tail", "tweet.delete", "tweet.retweet"], config, 64)
    assert "unknown event type tweet.retweet" in tail.stderr
    assert all(event in tail.stderr for event in EVENTS)


def test_tail_of_topics_that_are_missing_names_them_and_the_command(config: Config, tmp_path: Path) -> None:
    """Nothing to read is no outage."""
    tail = run_command(tmp_path, ["tail"], override(config, kafka={"topic_prefix": "nobody-made-this"}), 78)
    assert "nobody-made-this.tweet.delete" in tail.stderr
    assert "connector provision" in tail.stderr
