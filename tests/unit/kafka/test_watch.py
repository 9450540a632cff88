"""Topics and a registry that change at run time: what a look finds stays true until another finds otherwise."""

import pytest

from connector.errors import DependencyUnavailableError, NotProvisionedError, SettingsError, TopicsChangedError
from connector.kafka.watch import RegistryWatch, TopicWatch


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


class _Registry:
    """What the registry answers, in turn; an error is raised."""

    def __init__(self, *answers: bool | Exception) -> None:
        self._answers = list(answers)
        self.confirmations = 0
        self.watch = RegistryWatch(self._confirm, self._on_confirmed)

    def _confirm(self) -> bool:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _on_confirmed(self) -> None:
        self.confirmations += 1


def test_registry_is_asked_until_it_has_confirmed_all_ids() -> None:
    """Away, behind a proxy that answers for it, and without some schema are all the same."""
    answers: list[bool | Exception] = [DependencyUnavailableError("away"), SettingsError(["no API"]), False, True]
    registry = _Registry(*answers)
    assert [registry.watch.look() for _ in range(4)] == [False, False, False, True]
    assert registry.confirmations == 1
    registry.watch.check()


def test_registry_that_contradicts_an_id_is_asked_no_more() -> None:
    """The process ends by it."""
    registry = _Registry(NotProvisionedError("another id"))
    assert registry.watch.look()
    assert registry.confirmations == 0
    with pytest.raises(NotProvisionedError, match="another id"):
        registry.watch.check()
