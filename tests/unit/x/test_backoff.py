"""The delays that X asks for."""

import pytest

from connector.x.backoff import JITTER, Backoff, Curve


def _delays(curve: Curve, count: int = 8) -> list[float]:
    backoff = Backoff(lambda: 0.0)
    return [backoff.failed(curve) for _ in range(count)]


@pytest.mark.parametrize(
    ("curve", "delays"),
    [
        (Curve.NETWORK, [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]),
        (Curve.HTTP, [5, 10, 20, 40, 80, 160, 320, 320]),
        (Curve.RATE_LIMIT, [60, 120, 240, 480, 960, 960, 960, 960]),
        (Curve.TOO_MANY_CONNECTIONS, [4, 8, 16, 32, 60, 60, 60, 60]),
        (Curve.CONFIGURATION, [60, 120, 240, 480, 900, 900, 900, 900]),
    ],
)
def test_delays_of_a_kind_of_failure_follow_its_curve(curve: Curve, delays: list[float]) -> None:
    """Linear for the network, exponential for the rest."""
    assert _delays(curve) == delays


@pytest.mark.parametrize("curve", Curve)
def test_delay_after_thousands_of_failures_is_the_longest(curve: Curve) -> None:
    """A month without X overflows nothing."""
    assert _delays(curve, 3000)[1999:] == [curve.value.max_s] * 1001


def test_failures_of_one_kind_do_not_lengthen_the_delays_of_another() -> None:
    """Each kind counts for itself."""
    backoff = Backoff(lambda: 0.0)
    for _ in range(10):
        backoff.failed(Curve.NETWORK)
    assert backoff.failed(Curve.HTTP) == 5


def test_delivery_resets_every_curve() -> None:
    """Nothing else does: the same failure without one goes on growing."""
    backoff = Backoff(lambda: 0.0)
    for curve in Curve:
        backoff.failed(curve)
        backoff.failed(curve)
    backoff.delivered()
    assert [backoff.failed(curve) for curve in Curve] == [_delays(curve, 1)[0] for curve in Curve]


def test_delay_is_no_shorter_than_x_asks_for() -> None:
    """And the jitter only stretches it."""
    assert Backoff(lambda: 0.0).failed(Curve.RATE_LIMIT, 700.0) == 700.0
    assert Backoff(lambda: 0.0).failed(Curve.RATE_LIMIT, 1.0) == 60.0
    assert Backoff(lambda: 1.0).failed(Curve.RATE_LIMIT, 700.0) == pytest.approx(700 * (1 + JITTER))
