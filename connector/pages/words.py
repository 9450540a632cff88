"""Instants and durations in words. Pure: microseconds in, text out."""

from connector.events.times import US_PER_S, format_us

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_TO_THE_SECOND = len("2026-01-31T12:00:00")


def instant(instant_us: int | None) -> str:
    """Return an instant to the second, `2026-01-31 12:00:00 UTC`, or `not known`."""
    if instant_us is None:
        return "not known"
    return f"{format_us(instant_us)[:_TO_THE_SECOND].replace('T', ' ')} UTC"


def duration(length_us: int) -> str:
    """Return a length of time in its two largest units, `2 h 5 min`; less than a second is `0 s`."""
    left_s = max(0, length_us) // US_PER_S
    parts: list[str] = []
    for unit, seconds in _UNITS:
        count, left_s = divmod(left_s, seconds)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(part for part in parts[:2] if part) or "0 s"


def ago(length_us: int) -> str:
    """Return an age, `2 h 5 min ago`; one of less than a second, or of the future, is `just now`."""
    return f"{duration(length_us)} ago" if length_us >= US_PER_S else "just now"


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """Return a number of things, `1 gap` or `10,000 gaps`."""
    return f"{count:,} {singular if count == 1 else plural or f'{singular}s'}"
