"""The published `event_id` vectors follow from the recipe alone, and the connector agrees with the recipe."""

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.events import identity
from tests.rig.event_id_recipe import canonical_body, canonical_number, dead_letter_id, event_id
from tests.unit.docs.tables import VECTORS

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=12,
)
_BODY = st.dictionaries(_TEXT.filter(lambda name: name != "event_at"), _JSON, max_size=5)
_OFFSET = st.sampled_from(["Z", "z"]) | st.from_regex(r"[+-]([01][0-9]|2[0-3]):[0-5][0-9]", fullmatch=True)
_TIME = st.builds(
    lambda time, fraction, offset: time.isoformat(timespec="seconds") + fraction + offset,
    st.datetimes(),
    st.just("") | st.from_regex(r"\.[0-9]{1,9}", fullmatch=True),
    _OFFSET,
)
_NEAR_TIME = st.from_regex(
    r"[0-9]{3,4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,10})?(Z|[+-][0-9]{2}:[0-9]{2})?",
    fullmatch=True,
)


@pytest.mark.parametrize("vector", VECTORS["events"], ids=lambda vector: vector["name"])
def test_event_vector_computed_from_recipe_is_the_published_id(vector: dict[str, str]) -> None:
    """Each body's canonical form and id follow from the recipe alone."""
    assert canonical_body(vector["body"]) == vector["canonical"]
    assert event_id(vector["stream"], vector["x_type"], vector["body"]) == vector["event_id"]


@pytest.mark.parametrize("vector", VECTORS["dead_letters"], ids=lambda vector: vector["name"])
def test_dead_letter_vector_computed_from_recipe_is_the_published_id(vector: dict[str, str]) -> None:
    """Each unreadable line's id follows from the recipe alone."""
    assert dead_letter_id(vector["stream"], vector["line"]) == vector["event_id"]


def test_event_vectors_of_one_event_spelt_twice_share_an_id() -> None:
    """Exactly the two spellings of the same Tweet delete have the same id."""
    ids = [vector["event_id"] for vector in VECTORS["events"]]
    twice = [vector["name"] for vector in VECTORS["events"] if ids.count(vector["event_id"]) > 1]
    assert twice == ["plain", "other-spelling"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (1e-5, "0.00001"),
        (-1.25e-5, "-0.0000125"),
        (9.5e-6, "9.5e-6"),
        (123456789012345.6, "123456789012345.6"),
        (1e16, "1e16"),
        (1.25e-7, "1.25e-7"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e308"),
    ],
)
def test_number_with_fraction_or_exponent_is_written_as_the_recipe_says(value: float, text: str) -> None:
    """Plain notation from 1e-5 up to below 1e16, scientific outside, shortest digits in both."""
    assert canonical_number(value) == text
    assert math.copysign(1, float(text)) == math.copysign(1, value)
    assert float(text) == value


@pytest.mark.slow
@given(body=_BODY)
def test_any_body_without_time_has_the_id_of_the_recipe(body: dict[str, object]) -> None:
    """The connector and the recipe give the same id to any JSON body."""
    text = json.dumps(body)
    assert identity.event_id("tweet", "delete", msgspec.json.decode(text)).hex() == event_id("tweet", "delete", text)


@pytest.mark.slow
@given(event_at=_TIME | _NEAR_TIME | _TEXT)
def test_any_event_at_has_the_id_of_the_recipe_or_none_for_both(event_at: str) -> None:
    """The connector and the recipe read the same times, and read them alike."""
    body = {"event_at": event_at}
    try:
        expected = event_id("user", "user_delete", json.dumps(body))
    except (ValueError, OverflowError):
        with pytest.raises(identity.UnreadableTimeError):
            identity.event_id("user", "user_delete", body)
    else:
        assert identity.event_id("user", "user_delete", body).hex() == expected
