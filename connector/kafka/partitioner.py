"""The partition of a key: murmur2, as in Java's default partitioner and librdkafka's `murmur2_random`."""

from struct import iter_unpack

_SEED = 0x9747B28C
_FACTOR = 0x5BD1E995
_SHIFT = 24
_WORD = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a record with `key`, from 0, of a topic with `partitions`.

    An empty key, unlike a missing one, has its partition, too.
    """
    return (_murmur2(key) & _POSITIVE) % partitions


def _murmur2(data: bytes) -> int:
    """Return the hash as 32 bits without sign."""
    whole = len(data) // 4 * 4
    digest = _SEED ^ len(data)
    for (word,) in iter_unpack("<I", data[:whole]):
        digest = (digest * _FACTOR & _WORD) ^ _mixed(word)
    if rest := data[whole:]:
        digest = (digest ^ int.from_bytes(rest, "little")) * _FACTOR & _WORD
    digest = (digest ^ digest >> 13) * _FACTOR & _WORD
    return digest ^ digest >> 15


def _mixed(word: int) -> int:
    mixed = word * _FACTOR & _WORD
    return (mixed ^ mixed >> _SHIFT) * _FACTOR & _WORD
