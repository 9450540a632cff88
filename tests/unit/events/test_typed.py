"""The short way of reading a line: where it goes at all, it leads where the long one does."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.events.catalog import BY_X_TYPE, EVENT_TYPES, EventType, Kind
from connector.events.decode import decode_any, decode_typed
from tests.fakes.bodies import EVENT_AT, SAMPLES, TWEET_DELETE, Sample, line_of
from tests.unit.events.mutations import ANY_JSON, by_sample, mutated

pytestmark = pytest.mark.slow


@by_sample
def test_event_of_each_type_is_read_the_short_way(sample: Sample) -> None:
    """With every member, in any order, and with nulls where the type has members that may be missing."""
    optional = {field.path[0]: None for field in _type_of(sample).fields if not field.required}
    for body in (sample.body, dict(reversed(sample.body.items())), {**optional, **sample.body}):
        line = line_of(sample.x_type, body)
        event = decode_typed(sample.stream, line)
        assert event is not None
        assert event == decode_any(sample.stream, line)


def _type_of(sample: Sample) -> EventType:
    return BY_X_TYPE[sample.stream, sample.x_type]


def _check_short_way(stream: str, line: bytes) -> None:
    """Check that the short way, where it goes at all, leads to where the other one leads."""
    event = decode_typed(stream, line)
    assert event is None or event == decode_any(stream, line)


@pytest.mark.parametrize(
    "line",
    [
        TWEET_DELETE.line.replace(b'"delete":', b'"drop": null, "delete":'),
        TWEET_DELETE.line.replace(b'"delete":', b'"brand_new": {}, "delete":'),
        *(
            TWEET_DELETE.line[:-1] + b', "a": ' + value + b"}"
            for value in (b"1", b'"\\ud800"', b'"\xff"', b"1e999", b"[" * 9000 + b"]" * 9000)
        ),
        TWEET_DELETE.line.replace(b'{"data"', b'{"data": {"drop": 1}, "data"'),
        b"\xef\xbb\xbf" + TWEET_DELETE.line,
        TWEET_DELETE.line + b"}",
    ],
)
def test_short_way_of_a_line_with_more_than_an_event_is_not_taken(line: bytes) -> None:
    """What is beside the event may decide what the line is."""
    assert decode_typed("tweet", line) is None


class Members(list[tuple[str, Any]]):
    """The members of a JSON object, of which several may have one name."""


def _spelled(value: Any, draw: st.DrawFn) -> str:  # noqa: ANN401 - any JSON
    """Return JSON text in one of its spellings: white space, escapes, members more than once."""
    space = draw(_SPACES)
    match value:
        case Members():
            members = [f"{_spelled(name, draw)}{space}:{space}{_spelled(inner, draw)}" for name, inner in value]
            return f"{{{space}{f',{space}'.join(members)}{space}}}"
        case list():
            return f"[{f'{space},'.join(_spelled(inner, draw) for inner in value)}]"
        case _:
            return json.dumps(value, ensure_ascii=draw(st.booleans()))


_SPACES = st.sampled_from(["", "", " ", "\t\r\n "])
_GOOD_ID = st.from_regex(r"[0-9]{1,19}", fullmatch=True)
_IDS = _GOOD_ID | _GOOD_ID | _GOOD_ID | st.sampled_from(["", "\u0661", "1\n", "-1", "x", "1" * 20, "\ud800"])
_TEXT = st.text(max_size=4) | st.sampled_from(["\ud800", "\x00", "\u2028", '"\\/', "x" * 300])
_TIMES = st.sampled_from([EVENT_AT, "2022-06-27T23:49:41Z", "2022-06-28T01:49:41.839123456+02:00", EVENT_AT, "soon"])
_OF_KIND = {
    Kind.ID: _IDS,
    Kind.IDS: st.lists(_IDS, max_size=3),
    Kind.TEXT: _TEXT,
    Kind.TEXTS: st.lists(_TEXT, max_size=3),
}
_NAMES = st.sampled_from(["event_at", "id", "author_id", "user_id", "tweet", "user", "data", "a", "\u00e9"])


@st.composite
def _lines_almost_right(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw a stream and a line like those of X, with up to three things wrong or unusual."""
    event_type = draw(st.sampled_from(EVENT_TYPES))
    body = Members([("event_at", draw(_TIMES))])
    objects = [body]
    for field in event_type.fields:
        value = draw(_OF_KIND[field.kind])
        node = body
        for name in field.path[:-1]:
            inner = next((member for own, member in node if own == name), None)
            if inner is None:
                inner = Members()
                node.append((name, inner))
                objects.append(inner)
            node = inner
        if field.required or draw(st.booleans()):
            node.append((field.path[-1], value))
    data = Members([(event_type.x_type, body)])
    message = Members([("data", data)])
    for members in draw(st.lists(st.sampled_from([*objects, *objects, data, message]), max_size=3)):
        _change(members, draw)
    return event_type.stream, _spelled(message, draw).encode("utf-8", "surrogatepass")


def _change(members: Members, draw: st.DrawFn) -> None:
    """Add a member, known or not, put another value in the place of one, take one away, repeat one, or move one."""
    place = draw(st.integers(0, max(0, len(members) - 1)))
    match draw(st.integers(0, 4)):
        case 0:
            members.insert(place, (draw(_NAMES | st.sampled_from(_X_TYPES)), draw(_ANY_VALUE)))
        case 1 if members:
            members[place] = (members[place][0], draw(_ANY_VALUE))
        case 2 if members:
            del members[place]
        case 3 if members:
            members.append(members[place])
        case 4 if members:
            members.insert(0, members.pop(place))


_X_TYPES = sorted({event_type.x_type for event_type in EVENT_TYPES})
_ANY_VALUE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**64, -(2**70), 0.5, 1e300])
    | _IDS
    | _TEXT
    | _TIMES
    | st.lists(st.none() | _IDS, max_size=2)
    | st.builds(Members, st.lists(st.tuples(_NAMES, st.none() | _IDS), max_size=2))
)


@settings(max_examples=1000)
@given(stream_and_line=_lines_almost_right())
def test_short_way_of_any_line_almost_right_leads_where_the_long_one_does(stream_and_line: tuple[str, bytes]) -> None:
    """Members missing, unknown, repeated, null or of another type, ids and texts of all sorts, in any spelling."""
    _check_short_way(*stream_and_line)


@given(sample=st.sampled_from(SAMPLES), at=st.integers(0, 400), junk=st.binary(max_size=3), cut=st.integers(0, 3))
def test_short_way_of_any_damaged_line_leads_where_the_long_one_does(
    sample: Sample, at: int, junk: bytes, cut: int
) -> None:
    """A few bytes anywhere in a good line are replaced by others."""
    _check_short_way(sample.stream, sample.line[:at] + junk + sample.line[at + cut :])


@given(sample=st.sampled_from(SAMPLES), data=st.data(), value=ANY_JSON)
def test_short_way_of_any_mutated_event_leads_where_the_long_one_does(
    sample: Sample, data: st.DataObject, value: object
) -> None:
    """One member anywhere in a good line is replaced by anything."""
    _check_short_way(sample.stream, mutated(sample, data, value))
