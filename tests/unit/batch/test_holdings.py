"""The ids on the topic of what is held: which of them count, and in what order they come."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.batch.holdings import HeldIds
from connector.batch.ids import IdSource, InvalidIdsError, prepare
from connector.kafka.reading import BEGINNING, ReadRecord, TopicReader
from connector.settings import KafkaSettings
from connector.x.batch_api import JobType

_SETTINGS = KafkaSettings(bootstrap_servers="broker:9092", topic_prefix="p")
_Change = tuple[int, bytes, bytes | None]
"""Partition, key and value."""


class _Topic(TopicReader):
    """A topic in memory, in place of a reader of Kafka."""

    def __init__(self, changes: Sequence[_Change]) -> None:
        self._changes = changes

    def __call__(self, settings: KafkaSettings, topics: Collection[str], start: int) -> "_Topic":
        """Return a reader."""
        assert (settings, topics, start) == (_SETTINGS, ["p-holdings"], BEGINNING)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def to_end(self, _: Callable[[], bool] = lambda: False) -> Iterator[ReadRecord]:
        """Yield the records, each at the next offset."""
        for offset, (partition, key, value) in enumerate(self._changes):
            yield ReadRecord("p-holdings", partition, offset, 0, key, value or b"", {}, value is None)


def _held(
    changes: Sequence[_Change],
    kind: JobType = JobType.TWEETS,
    *,
    skip_invalid: bool = False,
    most_remembered: int = 100_000,
) -> tuple[HeldIds, list[bytes]]:
    ids = HeldIds(
        _SETTINGS, kind, skip_invalid=skip_invalid, most_remembered=most_remembered, open_topic=_Topic(changes)
    )
    with TemporaryDirectory() as folder:
        return ids, list(ids.distinct(Path(folder), lambda _: None))


def test_id_is_held_if_its_last_record_has_a_value() -> None:
    """Be it empty: only null says that an id is no longer held."""
    _, found = _held(
        [
            (0, b"tweet:2", b"{}"),
            (0, b"tweet:10", b""),
            (0, b"tweet:3", b"x"),
            (0, b"tweet:3", None),
            (0, b"tweet:4", None),
            (0, b"tweet:4", b"again"),
            (0, b"user:5", b"x"),
        ]
    )
    assert found == [b"10", b"2", b"4"]
    assert _held([(0, b"tweet:2", b""), (3, b"user:5", b"x")], JobType.USERS)[1] == [b"5"]


def test_id_on_two_partitions_is_held_if_one_of_them_says_so() -> None:
    """There is no order between partitions, and to ask about an id too many costs nothing."""
    changes: list[_Change] = [
        (0, b"tweet:1", b"x"),
        (1, b"tweet:1", None),
        (1, b"tweet:2", b"x"),
        (0, b"tweet:2", None),
    ]
    assert _held(changes)[1] == [b"1", b"2"]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from([b"tweet:1", b"tweet:12", b"tweet:2", b"tweet:0", b"user:1"]),
            st.sampled_from([None, b"", b"x"]),
        )
    )
)
def test_held_ids_are_those_of_a_table_that_applies_every_record(changes: list[_Change]) -> None:
    """Each once, in byte order, as the shards need them."""
    table: dict[tuple[int, bytes], bytes | None] = {}
    for partition, key, value in changes:
        table[partition, key] = value
    expected = {key[6:] for (_, key), value in table.items() if value is not None and key.startswith(b"tweet:")}
    assert _held(changes)[1] == sorted(expected)


def test_invalid_keys_are_named_by_their_place_and_counted() -> None:
    """All that hold neither kind of id, whichever is asked about."""
    bad: list[_Change] = [(2, b"post:1", b"x"), (0, b"tweet:1a", b"x"), (0, b"user:", b"x"), (0, b"", b"x")]
    with pytest.raises(InvalidIdsError) as caught:
        _held([(1, b"tweet:1", b"x"), *bad, *((0, b"%d" % number, b"") for number in range(1, 9))])
    first, *examples = caught.value.lines
    assert first.startswith("invalid keys: 12; a key is tweet:ID or user:ID, and an ID 1 to 19 digits (--skip-invalid")
    assert examples[:2] == ["  partition 2 offset 1: post:1", "  partition 0 offset 2: tweet:1a"]
    assert len(examples) == 10


def test_invalid_keys_may_be_skipped_or_taken_back() -> None:
    """By a null under the same key, which is how the one who wrote it corrects it."""
    ids, found = _held([(0, b"tweet:1", b"x"), (0, b"post:1", b"x")], skip_invalid=True)
    assert (found, ids.valid, ids.invalid) == ([b"1"], 1, 1)
    ids, found = _held([(0, b"post:1", b"x"), (0, b"tweet:1", b"x"), (0, b"post:1", None)])
    assert (found, ids.invalid) == ([b"1"], 0)


def test_more_invalid_keys_than_are_remembered_are_an_error_for_good() -> None:
    """Nulls for those that are remembered do not hide the others; of long keys only a hash is kept."""
    keys = [b"Tweet:%d" % number + b"x" * 100_000 for number in range(5)]
    changes: list[_Change] = [*((0, key, b"x") for key in keys), *((0, key, None) for key in keys)]
    with pytest.raises(InvalidIdsError, match=r"^invalid keys: 2; "):
        _held(changes, most_remembered=3)
    ids, _ = _held(changes, skip_invalid=True, most_remembered=3)
    assert ids.invalid == 2


def test_null_on_another_partition_takes_no_invalid_key_back() -> None:
    """There is no order between partitions."""
    with pytest.raises(InvalidIdsError, match=r"^invalid keys: 1; "):
        _held([(0, b"post:1", b"x"), (1, b"post:1", None)])


def test_held_ids_are_prepared_as_those_of_a_file_are(tmp_path: Path) -> None:
    """With no duplicates to count: a topic holds a key again and again."""
    topic = _Topic([(0, b"tweet:1", b"x"), (0, b"tweet:1", b"y")])
    ids = HeldIds(_SETTINGS, JobType.TWEETS, skip_invalid=False, open_topic=topic)
    prepared = prepare(ids, tmp_path, on_progress=lambda _: None)
    assert (prepared.ids, prepared.duplicates, prepared.invalid) == (1, 0, 0)
    assert prepared.shards[0].path.read_bytes() == b"1\n"
    assert (ids.source, ids.identity()) == (IdSource.TOPIC, "p-holdings")
