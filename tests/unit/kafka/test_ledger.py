"""Ledger entries: they read back as themselves, and every contradiction is found."""

from dataclasses import replace
from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.coverage.gap import Suspicion
from connector.coverage.recovery import Range, Recovery, Refetch
from connector.errors import DependencyUnavailableError, NotProvisionedError, OwnCorruptionError
from connector.events.avro import AvroEncoder
from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.events.identity import pack_ids
from connector.events.schemas import LEDGER
from connector.kafka.ledger import CLOCKS_APART_US, Counts, LedgerEntry, Mode, check_contiguous, first_entry
from connector.kafka.ledger_decoding import EntryDecoder, read_entry

_PARTITION = StreamPartition("user", 3)
_IDS = tuple(bytes([number]) * 16 for number in range(3))
_ENTRY = LedgerEntry(
    entry=8,
    writer_id="w",
    partition=_PARTITION,
    covered_until_before_us=1000,
    covered_until_us=2000,
    covers_to_us=3000,
    counts=Counts(received=7, published=2, duplicate=3, dead_lettered=1, control=1),
    sequence=42,
    mode=Mode.REPLAY,
    slice_us=(500, 2500),
    ids=pack_ids(_IDS),
    oldest_offset=17,
    written_at_us=4000,
)
_AVRO = AvroEncoder(LEDGER, 1)
_LONGS = st.integers(0, 2**53)


def _value(entry: LedgerEntry = _ENTRY, **changes: Any) -> bytes:  # noqa: ANN401 - fields of the record
    return _AVRO.encode(entry.as_record() | changes)


def _refuse(schema_id: int) -> dict[str, Any]:
    raise NotProvisionedError(f"schema id {schema_id} is not in the registry")


def _read(value: bytes | None, partition: StreamPartition = _PARTITION) -> LedgerEntry:
    return read_entry(value, partition, EntryDecoder(_refuse).decode)


def test_coverage_may_move_back_in_entry_1_alone() -> None:
    """Entry 0 is by the wall clock; X's first answer may show that it was ahead."""
    first = first_entry(_PARTITION, "w", 2000)
    back = replace(first, covered_until_us=1000, entry=1)
    check_contiguous([first, _read(_value(back), _PARTITION)])
    with pytest.raises(OwnCorruptionError, match="coverage moves back"):
        replace(back, entry=2).check()


@st.composite
def _entries(draw: st.DrawFn) -> LedgerEntry:
    ids = tuple(draw(st.lists(st.binary(min_size=16, max_size=16), max_size=6, unique=True)))
    published = draw(st.integers(0, len(ids)))
    duplicate, control = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    before, covered = sorted((draw(_LONGS), draw(_LONGS)))
    return LedgerEntry(
        entry=draw(_LONGS),
        writer_id=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=8)),
        partition=draw(st.sampled_from(STREAM_PARTITIONS)),
        covered_until_before_us=before,
        covered_until_us=covered,
        covers_to_us=draw(_LONGS),
        counts=Counts(len(ids) + duplicate + control, published, duplicate, len(ids) - published, control),
        sequence=draw(_LONGS),
        mode=draw(st.sampled_from(Mode)),
        slice_us=draw(st.none() | st.tuples(_LONGS, _LONGS)),
        ids=pack_ids(ids),
        oldest_offset=draw(st.none() | _LONGS),
        written_at_us=draw(st.integers(0, 2**43)) * 1000,
    )


@pytest.mark.slow
@given(entry=_entries())
def test_entry_reads_back_as_itself(entry: LedgerEntry) -> None:
    """Every field, for any entry that a writer could write."""
    assert _read(_value(entry), entry.partition) == entry


def test_first_entry_is_consistent_and_covers_from_now_on() -> None:
    """Nothing before it is promised."""
    entry = first_entry(_PARTITION, "w", 5000)
    entry.check()
    assert (entry.entry, entry.sequence, entry.covered_until_us, entry.counts) == (0, 0, 5000, Counts())
    assert _read(_value(entry), _PARTITION) == entry


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"counts": Counts(8, 2, 3, 1, 1)}, "unaccounted"),
        ({"counts": Counts(6, 2, 2, 1, 2)}, "unaccounted"),
        ({"counts": Counts(7, 4, 3, -1, 1)}, "negative"),
        ({"counts": Counts(7, 2, 5, 1, -1)}, "negative"),
        ({"counts": Counts(7, 2, -1, 1, 5)}, "negative"),
        ({"counts": Counts(7, 1, 4, 1, 1)}, "ids and counts"),
        ({"ids": pack_ids(_IDS[:2])}, "ids and counts"),
        ({"ids": pack_ids((_IDS[0], _IDS[1], _IDS[0]))}, "duplicate id"),
        ({"covered_until_us": 999}, "moves back"),
        ({"entry": -1}, "number is negative"),
    ],
)
def test_entry_that_contradicts_itself_is_corrupt(changes: dict[str, Any], fault: str) -> None:
    """When written as when read."""
    entry = replace(_ENTRY, **changes)
    with pytest.raises(OwnCorruptionError, match=fault):
        entry.check()
    with pytest.raises(OwnCorruptionError, match=fault):
        _read(_value(entry), _PARTITION)


