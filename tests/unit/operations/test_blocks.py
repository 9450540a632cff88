"""Blocks of ledger entries: put together, they say the same of the whole."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from connector.events.catalog import StreamPartition
from connector.kafka.ledger import Counts, LedgerEntry, RecordSet, first_entry
from connector.operations.blocks import Basis, Blocks

_FIRST = first_entry(StreamPartition("tweet", 1), "w", 0)


def _entries(published: list[int]) -> list[LedgerEntry]:
    entries, sequence = [], 0
    for number, count in enumerate(published):
        sequence += count
        sets = {"tweet.delete": RecordSet(count, sum(range(sequence - count + 1, sequence + 1)).to_bytes(32))}
        entries.append(
            replace(_FIRST, entry=number, sequence=sequence, counts=Counts(count, count), records=sets if count else {})
        )
    return entries


@given(published=st.lists(st.integers(0, 4), min_size=1, max_size=60), most=st.integers(2, 9))
def test_blocks_are_few_and_each_event_and_entry_finds_its_own(published: list[int], most: int) -> None:
    """However many entries there are; once all events are found nothing is left."""
    blocks, entries = Blocks(most=most), _entries(published)
    ordinals = [blocks.add(entry, entry.entry, is_context=False) for entry in entries]
    assert len(list(blocks)) <= most
    for entry, ordinal in zip(entries, ordinals, strict=True):
        block = blocks.of_ordinal(ordinal)
        assert block.first_entry <= entry.entry <= block.last_entry
        for sequence in range(entry.sequence - entry.counts.published + 1, entry.sequence + 1):
            found = blocks.of_sequence(sequence)
            assert found is not None
            assert found.first_entry <= entry.entry <= found.last_entry
            found.found("tweet.delete", sequence)
    assert not any(balance.count or balance.total for block in blocks for balance in block.balances.values())
    assert blocks.of_sequence(0) is blocks.of_sequence(sum(published) + 1) is None


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_entries_in_and_around_the_range_are_never_put_together(are_context: list[bool]) -> None:
    """What is missing in the range would be excused."""
    blocks = Blocks(most=2)
    for number, is_context in enumerate(are_context):
        blocks.add(replace(_FIRST, entry=number, records={}), number, is_context=is_context)
    in_range = sum(block.last_entry - block.first_entry + 1 for block in blocks if not block.is_context)
    assert in_range == are_context.count(False)


def test_sequences_that_no_entry_accounts_for_have_a_block_of_their_own() -> None:
    """A reset goes on behind the last event that it found."""
    blocks = Blocks()
    first, second = _entries([2, 3])
    blocks.add(first, 0, is_context=False)
    blocks.add(replace(second, sequence=9, counts=Counts(1, 1)), 0, is_context=False)
    bases = [block.basis for sequence in (2, 3, 8, 9) if (block := blocks.of_sequence(sequence))]
    assert bases == [Basis.DIGEST, Basis.NOTHING, Basis.NOTHING, Basis.DIGEST]


@given(count=st.integers(1, 300), most=st.integers(4, 16))
def test_no_block_holds_more_than_its_share(count: int, most: int) -> None:
    """So that what is found points somewhere, and one that is partly too old excuses little."""
    blocks = Blocks(most=most)
    for number in range(count):
        blocks.add(replace(_FIRST, entry=number, records={}), number, is_context=False)
    assert max(block.entries for block in blocks) <= max(1, 4 * count / most)


def test_blocks_end_where_other_records_are_kept() -> None:
    """A block lies on one side of each date: all of its records of a kind must be there, or none."""
    blocks = Blocks([100, 250], most=4)
    for number in range(400):
        blocks.add(replace(_FIRST, entry=number, records={}), number, is_context=False)
    for boundary in (100, 250):
        assert all(block.last_us < boundary or block.first_us >= boundary for block in blocks)
