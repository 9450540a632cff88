"""Digests by which the ledger accounts for the content of records. Pure; frozen, since written ones are compared later.

A record's digest is BLAKE2b, 32 bytes, over topic, key and value, the first two preceded by their length (4 bytes,
big-endian). That of a set is the sum of its members' digests as big-endian numbers, modulo 2^256, so order does not
matter, and sets are merged by addition. Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing:
Incrementality at Reduced Cost" (1997), call this AdHash: it finds what was altered, moved, added or lost, by
accident or by hand; against an attacker who can rewrite the ledger as well, no digest in it helps.

A gap is written again when it is reconciled or withdrawn, so its digest covers the constant fields: `gap_number`.
"""

from collections.abc import Iterable
from hashlib import blake2b

from connector.kafka.ledger import RecordSet
from connector.kafka.transaction import Record

DIGEST_BYTES = 32
_MODULUS = 1 << (8 * DIGEST_BYTES)


def record_number(topic: bytes, key: bytes, value: bytes) -> int:
    """Return the digest of a record as a number."""
    parts = b"".join((len(topic).to_bytes(4), topic, len(key).to_bytes(4), key, value))
    return int.from_bytes(blake2b(parts, digest_size=DIGEST_BYTES).digest())


def gap_number(gap_id: str, start_ms: int, end_ms: int, cause: str, recorded_ms: int) -> int:
    """Return the digest of a gap as a number, over the fields that stay the same in all of its records.

    Instants are milliseconds since 1970.
    """
    return record_number(b"gap", gap_id.encode(), f"{start_ms} {end_ms} {cause} {recorded_ms}".encode())


def set_digest(total: int) -> bytes:
    """Return the digest of a set whose members' numbers add up to `total`."""
    return (total % _MODULUS).to_bytes(DIGEST_BYTES)


def entry_digest(value: bytes) -> bytes:
    """Return the digest of a ledger entry, by which the next one refers to it; `value` is that of its record."""
    return blake2b(value, digest_size=DIGEST_BYTES).digest()


def record_set(records: Iterable[Record]) -> RecordSet:
    """Return the number of the records, and the digest of them all."""
    return number_set(record_number(each.topic.encode(), each.key, each.value) for each in records)


def number_set(numbers: Iterable[int]) -> RecordSet:
    """Return the set of records whose digests are these numbers."""
    count = total = 0
    for number in numbers:
        count += 1
        total += number
    return RecordSet(count, set_digest(total))


def record_sets(records: Iterable[Record], prefix: str) -> dict[str, RecordSet]:
    """Return the sets of `records` by kind: their topic without `prefix` and the character after it."""
    by_topic: dict[str, list[Record]] = {}
    for record in records:
        by_topic.setdefault(record.topic, []).append(record)
    return {topic[len(prefix) + 1 :]: record_set(of_topic) for topic, of_topic in by_topic.items()}
