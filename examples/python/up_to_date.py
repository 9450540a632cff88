"""Say until when a consumer group has everything: `python up_to_date.py`.

Takes from the environment `KAFKA` (brokers), `REGISTRY` (URL), `PREFIX` (default `x.compliance`), `GROUP` (default
`example-python`), `EVENTS`, the types that it reads, separated by commas (default: `tweet.delete`), and `WAIT_S`, how
long to wait for it (default: 60). The group must commit its position after its work.

Prints JSON. If `unread` and `expired` are empty, the group has all that X put on the streams until `until` (null: it is
not known), but for what is missing in `gaps`, and for dead letters, which are on no event topic: the operator knows
those. `unread` are the topic partitions of which the group has not committed all, `expired` those of which Kafka
removed events that it had not read. Ends with an error if a topic does not exist or may not be described.
"""

import json
import os
import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer

PREFIX = os.environ.get("PREFIX", "x.compliance")
GROUP = os.environ.get("GROUP", "example-python")
EVENTS = os.environ.get("EVENTS", "tweet.delete").split(",")
PARTITIONS = {"tweet": (1, 2, 3, 4), "user": (1, 2, 3, 4), "like": (1,), "label": (1,)}
WAIT_S = float(os.environ.get("WAIT_S", "60"))
TIMEOUT_S = 30.0
Record = dict[str, Any]


def main() -> None:
    """Ask for coverage first: what it claims is below the ends that are asked for after it."""
    needed = {(stream, number) for stream in {event.split(".")[0] for event in EVENTS} for number in PARTITIONS[stream]}
    coverage = newest_by_key(f"{PREFIX}-coverage", datetime.now(UTC) - timedelta(minutes=1))
    covered = {(each["stream"], each["stream_partition"]): each["covered_until"] for each in coverage}
    until = min(covered[each] for each in needed) if needed <= covered.keys() else None
    unread, expired = not_read_by_group([f"{PREFIX}.{event}" for event in EVENTS])
    gaps = [
        gap
        for gap in newest_by_key(f"{PREFIX}-gap")
        if (gap["stream"], gap["stream_partition"]) in needed
        and gap["state"] not in {"withdrawn", "reconciled"}
        and (gap["remaining"] is None or set(gap["remaining"]) & set(EVENTS))
        and (until is None or gap["gap_start"] < until)
    ]
    print(json.dumps({"until": until, "gaps": gaps, "unread": unread, "expired": expired}, default=datetime.isoformat))


def newest_by_key(topic: str, since: datetime | None = None) -> Collection[Record]:
    """Return the newest record of each key of a topic with one partition."""
    decode = AvroDeserializer(SchemaRegistryClient({"url": os.environ["REGISTRY"], "timeout": 10}))
    found = {message.key(): decode(message.value()) for message in records(topic, since)}
    return found.values()


def records(topic: str, since: datetime | None) -> Iterator[Message]:
    """Yield what is committed now, from the beginning or from a time on."""
    settings = {"isolation.level": "read_committed", "enable.partition.eof": True}
    with consumer_of(GROUP, settings) as consumer:
        start = TopicPartition(topic, 0, OFFSET_BEGINNING)
        if since is not None:
            [start] = consumer.offsets_for_times(
                [TopicPartition(topic, 0, round(since.timestamp() * 1000))], timeout=TIMEOUT_S
            )
        consumer.assign([start])
        while True:
            message = consumer.poll(TIMEOUT_S)
            if message is None:
                raise SystemExit(f"{topic}: nothing within {TIMEOUT_S:.0f} s")
            if (error := message.error()) is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client has no public name for it
                return
            else:
                raise KafkaException(error)


def not_read_by_group(topics: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the topic partitions whose present end the group does not reach in time, and those that lost events first.

    The present end includes open transactions.
    """
    with consumer_of(GROUP, {"isolation.level": "read_uncommitted"}) as consumer:
        places = [place for topic in topics for place in places_of(consumer, topic)]
        kept = [consumer.get_watermark_offsets(place, timeout=TIMEOUT_S) for place in places]
        deadline_s = time.monotonic() + WAIT_S
        while True:
            committed = consumer.committed(places, timeout=TIMEOUT_S)  # an offset below 0 where there is none
            found = [(f"{at.topic}/{at.partition}", at.offset, *its) for at, its in zip(committed, kept, strict=True)]
            unread = [name for name, offset, begin, end in found if begin < end and offset < end]
            expired = [name for name, offset, begin, _ in found if max(offset, 0) < begin]
            if not unread or time.monotonic() > deadline_s:
                return unread, expired
            time.sleep(1)


def places_of(consumer: Consumer, topic: str) -> list[TopicPartition]:
    """Return all partitions of a topic."""
    found = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    if found.error is not None or not found.partitions:
        raise SystemExit(f"{topic}: {found.error or 'it has no partitions'}")
    return [TopicPartition(topic, number) for number in found.partitions]


def consumer_of(group: str, settings: dict[str, Any]) -> Consumer:
    """Return a client that joins no group."""
    return Consumer(
        {"bootstrap.servers": os.environ["KAFKA"], "group.id": group, "enable.auto.commit": False, **settings}
    )


if __name__ == "__main__":
    main()
