"""Topics that change at run time: what a look finds stays true until another look finds otherwise."""

import pytest

from connector.errors import DependencyUnavailableError, TopicsChangedError
from connector.kafka.watch import TopicWatch


class _Topics:
    """What each look finds, in turn; an error is raised."""

    def __init__(self, *finds: dict[str, str] | Exception) -> None:
        self._finds = list(finds)

    def look(self) -> dict[str, str]:
        """Find the next."""
        found = self._finds.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def test_changed_topic_stops_its_stream_and_no_other() -> None:
    """Before the first look nothing is known, and nothing stops."""
    watch = TopicWatch(_Topics({"tweet": "topic t has 7 partitions"}).look)
    watch.check("tweet")
    watch.look()
    with pytest.raises(TopicsChangedError, match="topic t has 7 partitions"):
        watch.check("tweet")
    watch.check("user")


def test_topic_that_is_put_right_lets_its_stream_go_on() -> None:
    """A person has acted."""
    watch = TopicWatch(_Topics({"tweet": "changed"}, {}).look)
    watch.look()
    watch.look()
    watch.check("tweet")


def test_kafka_that_does_not_answer_changes_nothing() -> None:
    """Neither is a topic found in order, nor found changed."""
    away = DependencyUnavailableError("away")
    watch = TopicWatch(_Topics(away, {"tweet": "changed"}, away).look)
    watch.look()
    watch.check("tweet")
    watch.look()
    watch.look()
    with pytest.raises(TopicsChangedError):
        watch.check("tweet")
