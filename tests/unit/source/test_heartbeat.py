"""The heartbeat of a thread."""

from connector.source.heartbeat import Heartbeat


class _Clock:
    """A clock that stands where it is set."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_heartbeat_ages_from_its_latest_beat() -> None:
    """A new one counts as beaten."""
    clock = _Clock()
    heartbeat = Heartbeat(clock)
    clock.now_s += 5
    assert heartbeat.age_s == 5
    heartbeat.beat()
    clock.now_s += 2
    assert heartbeat.age_s == 2


def test_heartbeat_at_rest_ages_from_its_end() -> None:
    """A wait that was announced is no sign of hanging; a beat within it ends it."""
    clock = _Clock()
    heartbeat = Heartbeat(clock)
    heartbeat.rest(60)
    clock.now_s += 61
    assert heartbeat.age_s == 1
    heartbeat.rest(60)
    heartbeat.beat()
    clock.now_s += 3
    assert heartbeat.age_s == 3
