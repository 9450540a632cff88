"""How fast a process carries all that it is fed, and what of the machine that takes: looked at twice a second, no more.

From its first moment to its last: a program that first queues records and sends them later would look faster
in any part of that time. All programs are watched alike. Must not know which it is, or how it reports progress.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.usage import cpu_s, idle_s

ITSELF = "itself"
_LOOK_S = 0.5
_PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Events/s, and microseconds of CPU an event by process; `idle_us` of all cores are the unused ones."""

    events_per_s: float
    cpu_us: Mapping[str, float]
    idle_us: float

    @property
    def cpu_us_itself(self) -> float:
        """What the process that was watched used."""
        return self.cpu_us[ITSELF]


@dataclass(frozen=True, slots=True)
class Look:
    """How many events were through at a moment, and what CPU had been used by then, by process, and not used."""

    at_s: float
    events: int
    cpu_s: Mapping[str, float]
    idle_s: float


def watch(  # noqa: PLR0913 - what is watched, and how
    progress: Callable[[], int],
    events: int,
    pid: int,
    others: Mapping[str, int],
    *,
    look_s: float = _LOOK_S,
    patience_s: float = _PATIENCE_S,
) -> Pace:
    """Watch the process `pid` until all `events` are through, of which `progress` tells how many are.

    None is when it begins. `others` are the processes that work along. Raises `TimeoutError`.
    """
    pids = {ITSELF: pid, **others}
    deadline = time.monotonic() + patience_s
    begin = _look(0, pids)
    done = 0
    while done < events:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{events} events are not through within {patience_s:g} s")
        time.sleep(look_s)
        done = progress()
    return pace(begin, _look(done, pids))


def pace(begin: Look, end: Look) -> Pace:
    """Return the pace between two looks."""
    passed = end.events - begin.events
    return Pace(
        passed / (end.at_s - begin.at_s),
        {name: (end.cpu_s[name] - used_s) / passed * 1e6 for name, used_s in begin.cpu_s.items()},
        (end.idle_s - begin.idle_s) / passed * 1e6,
    )


def _look(events: int, pids: Mapping[str, int]) -> Look:
    return Look(time.monotonic(), events, {name: cpu_s(pid) for name, pid in pids.items()}, idle_s())
