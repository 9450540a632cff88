"""Watches topics and the registry for changes while the connector runs, for the whole process.

Owns the latest findings. Must not know who reads them, nor what a stream partition does about them.
"""

import threading
from collections.abc import Callable, Mapping

from connector.errors import DependencyUnavailableError, NotProvisionedError, SettingsError, TopicsChangedError

LOOK_S = 30.0
"""How often topics are checked: a change is known well within a minute."""


class TopicWatch:
    """Watches whether the event topics keep their partitions; `check` may be called from any thread.

    `changed_partitions` returns the changes, by stream. Findings stay until a look finds otherwise: an outage of Kafka
    is no evidence.
    """

    def __init__(self, changed_partitions: Callable[[], Mapping[str, str]]) -> None:
        self._changed_partitions = changed_partitions
        self._problems: Mapping[str, str] = {}

    def run(self, stop: threading.Event) -> None:
        """Look periodically until `stop` is set."""
        while not stop.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """Look once."""
        try:
            self._problems = self._changed_partitions()
        except (DependencyUnavailableError, NotProvisionedError):
            return

    def check(self, stream: str) -> None:
        """Raise `TopicsChangedError` if the latest look found changed topics of the stream."""
        if problem := self._problems.get(stream):
            raise TopicsChangedError(problem)


class RegistryWatch:
    """Asks a registry that was away at start until it has confirmed the recorded schema ids.

    `confirm` returns whether it has them all; `on_confirmed` is called once.
    """

    def __init__(self, confirm: Callable[[], bool], on_confirmed: Callable[[], None]) -> None:
        self._confirm = confirm
        self._on_confirmed = on_confirmed
        self._contradiction: NotProvisionedError | None = None

    def run(self, stop: threading.Event) -> None:
        """Ask until `stop` is set or all is answered."""
        while not stop.wait(LOOK_S) and not self.look():
            pass

    def look(self) -> bool:
        """Ask once; return whether all is answered."""
        try:
            is_confirmed = self._confirm()
        except NotProvisionedError as error:
            self._contradiction = error
            return True
        except (DependencyUnavailableError, SettingsError):
            return False
        if is_confirmed:
            self._on_confirmed()
        return is_confirmed

    def check(self) -> None:
        """Raise `NotProvisionedError` if the registry has contradicted a recorded id."""
        if self._contradiction is not None:
            raise self._contradiction
