"""The head of an answer: its time, the connect budget, the next attempt and the kind of body.

Pure, and never raises: nonsense in a header is ignored.
"""

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx

from connector.events.times import US_PER_S
from connector.x.errors import RateLimit

MAX_WAIT_S = 16 * 60.0
"""X's windows last 15 minutes; a moment much further away is not worth waiting for."""
_PAST_S = 60.0
"""How long ago the window of an answer may have ended: clocks and edges differ by seconds."""
_MILLISECONDS = 10**11
"""A UNIX time from here on is in milliseconds: in seconds it would be after the year 5000."""
_MOST_CONNECTS = 10**9
"""Most connects believed; more may not fit a metric."""
_NUMBER = re.compile(r"[0-9]{1,15}")
"""Most digits of a number believed; more may not fit a float."""
_JSON_TYPES = {"application/json", "application/x-ndjson"}
_GZIP_NAMES = {"gzip", "x-gzip"}


@dataclass(frozen=True, slots=True)
class Head:
    """The parsed head of an answer; times are None if missing or nonsense.

    `rate_limit` is None unless all of it is there and fits; `is_spent` is its `remaining` alone.
    """

    status: int
    date_us: int | None
    rate_limit: RateLimit | None
    is_spent: bool
    retry_after_s: float
    content_types: tuple[str, ...]
    encodings: tuple[str, ...]
    location: str

    @property
    def is_gzip(self) -> bool:
        """Whether the body is compressed with gzip, once (RFC 9110, 8.4.1.3: `x-gzip` is gzip)."""
        return len(self.encodings) == 1 and self.encodings[0] in _GZIP_NAMES

    def is_stream(self, *, is_gzip_asked: bool) -> bool:
        """Return whether a stream of X's follows.

        Rests on the status, on a JSON type if one is given, as X documents it, and on a requested encoding: a page of
        an intermediary is text, and an undecodable body cannot be cut into lines.
        """
        is_decodable = not self.encodings or (self.is_gzip and is_gzip_asked)
        return self.status == HTTPStatus.OK and is_decodable and all(map(_is_json, self.content_types))


def read_head(status: int, headers: httpx.Headers, wall_us: int) -> Head:
    """Return the parsed head of an answer that came at `wall_us` by the wall clock."""
    date_us = _date_us(headers)
    return Head(
        status=status,
        date_us=date_us,
        rate_limit=_rate_limit(headers, date_us, wall_us),
        is_spent=headers.get("x-rate-limit-remaining", "").strip() == "0",
        retry_after_s=_retry_after_s(headers, wall_us if date_us is None else date_us),
        content_types=tuple(filter(None, map(str.strip, headers.get_list("content-type")))),
        encodings=_encodings(headers),
        location=headers.get("location", ""),
    )


def _date_us(headers: httpx.Headers) -> int | None:
    dates = set(headers.get_list("date"))
    return _instant_us(dates.pop()) if len(dates) == 1 else None


def _instant_us(text: str) -> int | None:
    """Return the instant that an HTTP date names (RFC 9110, 5.6.7), or None."""
    try:
        date = parsedate_to_datetime(text)
        at_s = int(date.replace(tzinfo=date.tzinfo or UTC).timestamp())
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    return at_s * US_PER_S if at_s > 0 else None


def _rate_limit(headers: httpx.Headers, date_us: int | None, wall_us: int) -> RateLimit | None:
    limit, remaining, reset_s = (
        _number(headers.get(f"x-rate-limit-{name}", "")) for name in ("limit", "remaining", "reset")
    )
    if limit is None or remaining is None or reset_s is None:
        return None
    reset_s = reset_s // 1000 if reset_s >= _MILLISECONDS else reset_s
    clocks_s = [at_us / US_PER_S for at_us in (date_us, wall_us) if at_us is not None]
    said_at_s = next((at_s for at_s in clocks_s if -_PAST_S <= reset_s - at_s <= MAX_WAIT_S), None)
    if not 0 < limit <= _MOST_CONNECTS or remaining > _MOST_CONNECTS or said_at_s is None:
        return None
    return RateLimit(limit, remaining, reset_s, said_at_s)


def _retry_after_s(headers: httpx.Headers, now_us: int) -> float:
    """Return how long X asks to wait, in seconds or until a date (RFC 9110, 10.2.3); 0 if it does not."""
    return max((_wait_s(text.strip(), now_us) for text in headers.get_list("retry-after")), default=0.0)


def _wait_s(text: str, now_us: int) -> float:
    seconds = _number(text)
    if seconds is not None:
        return min(float(seconds), MAX_WAIT_S)
    until_us = _instant_us(text)
    return 0.0 if until_us is None else min(max(0.0, (until_us - now_us) / US_PER_S), MAX_WAIT_S)


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text.strip()) else None


def _encodings(headers: httpx.Headers) -> tuple[str, ...]:
    names = (name.strip().lower() for name in headers.get("content-encoding", "").split(","))
    return tuple(name for name in names if name not in {"", "identity"})


def _is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type in _JSON_TYPES or media_type.endswith("+json")
