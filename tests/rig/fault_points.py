"""The places where a replica can be made to fail, what then happens to it, and how it is armed.

Shared by the scenarios and the replica's process; knows nothing of the connector.
"""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

VARIABLE = "FAULT"
GROUP_VARIABLE = "FAULT_GROUP"
"""The name of a consumer group that a replica joins in place of the one that its neighbours share."""


class Point(StrEnum):
    """A place in the work of a replica.

    Of transactions only those with events count: `before-commit` is when everything is flushed and the commit is not
    yet asked for, `before-full-commit` the same where every stream partition has a part, `mid-produce` in between.
    """

    AFTER_RECEIVE = "after-receive"
    AFTER_ENCODE = "after-encode"
    MID_PRODUCE = "mid-produce"
    BEFORE_COMMIT = "before-commit"
    BEFORE_FULL_COMMIT = "before-full-commit"
    AFTER_COMMIT = "after-commit"
    RESTORE = "restore"
    BACKFILL = "backfill"
    REPLAY = "replay"
    FIRST_COMMIT = "first-commit"
    INITIATED = "initiated"


class Deed(StrEnum):
    """What happens at the place."""

    KILL = "kill"
    STOP = "stop"
    HANG = "hang"


@dataclass(frozen=True, slots=True)
class Fault:
    """At the `passage`-th passage of a point, over all stream partitions of the process, the deed is done."""

    point: Point
    passage: int = 1
    deed: Deed = Deed.KILL

    @property
    def kind(self) -> str:
        """The kind of fault, as scenarios name it."""
        return f"{self.deed} at {self.point}"

    def environment(self, marker: Path) -> dict[str, str]:
        """Return the variables that arm it; `marker` is the file that will prove that it happened."""
        return {VARIABLE: f"{self.point} {self.passage} {self.deed} {marker}"}

    @classmethod
    def from_environment(cls) -> tuple[Self, Path] | None:
        """Return what is armed, and its marker."""
        if (text := os.environ.get(VARIABLE)) is None:
            return None
        point, passage, deed, marker = text.split(" ", 3)
        return cls(Point(point), int(passage), Deed(deed)), Path(marker)
