"""Fixtures of telemetry."""

import pytest

from tests.unit.telemetry.partition_bench import Bench


@pytest.fixture
def bench() -> Bench:
    """Give a partition to which nothing has happened yet."""
    return Bench()
