"""However processes, their pauses and Kafka's delays fall together: one chain of entries, and every event once.

A seed gives a run. The same ones are played each time, so that none fails by luck; `make unit ALL=1 SEED=n` draws new
ones.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import settings as hypothesis_settings

from connector.kafka.restore import Tail
from connector.kafka.transaction import Part, TransactionalWriter
from tests.unit.kafka.transactions.processes import Conduct, play

pytestmark = pytest.mark.slow

_RUNS = 36
_RUNS_WITH_A_FAULT = 150
"""How many runs may miss a fault of ours, before the model counts as blind for it."""


@pytest.fixture
def first_seed(seed: int) -> int:
    """Give the seed of the first run."""
    return 0 if hypothesis_settings().derandomize else seed * _RUNS_WITH_A_FAULT


@pytest.mark.parametrize("run", range(_RUNS))
def test_entries_are_one_chain_and_every_event_stands_once(run: int, first_seed: int) -> None:
    """Whatever is committed follows what was committed before, whoever wrote it."""
    outcome = play(first_seed + run)
    assert not outcome.failures, str(outcome)
    assert not outcome.problems, str(outcome)
    assert outcome.entries > 0, str(outcome)


def test_run_of_a_seed_is_the_same_each_time(first_seed: int) -> None:
    """So a failure can be looked at again."""
    assert play(first_seed) == play(first_seed)


class _Anywhere(int):
    """A place that every offset equals."""

    __slots__ = ()
    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int)

    def __ne__(self, other: object) -> bool:
        return not self == other


class _CarelessWriter(TransactionalWriter):
    """Commits entries wherever they stand."""

    def commit(self, parts: Sequence[Part]) -> float:
        """Commit them."""
        return super().commit([replace(part, place=_Anywhere(part.place)) for part in parts])


class _HastyWriter(TransactionalWriter):
    """Tells that each commit took no time."""

    def commit(self, parts: Sequence[Part]) -> float:
        """Commit them."""
        super().commit(parts)
        return 0.0


def _see_nothing(tail: Tail) -> Tail:
    """Return a tail without what is committed there."""
    return Tail([], tail.end)


@pytest.mark.parametrize(
    "conduct",
    [Conduct(make_writer=_CarelessWriter), Conduct(see_tail=_see_nothing)],
    ids=["no-place", "blind-settling"],
)
def test_process_that_does_not_look_is_found_out(conduct: Conduct, first_seed: int) -> None:
    """Where an entry stands, and whether it is there already, must be known."""
    assert _is_found_out(first_seed, conduct)


def test_producer_that_is_kept_after_a_slow_commit_is_found_out(first_seed: int) -> None:
    """A late request to commit ends the next transaction of the same epoch, half written as it is."""
    assert _is_found_out(first_seed, Conduct(make_writer=_HastyWriter))


def _is_found_out(first_seed: int, conduct: Conduct) -> bool:
    seeds = range(first_seed, first_seed + _RUNS_WITH_A_FAULT)
    return any(play(seed, conduct).problems for seed in seeds)
