"""Keep a store of Tweets in PostgreSQL compliant: `python consumer.py`.

Takes from the environment `DATABASE` (URL), `KAFKA` (brokers), `REGISTRY` (URL), `PREFIX` (default `x.compliance`),
`GROUP` (default `tweet-store`) and `IDLE_EXIT_S`, after how many seconds without an event to stop (default: never).

A batch of events is applied in one database transaction, and its offsets are committed after that: a crash in between
repeats events, which the database knows by their `event_id`. Results of batch runs are applied in the same way.
The rules are in `schema.sql`.
"""

import json
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from confluent_kafka import Consumer, KafkaException, Message
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer

Event = Mapping[str, Any]

PREFIX = os.environ.get("PREFIX", "x.compliance")
STREAMS = os.environ.get("STREAMS", "tweet|user|like|label|batch")
IDLE_EXIT_S = float(os.environ.get("IDLE_EXIT_S", "inf"))
BATCH = 500
SCRUB_ROWS = 1_000
TRIES = 60
APPLY = """
    SELECT CASE WHEN event ? 'run_id' THEN compliance.apply_result(event) ELSE compliance.apply(event) END
    FROM jsonb_array_elements(%s::jsonb) AS event
"""
"""A batch run is named in its results, and in no event."""
NUL, REPLACEMENT = "\0", "\ufffd"


def main() -> None:
    """Apply events until none has come for `IDLE_EXIT_S`."""
    decode = AvroDeserializer(SchemaRegistryClient({"url": os.environ["REGISTRY"], "timeout": 10}))
    settings = {
        "bootstrap.servers": os.environ["KAFKA"],
        "group.id": os.environ.get("GROUP", "tweet-store"),
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 10_000,  # how long after a crash another consumer of the group takes over
    }
    with psycopg.connect(os.environ["DATABASE"], autocommit=True) as database, Consumer(settings) as consumer:
        consumer.subscribe([rf"^{re.escape(PREFIX)}\.({STREAMS})\."])
        last_s = time.monotonic()
        while time.monotonic() - last_s < IDLE_EXIT_S:
            if messages := consumer.consume(BATCH, timeout=1.0):
                events = [decode(value_of(message)) for message in messages]
                apply(database, events)
                consumer.commit(asynchronous=False)
                print(f"applied {len(events)} events", file=sys.stderr)
                last_s = time.monotonic()


def value_of(message: Message) -> bytes | None:
    """Return the value of a record. Raises `KafkaException` where there is an error in its place."""
    if error := message.error():
        raise KafkaException(error)
    return message.value()


def apply(database: psycopg.Connection, events: list[Event]) -> None:
    """Apply events in one transaction, and then delete the locations of the users that removed theirs."""
    for left in reversed(range(TRIES)):
        try:
            with database.transaction():
                # Content that wants to come in waits behind this, so it must not wait for long at once.
                database.execute("SET LOCAL lock_timeout = '2s'")
                database.execute("SELECT compliance.lock_for_events()")
                database.execute(APPLY, [as_json(events)])
            break
        except (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable) as error:
            if not left:
                raise
            print(f"a transaction that stores content is open: {error}; trying again", file=sys.stderr)
            time.sleep(1)
    for user_id in {event["user_id"] for event in events if event["event_type"] == "user.scrub-geo"}:
        scrub(database, user_id)


def scrub(database: psycopg.Connection, user_id: str) -> None:
    """Delete locations some rows at a time: a transaction about millions of rows would hold up everyone."""
    done = SCRUB_ROWS
    while done == SCRUB_ROWS:
        [[done]] = database.execute("SELECT compliance.scrub(%s, %s)", [user_id, SCRUB_ROWS])


def as_json(events: Iterable[Event]) -> str:
    """Return events as JSON without U+0000, which PostgreSQL cannot store."""
    return json.dumps([{name: without_nul(value) for name, value in event.items()} for event in events], default=str)


def without_nul(value: object) -> object:
    """Return a field of a record with U+FFFD in place of U+0000."""
    if isinstance(value, list):
        return [without_nul(each) for each in value]
    return value.replace(NUL, REPLACEMENT) if isinstance(value, str) else value


if __name__ == "__main__":
    main()
