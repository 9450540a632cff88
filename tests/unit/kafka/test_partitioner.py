"""The partition of a key: as Java's clients, and so librdkafka's murmur2 partitioner, choose it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.kafka.partitioner import partition_of
from tests.rig import oracle

_ALL_BITS = 2**31
"""Of that many partitions, the number says all that counts of the hash."""


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
        ("", 275646681),
    ],
)
def test_the_hash_of_kafkas_own_examples_is_kafkas(key: str, digest: int) -> None:
    """The examples are those of Kafka's own tests (UtilsTest.testMurmur2), and what clients take for an empty key."""
    assert partition_of(key.encode(), _ALL_BITS) == digest & (_ALL_BITS - 1)


@given(key=st.binary(max_size=64), partitions=st.integers(1, 200))
def test_any_key_has_the_place_that_an_independent_reading_gives_it(key: bytes, partitions: int) -> None:
    """Keys of every length and byte, and any number of partitions."""
    assert partition_of(key, partitions) == oracle.kafka_partition(key, partitions)
