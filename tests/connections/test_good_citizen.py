"""Promise `good_citizen`: attempts stay within X's rate limit by X's own count, in simulated time."""

from collections import Counter
from collections.abc import Iterator

import pytest

from connector.settings import XSettings
from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.clock import NANOS
from connector.simulator.faults import AcceptAndClose
from connector.source.connect_limiter import ConnectLimiter
from connector.x.client import XClient
from tests.connections.citizens import PARTITIONS, Citizen, Times, now_s, play

pytestmark = pytest.mark.slow

_LIMIT = 100
_WINDOW_S = 15 * 60
_MINUTE_S = 60.0
_DAY_S = 24 * 3600.0


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Give an X that grants 100 connects in a window, to whose time everything goes."""
    with Simulator(SimulatorConfig(rate_limit=_LIMIT, streams=("tweet",))) as simulator:
        yield simulator


@pytest.fixture
def client(simulator: Simulator) -> Iterator[XClient]:
    """Give what speaks to it."""
    settings = XSettings.model_validate({"base_url": simulator.base_url, "bearer_token": "simulator-token"})
    client = XClient(settings)
    yield client
    client.close()


def _start(simulator: Simulator, client: XClient, replicas: int, *, away_s: float = 0.0) -> list[Citizen]:
    """Return a reader for each partition, each in a process that knows nothing of the others."""
    times = Times(simulator)
    limiters = [ConnectLimiter(2, times.us) for _ in range(replicas)]
    return [
        Citizen(partition, limiters[number % replicas], client, times, away_s=away_s)
        for number, partition in enumerate(PARTITIONS)
    ]


def _check_count(simulator: Simulator) -> None:
    """No request was one too many, by X's own count."""
    windows = Counter(int(request.at / NANOS // _WINDOW_S) for request in simulator.requests)
    print(f"attempts by window of 15 minutes: {dict(windows)}")  # noqa: T201 - shown by pytest
    assert {request.status for request in simulator.requests} == {200}
    assert max(windows.values()) < _LIMIT


@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_good_citizen_to_a_server_that_accepts_and_closes_at_once(
    simulator: Simulator, client: XClient, replicas: int
) -> None:
    """For 10 minutes that lie in one window, four partitions never ask more often than X grants."""
    simulator.inject(AcceptAndClose(times=10_000))
    simulator.advance(_WINDOW_S - now_s(simulator) % _WINDOW_S)
    play(simulator, _start(simulator, client, replicas), now_s(simulator) + 10 * _MINUTE_S)
    _check_count(simulator)
    assert len(simulator.requests) > _LIMIT / 2, "it is tried all the time"


def test_good_citizen_in_a_loop_of_crashes(simulator: Simulator, client: XClient) -> None:
    """A process without any state starts every 30 s, for two windows."""
    simulator.inject(AcceptAndClose(times=10_000))
    until_s = now_s(simulator) + 2 * _WINDOW_S
    while now_s(simulator) < until_s:
        play(simulator, _start(simulator, client, 1), now_s(simulator) + 30)
    _check_count(simulator)


@pytest.mark.parametrize("replicas", [1, 4])
def test_good_citizen_through_a_catch_up_of_a_day(simulator: Simulator, client: XClient, replicas: int) -> None:
    """Four times what X grants in a window: it takes its time, and ends, with no 429."""
    began_s = now_s(simulator)
    citizens = _start(simulator, client, replicas, away_s=_DAY_S)
    play(simulator, citizens, began_s + _DAY_S)
    assert all(citizen.has_caught_up for citizen in citizens)
    _check_count(simulator)
    assert len(simulator.requests) > 4 * 24 * 4
    assert now_s(simulator) - began_s < 2 * 3600
