"""The digests by which the ledger accounts for content: frozen, and sensitive to all that can be done to a record."""

from hashlib import blake2b

import pytest

from connector.kafka.digests import entry_digest, record_number, record_set, record_sets, set_digest
from connector.kafka.ledger import RecordSet
from connector.kafka.transaction import Record

_RECORDS = [Record("p.tweet.delete", b"1", b"one"), Record("p.tweet.edit", b"2", b""), Record("p-gap", b"k", b"v")]


def test_digest_of_a_record_is_that_of_its_parts_behind_their_lengths() -> None:
    """As the schema of the ledger says: another audit gets the same."""
    parts = b"\0\0\0\3" + b"a.b" + b"\0\0\0\2" + b"ke" + b"value"
    expected = blake2b(parts, digest_size=32).digest()
    assert record_set([Record("a.b", b"ke", b"value")]) == RecordSet(1, expected)
    assert expected.hex() == "569cd2ba1c6e2a8fedf4a52d28dade9c65a38b9370a1fb30ff1d5f0ecd2199a1"


def test_digest_of_a_set_does_not_depend_on_order_and_adds_up() -> None:
    """So what was counted in parts can be put together, beyond 2^256 too."""
    numbers = [record_number(each.topic.encode(), each.key, each.value) for each in _RECORDS]
    whole = record_set(_RECORDS)
    assert record_set(reversed(_RECORDS)) == whole == RecordSet(3, set_digest(sum(numbers)))
    assert set_digest(sum(numbers) + (1 << 256)) == whole.digest
    assert record_set([]) == RecordSet(0, bytes(32))


@pytest.mark.parametrize(
    "other",
    [
        Record("p.tweet.drop", b"1", b"one"),
        Record("p.tweet.delete", b"2", b"one"),
        Record("p.tweet.delete", b"1", b"two"),
        Record("p.tweet.delete1", b"", b"one"),
        Record("p.tweet.delete", b"1o", b"ne"),
    ],
    ids=["another topic", "another key", "another value", "the key in the topic", "the value in the key"],
)
def test_whatever_differs_in_a_record_changes_the_digest(other: Record) -> None:
    """Where a part ends counts, too."""
    assert record_set([other]).digest != record_set(_RECORDS[:1]).digest


def test_a_record_that_is_there_twice_counts_twice() -> None:
    """Which a sum by exclusive or would not notice."""
    assert record_set([*_RECORDS, _RECORDS[0], _RECORDS[0]]).digest != record_set(_RECORDS).digest


def test_sets_are_by_kind_which_is_the_topic_without_its_prefix() -> None:
    """Event types, and what the connector's own topics are called."""
    sets = record_sets([*_RECORDS, _RECORDS[0]], "p")
    assert sets == {
        "tweet.delete": record_set([_RECORDS[0]] * 2),
        "tweet.edit": record_set([_RECORDS[1]]),
        "gap": record_set([_RECORDS[2]]),
    }


def test_digest_of_an_entry_is_that_of_its_value() -> None:
    """All its bytes, the schema id among them."""
    assert entry_digest(b"value") == blake2b(b"value", digest_size=32).digest()
