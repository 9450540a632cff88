"""Fixtures of the tests of how X is spoken to."""

from tests.fakes.x import fake_time

__all__ = ["fake_time"]
