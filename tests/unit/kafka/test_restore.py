"""Restoring when Kafka does not help: who is silent is not corrupt, and who stays short is."""

from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, TopicPartition

from connector.errors import DependencyUnavailableError, NotProvisionedError, OwnCorruptionError
from connector.events.avro import AvroEncoder
from connector.events.catalog import StreamPartition
from connector.events.schemas import LEDGER
from connector.kafka.clients import ClientProperties
from connector.kafka.digests import entry_digest
from connector.kafka.ledger import CLOCKS_APART_US, LedgerEntry, Mode, first_entry
from connector.kafka.ledger_decoding import EntryDecoder
from connector.kafka.restore import STABLE_DEADLINE_S, LedgerReader, OffsetEntry, Restored, Tail
from connector.settings import KafkaSettings

_PARTITION = StreamPartition("tweet", 1)
_SETTINGS = KafkaSettings(bootstrap_servers="127.0.0.1:1")


def _refuse(schema_id: int) -> dict[str, Any]:
    raise NotProvisionedError(f"schema id {schema_id} is not in the registry")


_decode = EntryDecoder(_refuse).decode


class _EndOfPartition:
    """What the client says at the end of what is committed."""

    def error(self) -> KafkaError:
        """Say that it is the end."""
        return KafkaError(KafkaError._PARTITION_EOF)  # noqa: SLF001 - the client's public name

    def __init__(self, offset: int = 5) -> None:
        self._offset = offset

    def offset(self) -> int:
        """Say where."""
        return self._offset


class _Entry:
    """A record of the ledger at an offset."""

    def __init__(self, offset: int, value: bytes, dated_ms: int) -> None:
        self._offset, self._value, self._dated_ms = offset, value, dated_ms

    def error(self) -> None:
        """Say that it is a record."""

    def offset(self) -> int:
        """Say where."""
        return self._offset

    def value(self) -> bytes:
        """Say what."""
        return self._value

    def timestamp(self) -> tuple[int, int]:
        """Say when."""
        return TIMESTAMP_LOG_APPEND_TIME, self._dated_ms


