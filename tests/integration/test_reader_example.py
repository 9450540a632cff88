"""The reader that the documentation shows, run as it stands against real services."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from connector.events.catalog import StreamPartition
from connector.simulator.config import SimulatorConfig
from connector.simulator.server import Simulator
from tests.rig.audit import expected_events
from tests.rig.process import wait_until
from tests.rig.service import Config, make_config, provisioned, running
from tests.rig.session import Kafka, SchemaRegistry

_CONTRACT = Path(__file__).parents[2] / "docs" / "contract.md"
_PREFIX = "x.compliance"
_GROUP = "deletes"


@pytest.fixture
def simulator(seed: int) -> Iterator[Simulator]:
    """Give a simulated X with some events of each stream partition of Tweets."""
    with Simulator(SimulatorConfig(seed=seed)) as simulator:
        for number in (1, 2, 3, 4):
            simulator.emit(50, StreamPartition("tweet", number))
        yield simulator


@pytest.fixture
def config(kafka: Kafka, registry: SchemaRegistry, simulator: Simulator) -> Iterator[Config]:
    """Provision under the prefix that the documentation uses, unless that is done."""
    known = AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=10).topics
    if any(topic.startswith(_PREFIX) for topic in known):
        pytest.skip(f"the existing Kafka has topics {_PREFIX} already, which are not ours to delete")
    with provisioned(make_config(kafka.bootstrap_servers, registry.url, _PREFIX, simulator.base_url, 2)) as config:
        yield config


def _example() -> str:
    blocks = re.findall(r"^```python\n(.*?)^```$", _CONTRACT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    [reader] = [block for block in blocks if "consumer.subscribe" in block]
    assert len(reader.splitlines()) <= 12
    return str(reader)


def _lag(kafka: Kafka) -> int:
    """Return the lag of the reader as Kafka's tools show it: the ends of its topic less what it has committed."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    topic = f"{_PREFIX}.tweet.delete"
    partitions = [TopicPartition(topic, number) for number in admin.list_topics(topic).topics[topic].partitions]
    [group] = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(_GROUP, partitions)]).values()
    committed = {each.partition: max(each.offset, 0) for each in group.result().topic_partitions}
    ends = admin.list_offsets(
        dict.fromkeys(partitions, OffsetSpec.latest()), isolation_level=IsolationLevel.READ_UNCOMMITTED
    )
    return sum(end.result().offset - committed[partition.partition] for partition, end in ends.items())


def test_example_of_the_contract_prints_every_deleted_tweet(
    config: Config, simulator: Simulator, kafka: Kafka, registry: SchemaRegistry, tmp_path: Path
) -> None:
    """It prints the id of each deleted Tweet as often as X deleted it, goes on reading, and ends at a lag of 0."""
    with running(config) as probe:
        probe.await_sequences(simulator)
    expected = expected_events(_PREFIX, simulator.record()).values()
    deleted = sorted(
        event.fields["tweet_id"]
        for events in expected
        for _, event in events.values()
        if event.topic == "x.compliance.tweet.delete"
    )
    assert deleted
    output = tmp_path / "output"
    with output.open("wb") as file:
        reader = subprocess.Popen(  # noqa: S603 - the command is ours
            [sys.executable, "-c", _example()],
            env=os.environ | {"KAFKA": kafka.bootstrap_servers, "REGISTRY": registry.url},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: len(output.read_text().splitlines()) >= len(deleted), "the reader has printed all")
        wait_until(lambda: _lag(kafka) == 0, "the reader has committed behind the marker of the last transaction")
        assert reader.poll() is None
    finally:
        reader.kill()
        reader.wait()
    assert sorted(output.read_text().splitlines()) == deleted
