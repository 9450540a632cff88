"""The deck: every scenario in its turn, never one twice before all came, and the same again for the same seed."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.deck import ROUNDS_PER_DECK, deal

_SCENARIOS = st.sets(st.text(max_size=3), min_size=1, max_size=70)
_SEEDS = st.integers(0, 2**32)


@given(_SCENARIOS, st.integers(1, 40), _SEEDS)
def test_scenarios_dealt_come_equally_often(scenarios: set[str], rounds: int, seed: int) -> None:
    """No scenario is more than one play ahead of another, and its plays are numbered one after the other."""
    plays = deal(scenarios, rounds, seed)
    counts = Counter(scenario for scenario, _ in plays)
    assert set(counts) <= scenarios
    assert max(counts.values()) - min(counts[scenario] for scenario in scenarios) <= 1
    assert Counter(plays) == Counter((scenario, play) for scenario in counts for play in range(counts[scenario]))


@given(_SCENARIOS, st.integers(1, 4), _SEEDS)
def test_rounds_of_a_whole_deck_play_every_scenario(scenarios: set[str], decks: int, seed: int) -> None:
    """Ten rounds are at least one deck, twenty at least two."""
    counts = Counter(scenario for scenario, _ in deal(scenarios, decks * ROUNDS_PER_DECK, seed))
    assert all(counts[scenario] >= decks for scenario in scenarios)


@pytest.mark.slow
@given(_SCENARIOS, st.integers(1, 40), _SEEDS)
def test_seed_repeated_repeats_the_run(scenarios: set[str], rounds: int, seed: int) -> None:
    """Whatever order the scenarios were collected in; more rounds only go on from there."""
    plays = deal(scenarios, rounds, seed)
    assert deal(sorted(scenarios, reverse=True), rounds, seed) == plays
    assert deal(scenarios, rounds + 1, seed)[: len(plays)] == plays


def test_another_seed_deals_another_order() -> None:
    """Otherwise the deck would not be shuffled."""
    scenarios = [str(number) for number in range(60)]
    assert deal(scenarios, ROUNDS_PER_DECK, 1) != deal(scenarios, ROUNDS_PER_DECK, 2)
