"""What records of all kinds have in common: CloudEvents headers, and a size limit. Pure."""

from connector.kafka.transaction import Headers, Record

_BATCH_OVERHEAD_BYTES = 512
"""More than Kafka's record batch adds to a single record (KIP-98: 61 bytes, and a few per header)."""


class UnencodableError(ValueError):
    """A line from X cannot be written; the message says why."""


def cloud_event(ce_type: str, ce_source: str, ce_id: str, ce_time: str, ce_subject: str) -> Headers:
    """Return the headers of a CloudEvent (1.0, Kafka protocol binding, binary mode) in Avro."""
    return {
        "ce_specversion": "1.0",
        "ce_type": ce_type,
        "ce_source": ce_source,
        "content-type": "application/avro",
        "ce_id": ce_id,
        "ce_time": ce_time,
        "ce_subject": ce_subject,
    }


def size_bytes(headers: Headers) -> int:
    """Return the size of a record with these headers, without its key and value."""
    return sum(len(name) + len(value or "") for name, value in headers.items()) + _BATCH_OVERHEAD_BYTES


def over_limit(size: int, limit: int) -> UnencodableError:
    """Return the error for a record over the limit of its topic, both in bytes."""
    return UnencodableError(f"a record of {size} bytes is over the topic's limit of {limit}")


def dead_letter(topic: str, id_text: str, line: bytes, headers: Headers, limit_bytes: int) -> Record:
    """Return the record of a dead letter under its id, its value cut to the limit of the topic."""
    key = id_text.encode()
    excess = len(key) + len(line) + size_bytes(headers) - limit_bytes
    return Record(topic, key, line[:-excess] if excess > 0 else line, headers)
