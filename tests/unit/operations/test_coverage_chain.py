"""How entries follow one another, what is believed of a reset, and that no gap of theirs goes unnoticed."""

from dataclasses import replace

import pytest

from connector.kafka.digests import number_set
from connector.kafka.ledger import LedgerEntry, Mode, RecordSet
from connector.operations.coverage_chain import Chain, GapAccount, Link, gap_faults
from connector.operations.coverage_records import GapEvidence
from tests.unit.operations.coverage_values import BEGAN_US, GAP, entry

_GAP_SET = number_set([7])
_WITH_GAP = {"gap": _GAP_SET, "coverage": number_set([1])}


def _digest(each: LedgerEntry) -> bytes:
    return f"{each.entry} {each.covered_until_us}".encode()


def _links(*entries: LedgerEntry) -> list[Link]:
    return [Link(each, _digest(each), f"offset {at}", 1000 + at) for at, each in enumerate(entries)]


def _chain(*entries: LedgerEntry, is_of_range: bool = True) -> tuple[Chain, list[str]]:
    """Return the chain of these entries and its faults."""
    faults: list[str] = []
    chain = Chain(faults.append)
    for link in _links(*entries):
        chain.take(link, is_of_range=is_of_range)
    chain.cut()
    return chain, faults


def _reset(before_us: int, until_us: int, **changes: object) -> LedgerEntry:
    return entry(0, before_us, until_us, mode=Mode.RESET, **changes)


_FIRST = entry(4, 100, 200, records={})
_SECOND = entry(5, 200, 300, records={}, previous=_digest(_FIRST))


def test_entries_that_refer_to_one_another_have_no_fault() -> None:
    """Nor has the first that is read, whatever it refers to, nor those of a release without digests."""
    assert _chain(replace(_FIRST, previous=b"unseen"), _SECOND)[1] == []
    assert _chain(_FIRST, entry(5, 200, 300), entry(6, 300, 400, records={}))[1] == []


def test_entry_without_digests_behind_one_with_them_is_counted() -> None:
    """A release that writes none may have been back; those behind it follow one of its own."""
    chain, faults = _chain(_FIRST, entry(5, 200, 300), entry(6, 300, 400))
    assert (chain.unlinked, faults) == (1, [])
    assert _chain(_FIRST, entry(5, 200, 300), is_of_range=False)[0].unlinked == 0
    assert _chain(_FIRST, _SECOND)[0].unlinked == 0


@pytest.mark.parametrize(
    ("second", "fault"),
    [
        (replace(_SECOND, previous=None), "offset 1: entry 5 does not refer to the previous one"),
        (replace(_SECOND, previous=b"another"), "not the one that it was written after"),
        (replace(_SECOND, entry=6), "follows entry 4"),
        (replace(_SECOND, covered_until_before_us=201), "begins at another coverage"),
    ],
)
def test_entry_that_cannot_follow_is_a_fault(second: LedgerEntry, fault: str) -> None:
    """One that leaves out what it was written after, too: anyone can number an entry."""
    [found] = _chain(_FIRST, second)[1]
    assert fault in found


def test_nothing_is_said_of_an_entry_behind_one_that_cannot_be_read() -> None:
    """The fault is the one before."""
    faults: list[str] = []
    chain = Chain(faults.append)
    first, second = _links(_FIRST, replace(_SECOND, entry=9, previous=None))
    chain.take(first, is_of_range=True)
    chain.skip()
    chain.take(second, is_of_range=True)
    assert faults == []


def test_reset_that_records_its_gap_is_named_and_no_fault() -> None:
    """Also one of several entries, the last of which has the gap; the next entry refers to that."""
    first, last = _reset(200, 500, records={}), _reset(500, 500, records=_WITH_GAP)
    after = entry(1, 500, 600, records={}, previous=_digest(last))
    chain, faults = _chain(_FIRST, first, last, after)
    assert faults == []
    assert chain.resets == [1001]
    assert [account.records for account in chain.accounts] == [_GAP_SET]
    assert _chain(_FIRST, _reset(199, 500, records=_WITH_GAP))[1] == []
    assert _chain(_FIRST, _reset(200, 200, records={}))[1] == []
    assert _chain(entry(4, 100, 200), _reset(200, 500))[1] == []


