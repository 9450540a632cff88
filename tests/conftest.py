"""Owns what all tests share: the session's seed, shown in pytest's header and settable by `CONNECTOR_TEST_SEED`.

And hypothesis' profiles: a machine that is busy with other things is no failure, so no example has a deadline, and none
is made too slowly. Examples are the same in every run, so that none fails by luck; `make unit ALL=1 SEED=n` draws new
ones.
"""

import os
import secrets

import pytest
from hypothesis import HealthCheck, settings

from connector.quoting import forget_secrets

SEED = int(os.environ.get("CONNECTOR_TEST_SEED") or secrets.randbits(32))
os.environ["CONNECTOR_TEST_SEED"] = str(SEED)  # the same for all workers of pytest-xdist

for _name, _is_same in (("same-examples", True), ("new-examples", False)):
    settings.register_profile(
        _name, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=_is_same, database=None
    )
settings.load_profile("same-examples")


def pytest_report_header() -> str:
    """Show the seed, so that a failing run can be repeated."""
    return f"seed: {SEED} (repeat with CONNECTOR_TEST_SEED={SEED})"


@pytest.fixture(autouse=True)
def _no_secrets() -> None:
    """Forget the secrets of the tests before: what one hides would be hidden in the words of the next."""
    forget_secrets()


@pytest.fixture(scope="session")
def seed() -> int:
    """Give the number that every random choice of a test starts from."""
    return SEED
