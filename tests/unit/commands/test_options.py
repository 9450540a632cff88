"""Times, ages and ranges as people type them."""

import pytest
import typer

from connector.commands.options import TimeRange, duration_us, instant_us, time_range

_NOW_US = 1_773_480_413_000_000
_HOUR_US = 3_600_000_000


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800)])
def test_a_duration_is_a_number_and_its_unit(text: str, seconds: int) -> None:
    """Seconds, minutes, hours and days."""
    assert duration_us(text) == seconds * 1_000_000


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1.5h", "1w", "24 h", "1h30m"])
def test_anything_else_is_no_duration(text: str) -> None:
    """The message shows what is."""
    with pytest.raises(typer.BadParameter, match="24h"):
        duration_us(text)


@pytest.mark.parametrize(
    ("text", "expected_us"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T00:01Z", 60_000_000),
        ("1970-01-02", 86_400_000_000),
        ("1h", _NOW_US - _HOUR_US),
        ("999999d", 0),
        ("now", _NOW_US),
    ],
)
def test_an_instant_is_a_time_a_day_or_an_age(text: str, expected_us: int) -> None:
    """A time has its zone, a day is one of UTC, nothing lies before 1970, and the present has a word."""
    assert instant_us(text, _NOW_US) == expected_us


@pytest.mark.parametrize("text", ["yesterday", "2026-01-31T12:00:00", "2026-02-30", "12:00Z", "2026-13-01T00:00Z"])
def test_anything_else_is_no_instant(text: str) -> None:
    """A time without a zone means another instant to everyone."""
    with pytest.raises(typer.BadParameter, match="zone"):
        instant_us(text, _NOW_US)


@pytest.mark.parametrize(
    ("start", "end", "option", "says"),
    [
        ("17:20", "17:24", "--from", "17:20: add the date and the zone, for example 2026-03-14T17:20:00Z"),
        ("1h", "17:24:30", "--to", "17:24:30: add the date and the zone, for example 2026-03-14T17:24:30Z"),
        (None, "2026-01-31 12:00", "--to", "2026-01-31 12:00: add the zone, for example 2026-01-31T12:00:00Z"),
        ("2026-02-30", None, "--from", "2026-02-30: "),
    ],
)
def test_a_wrong_time_is_named_with_its_option(start: str | None, end: str | None, option: str, says: str) -> None:
    """The first that is wrong as it was typed, and what is missing from it."""
    with pytest.raises(typer.BadParameter) as raised:
        time_range(start, end, default_us=_HOUR_US, now_us=_NOW_US)
    assert raised.value.param_hint == option
    assert raised.value.message.startswith(says)


def test_a_range_has_defaults() -> None:
    """It ends a little before now, and is as long as the command says."""
    assert time_range(None, None, default_us=24 * _HOUR_US, lag_us=60, now_us=_NOW_US) == TimeRange(
        _NOW_US - 60 - 24 * _HOUR_US, _NOW_US - 60
    )
    assert time_range("3h", "1h", default_us=1, now_us=_NOW_US) == TimeRange(_NOW_US - 3 * _HOUR_US, _NOW_US - _HOUR_US)
    assert time_range(None, "1h", default_us=_HOUR_US, now_us=_NOW_US) == TimeRange(
        _NOW_US - 2 * _HOUR_US, _NOW_US - _HOUR_US
    )


@pytest.mark.parametrize(
    ("start", "end"), [("1h", "2h"), ("1h", "1h"), ("2999-01-01", None), ("2999-01-01", "2999-01-02")]
)
def test_a_range_that_holds_nothing_is_refused(start: str, end: str | None) -> None:
    """Reversed, empty, or yet to come."""
    with pytest.raises(typer.BadParameter):
        time_range(start, end, default_us=_HOUR_US)
