"""The Kafka Streams example: the Tweets that a store holds, joined with those that were deleted."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.integration.examples.java import build, java_command
from tests.integration.examples.published import EXAMPLES, PARTITIONS, Published
from tests.rig.oracle import kafka_partition
from tests.rig.process import wait_until

_FOLDER = EXAMPLES / "java"
_TIMEOUT_S = 60


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    build(_FOLDER)


@pytest.fixture
def deletions(published: Published) -> Counter[str]:
    """Return how many committed events delete each Tweet; those about quoted content do not."""
    events = [event for event in published.events.values() if event["event_type"] == "tweet.delete"]
    return Counter(event["tweet_id"] for event in events if event["quote_tweet_id"] is None)


def test_held_tweet_comes_out_once_for_each_committed_deletion(
    published: Published, deletions: Counter[str], tmp_path: Path
) -> None:
    """Every second deleted Tweet is held; copies that were aborted do not count."""
    held = sorted(deletions)[::2]
    with _topics(published, "some", PARTITIONS) as topics:
        _hold(published, topics["HELD"], held)
        with _streams(published, topics, tmp_path):
            wait_until(lambda: _read(published, topics["TODO"]).keys() >= set(held), "all that is held comes out")
        assert _read(published, topics["TODO"]) == Counter({id_: deletions[id_] for id_ in held})


def test_held_tweet_on_another_partition_is_missed(
    published: Published, deletions: Counter[str], tmp_path: Path
) -> None:
    """A key that is not placed by murmur2 never meets its deletion."""
    held = sorted(deletions)
    placed = [id_ for id_ in held if kafka_partition(id_.encode(), PARTITIONS) == 0]
    assert 0 < len(placed) < len(held)
    with _topics(published, "elsewhere", PARTITIONS) as topics:
        _hold(published, topics["HELD"], held, partition=0)
        with _streams(published, topics, tmp_path):
            wait_until(lambda: _read(published, topics["TODO"]).keys() >= set(placed), "what is in its place comes out")
        assert _read(published, topics["TODO"]).keys() == set(placed)


def test_other_number_of_partitions_is_refused(published: Published, tmp_path: Path) -> None:
    """The example compares them, which Streams does not, and names the topics."""
    with (
        _topics(published, "more", PARTITIONS + 1) as topics,
        _streams(published, topics, tmp_path) as process,
    ):
        _, errors = process.communicate(timeout=_TIMEOUT_S)
    assert process.returncode == 1
    expected = {topics["HELD"]: PARTITIONS + 1, f"{published.prefix}.tweet.delete": PARTITIONS}
    listed = ", ".join(f"{topic}={count}" for topic, count in sorted(expected.items()))
    assert f"topics with different numbers of partitions: {{{listed}}}" in errors


@contextmanager
def _topics(published: Published, name: str, partitions: int) -> Iterator[dict[str, str]]:
    """Create the store's own topics; yield their names as the example takes them from its environment."""
    topics = {variable: f"{published.prefix}-{name}-{variable.lower()}" for variable in ("HELD", "TODO")}
    admin = AdminClient({"bootstrap.servers": published.kafka})
    new = [NewTopic(topic, partitions, 1, config={"cleanup.policy": "compact"}) for topic in topics.values()]
    for creation in admin.create_topics(new).values():
        creation.result()
    wait_until(lambda: admin.list_topics(timeout=_TIMEOUT_S).topics.keys() >= set(topics.values()), "they can be seen")
    yield topics
    for deletion in admin.delete_topics(list(topics.values())).values():
        deletion.result()


def _hold(published: Published, topic: str, ids: list[str], partition: int = -1) -> None:
    """Write what a store holds, by murmur2 or all to one partition: long ago, so that Streams takes it first."""
    producer = Producer({"bootstrap.servers": published.kafka, "partitioner": "murmur2_random"})
    for id_ in ids:
        producer.produce(topic, f"row of {id_}", id_, partition, timestamp=1)
    assert producer.flush(30) == 0


@contextmanager
def _streams(published: Published, topics: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the example with its state in `folder`, and stop it at the end if it still runs."""
    command = java_command("compliance.HeldDeletions", f"-Djava.io.tmpdir={folder}")
    with (
        (folder / "output").open("w", encoding="utf-8") as output,
        subprocess.Popen(  # noqa: S603 - the command is ours
            [str(part) for part in command],
            cwd=_FOLDER,
            env=published.environment | topics,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


def _read(published: Published, topic: str) -> Counter[str]:
    """Return how many committed records of a topic each key has, up to its present end."""
    settings = {"bootstrap.servers": published.kafka, "group.id": "none", "enable.partition.eof": True}
    keys: Counter[str] = Counter()
    with Consumer(settings) as consumer:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        ends = 0
        while ends < PARTITIONS:
            for message in consumer.consume(1000, timeout=1.0):
                if message.error():
                    ends += 1
                else:
                    keys[(message.key() or b"").decode()] += 1
    return keys