def test_reset_counts_nothing_and_may_keep_ids() -> None:
    """They are those of what came before it."""
    reset = replace(_ENTRY, mode=Mode.RESET, counts=Counts())
    reset.check()
    assert _read(_value(reset), _PARTITION) == reset


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\x00\x00\x00\x00\x01",
        b"\x01" + _value()[1:],
        _value()[:-1],
        _value() + b"\x00",
        _value(mode="asleep"),
        _value(ids=b"x" * 47),
        _value(slice_end=None),
        _value(slice_start=None),
        _value(recovery='{"x":' * 100_000),
        _value(recovery='{"tries": "many"}'),
    ],
    ids=[
        *("null", "empty", "no body", "other magic", "cut", "left over", "mode", "ids cut"),
        *("slice without end", "slice without start", "recovery without end", "recovery of another type"),
    ],
)
def test_entry_that_cannot_be_read_is_corrupt(value: bytes | None) -> None:
    """Never a guess, and the error names the partition."""
    with pytest.raises(OwnCorruptionError, match="user/3"):
        _read(value, _PARTITION)


@given(value=st.binary(max_size=200))
def test_any_bytes_are_corrupt(value: bytes) -> None:
    """No other exception comes out."""
    with pytest.raises(OwnCorruptionError):
        _read(b"\x00\x00\x00\x00\x01" + value, StreamPartition("user", 3))


def test_entry_of_another_partition_is_corrupt() -> None:
    """It stands where it does not belong."""
    with pytest.raises(OwnCorruptionError, match="found an entry of user/3 instead"):
        _read(_value(), StreamPartition("user", 4))


_NEXT = replace(_ENTRY, entry=9, covered_until_before_us=2000, sequence=44)


def test_row_of_entries_that_follow_each_other_is_consistent() -> None:
    """As is a row of one, or of none."""
    check_contiguous([_ENTRY, _NEXT, replace(_NEXT, entry=10, sequence=46)])
    check_contiguous([_NEXT])
    check_contiguous([])


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"entry": 8}, "follows entry 8"),
        ({"entry": 10}, "follows entry 8"),
        ({"covered_until_before_us": 1999}, "another coverage"),
        ({"sequence": 43}, "does not add up"),
    ],
)
def test_row_that_contradicts_itself_is_corrupt(changes: dict[str, Any], fault: str) -> None:
    """An entry that is missing, duplicated, or contradictory."""
    with pytest.raises(OwnCorruptionError, match=fault):
        check_contiguous([_ENTRY, replace(_NEXT, **changes)])


def test_entry_of_a_later_schema_is_resolved_by_the_registry() -> None:
    """A field that this version does not know is skipped; the registry is asked once, and only for that."""
    later = {**LEDGER.parsed, "fields": [*LEDGER.parsed["fields"], {"name": "new", "type": "string", "default": ""}]}
    asked: list[int] = []

    def look_up(schema_id: int) -> dict[str, Any]:
        asked.append(schema_id)
        return later

    decode = EntryDecoder(look_up).decode
    body = BytesIO()
    fastavro.schemaless_writer(body, later, {**_ENTRY.as_record(), "new": "n"})
    value = b"\x00\x00\x00\x00\x09" + body.getvalue()
    assert read_entry(_value(), _PARTITION, decode) == _ENTRY
    assert asked == []
    assert [read_entry(value, _PARTITION, decode) for _ in range(2)] == [_ENTRY, _ENTRY]
    assert asked == [9]


def test_entry_of_a_later_schema_waits_for_the_registry() -> None:
    """While it does not answer it is not known whether the entry is sound."""

    def be_away(_: int) -> dict[str, Any]:
        raise DependencyUnavailableError("registry away")

    with pytest.raises(DependencyUnavailableError):
        read_entry(_value()[:-1], _PARTITION, EntryDecoder(be_away).decode)


