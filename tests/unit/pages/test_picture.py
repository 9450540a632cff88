"""A picture of coverage: bands that fill the range, the gravest of what overlaps, whatever the gaps are like."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.pages.picture import WORDS, BandKind, Picture, Row, make_bands

_H = 3_600 * 10**6
_DAY = 24 * _H
_KINDS = {
    "lost": BandKind.LOST,
    "suspected": BandKind.SUSPECTED,
    "reconciled": BandKind.RECONCILED,
    "partly-reconciled": BandKind.RECONCILED,
    "withdrawn": BandKind.WITHDRAWN,
    "of-a-later-release": BandKind.LOST,
}
_GRAVEST_FIRST = list(BandKind)


@dataclass(frozen=True)
class _Gap:
    start_us: int
    end_us: int
    state: str = "lost"
    cause: str = "c"


def _drawn(gaps: list[_Gap], since: int | None = 0, until: int | None = _DAY) -> list[tuple[float, float, str]]:
    """Return the bands of a day, in hours."""
    return [(band.start_us / _H, band.end_us / _H, band.kind.value) for band in make_bands(0, _DAY, since, until, gaps)]


def test_range_without_gaps_is_complete() -> None:
    """In one band that says from when to when."""
    [band] = make_bands(0, _DAY, 0, _DAY, [])
    assert band.kind is BandKind.COVERED
    assert band.text == "1970-01-01 00:00:00 UTC to 1970-01-02 00:00:00 UTC: complete"


def test_what_lies_before_and_after_coverage_is_not_complete() -> None:
    """Each is a kind of its own."""
    expected = [(0, 6, "unknown"), (6, 20, "covered"), (20, 24, "not-yet")]
    assert _drawn([], 6 * _H, 20 * _H) == expected


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, None, [(0, 24, "unknown")]),
        (None, 20 * _H, [(0, 24, "unknown")]),
        (2 * _DAY, 3 * _DAY, [(0, 24, "unknown")]),
        (-2 * _DAY, -_DAY, [(0, 24, "not-yet")]),
        (20 * _H, 6 * _H, [(0, 6, "unknown"), (6, 24, "not-yet")]),
    ],
)
def test_coverage_outside_the_range_or_not_known_colours_all_of_it(
    since: int | None, until: int | None, expected: list[tuple[float, float, str]]
) -> None:
    """Never as complete."""
    assert _drawn([], since, until) == expected


def test_gaps_over_the_edges_are_cut_and_those_outside_are_left_out() -> None:
    """A gap that only touches an edge is outside."""
    gaps = [_Gap(-_H, 2 * _H), _Gap(23 * _H, 30 * _H), _Gap(-5 * _H, 0), _Gap(_DAY, _DAY + _H)]
    assert _drawn(gaps) == [(0, 2, "lost"), (2, 23, "covered"), (23, 24, "lost")]


def test_of_overlapping_gaps_the_gravest_is_drawn() -> None:
    """And the other where it lies alone."""
    gaps = [_Gap(2 * _H, 8 * _H, "suspected"), _Gap(4 * _H, 6 * _H), _Gap(5 * _H, 10 * _H, "reconciled")]
    assert _drawn(gaps) == [
        (0, 2, "covered"),
        (2, 4, "suspected"),
        (4, 6, "lost"),
        (6, 8, "suspected"),
        (8, 10, "reconciled"),
        (10, 24, "covered"),
    ]


def test_same_gaps_over_each_other_are_one_band_that_names_both_causes() -> None:
    """Where they are together."""
    bands = make_bands(0, _DAY, 0, _DAY, [_Gap(0, _DAY, cause="a"), _Gap(0, _DAY, cause="b")])
    assert [band.text.partition(": ")[2] for band in bands] == ["lost, a; lost, b"]


@pytest.mark.parametrize(("state", "kind"), _KINDS.items())
def test_state_of_a_gap_decides_how_it_looks(state: str, kind: BandKind) -> None:
    """One that is not known is drawn as the gravest."""
    assert [band.kind for band in make_bands(0, _DAY, 0, _DAY, [_Gap(0, _DAY, state)])] == [kind]


_INSTANT = st.integers(-_DAY, 2 * _DAY)
_GAPS = st.lists(st.builds(_Gap, _INSTANT, _INSTANT, st.sampled_from(list(_KINDS))), max_size=40)


@given(_GAPS, st.none() | _INSTANT, st.none() | _INSTANT)
def test_bands_fill_the_range_in_order_and_hide_no_gap(gaps: list[_Gap], since: int | None, until: int | None) -> None:
    """However many gaps there are: each instant of a gap is at least as grave as the gap."""
    bands = make_bands(0, _DAY, since, until, gaps)
    assert (bands[0].start_us, bands[-1].end_us) == (0, _DAY)
    assert [band.end_us for band in bands[:-1]] == [band.start_us for band in bands[1:]]
    assert all(band.start_us < band.end_us for band in bands)
    assert len(bands) <= 60
    for gap in gaps:
        for band in bands:
            if max(gap.start_us, band.start_us) < min(gap.end_us, band.end_us):
                assert _GRAVEST_FIRST.index(band.kind) <= _GRAVEST_FIRST.index(_KINDS[gap.state])


def _picture(start_us: int, end_us: int, gaps: list[_Gap]) -> Picture:
    return Picture("t", start_us, end_us, (Row("tweet/1", make_bands(start_us, end_us, start_us, end_us, gaps)),))


def test_words_of_a_picture_name_all_that_is_not_complete() -> None:
    """For those who do not see it."""
    assert _picture(0, _DAY, []).words == "tweet/1: complete."
    assert (
        _picture(0, _DAY, [_Gap(_H, 2 * _H)]).words
        == "tweet/1: lost from 1970-01-01 01:00:00 UTC to 1970-01-01 02:00:00 UTC."
    )
    assert _picture(0, _DAY, [_Gap(0, _DAY)]).words == f"tweet/1: {WORDS[BandKind.LOST]}."


def test_short_band_is_wide_enough_to_be_seen() -> None:
    """Also where it ends with the range."""
    picture = _picture(0, 7 * _DAY, [_Gap(7 * _DAY - 1, 7 * _DAY)])
    assert picture.place(picture.rows[0].bands[-1]) == (99.6, 0.4)


@pytest.mark.parametrize(
    ("start_us", "length_us", "texts"),
    [
        (0, _DAY, ["06:00", "12:00", "18:00"]),
        (10 * _H, _DAY, ["12:00", "18:00", "02 Jan", "06:00"]),
        (0, 7 * _DAY, ["03 Jan", "05 Jan", "07 Jan"]),
        (0, _H, ["00:15", "00:30", "00:45"]),
        (0, 3 * 365 * _DAY, ["01 Jan", "01 Jan"]),
    ],
)
def test_marks_on_the_axis_are_few_and_round(start_us: int, length_us: int, texts: list[str]) -> None:
    """Away from the edges, where they would be cut off."""
    assert [tick.text for tick in _picture(start_us, start_us + length_us, []).ticks] == texts
