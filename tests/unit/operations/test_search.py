"""Where an id is looked for, and what is taken for one."""

import pytest

from connector.operations.search import holds_id, unsearched


def test_a_search_by_key_says_where_else_an_id_may_be() -> None:
    """Fields that are no key of their topic alone; edits and dead letters are read whole, as all is if asked for."""
    where = unsearched(everywhere=False)
    assert "tweet_id of like.delete" in where
    assert not any("tweet.edit" in each for each in where)
    assert "user_id of like.delete" in where
    assert any(each.startswith("author_id of tweet.delete, ") for each in where)
    assert not any(each.startswith("initial_tweet_id") for each in where)
    assert unsearched(everywhere=True) == []


@pytest.mark.parametrize(
    "line",
    [
        b'{"odd": {"user": {"id": "12"}}}',
        b'{"odd": {"user_id": 12, "of": [3]}}',
        b"12",
        b'{"odd": {"id": 12, "and": "what X cut o',
        b'{"event_at": "2026-12-12T12:12:12Z", "id": "12"}',
    ],
)
def test_a_short_id_is_found_in_a_line_that_has_it(line: bytes) -> None:
    """Nothing is known of its fields: it could not be decoded."""
    assert holds_id(line, "12")


@pytest.mark.parametrize(
    "line", [b'{"id": "112"}', b'{"id": 120, "at": 2012}', b'{"event_at": "2026-12-12T12:12:12.12Z"}', b""]
)
def test_digits_of_a_longer_id_or_of_an_instant_are_no_short_id(line: bytes) -> None:
    """Each dead letter of December would be about user 12."""
    assert not holds_id(line, "12")