@pytest.mark.parametrize(
    ("resets", "faults"),
    [
        ([_reset(201, 500, records=_WITH_GAP)], ["from 1970"]),
        ([_reset(201, 201, records={})], ["from 1970"]),
        ([_reset(200, 500, records={})], ["not accounted for as a gap"]),
        ([_reset(200, 500)], ["not accounted for as a gap"]),
        (
            [_reset(200, 500, records={}), _reset(500, 500, records=_WITH_GAP, writer_id="another")],
            ["not accounted for as a gap"],
        ),
    ],
    ids=["behind the coverage before", "skips nothing itself", "no gap", "no records", "the gap of another"],
)
def test_reset_that_skips_time_without_a_gap_is_a_fault(resets: list[LedgerEntry], faults: list[str]) -> None:
    """Anyone who may write to the ledger could move coverage on by it; it is named all the same."""
    chain, found = _chain(_FIRST, *resets)
    assert [said in fault for said, fault in zip(faults, found, strict=True)] == [True] * len(faults)
    assert len(chain.resets) == len(resets)


def test_gaps_of_a_reset_count_if_any_entry_of_it_is_of_the_range() -> None:
    """The range may end within the gap, and so before the entry that accounts for it."""
    faults: list[str] = []
    chain = Chain(faults.append)
    first, last = _links(_reset(200, 500, records={}), _reset(500, 500, records=_WITH_GAP))
    chain.take(first, is_of_range=True)
    chain.take(last, is_of_range=False)
    assert chain.is_in_reset
    chain.cut()
    assert len(chain.accounts) == 1
    outside, _ = _chain(_reset(200, 500, records=_WITH_GAP), is_of_range=False)
    assert (outside.resets, outside.accounts) == ([], [])


def _account(records: RecordSet) -> GapAccount:
    return GapAccount("offset 3", GAP.recorded_us, records)


def test_gaps_that_are_there_as_recorded_are_no_fault() -> None:
    """In any order, beside others of another time, and of two entries of one millisecond together."""
    there = [
        GapEvidence(b"", replace(GAP, state="withdrawn"), 7),
        GapEvidence(b"", GAP, 8),
        GapEvidence(b"", replace(GAP, recorded_us=BEGAN_US), 9),
    ]
    assert list(gap_faults([_account(number_set([8, 7]))], there)) == []
    assert list(gap_faults([_account(number_set([8])), _account(number_set([7]))], there)) == []
    assert list(gap_faults([], there)) == []


def test_gap_that_is_gone_or_altered_is_a_fault() -> None:
    """Where the entry is that accounts for it is said."""
    account = _account(number_set([7, 8]))
    [gone] = gap_faults([account], [GapEvidence(b"", GAP, 7)])
    assert gone == "offset 3: 1 gap is not on the gap topic though this entry accounts for 2"
    [all_gone] = gap_faults([account], [])
    assert all_gone == "offset 3: 2 gaps are not on the gap topic though this entry accounts for 2"
    [altered] = gap_faults([account], [GapEvidence(b"", GAP, 7), GapEvidence(b"", GAP, 6)])
    assert altered == "offset 3: the gaps on the gap topic are not those that this entry accounts for"


def test_gap_account_is_of_the_millisecond_in_which_the_entry_was_written() -> None:
    """A gap has whole milliseconds alone."""
    chain, _ = _chain(entry(4, 100, 200, records={"gap": _GAP_SET}, written_at_us=BEGAN_US + 1999))
    assert chain.accounts == [GapAccount("offset 0", BEGAN_US + 1000, _GAP_SET)]
