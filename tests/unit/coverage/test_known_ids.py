"""The duplicate memory, beside a plain model of it."""

from hypothesis import given
from hypothesis import strategies as st

from connector.coverage.known_ids import KEEP_US, DuplicateMemory

_IDS = st.lists(st.integers(0, 30).map(lambda number: bytes([number])), max_size=4, unique=True).map(tuple)
_STEP_US = KEEP_US // 4
_COMMITS = st.lists(st.tuples(_IDS, st.integers(0, 2), st.integers(0, 3)), max_size=40)


@given(commits=_COMMITS)
def test_memory_of_any_row_of_commits_is_that_of_the_model(commits: list[tuple[tuple[bytes, ...], int, int]]) -> None:
    """An id stays until coverage is far enough past what it covers; the oldest entry is the one to restore from."""
    memory = DuplicateMemory()
    kept: list[tuple[int, int, tuple[bytes, ...]]] = []
    covered_us = covers_to_us = 0
    for offset, (ids, moves_on, catches_up) in enumerate(commits):
        fresh = tuple(each for each in ids if each not in memory)
        covers_to_us += moves_on * _STEP_US
        covered_us = min(covers_to_us + 2 * KEEP_US, covered_us + catches_up * _STEP_US)
        memory.remember(offset, covers_to_us, fresh)
        memory.forget(covered_us)
        if fresh:
            kept.append((offset, covers_to_us, fresh))
        kept = [each for each in kept if each[1] + KEEP_US >= covered_us]
        expected = {each for _, _, ids in kept for each in ids}
        assert {bytes([number]) for number in range(31) if bytes([number]) in memory} == expected
        assert len(memory) == len(expected)
        assert memory.oldest_offset == (kept[0][0] if kept else None)


def test_id_is_kept_to_the_microsecond() -> None:
    """Ten minutes of coverage, and not one microsecond less."""
    memory = DuplicateMemory()
    memory.remember(5, 1000, (b"a",))
    memory.forget(1000 + KEEP_US)
    assert b"a" in memory
    memory.forget(1001 + KEEP_US)
    assert b"a" not in memory


def test_entry_that_covers_less_than_one_before_it_waits_for_that() -> None:
    """A receipt by a clock that was set back keeps its ids too long, never too short."""
    memory = DuplicateMemory()
    memory.remember(1, 2000, (b"a",))
    memory.remember(2, 1000, (b"b",))
    memory.forget(1500 + KEEP_US)
    assert b"a" in memory
    assert b"b" in memory
