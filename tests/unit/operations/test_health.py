"""Why a service is not ready, by its own status."""

import json

import pytest

from connector.errors import DependencyUnavailableError
from connector.operations.health import probe
from tests.rig.peer import Peer, Script, answering

_NOT_OK = answering("503 Service Unavailable", b"not ok: see /status")
_STATUS = {
    "has_joined_group": False,
    "partitions": {"tweet/1": {"state": "running"}, "tweet/2": {"state": "corrupt"}, "user/1": {"state": "not-owned"}},
    "last_error": "Kafka is away",
    "more": 1,
}


def _problem(*scripts: Script) -> list[str]:
    """Return why a service is not ready, which answers so one request after the other."""
    with Peer(*scripts) as service, pytest.raises(DependencyUnavailableError) as caught:
        probe("127.0.0.1", service.port, "/readyz")
    first, *more = str(caught.value).split("; ")
    assert first == f"/readyz at 127.0.0.1:{service.port} answers 503: not ok: see /status"
    return more


@pytest.mark.parametrize("status", [_NOT_OK, answering("200 OK", b"<p>"), answering("200 OK", b"{}")])
def test_service_without_a_status_is_reported_by_its_answer(status: Script) -> None:
    """One that hangs, and a port that another program took."""
    assert _problem(_NOT_OK, status) == []


def test_service_that_is_not_ready_is_reported_with_all_reasons() -> None:
    """What is well or not its own is no reason."""
    assert _problem(_NOT_OK, answering("200 OK", json.dumps(_STATUS).encode())) == [
        "not a member of the consumer group",
        "tweet/2 is corrupt",
        "last error: Kafka is away",
    ]
