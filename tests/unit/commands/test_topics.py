"""`connector provision --wait`: what is waited for, and for how long."""

from collections.abc import Callable

import pytest

from connector.commands.topics import patiently
from connector.errors import ConnectorError, DependencyUnavailableError, SettingsError, WrongServerError

_AWAY, _PROXY = DependencyUnavailableError("away", "for a reason"), WrongServerError(["no API"])


def _attempts(*errors: ConnectorError) -> Callable[[], str]:
    waiting = list(errors)

    def attempt() -> str:
        if waiting:
            raise waiting.pop(0)
        return "made"

    return attempt


def test_what_does_not_answer_or_is_a_proxy_s_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Each reason is told once."""
    pauses: list[float] = []
    assert patiently(_attempts(_AWAY, _AWAY, _PROXY, _AWAY), 3600.0, pauses.append) == "made"
    assert capsys.readouterr().err == "waiting: away\nwaiting: no API\nwaiting: away\n"
    assert pauses == [2.0] * 4


@pytest.mark.parametrize("error", [_AWAY, _PROXY])
def test_wait_that_is_over_ends_with_the_last_error(error: ConnectorError) -> None:
    """Without --wait at once."""
    with pytest.raises(type(error)):
        patiently(_attempts(error), 0.0, lambda _: None)


def test_what_waiting_cannot_help_is_not_waited_for() -> None:
    """A password that is wrong, for example."""
    with pytest.raises(SettingsError, match="wrong"):
        patiently(_attempts(_AWAY, SettingsError(["wrong"])), 3600.0, lambda _: None)
