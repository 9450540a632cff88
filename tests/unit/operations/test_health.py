"""Why a service is not ready, by its own status."""

import json
from collections.abc import Callable

import pytest

from connector.errors import DependencyUnavailableError
from connector.operations import health
from connector.operations.health import probe

_AWAY = "/readyz at h:1 answers 503: not ok: see /status"
_STATUS = {
    "has_joined_group": False,
    "partitions": {"tweet/1": {"state": "running"}, "tweet/2": {"state": "corrupt"}, "user/1": {"state": "not-owned"}},
    "last_error": "Kafka is away",
    "more": 1,
}


def _answering(status: str) -> Callable[[str, int, str], str]:
    def ask(_: str, __: int, path: str) -> str:
        if path == "/status" and status:
            return status
        raise DependencyUnavailableError(_AWAY)

    return ask


@pytest.mark.parametrize("status", ["", "<p>", "{}"])
def test_service_without_a_status_is_reported_by_its_answer(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    """One that hangs, and a port that another program took."""
    monkeypatch.setattr(health, "ask", _answering(status))
    with pytest.raises(DependencyUnavailableError) as caught:
        probe("h", 1, "/readyz")
    assert str(caught.value) == _AWAY


def test_service_that_is_not_ready_is_reported_with_all_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is well or not its own is no reason."""
    monkeypatch.setattr(health, "ask", _answering(json.dumps(_STATUS)))
    with pytest.raises(DependencyUnavailableError) as caught:
        probe("h", 1, "/readyz")
    assert str(caught.value).split("; ") == [
        _AWAY,
        "not a member of the consumer group",
        "tweet/2 is corrupt",
        "last error: Kafka is away",
    ]
