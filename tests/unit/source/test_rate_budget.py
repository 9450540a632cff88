"""The connect budget: what X counts in a window is never spent, however attempts come and whatever others spend."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.source.rate_budget import ANSWER_S, ASSUMED_LIMIT, FRESH_S, WINDOW_S, Budget, Sent
from connector.x.errors import RateLimit
from tests.unit.source.flapping import Endpoint

_NOW_S = 1_000.0


def _ask(budget: Budget, at_s: float, limit: RateLimit | None, *, partition: int = 1, is_sent: bool = True) -> Budget:
    """Return the budget after an attempt that is answered at once."""
    sent = Sent(partition, at_s)
    return budget.send(sent).answer(sent, at_s, limit, is_sent=is_sent)


def _said(remaining: int, reset_in_s: int = 900) -> RateLimit:
    return RateLimit(100, remaining, 1_800_000_000 + reset_in_s, 1_800_000_000)


def _spend(
    budget: Budget, answer: Callable[[float], RateLimit], from_s: float, until_s: float, partitions: tuple[int, ...]
) -> tuple[Budget, list[float]]:
    """Ask for each partition as soon as the budget allows; return when that was."""
    now_s, asked_s = from_s, list[float]()
    while now_s < until_s:
        for partition in partitions:
            if budget.wait_s(now_s, partition) == 0:
                budget = _ask(budget, now_s, answer(now_s), partition=partition)
                asked_s.append(now_s)
        now_s += 0.25
    return budget, asked_s


def test_first_attempt_may_go_and_the_next_waits_for_its_answer() -> None:
    """What others have spent is not known before X has said so; a process that crashes at once asks once."""
    assert Budget(4).wait_s(_NOW_S, 1) == 0
    sent = Sent(1, _NOW_S)
    asked = Budget(4).send(sent)
    assert asked.wait_s(_NOW_S + 1, 2) == ANSWER_S - 1
    assert asked.answer(sent, _NOW_S + 1, _said(99), is_sent=True).wait_s(_NOW_S + 1, 2) == 0


def test_answer_that_takes_long_delays_others_for_a_bounded_time() -> None:
    """An attempt to connect may hang until its timeout."""
    assert Budget(4).send(Sent(1, _NOW_S)).wait_s(_NOW_S + ANSWER_S, 2) == 0


def test_old_word_allows_one_attempt_at_a_time() -> None:
    """Other replicas have spent since."""
    later_s = _NOW_S + FRESH_S + 1
    budget = _ask(Budget(4), _NOW_S, _said(99)).send(Sent(1, later_s))
    assert budget.wait_s(later_s, 2) == ANSWER_S


def test_spent_budget_waits_for_the_reset() -> None:
    """In X's time, which need not be ours."""
    budget = _ask(Budget(4), _NOW_S, _said(0, 300))
    assert budget.wait_s(_NOW_S, 2) == 300
    assert budget.remaining(_NOW_S) == 0
    assert budget.wait_s(_NOW_S + 300, 2) == 0
    assert budget.remaining(_NOW_S + 300) is None


def test_few_go_at_once_and_the_rest_evenly_to_the_reserve() -> None:
    """A restart of everything is quick, and a loop of them has connects left at the end of the window."""
    endpoint = Endpoint(100, _NOW_S)
    budget, at_once = _spend(Budget(4), endpoint.ask, _NOW_S, _NOW_S + 5, (1, 2, 3, 4))
    budget, half = _spend(budget, endpoint.ask, _NOW_S + 5, _NOW_S + WINDOW_S / 2, (1, 2, 3, 4))
    _, rest = _spend(budget, endpoint.ask, _NOW_S + WINDOW_S / 2, _NOW_S + WINDOW_S, (1, 2, 3, 4))
    assert 8 <= len(at_once) <= 15
    assert len(at_once) + len(half) == pytest.approx(55, abs=3)
    assert 93 <= len(at_once) + len(half) + len(rest) <= 95


def test_partition_that_had_its_share_leaves_connects_to_those_that_had_not() -> None:
    """At every moment of a window that one partition alone would use up."""
    endpoint, budget, now_s = Endpoint(100, _NOW_S), Budget(4), _NOW_S
    while now_s < _NOW_S + WINDOW_S - 1:
        budget, _ = _spend(budget, endpoint.ask, now_s, now_s + 10, (1,))
        now_s += 10
        assert budget.wait_s(now_s, 2) == 0
    assert endpoint.most_used > 85


@pytest.mark.parametrize("limit", [1, 4, 5, 10, 15])
def test_small_limit_lets_each_partition_connect_at_once(limit: int) -> None:
    """As far as X grants it, less one where that would be the last."""
    _, asked_s = _spend(Budget(4), Endpoint(limit, _NOW_S).ask, _NOW_S, _NOW_S + 5, (1, 2, 3, 4))
    assert min(4, limit - 1) <= len(asked_s) <= limit


