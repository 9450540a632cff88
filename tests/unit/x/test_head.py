"""The head of an answer: what makes sense is read, and what does not says nothing."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.events.times import US_PER_S
from connector.x.errors import RateLimit
from connector.x.head import MAX_WAIT_S, Head, read_head
from tests.fakes.x import NOW_US

_NOW_S = NOW_US // US_PER_S
_DATE = ("Date", "Fri, 15 Jan 2027 08:00:00 GMT")
"""The time at which the wall clock of these tests stands."""
_HOUR_S = 3600


def _head(*headers: tuple[str, str], status: int = 200, wall_us: int = NOW_US) -> Head:
    encoded = [(name.encode(), value.encode()) for name, value in headers]
    return read_head(status, httpx.Headers(encoded), wall_us)


def _limit(*, remaining: str = "7", reset: object = _NOW_S + 300, limit: str = "100") -> tuple[tuple[str, str], ...]:
    values = {"limit": limit, "remaining": remaining, "reset": str(reset)}
    return tuple((f"x-rate-limit-{name}", value) for name, value in values.items())


@pytest.mark.parametrize(
    ("text", "date_us"),
    [
        ("Mon, 27 Jun 2022 23:49:41 GMT", 1_656_373_781 * US_PER_S),
        ("Monday, 27-Jun-22 23:49:41 GMT", 1_656_373_781 * US_PER_S),
        ("Mon Jun 27 23:49:41 2022", 1_656_373_781 * US_PER_S),
        ("Mon, 27 Jun 2022 23:49:41 -0000", 1_656_373_781 * US_PER_S),
        ("", None),
        ("soon", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +9999", None),
        ("Thu, 01 Jan 1960 00:00:00 GMT", None),
    ],
)
def test_date_is_read_in_each_form_or_ignored(text: str, date_us: int | None) -> None:
    """In X's time, whatever the time zone of this host; never the wall clock."""
    assert _head(("Date", text)).date_us == date_us


def test_date_that_is_missing_or_contradicts_itself_is_ignored() -> None:
    """Two edges that each add one do not agree; twice the same is one."""
    other = ("Date", "Mon, 27 Jun 2022 23:49:41 GMT")
    assert _head().date_us is None
    assert _head(_DATE, other).date_us is None
    assert _head(other, other).date_us == 1_656_373_781 * US_PER_S


def test_rate_limit_is_what_three_headers_say() -> None:
    """With the answer's time."""
    assert _head(_DATE, *_limit()).rate_limit == RateLimit(100, 7, _NOW_S + 300, _NOW_S)


@pytest.mark.parametrize("missing", ["limit", "remaining", "reset"])
def test_incomplete_rate_limit_is_ignored(missing: str) -> None:
    """Half of it is of no use, nor is what is no number."""
    headers = [header for header in _limit() if missing not in header[0]]
    assert _head(_DATE, *headers).rate_limit is None
    assert _head(_DATE, *headers, (f"x-rate-limit-{missing}", "soon")).rate_limit is None


@pytest.mark.parametrize(
    ("limit", "remaining"),
    [("0", "0"), ("-1", "1"), ("100", "-3"), ("9" * 9999, "1"), ("9" * 400, "1")],
)
def test_rate_limit_that_makes_no_sense_is_ignored(limit: str, remaining: str) -> None:
    """Nothing may be reckoned from it."""
    assert _head(_DATE, *_limit(limit=limit, remaining=remaining)).rate_limit is None


def test_reset_in_milliseconds_is_recognised() -> None:
    """In seconds it would be tens of thousands of years away."""
    limit = _head(_DATE, *_limit(reset=(_NOW_S + 300) * 1000 + 250)).rate_limit
    assert limit == RateLimit(100, 7, _NOW_S + 300, _NOW_S)


@pytest.mark.parametrize("reset_in_s", [-_HOUR_S, -61, MAX_WAIT_S + 1, _HOUR_S, 365 * 24 * _HOUR_S, -_NOW_S])
def test_reset_that_is_no_end_of_a_window_makes_the_rate_limit_unknown(reset_in_s: float) -> None:
    """In the past, or further away than a window lasts, by the answer's time and by the wall clock."""
    head = _head(_DATE, *_limit(remaining="0", reset=int(_NOW_S + reset_in_s)))
    assert head.rate_limit is None
    assert head.is_spent


@pytest.mark.parametrize("name", ["limit", "remaining", "reset"])
@pytest.mark.parametrize("digits", [16, 100, 400, 9999])
def test_rate_limit_of_hundreds_of_digits_is_ignored(name: str, digits: int) -> None:
    """Some fit no float, some not even a number of the language."""
    headers = [header for header in _limit() if not header[0].endswith(name)]
    assert _head(_DATE, *headers, (f"x-rate-limit-{name}", "9" * digits)).rate_limit is None


@pytest.mark.parametrize("date", ["Fri, 15 Jan 2027 07:00:00 GMT", "Sun, 17 Jan 2027 08:00:00 GMT", "soon", None])
def test_reset_counts_from_the_wall_clock_where_no_date_fits_it(date: str | None) -> None:
    """A wrong `Date` says nothing of the window, and the window tells that it is wrong."""
    headers = _limit() if date is None else (("Date", date), *_limit())
    assert _head(*headers).rate_limit == RateLimit(100, 7, _NOW_S + 300, _NOW_S)


