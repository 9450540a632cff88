"""Consumers as a team would run them: they commit an event once it is processed. Must not know the connector."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import Consumer


@contextmanager
def member(bootstrap_servers: str, group: str, topics: Sequence[str], protocol: str = "classic") -> Iterator[Consumer]:
    """Give a consumer that is subscribed to topics, by one of Kafka's two group protocols."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "group.protocol": protocol,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe(list(topics))
    try:
        yield consumer
    finally:
        consumer.close()


@contextmanager
def worker(bootstrap_servers: str, group: str, topics: Sequence[str]) -> Iterator[None]:
    """Process all events as they come, in a thread."""
    stop = threading.Event()

    def work() -> None:
        with member(bootstrap_servers, group, topics) as consumer:
            while not stop.is_set():
                message = consumer.poll(0.1)
                if message is not None and message.error() is None:
                    consumer.commit(message=message, asynchronous=False)

    thread = threading.Thread(target=work, name=group)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def process(consumer: Consumer, count: int) -> None:
    """Process that many events, and commit each afterwards."""
    while count:
        message = consumer.poll(0.2)
        if message is not None:
            assert message.error() is None
            consumer.commit(message=message, asynchronous=False)
            count -= 1
