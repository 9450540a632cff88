"""Options that several commands share: durations, instants, time ranges, and the output format."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, NamedTuple

import typer

from connector.console import say
from connector.events.times import US_PER_S, format_us, parse_ns
from connector.pages.words import duration
from connector.x.clock import wall_us

_DURATION = re.compile("([0-9]{1,6})([smhd])")
_S_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TO_THE_MINUTE = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d)([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_WITHOUT_ZONE = re.compile(r"(?:(\d{4}-\d\d-\d\d)[Tt ])?((?:[01]\d|2[0-3]):[0-5]\d)(:[0-5]\d)?", re.ASCII)
_NOW = "now"


class Output(StrEnum):
    """How a command prints what it found."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", help="Print a table for people, or JSON for programs.")]


class TimeRange(NamedTuple):
    """From `start_us`, included, to `end_us`, excluded: microseconds since 1970."""

    start_us: int
    end_us: int


FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help="Start of the range: a time with its zone, a day in UTC, or an age such as 24h.",
    ),
]
ToOption = Annotated[
    str | None,
    typer.Option("--to", metavar="TIME", help="End of the range (exclusive), written as --from. Default: now."),
]


def help_or_subcommand(context: typer.Context) -> None:
    """Print the help of a group that is called without a command; that is not an error."""
    if context.invoked_subcommand is None:
        say(*context.get_help().splitlines())


def duration_s(text: str, option: str) -> float:
    """Return a duration in seconds. Raises `typer.BadParameter`, which names the `option`."""
    return duration_us(text, option) / US_PER_S


def duration_us(text: str, option: str | None = None) -> int:
    """Return a duration such as `90s`, `90m`, `24h` or `7d`, in microseconds.

    Raises `typer.BadParameter`, which names the `option`.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise typer.BadParameter("give a number and s, m, h or d: 90m, 24h, 7d", param_hint=option)
    return int(found[1]) * _S_PER_UNIT[found[2]] * US_PER_S


def instant_us(text: str, now_us: int, option: str | None = None) -> int:
    """Return an instant in microseconds since 1970: `2026-01-31T12:00:00Z`, `2026-01-31T12:00Z`, `2026-01-31` or `24h`.

    A day begins at midnight UTC; an age counts back from `now_us`, the value of `now`. Raises `typer.BadParameter`,
    which names the `option`.
    """
    given = text
    if text == _NOW:
        return now_us
    if _DURATION.fullmatch(text):
        return max(0, now_us - duration_us(text))
    if _DAY.fullmatch(text):
        text = f"{text}T00:00:00Z"
    elif to_the_minute := _TO_THE_MINUTE.fullmatch(text):
        text = f"{to_the_minute[1]}:00{to_the_minute[2]}"
    try:
        return max(0, parse_ns(text) // 1000)
    except ValueError as error:
        raise typer.BadParameter(f"{given}: {_advice(given, str(error), now_us)}", param_hint=option) from error


def group_names(given: Iterable[str], option: str) -> tuple[str, ...]:
    """Return the given consumer groups without duplicates. Raises `typer.BadParameter` for an empty name."""
    names = tuple(dict.fromkeys(given))
    if not all(name.strip() for name in names):
        raise typer.BadParameter("the name of a group is empty", param_hint=option)
    return names


def _advice(text: str, error: str, now_us: int) -> str:
    """Return advice on how to write the instant that `text` seems to mean."""
    found = _WITHOUT_ZONE.fullmatch(text)
    if found is None:
        return f"{error}; give a time with its zone, such as 2026-01-31T12:00:00Z, a day, an age such as 24h, or now"
    day, minute, seconds = found.groups()
    missing = "the zone" if day else "the date and the zone"
    today, _, _ = format_us(now_us).partition("T")
    return f"add {missing}, for example {day or today}T{minute}{seconds or ':00'}Z"


def time_range(
    start: str | None, end: str | None, *, default_us: int, lag_us: int = 0, now_us: int | None = None
) -> TimeRange:
    """Return the range that `--from` and `--to` ask for.

    It ends `lag_us` ago unless `--to` is given, and begins `default_us` before its end unless `--from` is. Raises
    `typer.BadParameter` for one that is empty, reversed or begins in the future.
    """
    now_us = wall_us() if now_us is None else now_us
    given_us = None if start is None else instant_us(start, now_us, "--from")
    end_us = now_us - lag_us if end is None else instant_us(end, now_us, "--to")
    start_us = max(0, end_us - default_us) if given_us is None else given_us
    start_text, end_text, now_text = map(format_us, (start_us, end_us, now_us))
    if start_us > now_us:
        raise typer.BadParameter(f"{start_text} is in the future; now is {now_text}", param_hint="--from")
    if start_us >= end_us:
        why = f"; without --to the range ends {duration(lag_us)} ago" if lag_us and end is None else ""
        raise typer.BadParameter(
            f"{start_text} is not before the end of the range, {end_text}{why}", param_hint="--from"
        )
    return TimeRange(start_us, end_us)