def test_entry_of_a_schema_that_is_not_the_ledger_s_is_corrupt() -> None:
    """Anyone who may write to the ledger chooses the id; the error names it."""

    def refuse(schema_id: int) -> dict[str, Any]:
        raise NotProvisionedError(f"schema id {schema_id} is not one of subject p-ledger-value")

    with pytest.raises(OwnCorruptionError, match="schema id 9 is not one of subject p-ledger-value"):
        read_entry(b"\0\0\0\0\x09", _PARTITION, EntryDecoder(refuse).decode)


_NOW_US = 1_800_000_000_000_000
_YEAR_US = 365 * 24 * 3600 * 1_000_000
_HONEST = replace(
    _ENTRY,
    covered_until_before_us=_NOW_US,
    covered_until_us=_NOW_US,
    covers_to_us=_NOW_US,
    slice_us=(_NOW_US, _NOW_US),
    written_at_us=_NOW_US,
)
_SINGLE_FORGERIES: dict[str, dict[str, Any]] = {
    "covered_until": {"covered_until_us": _NOW_US + _YEAR_US},
    "covers_to": {"covers_to_us": _NOW_US + _YEAR_US},
    "slice_end": {"slice_us": (_NOW_US, _NOW_US + _YEAR_US)},
    "written_at": {"written_at_us": _NOW_US + _YEAR_US},
}
_RECOVERIES = [
    Recovery(refetch=Refetch(0, _NOW_US + _YEAR_US, Suspicion.REPLAY_INCOMPLETE)),
    Recovery(last_slice=Range(0, _NOW_US + _YEAR_US)),
    Recovery(settled_us=_NOW_US + _YEAR_US),
    Recovery(settled_at_us=_NOW_US + _YEAR_US),
    Recovery(trying_since_us=_NOW_US + _YEAR_US),
    Recovery(lateness_since_us=_NOW_US + _YEAR_US),
]


@pytest.mark.parametrize("name", sorted(_SINGLE_FORGERIES))
def test_instant_a_year_ahead_of_every_clock_is_corrupt(name: str) -> None:
    """Each by itself, and whatever `written_at` says."""
    forged = replace(_HONEST, **_SINGLE_FORGERIES[name])
    for entry in (forged, replace(forged, written_at_us=_NOW_US + _YEAR_US)):
        with pytest.raises(OwnCorruptionError, match=r"user/3 entry 8: \w+ is 2028-01-.*any clock shows is 2027-01-"):
            entry.check_plausible(_NOW_US)
    with pytest.raises(OwnCorruptionError, match=f" {name} is "):
        forged.check_plausible(_NOW_US)


@pytest.mark.parametrize("recovery", _RECOVERIES, ids=range(len(_RECOVERIES)))
def test_instant_of_recovery_a_year_ahead_is_corrupt(recovery: Recovery) -> None:
    """What was learned for the next connection is believed as coverage is."""
    with pytest.raises(OwnCorruptionError, match="recovery is 2028"):
        replace(_HONEST, recovery=recovery).check_plausible(_NOW_US)


@pytest.mark.parametrize("hours", [-20_000, -48, 0, 48])
@pytest.mark.parametrize("name", sorted(_SINGLE_FORGERIES))
def test_instant_by_a_clock_that_is_two_days_off_is_plausible(name: str, hours: int) -> None:
    """A replica's, a broker's or X's own: ahead by so much, or behind by any time."""
    at_us = _NOW_US + hours * 3600 * 1_000_000
    value: Any = (0, at_us) if name == "slice_end" else at_us
    replace(_HONEST, **dict.fromkeys(_SINGLE_FORGERIES[name], value)).check_plausible(_NOW_US)


def test_time_of_writing_by_a_wall_clock_far_ahead_is_plausible_to_that_clock() -> None:
    """Nothing rests on it, and coverage does not go by it."""
    entry = replace(_HONEST, written_at_us=_NOW_US + _YEAR_US)
    entry.check_plausible(_NOW_US, wall_us=_NOW_US + _YEAR_US)
    with pytest.raises(OwnCorruptionError, match="covers_to"):
        replace(entry, covers_to_us=_NOW_US + _YEAR_US).check_plausible(_NOW_US, wall_us=_NOW_US + _YEAR_US)


def test_instant_is_plausible_up_to_the_bound() -> None:
    """To the microsecond."""
    replace(_HONEST, covers_to_us=_NOW_US + CLOCKS_APART_US).check_plausible(_NOW_US)
    with pytest.raises(OwnCorruptionError, match="covers_to"):
        replace(_HONEST, covers_to_us=_NOW_US + CLOCKS_APART_US + 1).check_plausible(_NOW_US)
