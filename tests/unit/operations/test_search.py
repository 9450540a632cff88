"""Where an id is looked for."""

from connector.operations.search import unsearched


def test_a_search_by_key_says_where_else_an_id_may_be() -> None:
    """Fields that are no key of their topic alone; with everything read there are none."""
    where = unsearched(everywhere=False)
    assert "dead letters" in where
    assert "tweet_id of tweet.edit, like.delete" in where
    assert "user_id of like.delete" in where
    assert any(each.startswith("author_id of tweet.delete, ") for each in where)
    assert not any(each.startswith("initial_tweet_id") for each in where)
    assert unsearched(everywhere=True) == []
