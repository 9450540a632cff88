"""Fixtures of the tests of the reader threads."""

from tests.fakes.x import fake_time

__all__ = ["fake_time"]
