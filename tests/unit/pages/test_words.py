"""Instants and durations as people read them."""

import pytest

from connector.pages.words import ago, counted, duration, instant

_S = 1_000_000


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3_600, "1 h"),
        (3_605, "1 h"),
        (7_500, "2 h 5 min"),
        (86_400 * 9 + 7_260, "9 d 2 h"),
    ],
)
def test_duration_has_its_two_largest_units(seconds: int, words: str) -> None:
    """And never a part of a second."""
    assert duration(seconds * _S + _S // 2) == words


def test_age_of_less_than_a_second_is_now() -> None:
    """So is one of the future, which another clock may date."""
    assert [ago(length) for length in (-_S, 0, _S - 1, 90 * _S)] == ["just now"] * 3 + ["1 min 30 s ago"]


def test_instant_is_given_to_the_second_with_its_zone() -> None:
    """One that is not known says so, and one beyond the calendar is a number."""
    assert instant(1_700_000_000_999_999) == "2023-11-14 22:13:20 UTC"
    assert instant(None) == "not known"
    assert instant(10**18).startswith("1000000000000000000")


def test_things_are_counted_in_the_right_number() -> None:
    """With thousands set apart."""
    assert [counted(0, "gap"), counted(1, "gap"), counted(10_000, "gap")] == ["0 gaps", "1 gap", "10,000 gaps"]
    assert counted(2, "is", "are") == "2 are"
