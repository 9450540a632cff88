"""Print every compliance event as a line of JSON: `python reader.py`.

Takes from the environment `KAFKA` (brokers), `REGISTRY` (URL), `PREFIX` (default `x.compliance`), `GROUP` (default
`example-python`) and `IDLE_EXIT_S`, after how many seconds without an event to stop (default: never).
"""

import json
import os
import re
import sys
import time

from confluent_kafka import Consumer, KafkaException, Message
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer

PREFIX = os.environ.get("PREFIX", "x.compliance")
IDLE_EXIT_S = float(os.environ.get("IDLE_EXIT_S", "inf"))
BATCH = 500


def main() -> None:
    """Read until nothing has come for `IDLE_EXIT_S`."""
    decode = AvroDeserializer(SchemaRegistryClient({"url": os.environ["REGISTRY"], "timeout": 10}))
    settings = {
        "bootstrap.servers": os.environ["KAFKA"],
        "group.id": os.environ.get("GROUP", "example-python"),
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    with Consumer(settings) as consumer:
        # Events of all streams, and not the results of batch runs, whose fields are others.
        consumer.subscribe([rf"^{re.escape(PREFIX)}\.(tweet|user|like|label)\."])
        last_s = time.monotonic()
        while time.monotonic() - last_s < IDLE_EXIT_S:
            if messages := consumer.consume(BATCH, timeout=1.0):
                for message in messages:
                    process(message, decode)
                sys.stdout.flush()
                consumer.commit(asynchronous=False)  # after the work: a crash repeats events and loses none
                last_s = time.monotonic()


def process(message: Message, decode: AvroDeserializer) -> None:
    """Do what is to be done about an event; here, print it."""
    if error := message.error():
        raise KafkaException(error)
    event = decode(message.value())
    print(json.dumps({"topic": message.topic(), "key": message.key().decode(), **event}, default=str))


if __name__ == "__main__":
    main()
