"""Lines that X should not send, and odd ones that it may: each with where it comes and what must become of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.rig.audit import Place
from tests.rig.oracle import LINE_LIMIT_BYTES

_AT = "2026-03-14T09:26:53.589Z"
PROFILE_LIMIT_BYTES = 20_000
"""The most that the topic of profile modifications takes."""
_TWEET = {"id": "77", "author_id": "78"}
_USER = {"id": "79"}


@dataclass(frozen=True)
class Row:
    """A line, where it comes, and the reason of its dead letter: None when it is an event."""

    place: Place
    line: bytes
    reason: str | None


def _line(x_type: str, body: Any, **beside: Any) -> bytes:  # noqa: ANN401 - any JSON value
    return json.dumps({"data": {x_type: body}, **beside}, ensure_ascii=False).encode()


def tweet_line(x_type: str, **members: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return a line about a Tweet, with these members beside it."""
    return _line(x_type, {"event_at": _AT, "tweet": _TWEET, **members})


def _user_line(x_type: str, **members: Any) -> bytes:  # noqa: ANN401 - any JSON value
    return _line(x_type, {"event_at": _AT, "user": _USER, **members})


def _long_line(size_bytes: int) -> bytes:
    line = _user_line("user_suspend", note="LONG")
    return line.replace(b"LONG", b"x" * (size_bytes - len(line) + 4))


def _nested(levels: int) -> bytes:
    return tweet_line("delete", note="DEEP").replace(b'"DEEP"', b"[" * levels + b"]" * levels)


def _rows(place: Place, reason: str | None, lines: Mapping[str, bytes]) -> dict[str, Row]:
    return {f"{reason or 'event'}: {what}": Row(place, line, reason) for what, line in lines.items()}


