"""RFC 3339 times: every spelling of an instant is that instant, and nothing else is one."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.events.times import NS_PER_S, US_PER_S, format_us, parse_ns

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_OFFSETS = st.integers(-(24 * 60 - 1), 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_MOMENTS = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(9998, 12, 31),  # noqa: DTZ001 - hypothesis adds the zone
    timezones=_OFFSETS,
).map(lambda moment: moment.replace(microsecond=0))


@given(moment=_MOMENTS, fraction=st.text("0123456789", max_size=9), separator=st.sampled_from("Tt"))
def test_time_with_any_offset_and_fraction_is_that_instant(moment: datetime, fraction: str, separator: str) -> None:
    """The calendar of the standard library and ours agree to the nanosecond."""
    text = f"{moment:%H:%M:%S}{'.' if fraction else ''}{fraction}{moment.isoformat()[-6:]}"
    text = f"{moment.date().isoformat()}{separator}{text}"
    assert parse_ns(text) == (moment - _EPOCH) // _SECOND * NS_PER_S + int((fraction or "0").ljust(9, "0"))


@pytest.mark.parametrize("zone", ["Z", "z", "+00:00", "-00:00"])
def test_time_in_utc_is_the_same_however_its_zone_is_spelt(zone: str) -> None:
    """X's own examples write both `Z` and an offset."""
    assert parse_ns(f"2022-06-27T23:49:41.839{zone}") == 1_656_373_781_839_000_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "1656373781",
        "2022-06-27",
        "2022-06-27T23:49:41",
        "2022-06-27 23:49:41Z",
        "2022-06-27T23:49Z",
        "2022-06-27T23:49:41.Z",
        "2022-06-27T23:49:41.1234567890Z",
        "2022-06-27T23:49:41,5Z",
        "2022-06-27T24:00:00Z",
        "2022-06-27T23:60:00Z",
        "2022-06-27T23:49:60Z",
        "2022-02-29T00:00:00Z",
        "2022-13-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "+2022-06-27T23:49:41Z",
        "2022-W26-1T23:49:41Z",
        "2022-06-27T23:49:41+24:00",
        "2022-06-27T23:49:41+0100",
        "2022-06-27T23:49:41Z\n",
        "٢٠٢٢-06-27T23:49:41Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
    ],
)
def test_text_that_is_no_time_raises_value_error(text: str) -> None:
    """Neither a part of a time, nor a neighbour of its grammar, nor a year beyond the calendar passes."""
    with pytest.raises(ValueError, match=r"RFC 3339|year|month|day|minute|second"):
        parse_ns(text)


@given(text=st.text())
def test_any_text_is_an_instant_or_raises_value_error(text: str) -> None:
    """No other exception comes out."""
    try:
        assert isinstance(parse_ns(text), int)
    except ValueError:
        return


@given(moment=st.datetimes(timezones=st.just(UTC)))
def test_formatted_instant_reads_back_as_itself(moment: datetime) -> None:
    """To the microsecond, for every year the calendar has."""
    instant_us = (moment - _EPOCH) // timedelta(microseconds=1)
    assert parse_ns(format_us(instant_us)) == instant_us * 1000
    assert len(format_us(instant_us)) == len("2026-01-31T12:00:00.123456Z")


@pytest.mark.parametrize("instant_us", [10**23, -(10**23), 253_402_300_800 * US_PER_S])
def test_instant_beyond_the_calendar_is_formatted_as_its_number(instant_us: int) -> None:
    """Showing an absurd instant is never what fails."""
    assert format_us(instant_us) == str(instant_us)
