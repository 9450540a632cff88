"""RFC 3339 times as integers. X writes `Z` or an offset and 0 to 6 fraction digits; up to 9 are understood."""

import re
from datetime import UTC, datetime
from functools import lru_cache

US_PER_S = 1_000_000
NS_PER_S = 1_000_000_000

_TO_THE_SECOND = re.compile(r"\d{4}-\d\d-\d\d[Tt]([01]\d|2[0-3]):\d\d:\d\d", re.ASCII)
_TO_THE_SECOND_LENGTH = 19
_FRACTION_AND_ZONE = re.compile(r"(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII)
_EARLIEST_S = int(datetime.min.replace(tzinfo=UTC).timestamp())
_LATEST_S = int(datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp())


def parse_ns(text: str) -> int:
    """Return the instant of an RFC 3339 `text` as nanoseconds since 1970-01-01T00:00:00Z.

    Raises `ValueError` if it is not one, or lies outside the years 1 to 9999 in UTC.
    """
    fraction_ns, offset_s = _fraction_and_offset(text[_TO_THE_SECOND_LENGTH:])
    seconds = _seconds(text[:_TO_THE_SECOND_LENGTH]) - offset_s
    if offset_s and not _EARLIEST_S <= seconds <= _LATEST_S:
        raise ValueError("outside the years 1 to 9999")
    return seconds * NS_PER_S + fraction_ns


# Most events of a moment share their second, and all share the few ways to end a time: both are worked out once.


@lru_cache(maxsize=4096)
def _seconds(to_the_second: str) -> int:
    if _TO_THE_SECOND.fullmatch(to_the_second) is None:
        raise ValueError("not an RFC 3339 time")
    return int(datetime.fromisoformat(to_the_second.upper()).replace(tzinfo=UTC).timestamp())


@lru_cache(maxsize=4096)
def _fraction_and_offset(rest: str) -> tuple[int, int]:
    """Return the nanoseconds, and the seconds by which the zone is ahead of UTC."""
    match = _FRACTION_AND_ZONE.fullmatch(rest)
    if match is None:
        raise ValueError("not an RFC 3339 time")
    fraction, sign, hours, minutes = match.groups()
    offset_s = int(hours) * 3600 + int(minutes) * 60 if sign else 0
    return int(fraction.ljust(9, "0")) if fraction else 0, -offset_s if sign == "-" else offset_s


def format_us(instant_us: int) -> str:
    """Return an instant, microseconds since 1970, as `2026-01-31T12:00:00.123456Z`.

    An instant beyond the calendar is returned as its number.
    """
    try:
        to_the_second = datetime.fromtimestamp(instant_us // US_PER_S, UTC).replace(tzinfo=None).isoformat()
    except (OverflowError, OSError, ValueError):
        return str(instant_us)
    return f"{to_the_second}.{instant_us % US_PER_S:06d}Z"


def format_to_the_second(instant_us: int) -> str:
    """Return an instant as `format_us` does, without its fraction of a second."""
    return f"{format_us(instant_us)[:_TO_THE_SECOND_LENGTH]}Z"