@pytest.mark.parametrize("wall_off_s", [-_HOUR_S, -300, 600, 48 * _HOUR_S])
def test_reset_counts_from_the_date_where_the_wall_clock_is_wrong(wall_off_s: int) -> None:
    """X's two words agree."""
    head = _head(_DATE, *_limit(), wall_us=NOW_US + wall_off_s * US_PER_S)
    assert head.rate_limit == RateLimit(100, 7, _NOW_S + 300, _NOW_S)


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("Fri, 15 Jan 2027 08:02:00 GMT", 120),
        ("Fri, 15 Jan 2027 07:58:00 GMT", 0),
        ("Fri, 15 Jan 2028 08:00:00 GMT", MAX_WAIT_S),
        ("999999", MAX_WAIT_S),
        ("9" * 9999, 0),
        ("-5", 0),
        ("1e3", 0),
        ("1_0", 0),
        ("\u0661\u0662", 0),
        ("soon", 0),
        ("", 0),
    ],
)
@pytest.mark.parametrize("wall_off_s", [0, _HOUR_S])
def test_retry_after_is_seconds_or_a_date_and_bounded(text: str, wait_s: float, wall_off_s: int) -> None:
    """By X's own time where it says one; garbage, what is past and what is negative are no wait."""
    head = _head(_DATE, ("Retry-After", text), wall_us=NOW_US + wall_off_s * US_PER_S)
    assert head.retry_after_s == wait_s


def test_retry_after_without_a_date_counts_from_the_wall_clock() -> None:
    """There is no other time."""
    assert _head(("Retry-After", "Fri, 15 Jan 2027 08:02:00 GMT")).retry_after_s == 120


_GZIP, _HTML = ("Content-Encoding", "gzip"), ("Content-Type", "text/html; charset=utf-8")


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("Content-Type", ""),),
        (("Content-Type", "application/json"),),
        (("Content-Type", "Application/JSON; charset=utf-8"),),
        (("Content-Type", "application/x-ndjson"),),
        (("Content-Type", 'application/vnd.x.stream+json;profile="a, b"'),),
        (("Content-Type", "application/json"), ("Content-Type", "application/json")),
        (("Content-Encoding", ""),),
        (("Content-Encoding", "Identity"),),
        (_GZIP,),
        (("Content-Encoding", "X-GZip"),),
        (("Content-Encoding", "identity, gzip"),),
    ],
)
def test_stream_has_a_type_that_is_json_and_an_encoding_that_was_asked_for(
    headers: tuple[tuple[str, str], ...],
) -> None:
    """Or says nothing of either."""
    assert _head(*headers).is_stream(is_gzip_asked=True)


@pytest.mark.parametrize(
    "headers",
    [
        (_HTML,),
        (("Content-Type", "text/plain"),),
        (("Content-Type", "application/jsonish"),),
        (("Content-Type", "application/json"), _HTML),
        (("Content-Type", "*/*"),),
        (("Content-Encoding", "br"),),
        (("Content-Encoding", "zstd"),),
        (("Content-Encoding", "deflate"),),
        (("Content-Encoding", "gzip, gzip"),),
        (_GZIP, ("Content-Encoding", "br")),
    ],
)
def test_anything_else_is_no_stream(headers: tuple[tuple[str, str], ...]) -> None:
    """A page of an intermediary, or bytes that cannot be cut into lines."""
    assert not _head(*headers).is_stream(is_gzip_asked=True)


def test_compressed_answer_to_a_request_for_identity_is_no_stream() -> None:
    """As of a replay, whose end must be certain."""
    assert not _head(_GZIP).is_stream(is_gzip_asked=False)
    assert not _head(status=204).is_stream(is_gzip_asked=True)


_NAMES = st.sampled_from(
    ["date", "retry-after", "x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset", "content-type",
     "content-encoding", "location"]
)  # fmt: skip
_DIGITS = st.sampled_from([10**9, 10**15, 10**30, 10**400]).map(lambda number: b"%d" % number)


@given(
    headers=st.lists(st.tuples(_NAMES.map(str.encode), st.binary(max_size=40) | _DIGITS), max_size=6),
    status=st.integers(100, 999),
)
def test_any_head_is_read(headers: list[tuple[bytes, bytes]], status: int) -> None:
    """Nothing in a header raises, in whatever encoding and however often it comes, and every wait is bounded."""
    head = read_head(status, httpx.Headers(headers), NOW_US)
    assert 0 <= head.retry_after_s <= MAX_WAIT_S
    assert head.rate_limit is None or head.rate_limit.reset_s - head.rate_limit.said_at_s <= MAX_WAIT_S


@pytest.mark.slow
@given(text=st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,5} [A-Z][a-z]{2} [0-9 :+-]{1,20}[A-Z]*"))
def test_any_date_is_an_instant_or_none(text: str) -> None:
    """What looks like a date, too."""
    date_us = _head(("Date", text)).date_us
    assert date_us is None or date_us > 0
