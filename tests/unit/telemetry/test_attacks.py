"""What the HTTP port does amid strangers who mean ill: it stays small and quick, and health is answered."""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from connector.errors import DependencyUnavailableError
from connector.telemetry.http import ask
from tests.rig.http_port import METRICS, HttpPortProcess
from tests.rig.process import LOOPBACK
from tests.rig.strangers import Stranger, attack

pytestmark = pytest.mark.slow

_GROWTH_MIB = 20.0
_HEALTH_S = 2.0
_LASTS_S = 3.0
_MORE_THAN_DESCRIPTORS = 300


_LONG_HEAD = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"
_LONG_LINE = b"X: " + b"x" * 60_000 + b"\r\n"
_PAGE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
_WHOLE = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "make",
    [
        lambda port: Stranger(port, _LONG_HEAD, _LONG_LINE),
        lambda port: Stranger(port, b"GET /livez HTTP/1.1\r\nX: ", b"x"),
        lambda port: Stranger(port, _WHOLE, _WHOLE, 1),
        lambda port: Stranger(port, _PAGE, _PAGE, 1),
    ],
    ids=["long-heads", "trickling", "not-reading", "not-reading-the-page"],
)
def test_port_under_attack_stays_small_and_answers_health(make: Callable[[int], Stranger]) -> None:
    """More strangers than there are descriptors, each of whom comes back, take neither memory nor threads."""
    with HttpPortProcess() as port:
        ask(LOOPBACK, port.port, "/metrics")
        ask(LOOPBACK, port.port, "/")
        peak_mib, threads = port.peak_mib, port.threads
        times_s, most_threads = [], threads
        with attack([make(port.port) for _ in range(_MORE_THAN_DESCRIPTORS)]):
            end = time.monotonic() + _LASTS_S
            while time.monotonic() < end:
                times_s.append(_seconds(port.port, "/livez"))
                most_threads = max(most_threads, port.threads)
        assert port.peak_mib - peak_mib < _GROWTH_MIB
        assert most_threads == threads
        assert math.inf not in times_s
        assert sorted(times_s)[len(times_s) * 9 // 10] < _HEALTH_S


def test_fifty_scrapers_at_once_wait_for_no_second_attempt_to_connect() -> None:
    """The system tries again after a second where a port has no room for those who wait."""
    with HttpPortProcess() as port, ThreadPoolExecutor(50) as scrapers:
        times_s = sorted(scrapers.map(lambda _: _seconds(port.port, "/metrics", METRICS.decode()), range(500)))
        assert times_s[len(times_s) * 99 // 100] < 1.0


def _seconds(port: int, path: str, text: str = "ok") -> float:
    """Return how long an answer takes, which may be forever."""
    began = time.monotonic()
    try:
        assert ask(LOOPBACK, port, path) == text
    except DependencyUnavailableError:
        return math.inf
    return time.monotonic() - began
