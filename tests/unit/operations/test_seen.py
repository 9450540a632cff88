"""What is wrong with an event by itself: its topic, key, Kafka partition and headers against its body."""

from typing import Any

import pytest

from connector.events.catalog import StreamPartition
from connector.kafka.digests import record_number
from connector.kafka.partitioner import partition_of
from connector.kafka.reading import ForeignRecordError, ReadRecord
from connector.kafka.topics import TopicNames
from connector.operations.audit import SeenEvent
from connector.operations.seen import EventReader

_TOPIC, _PARTITIONS = "p.like.delete", 6
_KEY = b"7:19"
_PLACE = partition_of(_KEY, _PARTITIONS)
_EVENT: dict[str, Any] = {
    "event_id": "ab" * 16,
    "event_type": "like.delete",
    "stream": "like",
    "stream_partition": 1,
    "sequence": 5,
    "user_id": "7",
    "tweet_id": "19",
}


def _read(
    key: bytes = _KEY,
    partition: int = _PLACE,
    ce_id: bytes | None = b"ab" * 16,
    **changes: Any,  # noqa: ANN401
) -> tuple[StreamPartition, SeenEvent, list[tuple[str, str]]]:
    headers = {} if ce_id is None else {"ce_id": ce_id}
    record = ReadRecord(_TOPIC, partition, 3, 9, key, b"value", headers)
    return EventReader(TopicNames("p"), {_TOPIC: _PARTITIONS}, lambda _: _EVENT | changes).read(record)


def test_event_as_the_connector_writes_it_has_no_problem() -> None:
    """Also without headers, which are optional."""
    number = record_number(_TOPIC.encode(), _KEY, b"value")
    seen = SeenEvent("like.delete", _TOPIC, _PLACE, 9, b"\xab" * 16, 5, number)
    assert _read() == _read(ce_id=None) == (StreamPartition("like", 1), seen, [])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"event_type": "tweet.delete"}, "of a different event type than their topic, p.like.delete"),
        ({"user_id": "8"}, "with a key that does not match their body"),
        ({"partition": (_PLACE + 1) % _PARTITIONS}, "in a Kafka partition that is not their key's"),
        ({"ce_id": b"cd" * 16}, "with a different id in their headers"),
    ],
)
def test_problem_is_named_with_its_place(changes: dict[str, Any], expected: str) -> None:
    """One for each thing that does not fit."""
    [(what, where)] = _read(**changes)[2]
    assert what == expected
    assert where.endswith("offset 3")


@pytest.mark.parametrize(
    "changes", [{"stream_partition": 9}, {"event_id": "no hex"}, {"stream": None}, {"user_id": None}]
)
def test_what_no_connector_writes_is_foreign(changes: dict[str, Any]) -> None:
    """It is of no stream partition, or no event."""
    with pytest.raises(ForeignRecordError, match=r"p\.like\.delete partition \d offset 3"):
        _read(**changes)
