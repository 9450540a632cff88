"""Why Kafka does not answer, from the text of librdkafka's errors. Pure."""

import re
from typing import Final

from confluent_kafka import KafkaError

_BROKER = re.compile(r"^(?:\[thrd:[^\]]*\]: )?\S+/(?:bootstrap|\d+): ")
_CONNECT = re.compile(r"^Connect to \S+ failed: ")
_STATE = re.compile(r" \(after \d+ms in state .*\)$")
_CAPITALISED = re.compile(r"[A-Z][a-z]")
NO_ANSWER: Final = frozenset({KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN})  # noqa: SLF001 - public names
"""Codes that say that a request failed, not why: the connection's own error does."""


def cause(text: str) -> str:
    """Return the cause in an error text, such as `connection refused`, without broker, thread and connection state."""
    bare = _STATE.sub("", _CONNECT.sub("", _BROKER.sub("", text)))
    return bare[:1].lower() + bare[1:] if _CAPITALISED.match(bare) else bare


def outage(code: int, text: str, connection_error: str) -> str:
    """Return why a request failed with this code and text, by the connection's latest error if there is one."""
    if not connection_error:
        return cause(text)
    return cause(connection_error) if code in NO_ANSWER else f"{cause(text)} ({cause(connection_error)})"
