"""Known ids, beside a plain model of them."""

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.coverage.known_ids import KnownIds
from connector.events.identity import pack_ids

_WINDOW_US = 600_000_000
_IDS = st.lists(st.integers(0, 30), max_size=4, unique=True)
_STEP_US = _WINDOW_US // 4
_COMMITS = st.lists(st.tuples(_IDS, st.integers(0, 2), st.integers(0, 3)), max_size=40)


def _id(number: int) -> bytes:
    """Return an id; every third one begins alike, so that some are neighbours in one bucket."""
    return bytes([number % 3]) * 8 + number.to_bytes(8)


@pytest.mark.slow
@given(commits=_COMMITS)
def test_known_ids_after_any_row_of_commits_are_those_of_the_model(
    commits: list[tuple[list[int], int, int]],
) -> None:
    """An id stays until coverage is far enough past what it covers; the oldest entry is the one to restore from."""
    known = KnownIds(_WINDOW_US)
    kept: list[tuple[int, int, list[bytes]]] = []
    covered_us = covers_to_us = 0
    for offset, (numbers, moves_on, catches_up) in enumerate(commits):
        fresh = [each for each in map(_id, numbers) if each not in known]
        covers_to_us += moves_on * _STEP_US
        covered_us = min(covers_to_us + 2 * _WINDOW_US, covered_us + catches_up * _STEP_US)
        known.remember(offset, covers_to_us, pack_ids(fresh))
        known.forget(covered_us)
        if fresh:
            kept.append((offset, covers_to_us, fresh))
        kept = [each for each in kept if each[1] + _WINDOW_US >= covered_us]
        expected = {each for _, _, ids in kept for each in ids}
        assert {_id(number) for number in range(31) if _id(number) in known} == expected
        assert len(known) == len(expected)
        assert known.oldest_offset == (kept[0][0] if kept else None)


def test_id_is_kept_to_the_microsecond() -> None:
    """The window of covered time, and not one microsecond less."""
    known = KnownIds(_WINDOW_US)
    known.remember(5, 1000, _id(1))
    known.forget(1000 + _WINDOW_US)
    assert _id(1) in known
    known.forget(1001 + _WINDOW_US)
    assert _id(1) not in known


def test_entry_that_covers_less_than_one_before_it_waits_for_that() -> None:
    """A line read by a clock that was set back keeps its ids too long, never too short."""
    known = KnownIds(_WINDOW_US)
    known.remember(1, 2000, _id(1))
    known.remember(2, 1000, _id(2))
    known.forget(1500 + _WINDOW_US)
    assert _id(1) in known
    assert _id(2) in known


def test_end_of_one_id_and_beginning_of_the_next_are_no_id() -> None:
    """Ids stand side by side: what is found across two of them is known only once it has been remembered."""
    first, second = b"\0" * 15 + b"a", b"\0" * 15 + b"b"
    across = first[8:] + second[:8]
    known = KnownIds(_WINDOW_US)
    known.remember(0, 0, first + second)
    assert across not in known
    known.remember(1, 0, across)
    assert across in known


def test_ids_are_found_in_whichever_bucket_they_fall() -> None:
    """Those of one entry are spread all at once, and each is looked up by itself."""
    known = KnownIds(_WINDOW_US)
    ids = [blake2b(number.to_bytes(4), digest_size=16).digest() for number in range(20_000)]
    known.remember(0, 0, pack_ids(ids[:10_000]))
    assert [each in known for each in ids] == [True] * 10_000 + [False] * 10_000
