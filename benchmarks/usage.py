"""What a process takes of this machine, as Linux tells it."""

import os
import time
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU a process has used, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def rss_bytes(pid: int) -> int:
    """Return the memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES


def bind_to_one_core(pid: int) -> None:
    """Let all threads of a process, and those it will start, run on the same one of our cores."""
    core = max(os.sched_getaffinity(0))
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), [core])


def idle_s() -> float:
    """Return the seconds that the cores of this machine had nothing to do, all together."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    return (int(fields[4]) + int(fields[5])) / _TICKS_PER_S


class Stopwatch:
    """Wall clock and CPU of a process since it was made."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began = time.time(), cpu_s(pid)

    def cores(self) -> float:
        """Return how many cores were used on average."""
        began_s, used_s = self._began
        return (cpu_s(self._pid) - used_s) / (time.time() - began_s)
