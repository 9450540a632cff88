"""The size of topics on disk is that of their segment files."""

from pathlib import Path

from benchmarks.stand import Stand


def test_bytes_on_disk_are_those_of_all_segments_of_the_topics(tmp_path: Path) -> None:
    """Of all partitions; indexes, which Kafka makes large and leaves empty, and other topics do not count."""
    for name, size in {
        "a.tweet.drop-0/00000000000000000000.log": 100,
        "a.tweet.drop-0/00000000000000000009.log": 20,
        "a.tweet.drop-0/00000000000000000000.index": 7000,
        "a.tweet.drop-11/00000000000000000000.log": 3,
        "a.user.delete-0/00000000000000000000.log": 4,
        "a.ledger-0/00000000000000000000.log": 50_000,
        "b.tweet.drop-0/00000000000000000000.log": 60_000,
    }.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(bytes(size))
    stand = Stand("", 0, kafka_folder=tmp_path, registry_url="", folder=tmp_path)
    assert stand.bytes_on_disk(["a.tweet.drop", "a.user.delete"]) == 127
