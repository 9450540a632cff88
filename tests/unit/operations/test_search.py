"""Where an id is looked for."""

from connector.operations.search import unsearched


def test_a_search_by_key_says_where_else_an_id_may_be() -> None:
    """Fields that are no key of their topic alone; edits and dead letters are read whole, as all is if asked for."""
    where = unsearched(everywhere=False)
    assert "tweet_id of like.delete" in where
    assert not any("tweet.edit" in each for each in where)
    assert "user_id of like.delete" in where
    assert any(each.startswith("author_id of tweet.delete, ") for each in where)
    assert not any(each.startswith("initial_tweet_id") for each in where)
    assert unsearched(everywhere=True) == []
