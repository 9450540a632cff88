"""Known ids, beside a plain model of them."""

from hypothesis import given
from hypothesis import strategies as st

from connector.coverage.known_ids import KnownIds

_WINDOW_US = 600_000_000
_IDS = st.lists(st.integers(0, 30).map(lambda number: bytes([number])), max_size=4, unique=True).map(tuple)
_STEP_US = _WINDOW_US // 4
_COMMITS = st.lists(st.tuples(_IDS, st.integers(0, 2), st.integers(0, 3)), max_size=40)


@given(commits=_COMMITS)
def test_known_ids_after_any_row_of_commits_are_those_of_the_model(
    commits: list[tuple[tuple[bytes, ...], int, int]],
) -> None:
    """An id stays until coverage is far enough past what it covers; the oldest entry is the one to restore from."""
    known = KnownIds(_WINDOW_US)
    kept: list[tuple[int, int, tuple[bytes, ...]]] = []
    covered_us = covers_to_us = 0
    for offset, (ids, moves_on, catches_up) in enumerate(commits):
        fresh = tuple(each for each in ids if each not in known)
        covers_to_us += moves_on * _STEP_US
        covered_us = min(covers_to_us + 2 * _WINDOW_US, covered_us + catches_up * _STEP_US)
        known.remember(offset, covers_to_us, fresh)
        known.forget(covered_us)
        if fresh:
            kept.append((offset, covers_to_us, fresh))
        kept = [each for each in kept if each[1] + _WINDOW_US >= covered_us]
        expected = {each for _, _, ids in kept for each in ids}
        assert {bytes([number]) for number in range(31) if bytes([number]) in known} == expected
        assert len(known) == len(expected)
        assert known.oldest_offset == (kept[0][0] if kept else None)


def test_id_is_kept_to_the_microsecond() -> None:
    """The window of covered time, and not one microsecond less."""
    known = KnownIds(_WINDOW_US)
    known.remember(5, 1000, (b"a",))
    known.forget(1000 + _WINDOW_US)
    assert b"a" in known
    known.forget(1001 + _WINDOW_US)
    assert b"a" not in known


def test_entry_that_covers_less_than_one_before_it_waits_for_that() -> None:
    """A line read by a clock that was set back keeps its ids too long, never too short."""
    known = KnownIds(_WINDOW_US)
    known.remember(1, 2000, (b"a",))
    known.remember(2, 1000, (b"b",))
    known.forget(1500 + _WINDOW_US)
    assert b"a" in known
    assert b"b" in known
