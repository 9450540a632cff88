"""Fixtures of the tests of how X is spoken to."""

from tests.unit.x.fakes import fake_time

__all__ = ["fake_time"]
