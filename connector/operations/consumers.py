"""The backlog of consumer groups, for the command line."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from connector.errors import ConnectorError
from connector.events.times import US_PER_S, format_us
from connector.kafka.consumer_groups import GroupReader
from connector.settings import Settings
from connector.telemetry.group_states import History, TopicLag, WatchedGroup, age_us, judge
from connector.x.clock import wall_us


@dataclass(frozen=True, slots=True)
class Consumers:
    """The findings at `at_us`, microseconds since 1970; `foreign` has the problems of foreign records."""

    at_us: int
    groups: tuple[WatchedGroup, ...]
    foreign: tuple[str, ...]

    @property
    def is_well(self) -> bool:
        """Whether every group is ok, with nothing unprocessed for too long."""
        return all(group.is_well(self.at_us) for group in self.groups)

    def as_json(self) -> dict[str, Any]:
        """Return it with instants as RFC 3339 text, lengths in seconds."""
        return {
            "at": format_us(self.at_us),
            "is_well": self.is_well,
            "groups": [self._group(group) for group in self.groups],
            "foreign_records": len(self.foreign),
        }

    def _group(self, group: WatchedGroup) -> dict[str, Any]:
        left_us = group.left_us(self.at_us)
        return {
            "group": group.group,
            "state": group.state.value,
            "is_well": group.is_well(self.at_us),
            "members": group.members,
            "unprocessed": group.records if group.is_known else None,
            "is_exact": group.is_exact,
            **self._oldest(group.oldest_event_us),
            "left_s": None if left_us is None else left_us // US_PER_S,
            "topics": [self._topic(topic) for topic in group.topics],
            "not_read": list(group.not_read),
        }

    def _topic(self, topic: TopicLag) -> dict[str, Any]:
        return {
            "topic": topic.topic,
            "unprocessed": topic.records,
            "is_exact": topic.is_exact,
            **self._oldest(topic.oldest_event_us),
        }

    def _oldest(self, event_us: int | None) -> dict[str, Any]:
        return {
            "oldest_event_at": None if event_us is None else format_us(event_us),
            "oldest_event_age_s": age_us(event_us, self.at_us) // US_PER_S,
        }


class ConsumersReader:
    """Reads groups repeatedly, inside a `with`; each look knows the findings of the earlier ones.

    Making one, and `read`, raise `DependencyUnavailableError` or `NotProvisionedError` if Kafka or the registry fails;
    `read` may be called again.
    """

    def __init__(self, settings: Settings, groups: Sequence[str]) -> None:
        self._settings = settings
        self._groups = groups
        self._histories = {group: History() for group in groups}
        self._foreign: dict[str, None] = {}
        self._clients = ExitStack()
        self._reader: GroupReader | None = None

    def read(self) -> Consumers:
        """Return what there is now."""
        try:
            return self._look(self._open())
        except ConnectorError:
            self._close()
            raise

    def _open(self) -> GroupReader:
        if self._reader is None:
            self._reader = self._clients.enter_context(GroupReader(self._settings, self._note))
        return self._reader

    def _look(self, reader: GroupReader) -> Consumers:
        found = []
        for group in self._groups:
            look = reader.read(group, lambda: False)
            if look is not None:
                judgement = judge(look, self._histories[group], wall_us())
                self._histories[group] = judgement.history
                found.append(judgement.group)
        return Consumers(wall_us(), tuple(found), tuple(self._foreign))

    def _note(self, _topic: str, problem: str) -> None:
        self._foreign[problem] = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._reader = None
        self._clients.close()
