"""Polls the watched consumer groups, in one replica: the owner of the first stream partition.

A failure here is logged and leaves the values absent, and must do nothing else: streams, health and start do not depend
on it.
"""

import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

from connector.errors import ConnectorError, NotProvisionedError
from connector.kafka.consumer_groups import GroupLook, GroupReader, Place
from connector.settings import Settings
from connector.telemetry.group_states import GroupState, History, Judgement, WatchedGroup, judge
from connector.telemetry.service import ServiceTelemetry
from connector.telemetry.status import Look, ServiceStatus
from connector.x.clock import wall_us

LOOK_S = 30.0
_TURN_S = 1.0
"""How soon a replica notices that it has become the one to watch."""


class Reader(Protocol):
    """Looks at groups."""

    def read(self, group: str, should_stop: Callable[[], bool]) -> GroupLook | None:
        """Return the present backlog, None when asked to stop."""


class GroupWatch:
    """Shows the backlog of the groups in `status`, while this replica is the one that watches them.

    `open_reader` starts a reader, and another one after a failure. A look follows every `look_s` seconds.
    `wall_us` is a clock in microseconds.
    """

    def __init__(
        self,
        open_reader: Callable[[], AbstractContextManager[Reader]],
        status: ServiceStatus,
        telemetry: ServiceTelemetry,
        look_s: float,
        wall_us: Callable[[], int] = wall_us,
    ) -> None:
        self._open_reader = open_reader
        self._status = status
        self._telemetry = telemetry
        self._look_s = look_s
        self._wall_us = wall_us
        self._histories: dict[str, History] = {}
        self._unreadable: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Look while this replica is the one to watch, until `stop` is set; retry after any failure."""
        while not stop.is_set():
            if not self._status.watches_groups:
                self._status.groups = None
                self._histories.clear()  # what happens until the next turn would be missing from them
                stop.wait(_TURN_S)
                continue
            try:
                self._follow(stop)
            except Exception as error:  # noqa: BLE001 - metrics are no reason to end a thread, let alone the process
                self._status.groups = None
                self._fail(self._status.watched_groups, error)
                stop.wait(self._look_s)

    def _follow(self, stop: threading.Event) -> None:
        """Show the groups until `stop` is set, or another replica watches them. Raises what a look raises."""

        def should_stop() -> bool:
            return stop.is_set() or not self._status.watches_groups

        with self._open_reader() as reader:
            while not should_stop():
                found = [self._look(reader, group, should_stop) for group in self._status.watched_groups]
                if should_stop():
                    return
                self._status.groups = Look(self._wall_us(), tuple(group for group in found if group is not None))
                stop.wait(self._look_s)

    def _look(self, reader: Reader, group: str, should_stop: Callable[[], bool]) -> WatchedGroup | None:
        """Return what a group is doing, None if access is denied, or when asked to stop."""
        try:
            look = reader.read(group, should_stop)
        except NotProvisionedError as error:
            self._fail([group], error)
            return None
        if look is None:
            return None
        self._succeed(group)
        judgement = judge(look, self._histories.get(group, History()), self._wall_us())
        self._histories[group] = judgement.history
        self._log(judgement)
        return judgement.group

    def _log(self, judgement: Judgement) -> None:
        log: Mapping[GroupState, Callable[[str, list[str], int], None]] = {
            GroupState.RESET: self._telemetry.group_reset,
            GroupState.OVERTAKEN: self._telemetry.group_overtaken,
        }
        for state, places in judgement.news.items():
            log[state](judgement.group.group, _topics(places), len(places))

    def _fail(self, groups: Collection[str], error: Exception) -> None:
        if new := [group for group in groups if group not in self._unreadable]:
            detail = str(error) if isinstance(error, ConnectorError) else f"{type(error).__name__}: {error}"
            self._telemetry.groups_unreadable(new, detail)
        self._unreadable.update(groups)

    def _succeed(self, group: str) -> None:
        if group in self._unreadable:
            self._telemetry.groups_readable([group])
        self._unreadable.discard(group)


def group_watch(settings: Settings, status: ServiceStatus, telemetry: ServiceTelemetry) -> GroupWatch:
    """Return the watch that updates the consumer groups in `status`."""
    return GroupWatch(partial(GroupReader, settings, telemetry.foreign_record), status, telemetry, LOOK_S)


def _topics(places: Collection[Place]) -> list[str]:
    return list(dict.fromkeys(topic for topic, _ in places))
