"""Fixtures of the tests of the reader threads."""

from tests.unit.x.fakes import fake_time

__all__ = ["fake_time"]
