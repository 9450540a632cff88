"""Which plays a run in rounds is made of: a deck of all scenarios, dealt on from round to round. Pure."""

import random
from collections import Counter
from collections.abc import Collection

ROUNDS_PER_DECK = 10
"""After that many rounds each scenario has been played at least once more."""


def deal(scenarios: Collection[str], rounds: int, seed: int) -> list[tuple[str, int]]:
    """Return the plays in order, each as its scenario and how often that one was played before.

    A round is a hand of equal size; a deck that is used up is shuffled again. The same seed gives the same plays.
    """
    choice = random.Random(seed)  # noqa: S311 - choices of a test, not secrets
    hand = -(-len(scenarios) // ROUNDS_PER_DECK)
    played: Counter[str] = Counter()
    plays: list[tuple[str, int]] = []
    deck: list[str] = []
    for _ in range(rounds * hand):
        deck = deck or choice.sample(sorted(scenarios), len(scenarios))
        scenario = deck.pop()
        plays.append((scenario, played[scenario]))
        played[scenario] += 1
    return plays
