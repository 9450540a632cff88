"""A run that is killed goes on where it was: at each of its points, and any number of times."""

import random
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from connector.batch.command import Report
from connector.simulator import Simulator, SimulatorConfig
from tests.unit.batch.runs import PLAIN, TOKEN, KilledError, Operator, Points, left_as_it_was

pytestmark = pytest.mark.slow

_STAGES = {
    *("prepare", "save", "active", "create", "upload", "find", "poll", "download"),
    *("read_results", "join", "_put", "remove"),
}
"""Functions in which a kill must have come for a loop over all points to prove anything."""
_MOST_MORE = 5
"""Requests beyond those of a run that is not killed."""


_CONFIG = SimulatorConfig(token=TOKEN, batch_rate_limit=1_000_000)
"""An X that never says that there were too many requests."""


def _new_operator(home: Path, config: SimulatorConfig) -> Iterator[Operator]:
    home.mkdir()
    with Simulator(config) as sim:
        sim.emit(20)
        yield Operator(sim, home)


@pytest.fixture(name="operator")
def _operator(tmp_path: Path) -> Iterator[Operator]:
    """Give an operator of few ids."""
    yield from _new_operator(tmp_path / "home", _CONFIG)


@pytest.fixture(name="splitting")
def _splitting(tmp_path: Path) -> Iterator[Operator]:
    """Give an operator whose ids are too many for one job."""
    yield from _new_operator(tmp_path / "home", replace(_CONFIG, batch_limit_bytes=250))


def _stopped_at(
    point: int, operator: Operator, error: type[BaseException], after: str = ""
) -> tuple[Report | None, set[str]]:
    """Run, and stop the run at a point; return its report, or the functions that it was stopped in.

    It is stopped as SIGKILL does, unless by an `error` of another kind, for which a run may clean up.
    """
    is_killed = error is KilledError
    with left_as_it_was(operator.home) if is_killed else nullcontext(lambda: None) as remember:

        def stop() -> None:
            remember()
            raise error

        with Points(point, stop, after) as points:
            operator.on_point = points.step
            try:
                return operator.run(), set()
            except error as stopped:
                return None, {frame.f_code.co_name for frame, _ in traceback.walk_tb(stopped.__traceback__)}
            finally:
                operator.on_point = lambda _: None


def _run_again(operator: Operator) -> bool:
    """Run again what was stopped, and check what comes of it; return whether results were there before."""
    operator.check_secrets()
    is_delivered = operator.output.exists()
    operator.check(operator.run())
    operator.output.unlink()
    return is_delivered


@pytest.mark.parametrize("error", [KilledError, KeyboardInterrupt])
def test_run_stopped_at_any_point_goes_on_when_it_is_run_again(operator: Operator, error: type[BaseException]) -> None:
    """With the job that it has, also if it never learned of it, and with few requests more than without the stop."""
    stopped_in: Counter[str] = Counter()
    report = None
    while report is None:
        report, functions = _stopped_at(1 + stopped_in["run"], operator, error)
        stopped_in.update(functions)
        if report is None and not _run_again(operator):
            names = [name or "" for name, _ in operator.jobs()]
            assert len(set(names)) == len(names), "a job was made twice"
            assert all(name.endswith("-1-1") for name in names), "a job was given up"
            assert (operator.calls() - PLAIN).total() <= _MOST_MORE
    operator.check(report)
    assert stopped_in.keys() >= _STAGES


def test_run_killed_while_it_splits_its_ids_goes_on(splitting: Operator) -> None:
    """From when X finds them too many until the first half is on its way."""
    stopped_in: Counter[str] = Counter()
    while "download" not in stopped_in:
        report, functions = _stopped_at(1 + stopped_in["run"], splitting, KilledError, "is answered 413")
        assert report is None
        stopped_in.update(functions)
        _run_again(splitting)
        assert splitting.calls()["create"] <= 4
    assert stopped_in.keys() >= {"cancel", "split", "save", "active", "create", "upload"}


def test_run_killed_again_and_again_comes_to_its_end(splitting: Operator, seed: int) -> None:
    """At random, up to ten times."""
    rng = random.Random(seed)  # noqa: S311 - where it is killed
    report, kills = None, 0
    while report is None:
        report, _ = _stopped_at(rng.randint(1, 60) if kills < 10 else 10**6, splitting, KilledError)
        kills += report is None
    assert kills
    splitting.check(report)
