"""A worker's failure is reported, whenever it comes."""

from threading import Event

import pytest

from connector.demo.worker import Worker
from connector.errors import ConnectorError, DependencyUnavailableError

_DEADLINE_S = 30.0


def _await_failure(working: Worker) -> None:
    """Check until the worker's thread has ended, which must raise."""
    working._thread.join(_DEADLINE_S)  # noqa: SLF001 - its end is what the test waits for
    working.check()


def test_work_is_asked_to_stop_at_the_end() -> None:
    """The event is set, and the end waits for the work."""
    seen = []

    def work(stop: Event) -> None:
        seen.append(stop.wait(_DEADLINE_S))

    with Worker("w", work) as working:
        working.check()
    assert seen == [True]


def test_our_own_error_is_raised_as_it_is() -> None:
    """Its exit code is what the process ends with."""

    def work(_: Event) -> None:
        raise DependencyUnavailableError("gone")

    with pytest.raises(DependencyUnavailableError, match="gone"), Worker("w", work) as working:
        _await_failure(working)


def test_unforeseen_error_is_named_with_the_worker() -> None:
    """It becomes ours, so that no traceback is shown."""

    def work(_: Event) -> None:
        raise ZeroDivisionError("by zero")

    with (
        pytest.raises(ConnectorError, match=r"the w failed: ZeroDivisionError\('by zero'\)"),
        Worker("w", work) as working,
    ):
        _await_failure(working)


def test_work_that_ends_by_itself_is_reported() -> None:
    """It was not asked to."""
    with pytest.raises(ConnectorError, match="the w ended by itself"), Worker("w", lambda _: None) as working:
        _await_failure(working)


def test_error_while_stopping_is_raised_at_the_end() -> None:
    """No check follows that could tell."""

    def work(stop: Event) -> None:
        stop.wait(_DEADLINE_S)
        raise DependencyUnavailableError("at the end")

    with pytest.raises(DependencyUnavailableError, match="at the end"), Worker("w", work):
        pass


def test_work_that_does_not_stop_is_told() -> None:
    """The end waits for a while only."""
    release = Event()
    with (
        pytest.raises(ConnectorError, match=r"the w did not stop within 0.05 s"),
        Worker("w", lambda _: _wait(release), stop_limit_s=0.05),
    ):
        pass
    release.set()


def test_error_inside_the_block_is_not_replaced() -> None:
    """The first trouble is the one to know."""

    def work(stop: Event) -> None:
        stop.wait(_DEADLINE_S)
        raise DependencyUnavailableError("second")

    with pytest.raises(LookupError, match="first"), Worker("w", work):
        raise LookupError("first")


def _wait(event: Event) -> None:
    event.wait(_DEADLINE_S)
