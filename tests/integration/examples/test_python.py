"""The Python examples, against real services and the vectors."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from tests.integration.examples.published import EXAMPLES, VECTORS, Published, printed_events, run

_FOLDER = EXAMPLES / "python"
_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_ISOLATION_LEVEL = 'isolation_level="read_committed",'


def test_reader_prints_each_committed_event_once(published: Published) -> None:
    """It subscribes by pattern and leaves out what was aborted."""
    published.check(printed_events(run([sys.executable, "reader.py"], _FOLDER, published.environment)))


def test_aiokafka_reader_prints_each_committed_event_once(published: Published) -> None:
    """It says that it wants what is committed."""
    published.check(printed_events(run([sys.executable, "aiokafka_reader.py"], _FOLDER, published.environment)))


def test_aiokafka_reader_without_isolation_level_prints_what_was_aborted(published: Published, tmp_path: Path) -> None:
    """The client's default is read_uncommitted, which is why the example sets it."""
    source = (_FOLDER / "aiokafka_reader.py").read_text()
    assert source.count(_ISOLATION_LEVEL) == 1
    (tmp_path / "reader.py").write_text(source.replace(_ISOLATION_LEVEL, ""))
    published.check_uncommitted(printed_events(run([sys.executable, "reader.py"], tmp_path, published.environment)))


def test_group_is_up_to_date_once_it_has_read_everything(published: Published) -> None:
    """Before, all that is not empty is unread; after, nothing is, though topic partitions end with markers."""
    environment = published.environment | {"EVENTS": "tweet.delete,user.protect", "WAIT_S": "0"}
    before = json.loads(run([sys.executable, "up_to_date.py"], _FOLDER, environment))
    assert {place.rpartition("/")[0] for place in before["unread"]} == {
        f"{published.prefix}.{event_type}" for event_type in ("tweet.delete", "user.protect")
    }
    run([sys.executable, "reader.py"], _FOLDER, environment)
    after = json.loads(run([sys.executable, "up_to_date.py"], _FOLDER, environment))
    assert (after["unread"], after["expired"], after["gaps"]) == ([], [], [])
    first_ms = min(event["event_at"] for event in published.events.values())
    assert datetime.fromisoformat(after["until"]) > datetime.fromtimestamp(first_ms / 1000, UTC)


def test_up_to_date_names_the_gaps_that_concern_the_group(published: Published) -> None:
    """Not those of another stream, of event types that a batch run made up for, or withdrawn."""
    environment = published.environment | {"EVENTS": "tweet.delete,tweet.drop", "WAIT_S": "0"}
    gaps: dict[str, dict[str, Any]] = {
        "open": {},
        "partly": {"state": "partly-reconciled", "remaining": ["tweet.drop", "tweet.withheld"]},
        "made-up-for": {"state": "partly-reconciled", "remaining": ["tweet.withheld"]},
        "other-stream": {"stream": "user"},
        "to-come": {"gap_start": datetime(2200, 1, 1, tzinfo=UTC)},
    }
    _write_gaps(published, gaps)
    found = json.loads(run([sys.executable, "up_to_date.py"], _FOLDER, environment))["gaps"]
    assert {gap["gap_id"] for gap in found} == {"open", "partly"}
    _write_gaps(published, {name: fields | {"state": "withdrawn"} for name, fields in gaps.items()})
    assert json.loads(run([sys.executable, "up_to_date.py"], _FOLDER, environment))["gaps"] == []


def test_up_to_date_ends_with_an_error_for_a_topic_that_does_not_exist(published: Published) -> None:
    """A misspelt type has nothing unread, which is no answer."""
    environment = {**os.environ, **published.environment, "EVENTS": "tweet.deleted", "WAIT_S": "0"}
    ended = subprocess.run(
        [sys.executable, "up_to_date.py"], cwd=_FOLDER, env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"{published.prefix}.tweet.deleted: " in ended.stderr


def _write_gaps(published: Published, gaps: Mapping[str, Mapping[str, Any]]) -> None:
    topic, now = f"{published.prefix}-gap", datetime.now(UTC)
    gap: dict[str, Any] = {"stream": "tweet", "stream_partition": 1, "gap_start": _LONG_AGO, "gap_end": now}
    gap |= {"state": "lost", "cause": "outage-too-long", "detail": "", "recorded_at": now}
    producer = Producer({"bootstrap.servers": published.kafka})
    with SchemaRegistryClient({"url": published.registry}) as registry:
        schema = registry.get_latest_version(f"{topic}-value").schema
        encode = AvroSerializer(registry, schema, conf={"auto.register.schemas": False, "use.latest.version": True})
        for name, fields in gaps.items():
            value = encode({"gap_id": name, **gap, **fields}, SerializationContext(topic, MessageField.VALUE))
            producer.produce(topic, value, name)
    assert producer.flush(30) == 0


def test_state_is_what_the_vectors_say() -> None:
    """All cases, in all their orders."""
    assert run([sys.executable, "vectors.py", VECTORS], _FOLDER).endswith(" 0 failures\n")
