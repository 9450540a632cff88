"""How fast a process goes once it is warm, and what of the machine that takes: looked at twice a second, no more.

Whoever is watched is watched alike. Must not know what it is, or how it tells how far it is.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.usage import cpu_s, idle_s

ITSELF = "itself"
_LOOK_S = 0.5
_PATIENCE_S = 300.0
_WARM = 0.2
_NEARLY_DONE = 0.95


@dataclass(frozen=True, slots=True)
class Pace:
    """Events/s, and microseconds of CPU an event by process; `idle_us` of all cores are those that nobody used."""

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


def watch(progress: Callable[[], int], events: int, pid: int, others: Mapping[str, int]) -> Pace:
    """Watch the process `pid` until all `events` are through, of which `progress` tells how many are.

    The pace is that from the first look after a fifth of them to the last one before the rest runs dry. `others` are
    the processes that work along. Raises `TimeoutError`.
    """
    return pace(list(_looks(progress, events, {ITSELF: pid, **others})), events)


def pace(looks: Sequence[Look], events: int) -> Pace:
    """Return the pace while all was flowing; between the first and the last look where that was over too soon."""
    flowing = [look for look in looks if _WARM * events <= look.events <= _NEARLY_DONE * events]
    begin, *_, end = flowing if len({look.events for look in flowing}) > 1 else looks
    passed = end.events - begin.events
    return Pace(
        passed / (end.at_s - begin.at_s),
        {name: (end.cpu_s[name] - used_s) / passed * 1e6 for name, used_s in begin.cpu_s.items()},
        (end.idle_s - begin.idle_s) / passed * 1e6,
    )


def _looks(progress: Callable[[], int], events: int, pids: Mapping[str, int]) -> Iterator[Look]:
    deadline = time.monotonic() + _PATIENCE_S
    done = 0
    yield _look(done, pids)
    while done < events:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{events} events are not through within {_PATIENCE_S:g} s")
        time.sleep(_LOOK_S)
        done = progress()
        yield _look(done, pids)


def _look(events: int, pids: Mapping[str, int]) -> Look:
    return Look(time.monotonic(), events, {name: cpu_s(pid) for name, pid in pids.items()}, idle_s())