_NOT_JSON = {
    "words": b"this is not JSON",
    "HTML": b"<html><body>502</body></html>",
    "a blank": b" ",
    "cut short": tweet_line("delete")[:-3],
    "two objects": tweet_line("delete") * 2,
    "a byte order mark": b"\xef\xbb\xbf" + tweet_line("delete"),
    "not UTF-8": tweet_line("delete", note="NOTE").replace(b"NOTE", b"\xff\xfe"),
    "a surrogate in UTF-8": tweet_line("delete", note="NOTE").replace(b"NOTE", b"\xed\xa0\xbd"),
    "a lone surrogate": tweet_line("delete", note="NOTE").replace(b"NOTE", b"\\ud83d"),
    "a lone surrogate in a name": tweet_line("delete", NOTE=1).replace(b"NOTE", b"\\udc00"),
    "a control character": tweet_line("delete", note="NOTE").replace(b"NOTE", b"\x01"),
    "a NUL": b"\0",
    "a string": b'"delete"',
    "a number": b"42",
    "a list": b"[" + tweet_line("delete") + b"]",
    "null": b"null",
    "not a number": tweet_line("delete", note="NOTE").replace(b'"NOTE"', b"NaN"),
    "a number beyond a double": tweet_line("delete", note="NOTE").replace(b'"NOTE"', b"1.5e999"),
    "a number of 5,000 digits": tweet_line("delete", note="NOTE").replace(b'"NOTE"', b"9" * 5000),
    "100,000 lists": b"[" * 100_000,
    "nested 100,000 deep": _nested(100_000),
    "nested 65 deep": _nested(65),
}
_UNKNOWN_TYPE = {
    "a type nobody knows": _line("tweet_archive", {"event_at": _AT, "tweet": _TWEET}),
    "a type of another stream": _user_line("user_delete"),
    "a type with a long name": _line("t" * 10_000, {"event_at": _AT}),
    "a type with odd characters": _line("naïve\n\u2028\0🎉", {"event_at": _AT}),
    "a type without a name": _line("", {"event_at": _AT}),
    "a type nobody knows, without a body": _line("tweet_archive", None),
    "no type": b'{"data":{}}',
    "no data": b'{"event":{"id":"1"}}',
    "data null": b'{"data":null}',
    "data a list": b'{"data":[]}',
    "data a text": b'{"data":"delete"}',
    "an empty object": b"{}",
    "an empty list of errors": b'{"errors":[]}',
    "two types": json.dumps({"data": {"delete": {"tweet": _TWEET, "event_at": _AT}, "drop": {}}}).encode(),
}
_INVALID_TWEET = {
    "no body": _line("delete", None),
    "a text for a body": _line("delete", "77"),
    "a list for a body": _line("delete", [_TWEET]),
    "an empty body": _line("delete", {}),
    "delete without a Tweet": _line("delete", {"event_at": _AT, "status": _TWEET}),
    "a Tweet that is an id": tweet_line("delete", tweet="77"),
    "no id": tweet_line("delete", tweet={"author_id": "78"}),
    "null for an id": tweet_line("undrop", tweet={"id": None, "author_id": "78"}),
    "a number for an id": tweet_line("delete", tweet={"id": 77, "author_id": "78"}),
    "no author": tweet_line("delete", tweet={"id": "77"}),
    "an empty id": tweet_line("drop", tweet={"id": "", "author_id": "78"}),
    "an id of 20 digits": tweet_line("drop", tweet={"id": "1" * 20, "author_id": "78"}),
    "a negative id": tweet_line("drop", tweet={"id": "-77", "author_id": "78"}),
    "an id with a line break": tweet_line("drop", tweet={"id": "77\n", "author_id": "78"}),
    "an id in other digits": tweet_line("drop", tweet={"id": "\u0667\u0667", "author_id": "78"}),
    "a quote that is a number": tweet_line("delete", quote_tweet_id=5),
    "a text for a list": tweet_line("withheld", withheld_in_countries="DE"),
    "an empty list": tweet_line("withheld", withheld_in_countries=[]),
    "a list with a number": tweet_line("withheld", withheld_in_countries=["DE", 1]),
    "a list with null": tweet_line("withheld", withheld_in_countries=["DE", None]),
    "an edit without its first id": tweet_line("tweet_edit", edit_tweet_ids=["77"]),
    "an edit with a number among the ids": tweet_line("tweet_edit", initial_tweet_id="77", edit_tweet_ids=["77", 78]),
}
_INVALID_TIME = {
    "no time": _line("user_undelete", {"user": _USER}),
    **{
        f"the time {json.dumps(event_at)}": _line("user_delete", {"event_at": event_at, "user": _USER})
        for event_at in (
            None,
            "",
            "yesterday",
            1773480413589,
            "1773480413589",
            "2026-03-14",
            "2026-03-14T09:26:53.589",
            "2026-03-14 09:26:53.589Z",
            "2026-02-30T09:26:53Z",
            "2026-03-14T24:00:00Z",
            "2026-03-14T09:26:60Z",
            "2026-03-14T09:26:53.1234567890Z",
            "2026-03-14T09:26:53+24:00",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "\u0662\u0660\u0662\u0666-03-14T09:26:53Z",
            ["2026-03-14T09:26:53Z"],
        )
    },
}
_INVALID_USER = {
    "no profile field": _user_line("user_profile_modification", new_value="x"),
    "null for the new value": _user_line("user_profile_modification", profile_field="profile.name", new_value=None),
    "a number for the new value": _user_line("user_profile_modification", profile_field="profile.name", new_value=1),
    "no Tweet to scrub up to": _user_line("scrub_geo"),
    "no countries": _user_line("user_withheld"),
}
_EVENTS = {
    "extra fields": tweet_line("delete", new_member={"a": [1, None, {"b": None}], "c": "é"}, other=None),
    "extra fields inside": tweet_line("delete", tweet={**_TWEET, "edit_of": {"id": "1"}, "empty": {}, "none": None}),
    "a large whole number": tweet_line("delete", number=123456789012345678901234567890),
    "numbers of all kinds": tweet_line("delete", numbers=[0, -0.0, 1e300, 5e-324, 1.0, 2**63, -(2**64)]),
    "a member without a name": tweet_line("delete", **{"": 1}),
    "keys beside data": _line("drop", {"event_at": _AT, "tweet": _TWEET}, meta={"a": 1}, errors=[{"title": "x"}]),
    "another order": _line("undrop", {"tweet": {"author_id": "78", "id": "77"}, "x": 1, "event_at": _AT}),
    "white space": b' \t{ "data"\r: {\t"drop": '
    + json.dumps({"event_at": _AT, "tweet": _TWEET, "y": 2}).encode()
    + b"}} \r",
    "a member twice": tweet_line("drop", note=1).replace(b'"tweet"', b'"tweet": {"id": 1}, "tweet"'),
    "null for what may be missing": tweet_line("withheld", quote_tweet_id=None, withheld_in_countries=["xx"]),
    "the id 0": tweet_line("delete", tweet={"id": "0", "author_id": "0"}),
    "the largest id": tweet_line("delete", tweet={"id": "9" * 19, "author_id": "9" * 19}),
    "a country of many letters": tweet_line("withheld", withheld_in_countries=["Côte d'Ivoire", ""]),
    "nested 64 deep": _nested(64),
    **{
        f"the time {event_at}": _line("undrop", {"event_at": event_at, "tweet": _TWEET})
        for event_at in (
            "2026-03-14T09:26:53Z",
            "2026-03-14T09:26:54+00:00",
            "2026-03-14T09:26:53.5-23:59",
            *(f"2026-03-14T09:26:53.{'123456789'[:digits]}Z" for digits in range(1, 10)),
            "2026-03-14t09:26:53.77z",
            "2999-12-31T23:59:59.999999999Z",
            "9999-12-31T23:59:59.999Z",
            "1969-12-31T23:59:59.9995Z",
            "0001-01-01T00:00:00Z",
        )
    },
}
_TWEETS, _USERS, _LIKES, _LABELS, _LONG = ("tweet", 1), ("user", 1), ("like", 1), ("label", 1), ("user", 2)
ROWS = {
    **_rows(_TWEETS, "not-json", _NOT_JSON),
    **_rows(_TWEETS, "unknown-type", _UNKNOWN_TYPE),
    **_rows(_TWEETS, "invalid-body", _INVALID_TWEET),
    **_rows(_TWEETS, None, _EVENTS),
    **_rows(_USERS, "invalid-body", _INVALID_TIME | _INVALID_USER),
    **_rows(_LIKES, "invalid-body", {"a like without a user": _line("delete", {"event_at": _AT, "favorite": _USER})}),
    **_rows(_LABELS, "invalid-body", {"a notice of no kind": tweet_line("public_tweet_notice", application="apply")}),
    **_rows(_LONG, None, {"a line of just the limit": _long_line(LINE_LIMIT_BYTES)}),
    **_rows(
        _LONG,
        "too-long",
        {
            "one byte over the limit": _long_line(LINE_LIMIT_BYTES + 1),
            "3 MiB": _long_line(3 * 1024**2),
            "3 MiB of no JSON": b"y" * 3 * 1024**2,
        },
    ),
    **_rows(
        _LONG,
        "unencodable",
        {
            "more than its topic takes": _user_line(
                "user_profile_modification", profile_field="profile.name", new_value="z" * PROFILE_LIMIT_BYTES
            )
        },
    ),
}


def neighbour(place: Place, number: int) -> bytes:
    """Return a well-formed event of the stream, unlike any other."""
    tweet = {"id": str(1000 + number), "author_id": "12"}
    match place[0]:
        case "tweet":
            return _line("delete", {"event_at": _AT, "tweet": tweet})
        case "user":
            return _line("user_delete", {"event_at": _AT, "user": {"id": str(1000 + number)}})
        case "like":
            return _line("delete", {"event_at": _AT, "favorite": {"id": str(1000 + number), "user_id": "12"}})
        case _:
            return _line("public_tweet_unviewable", {"event_at": _AT, "tweet": tweet, "application": "apply"})
