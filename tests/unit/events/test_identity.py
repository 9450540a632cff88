"""The id of an event: what it is blind to, and what it sees."""

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from connector.events.identity import (
    ID_BYTES,
    MAX_DEPTH,
    TooDeepError,
    UnreadableTimeError,
    canonical_body,
    event_id,
    line_digest,
    line_id,
)

pytestmark = pytest.mark.slow

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_SCALARS = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT
_JSON = st.recursive(
    _SCALARS | st.none(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3)
)
_BODIES = st.dictionaries(_TEXT.filter(lambda name: name != "event_at"), _JSON, max_size=5)
_SPELLINGS = [
    "2022-06-27T23:49:41.5Z",
    "2022-06-27T23:49:41.500000000z",
    "2022-06-27t23:49:41.50+00:00",
    "2022-06-28T01:19:41.500+01:30",
    "2022-06-27T16:49:41.500000-07:00",
]


def _parsed(body: object, **how: Any) -> dict[str, object]:  # noqa: ANN401 - json.dumps's own options
    parsed: dict[str, object] = msgspec.json.decode(json.dumps(body, **how))
    return parsed


def _shuffled(value: object, order: random.Random) -> object:
    """Return `value` with the members of every object in another order, and nulls among them."""
    if isinstance(value, dict):
        members = [(name, _shuffled(member, order)) for name, member in value.items()]
        members += [(f"null {order.random()}", None) for _ in range(order.randrange(2))]
        order.shuffle(members)
        return dict(members)
    return [_shuffled(element, order) for element in value] if isinstance(value, list) else value


@given(body=_BODIES, seed=st.integers(), indent=st.integers(0, 4) | st.none(), is_ascii=st.booleans())
def test_event_id_is_unmoved_by_order_space_nulls_and_escapes(
    body: dict[str, object],
    seed: int,
    indent: int | None,
    is_ascii: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    """What JSON leaves free is no difference."""
    other = _shuffled(body, random.Random(seed))  # noqa: S311 - an arrangement, not a secret
    assert event_id("tweet", "delete", _parsed(other, indent=indent, ensure_ascii=is_ascii)) == event_id(
        "tweet", "delete", _parsed(body)
    )


@given(body=_BODIES, spelling=st.sampled_from(_SPELLINGS))
def test_event_id_is_unmoved_by_the_spelling_of_the_instant(body: dict[str, object], spelling: str) -> None:
    """`Z` and any offset, and trailing zeros, are one instant."""
    first, other = ({**body, "event_at": event_at} for event_at in (_SPELLINGS[0], spelling))
    assert event_id("tweet", "delete", first) == event_id("tweet", "delete", other)


@given(one=_BODIES, other=_BODIES)
def test_event_id_of_bodies_that_differ_differs(one: dict[str, object], other: dict[str, object]) -> None:
    """Members we do not know count like all others."""
    assume(json.dumps(canonical_body(one), sort_keys=True) != json.dumps(canonical_body(other), sort_keys=True))
    assert event_id("tweet", "delete", one) != event_id("tweet", "delete", other)


@given(body=_BODIES, name=_TEXT, value=_SCALARS)
def test_event_id_is_moved_by_one_more_member(body: dict[str, object], name: str, value: object) -> None:
    """An added member makes another event."""
    assume(name not in body and name != "event_at")
    assert event_id("tweet", "delete", {**body, name: value}) != event_id("tweet", "delete", body)


@given(nanoseconds=st.lists(st.integers(0, 999_999_999), min_size=2, max_size=2, unique=True))
def test_event_id_is_moved_by_a_nanosecond(nanoseconds: list[int]) -> None:
    """No digit of the instant is thrown away."""
    one, other = (
        event_id("user", "user_delete", {"event_at": f"2022-06-27T23:49:41.{part:09}Z"}) for part in nanoseconds
    )
    assert one != other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": "1"}, {"a": 1}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": True}, {"a": 1}),
        ({"a": 2**64}, {"a": 2**64 + 1}),
        ({"a": [None]}, {"a": []}),
        ({"a": {}}, {}),
        ({"a": "é"}, {"a": "e\u0301"}),
        ({"b": {"event_at": _SPELLINGS[0]}}, {"b": {"event_at": _SPELLINGS[1]}}),
    ],
)
def test_event_id_is_moved_by_differences_that_look_small(one: dict[str, object], other: dict[str, object]) -> None:
    """Order in lists, kinds of values, exact integers, unnormalised text and inner times all count."""
    assert event_id("tweet", "delete", one) != event_id("tweet", "delete", other)


def test_event_id_is_moved_by_stream_and_type() -> None:
    """The same body on another stream or under another type is another event."""
    ids = {event_id(stream, x_type, {"a": 1}) for stream in ("tweet", "like") for x_type in ("delete", "drop")}
    assert len(ids) == 4
    assert {len(each) for each in ids} == {ID_BYTES}


@pytest.mark.parametrize("event_at", ["soon", 1_656_373_781, 1.5, True, ["2022-06-27T23:49:41Z"], {}])
def test_body_with_a_senseless_time_has_no_event_id(event_at: object) -> None:
    """Such a body is identified by its bytes instead."""
    with pytest.raises(UnreadableTimeError):
        event_id("tweet", "delete", {"event_at": event_at})


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_body_nested_to_the_limit_has_an_event_id_and_one_deeper_has_none(wrap: Any) -> None:  # noqa: ANN401 - a callable
    """The limit is ours, so it does not depend on the stack at hand."""
    value: object = 1
    for _ in range(MAX_DEPTH):
        value = wrap(value)
    assert len(event_id("tweet", "delete", {"a": value})) == ID_BYTES
    with pytest.raises(TooDeepError):
        event_id("tweet", "delete", {"a": wrap(value)})


@given(line=st.binary(), cuts=st.lists(st.integers(0, 40), max_size=4))
def test_line_id_fed_in_parts_is_that_of_the_whole(line: bytes, cuts: list[int]) -> None:
    """A long line need never be held whole."""
    digest = line_digest("user")
    at = 0
    for cut in sorted(cuts):
        digest.update(line[at:cut])
        at = max(at, cut)
    digest.update(line[at:])
    assert digest.digest() == line_id("user", line)
    assert line_id("tweet", line) != line_id("user", line)
