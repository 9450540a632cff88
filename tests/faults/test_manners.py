"""Replicas that X turns away: promise `good_citizen`."""

from collections.abc import Callable, Sequence

import pytest

from connector.events.catalog import STREAMS
from connector.simulator.faults import Drop, Refuse
from connector.simulator.world import LoggedRequest
from tests.faults.conftest import Servers
from tests.faults.stage import Stage
from tests.rig.audit import Place
from tests.rig.process import wait_until
from tests.rig.service import STREAM_PARTITIONS

_BUDGET = 100
"""Connects that X grants an App for each endpoint in 15 minutes."""
_DELAYS_S = (5.0, 10.0)
"""What X asks to wait after the first and the second refusal in a row."""


@pytest.mark.long
@pytest.mark.fires("X: refuse")
def test_good_citizen_over_all_replicas(servers: Servers, make_stage: Callable[..., Stage]) -> None:
    """Two replicas never ask too early, too often, or for what the other has, whichever leaves or dies."""
    stage = make_stage(servers.kafka.bootstrap_servers, rate_limit=_BUDGET)
    leaving, dying = stage.start("leaving"), stage.start("dying")
    wait_until(lambda: bool(leaving.running() and dying.running()), "both have a share")
    stage.await_owned()
    stage.simulator.inject(Refuse(status=503, times=len(_DELAYS_S)))
    stage.simulator.inject(Drop())
    stage.simulator.set_rate(100)
    wait_until(lambda: stage.simulator.fired["refuse"] == len(_DELAYS_S) * len(STREAM_PARTITIONS), "X refuses all")
    stage.await_caught_up()
    leaving.leave()
    stage.await_owned()
    stage.start("heir")
    dying.kill()
    stage.await_owned()
    stage.conclude()
    assert {request.status for request in stage.simulator.requests} == {200, 503}
    for place in STREAM_PARTITIONS:
        assert all(_waited_s(_requests(stage, place), refusals) >= delay for refusals, delay in enumerate(_DELAYS_S, 1))


def _requests(stage: Stage, place: Place) -> list[LoggedRequest]:
    stream, number = place
    return [
        request
        for request in stage.simulator.requests
        if request.path == STREAMS[stream].path and request.query.get("partition", "1") == str(number)
    ]


def _waited_s(requests: Sequence[LoggedRequest], refusals: int) -> float:
    """Return the seconds between the last of `refusals` refusals in a row and the next request."""
    refused = [request.status == 503 for request in requests].index(True) + refusals - 1
    return (requests[refused + 1].at - requests[refused].at) / 1e9
