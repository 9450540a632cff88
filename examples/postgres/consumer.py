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
REFUSE = "INSERT INTO compliance.refused_event (event, reason) VALUES (%s, %s)"
UNFIT = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
"""What the database says of an event that it cannot hold: it would say so again and again."""
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
        database.isolation_level = psycopg.IsolationLevel.READ_COMMITTED  # a snapshot of before the lock misses content
        database.execute("SELECT compliance.sweep()")
        consumer.subscribe([rf"^{re.escape(PREFIX)}\.({STREAMS})\."])
        is_scrubbing, last_s = True, time.monotonic()
        while is_scrubbing or time.monotonic() - last_s < IDLE_EXIT_S:
            if messages := consumer.consume(BATCH, timeout=0 if is_scrubbing else 1.0):
                apply(database, [decode(value) for message in messages if (value := value_of(message)) is not None])
                consumer.commit(asynchronous=False)
                print(f"applied {len(messages)} events", file=sys.stderr)
                last_s = time.monotonic()
            is_scrubbing = scrub(database)


def value_of(message: Message) -> bytes | None:
    """Return the value of a record. Raises `KafkaException` where there is an error in its place."""
    if error := message.error():
        raise KafkaException(error)
    return message.value()


def apply(database: psycopg.Connection, events: list[Event]) -> None:
    """Apply events in one transaction, or each in its own where the database cannot hold one of them."""
    try:
        apply_together(database, as_json(events))
    except UNFIT as error:
        if len(events) == 1:
            refuse(database, events[0], error)
        else:
            for event in events:
                apply(database, [event])


def apply_together(database: psycopg.Connection, events: str) -> None:
    """Apply events in one transaction, as soon as none is open that stores content."""
    for left in reversed(range(TRIES)):
        try:
            with database.transaction():
                # Content that wants to come in waits behind this, so it must not wait for long at once.
                database.execute("SET LOCAL lock_timeout = '2s'")
                database.execute("SELECT compliance.lock_for_events()")
                database.execute(APPLY, [events])
        except (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable) as error:
            if not left:
                raise
            print(f"a transaction that stores content is open: {error}; trying again", file=sys.stderr)
            time.sleep(1)
        else:
            return


def refuse(database: psycopg.Connection, event: Event, error: psycopg.Error) -> None:
    """Keep an event that cannot be applied for a person to look at."""
    print(f"event {event.get('event_id')} cannot be applied: {error}", file=sys.stderr)
    database.execute(REFUSE, [json.dumps(event, default=str), str(error)])


def scrub(database: psycopg.Connection) -> bool:
    """Delete some locations; return whether there is more to do. All at once would hold up everyone."""
    try:
        [[is_more]] = database.execute("SELECT compliance.scrub_some(%s)", [SCRUB_ROWS])
    except psycopg.errors.DeadlockDetected:
        return True
    return bool(is_more)


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
