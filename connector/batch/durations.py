"""How long jobs took, for the operator who waits for the next one: a file next to the folders of the runs.

A file that cannot be read or written is not an error: nothing depends on it.
"""

from contextlib import suppress
from pathlib import Path

import msgspec

from connector.files import replace_private
from connector.x.batch_api import JobType

_FILE = "durations.json"


class Durations:
    """The durations of the latest jobs, in seconds, by type and number of digits of the count of ids."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE

    def last_s(self, kind: JobType, ids: int) -> float | None:
        """Return how long the latest job of about this many ids took, or None if there was none."""
        return self._read().get(_size(kind, ids))

    def record(self, kind: JobType, ids: int, seconds: float) -> None:
        """Record how long a job took."""
        with suppress(OSError), replace_private(self._path) as file:
            file.write(msgspec.json.encode(self._read() | {_size(kind, ids): seconds}))

    def _read(self) -> dict[str, float]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, float])
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return {}


def _size(kind: JobType, ids: int) -> str:
    return f"{kind.value} {len(str(ids))}"