def test_attempt_without_an_answer_counts_and_one_that_never_left_does_not() -> None:
    """X may have counted what broke on the way back."""
    budget = _ask(Budget(4), _NOW_S, _said(90))
    for is_sent in (True, False):
        budget = _ask(budget, _NOW_S, None, is_sent=is_sent)
    assert budget.remaining(_NOW_S) == 89


def test_attempt_that_never_left_uses_up_no_share() -> None:
    """A network that was down must not delay the partition when it is back."""
    budget = _ask(Budget(4), _NOW_S, _said(86))
    sent, never_left = (_ask(budget, _NOW_S, None, partition=2, is_sent=is_sent) for is_sent in (True, False))
    assert sent.wait_s(_NOW_S + 12, 2) > 0
    assert sent.wait_s(_NOW_S + 12, 3) == never_left.wait_s(_NOW_S + 12, 2) == 0


def test_answers_that_overtake_each_other_do_not_give_back_what_is_spent() -> None:
    """The lowest word on a window counts."""
    budget = _ask(_ask(Budget(4), _NOW_S, _said(40)), _NOW_S, _said(41))
    assert budget.remaining(_NOW_S) == 40


@pytest.mark.slow
@pytest.mark.parametrize("reset_in_s", [0, -5, -1_800_000_000, 366 * 86_400, 1_800_000_000_000])
def test_reset_that_cannot_be_counts_as_no_word(reset_in_s: int) -> None:
    """One in the past, a year ahead or in milliseconds: connects go on in each window, and never too many."""
    endpoint = Endpoint(100, _NOW_S - 400)

    def answer(now_s: float) -> RateLimit:
        return _said(endpoint.ask(now_s).remaining, reset_in_s)

    _, asked_s = _spend(Budget(4), answer, _NOW_S, _NOW_S + 4 * WINDOW_S, (1, 2, 3, 4))
    assert not endpoint.refused
    assert 4 * 40 <= len(asked_s) <= 4 * 80
    assert max(after - before for before, after in pairwise(asked_s)) <= 90


@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_x_that_says_nothing_is_asked_within_what_it_once_published(replicas: int) -> None:
    """In any 15 minutes, over all replicas; no wait is so long that a backfill does not reach back."""
    budgets = [Budget(4) for _ in range(replicas)]
    asked_s, longest_s, now_s = list[float](), 0.0, _NOW_S
    while now_s < _NOW_S + 4 * WINDOW_S:
        for number in range(1, 5):
            budget = budgets[number % replicas]
            wait_s = budget.wait_s(now_s, number)
            longest_s = max(longest_s, wait_s)
            if wait_s == 0:
                budgets[number % replicas] = _ask(budget, now_s, None, partition=number)
                asked_s.append(now_s)
        now_s += 0.5
    within = max(sum(start <= each < start + WINDOW_S for each in asked_s) for start in asked_s)
    assert 0.9 * 0.8 * ASSUMED_LIMIT <= within <= 0.8 * ASSUMED_LIMIT
    assert longest_s <= 90


_GAPS = st.lists(st.floats(0, 120), min_size=1, max_size=300)


@given(limit=st.integers(1, 400), start_s=st.floats(0, 900), gaps=_GAPS, who=st.lists(st.integers(1, 4), min_size=1))
def test_no_window_is_ever_used_up(limit: int, start_s: float, gaps: list[float], who: list[int]) -> None:
    """By attempts that come at any time and go when they may, answered one after the other."""
    endpoint, budget, now_s = Endpoint(limit, start_s), Budget(4), _NOW_S
    for number, gap_s in enumerate(gaps):
        now_s += gap_s
        partition = who[number % len(who)]
        wait_s = budget.wait_s(now_s, partition)
        assert 0 <= wait_s <= WINDOW_S
        if wait_s == 0:
            budget = _ask(budget, now_s, endpoint.ask(now_s), partition=partition)
    assert not endpoint.refused


@pytest.mark.slow
@given(replicas=st.integers(2, 4), start_s=st.integers(0, 900))
def test_replicas_that_know_of_each_other_only_by_x_s_word_stay_within(replicas: int, start_s: int) -> None:
    """Each asks as soon as it may, for an hour; an endpoint has four partitions, so no more than four share it."""
    endpoint = Endpoint(100, start_s)
    budgets, now_s = [Budget(4) for _ in range(replicas)], _NOW_S
    while now_s < _NOW_S + 3600:
        for number in range(1, 5):
            budget = budgets[number % replicas]
            if budget.wait_s(now_s, number) == 0:
                budgets[number % replicas] = _ask(budget, now_s, endpoint.ask(now_s), partition=number)
        now_s += 5.0
    assert not endpoint.refused
