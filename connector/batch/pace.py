"""The waits of a run: between polls of a job and after failures, within a limit on the whole run."""

import os
import time
from collections.abc import Callable

from connector.errors import ConnectorError
from connector.x.backoff import Exponential
from connector.x.batch_api import CallFailedError

_POLL = Exponential(30.0, 60.0)
"""X asks for 30 to 60 seconds between polls, with back-off (integration guide, "Poll for completion")."""
_RETRY = Exponential(5.0, 320.0)


class OutOfTimeError(ConnectorError):
    """The time limit of the run has passed; running it again resumes it."""

    exit_code = os.EX_TEMPFAIL


class Pace:
    """Waits for `time_s` in all, by a clock and a sleep that a test may replace.

    Raises `OutOfTimeError` in place of a wait that would end later.
    """

    def __init__(
        self,
        time_s: float,
        *,
        sleep: Callable[[float], object] = time.sleep,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sleep = sleep
        self._monotonic_s = monotonic_s
        self._end_s = monotonic_s() + time_s

    def now_s(self) -> float:
        """Return the reading of the clock, in seconds."""
        return self._monotonic_s()

    def poll(self, look: int) -> None:
        """Wait after the `look`-th poll of a job, counting from 1."""
        self.wait(_POLL.delay_s(look))

    @staticmethod
    def retry_s(failures: int, error: CallFailedError) -> float:
        """Return the seconds to wait after the latest of `failures` in a row: at least as long as X asks."""
        return max(_RETRY.delay_s(failures), error.at_least_s)

    def wait(self, seconds: float) -> None:
        """Wait."""
        if self._monotonic_s() + seconds > self._end_s:
            raise OutOfTimeError("out of time; run the same command again to resume")
        self._sleep(seconds)