class _Kafka:
    """Plays admin client and consumer of a ledger from 0 to 10; each poll takes five seconds.

    It gives what is in `log` from the assigned offset on, and then `answer`; to readers of uncommitted records, what
    is in `uncommitted` as well.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.edges = [0, 10]
        self.log: dict[int, bytes] = {}
        self.uncommitted: dict[int, bytes] = {}
        self.answer: _EndOfPartition | None = None
        self.is_stopping = False
        self.dated_ms = self.clock_us = 0
        self._at = 0

    def list_offsets(self, wanted: dict[Any, Any], **_: object) -> dict[Any, Future[Any]]:
        """Answer with the next edge."""
        future: Future[Any] = Future()
        future.set_result(type("Result", (), {"offset": self.edges.pop(0)}))
        return dict.fromkeys(wanted, future)

    def _consumer(self, properties: ClientProperties) -> Any:  # noqa: ANN401 - plays as much of it as is asked for
        """Stand in for a consumer with these properties."""
        if properties["isolation.level"] == "read_uncommitted":
            self.log = self.log | self.uncommitted
        return self

    def assign(self, where: list[TopicPartition]) -> None:
        """Take note."""
        self._at = where[0].offset

    def close(self) -> None:
        """Take note."""

    def poll(self, _: float) -> _EndOfPartition | _Entry | None:
        """Let time pass."""
        self.now_s += 5.0
        for offset in sorted(self.log):
            if offset >= self._at:
                self._at = offset + 1
                return _Entry(offset, self.log[offset], self.dated_ms)
        return self.answer

    def restore(self) -> list[OffsetEntry]:
        """Restore from this."""
        return self.reader().restore().placed

    def reader(self) -> LedgerReader:
        """Return a reader of this."""
        played: Any = self
        return LedgerReader(
            _SETTINGS,
            _PARTITION,
            _decode,
            lambda: self.is_stopping,
            lambda: self.now_s,
            clock_us=lambda: self.clock_us,
            make_admin=lambda _: played,
            make_consumer=self._consumer,
        )


def _placed(offset: int, entry: LedgerEntry, dated_us: int = 0) -> OffsetEntry:
    """Return what is restored of an entry at `offset`."""
    return OffsetEntry(offset, entry, dated_us, entry_digest(_value(entry)))


@pytest.fixture
def kafka() -> _Kafka:
    """Give a played Kafka."""
    return _Kafka()


def test_kafka_that_falls_silent_is_unavailable_and_not_corrupt(kafka: _Kafka) -> None:
    """An outage in the middle of a restore must not stop a partition for good."""
    kafka.edges = [0, 10, 10]
    with pytest.raises(DependencyUnavailableError, match="does not answer"):
        kafka.restore()
    assert kafka.now_s > STABLE_DEADLINE_S


def test_ledger_whose_committed_part_stays_short_is_corrupt(kafka: _Kafka) -> None:
    """Kafka answers, but what was written last is never decided."""
    kafka.answer = _EndOfPartition()
    kafka.edges = [0, 10, 5]
    with pytest.raises(OwnCorruptionError, match="a transaction at offset 5 stays open"):
        kafka.restore()
    assert kafka.now_s > STABLE_DEADLINE_S


def test_stop_ends_a_restore(kafka: _Kafka) -> None:
    """Before its deadline."""
    kafka.is_stopping = True
    with pytest.raises(DependencyUnavailableError, match="stopped"):
        kafka.restore()
    assert kafka.now_s < STABLE_DEADLINE_S


def test_empty_ledger_that_does_not_begin_at_zero_is_corrupt(kafka: _Kafka) -> None:
    """Entries were deleted; an empty one that does is a new partition."""
    kafka.edges = [7, 7]
    with pytest.raises(OwnCorruptionError, match="entries were deleted"):
        kafka.restore()
    kafka.edges = [0, 0]
    assert kafka.reader().restore() == Restored([], 0, 0)


_FIRST = first_entry(_PARTITION, "w", 1000)
_RESET = replace(_FIRST, mode=Mode.RESET, ids=b"i" * 16, sequence=7)
_NEXT = replace(_FIRST, entry=1, sequence=7, mode=Mode.LIVE, oldest_offset=5)


def _value(entry: LedgerEntry) -> bytes:
    return AvroEncoder(LEDGER, 1).encode(entry.as_record())


@pytest.mark.parametrize("edges", [[-1], [0, -1], [-1, -1], [5, 0]], ids=str)
def test_edges_that_cannot_be_are_no_empty_ledger(kafka: _Kafka, edges: list[int]) -> None:
    """A broker that does not know yet, or two that disagree: to be asked again, and never a new partition."""
    kafka.edges = edges
    with pytest.raises(DependencyUnavailableError, match=r"Kafka does not report where|begins at 5 and ends at 0"):
        kafka.restore()


@pytest.mark.parametrize("log", [[], [0, 2]], ids=["empty", "written again"])
def test_log_that_ends_before_what_was_committed_is_corrupt(kafka: _Kafka, log: list[int]) -> None:
    """Created again or cut short: what is there may be sound, and what is gone would be published twice."""
    kafka.log = {offset: _value(replace(_FIRST, entry=number)) for number, offset in enumerate(log)}
    kafka.edges, kafka.answer = [0, 2 * len(log)], _EndOfPartition(2 * len(log))
    with pytest.raises(OwnCorruptionError, match=rf"its log ends at {2 * len(log)} with .*, but reached 6 and"):
        kafka.reader().restore(known_end=6)


def test_log_that_lost_its_newest_entry_and_was_written_on_is_corrupt(kafka: _Kafka) -> None:
    """It was cut by one transaction, and an aborted one made it as long again."""
    kafka.log = {0: _value(_FIRST)}
    kafka.edges, kafka.answer = [0, 4], _EndOfPartition(4)
    with pytest.raises(OwnCorruptionError, match="ends at 4 with entry 0, but reached 4 and entry 1 before"):
        kafka.reader().restore(known_end=4, known_entry=1)


def test_end_of_a_log_is_where_it_ends_once_no_transaction_is_open(kafka: _Kafka) -> None:
    """The marker that ends it stands behind the end that Kafka gave before: the next entry comes behind the marker."""
    kafka.log = {0: _value(_FIRST)}
    kafka.edges, kafka.answer = [0, 3], _EndOfPartition(4)
    assert kafka.reader().restore() == Restored([_placed(0, _FIRST)], 0, 4)


def test_tail_is_what_is_committed_from_a_place_on(kafka: _Kafka) -> None:
    """With where the log ends by then; nothing where it ends before, or at, that place."""
    kafka.log = {0: _value(_FIRST), 2: b"second"}
    kafka.edges, kafka.answer = [4, 4, 4, 1], _EndOfPartition(5)
    reader = kafka.reader()
    assert reader.tail(0) == Tail([(0, _value(_FIRST)), (2, b"second")], 5)
    assert reader.tail(2) == Tail([(2, b"second")], 5)
    assert reader.tail(4) == Tail([], 4)
    assert reader.tail(2) == Tail([], 1)


def test_log_that_reaches_what_was_committed_is_restored(kafka: _Kafka) -> None:
    """An aborted transaction may have made it longer."""
    kafka.log = {0: _value(_FIRST)}
    kafka.edges, kafka.answer = [0, 4], _EndOfPartition(4)
    assert kafka.reader().restore(known_end=2).placed == [_placed(0, _FIRST)]


def test_log_that_is_shorter_and_begins_with_a_reset_is_restored(kafka: _Kafka) -> None:
    """A person has looked: the ledger topic was created again and then reset."""
    kafka.log = {0: _value(_RESET)}
    kafka.edges, kafka.answer = [0, 2], _EndOfPartition(2)
    assert kafka.reader().restore(known_end=6).placed == [_placed(0, _RESET)]


def test_partition_whose_first_entry_was_only_ever_aborted_is_new(kafka: _Kafka) -> None:
    """Killed before the first commit, twice; what is restored says how far the log was read."""
    kafka.uncommitted = {0: _value(_FIRST), 2: _value(_FIRST)}
    kafka.edges, kafka.answer = [0, 4], _EndOfPartition(4)
    assert kafka.reader().restore() == Restored([], 0, 4)


def test_ledger_whose_entries_kafka_hides_is_corrupt_and_not_new(kafka: _Kafka) -> None:
    """Entry 1 is only written once entry 0 is committed, so there was one."""
    kafka.uncommitted = {0: _value(_FIRST), 2: _value(replace(_FIRST, entry=1))}
    kafka.edges, kafka.answer = [0, 4], _EndOfPartition(4)
    with pytest.raises(OwnCorruptionError, match="shows no committed entry, but entry 1 is at offset 2"):
        kafka.restore()


@pytest.mark.parametrize("damage", [b"", b"junk", _value(replace(_FIRST, entry=3))], ids=["empty", "junk", "no row"])
def test_damage_before_a_reset_does_not_matter(kafka: _Kafka, damage: bytes) -> None:
    """What is before the oldest entry that matters is neither read as an entry nor part of the row."""
    kafka.log = {0: _value(_FIRST), 3: damage, 5: _value(_RESET)}
    kafka.answer = _EndOfPartition(10)
    assert kafka.restore() == [_placed(5, _RESET)]
    kafka.edges, kafka.log[7] = [0, 10], _value(_NEXT)
    assert kafka.restore() == [_placed(5, _RESET), _placed(7, _NEXT)]


def test_beginning_of_several_entries_is_restored_whole(kafka: _Kafka) -> None:
    """A reset with many ids: all its entries are number 0."""
    second = replace(_RESET, ids=b"j" * 16, covered_until_before_us=1000, oldest_offset=5)
    kafka.log = {5: _value(_RESET), 6: _value(second), 7: _value(_NEXT)}
    kafka.answer = _EndOfPartition(10)
    assert kafka.restore() == [_placed(5, _RESET), _placed(6, second), _placed(7, _NEXT)]


def test_entry_that_refers_to_another_one_than_the_one_before_is_corrupt(kafka: _Kafka) -> None:
    """It may be sound in itself, and in its place: it was written after something else."""
    kafka.answer = _EndOfPartition(10)
    right = replace(_NEXT, previous=entry_digest(_value(_RESET)))
    kafka.log = {5: _value(_RESET), 7: _value(right)}
    assert kafka.restore() == [_placed(5, _RESET), _placed(7, right)]
    kafka.edges, kafka.log[7] = [0, 10], _value(replace(_NEXT, previous=entry_digest(_value(_FIRST))))
    with pytest.raises(OwnCorruptionError, match="the entry before is not the one that it was written after"):
        kafka.restore()


def test_entry_that_refers_to_nothing_is_corrupt_unless_it_is_a_reset_or_older(kafka: _Kafka) -> None:
    """A release that writes digests knows the entry before; one that writes none does not."""
    kafka.answer = _EndOfPartition(10)
    before, older = replace(_RESET, records={}), replace(_NEXT, records=None)
    kafka.log = {5: _value(before), 7: _value(older)}
    assert kafka.restore() == [_placed(5, before), _placed(7, older)]
    again = replace(before, ids=b"j" * 16, oldest_offset=5, covered_until_before_us=before.covered_until_us)
    kafka.edges, kafka.log[7] = [0, 10], _value(again)
    assert kafka.restore() == [_placed(5, before), _placed(7, again)]
    kafka.edges, kafka.log[7] = [0, 10], _value(replace(_NEXT, records={}))
    with pytest.raises(OwnCorruptionError, match="entry 1: does not say which entry it was written after"):
        kafka.restore()


@pytest.mark.parametrize("at", [5, 7])
def test_damage_to_what_matters_is_corruption(kafka: _Kafka, at: int) -> None:
    """The newest entry, or one whose ids are needed."""
    kafka.log = {5: _value(_RESET), 7: _value(_NEXT)} | {at: b"junk"}
    kafka.answer = _EndOfPartition(10)
    with pytest.raises(OwnCorruptionError, match="cannot be read"):
        kafka.restore()


def test_row_of_what_matters_that_does_not_fit_is_corruption(kafka: _Kafka) -> None:
    """Each entry was readable, but one is missing between them."""
    kafka.log = {5: _value(_RESET), 7: _value(replace(_NEXT, entry=2))}
    kafka.answer = _EndOfPartition(10)
    with pytest.raises(OwnCorruptionError, match="follows entry 0"):
        kafka.restore()


@pytest.mark.parametrize("oldest_offset", [6, 5000], ids=["between entries", "beyond the log"])
def test_entry_that_needs_what_is_not_there_is_corruption(kafka: _Kafka, oldest_offset: int) -> None:
    """As in a ledger that was copied to other offsets: it is neither new nor to be trusted."""
    kafka.log = {5: _value(_RESET), 7: _value(replace(_NEXT, oldest_offset=oldest_offset))}
    kafka.answer = _EndOfPartition(10)
    with pytest.raises(OwnCorruptionError, match=f"ids of offset {oldest_offset} are needed, but there is no entry"):
        kafka.restore()


def test_entry_that_needs_what_was_deleted_is_corruption(kafka: _Kafka) -> None:
    """Its ids are gone, so repeats could not be told."""
    kafka.log = {7: _value(_NEXT)}
    kafka.edges, kafka.answer = [6, 10], _EndOfPartition(10)
    with pytest.raises(OwnCorruptionError, match="ids of offset 5 are needed, but the log begins at 6"):
        kafka.restore()


_YEAR_US = 365 * 24 * 60 * 60 * 1_000_000
_FORGED = replace(
    _RESET,
    covered_until_us=_YEAR_US,
    covers_to_us=_YEAR_US,
    written_at_us=_YEAR_US,
)


@pytest.mark.parametrize("is_newest", [True, False], ids=["newest", "one that is needed"])
def test_entry_with_coverage_a_year_ahead_is_corruption(kafka: _Kafka, *, is_newest: bool) -> None:
    """Though it says that it was written then: Kafka's date and our clock know better, and the place is named."""
    kafka.log = {5: _value(_FORGED)}
    if not is_newest:
        after = replace(_FORGED, entry=1, covered_until_before_us=_YEAR_US, oldest_offset=5, mode=Mode.LIVE, ids=b"")
        kafka.log[7] = _value(replace(after, covered_until_us=1000, covers_to_us=1000, written_at_us=0))
    kafka.answer = _EndOfPartition(10)
    with pytest.raises(OwnCorruptionError, match=r"-ledger partition 0 offset \d: ledger tweet/1 entry .*any clock"):
        kafka.restore()


@pytest.mark.parametrize("clock", ["Kafka's", "ours"])
def test_entry_that_one_clock_vouches_for_is_restored(kafka: _Kafka, clock: str) -> None:
    """The other one may be slow by any time: brokers, or a replica before X has answered, in the past."""
    kafka.log, kafka.answer = {5: _value(_FORGED)}, _EndOfPartition(10)
    latest_us = _YEAR_US - CLOCKS_APART_US
    kafka.dated_ms, kafka.clock_us = (latest_us // 1000, 0) if clock == "Kafka's" else (0, latest_us)
    assert kafka.restore() == [_placed(5, _FORGED, kafka.dated_ms * 1000)]


def test_record_that_is_no_entry_is_corruption_that_names_its_place(kafka: _Kafka) -> None:
    """Topic, partition, offset and schema id."""
    kafka.log, kafka.answer = {5: b"\0\0\0\0\x09foreign"}, _EndOfPartition(10)
    place = r"x\.compliance-ledger partition 0 offset 5: .*schema id 9 is not in the registry"
    with pytest.raises(OwnCorruptionError, match=place):
        kafka.restore()
