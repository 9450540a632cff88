"""The Flink SQL example, against real services; long, as it fetches 160 MB of libraries."""

from collections import Counter

import pytest

from tests.integration.examples.java import build, java_command
from tests.integration.examples.published import EXAMPLES, Published, run

_FOLDER = EXAMPLES / "flink"


@pytest.mark.long
def test_tables_have_each_committed_event_once(published: Published) -> None:
    """Of the deletions, and of all events by a pattern of topics; copies that were aborted are left out."""
    build(_FOLDER)
    output = run([*java_command("compliance.Sql"), "deletions.sql"], _FOLDER, published.environment)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in output.splitlines() if line[:1] == "|"]
    by_type = Counter(event["event_type"] for event in published.events.values())
    deletions = [event for event in published.events.values() if event["event_type"] == "tweet.delete"]
    of_quotes = sum(event["quote_tweet_id"] is not None for event in deletions)
    count = str(len(deletions))
    assert rows[:2] == [["events", "ids", "of_quotes"], [count, count, str(of_quotes)]]
    assert rows[2] == ["event_type", "events", "ids"]
    assert sorted(rows[3:]) == sorted([name, str(found), str(found)] for name, found in by_type.items())
