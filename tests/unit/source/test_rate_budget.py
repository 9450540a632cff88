"""The connect budget: what X counts in a window is never spent, whatever the attempts and whoever else spends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.source.rate_budget import ANSWER_S, ASSUMED_LIMIT, FRESH_S, REPLAY_MARGIN, WINDOW_S, Budget
from connector.x.errors import RateLimit

_NOW_S = 1_000.0


class _Endpoint:
    """An endpoint of X's that counts requests in windows from `start_s` on, and says what is left."""

    def __init__(self, limit: int, start_s: float = 0.0) -> None:
        self.limit = limit
        self._start_s = start_s
        self._used: dict[int, int] = {}

    def ask(self, now_s: float) -> RateLimit:
        """Count a request made at `now_s` and answer it."""
        window = int((now_s - self._start_s) // WINDOW_S)
        self._used[window] = self._used.get(window, 0) + 1
        reset_s = self._start_s + (window + 1) * WINDOW_S
        return RateLimit(self.limit, max(0, self.limit - self._used[window]), round(reset_s), now_s)

    @property
    def most_used(self) -> int:
        """The most requests of any window."""
        return max(self._used.values(), default=0)


def _spend(budget: Budget, endpoint: _Endpoint, until_s: float, *, is_live: bool, from_s: float = _NOW_S) -> int:
    """Ask as soon as the budget allows, one answer after the other; return how often."""
    now_s, asked = from_s, 0
    while now_s < until_s:
        wait_s = budget.wait_s(now_s, 1, is_live=is_live)
        if wait_s > 0:
            now_s += wait_s
            continue
        budget.ask(now_s)
        budget.over(now_s, now_s + 0.1, 1, endpoint.ask(now_s), is_sent=True)
        asked, now_s = asked + 1, now_s + 0.1
    return asked


def test_first_attempt_may_go_and_the_next_waits_for_its_answer() -> None:
    """What others have spent is not known before X has said so; a process that crashes at once asks once."""
    budget = Budget(4)
    assert budget.wait_s(_NOW_S, 1, is_live=True) == 0
    budget.ask(_NOW_S)
    assert budget.wait_s(_NOW_S + 1, 1, is_live=True) == ANSWER_S - 1
    budget.over(_NOW_S, _NOW_S + 1, 1, RateLimit(100, 99, 900, 0.0), is_sent=True)
    assert budget.wait_s(_NOW_S + 1, 1, is_live=True) == 0


def test_answer_that_takes_long_holds_up_nobody_for_ever() -> None:
    """An attempt to connect may hang for as long as its timeout."""
    budget = Budget(4)
    budget.ask(_NOW_S)
    assert budget.wait_s(_NOW_S + ANSWER_S, 1, is_live=True) == 0


def test_word_that_is_old_is_asked_for_anew_before_many_go() -> None:
    """Other replicas have spent since."""
    budget = Budget(4)
    budget.ask(_NOW_S)
    budget.over(_NOW_S, _NOW_S, 1, RateLimit(100, 99, 900, 0.0), is_sent=True)
    later_s = _NOW_S + FRESH_S + 1
    budget.ask(later_s)
    assert budget.wait_s(later_s, 1, is_live=True) == ANSWER_S


def test_spent_budget_waits_for_the_reset() -> None:
    """As X's time has it, which need not be ours."""
    budget = Budget(4)
    budget.ask(_NOW_S)
    budget.over(_NOW_S, _NOW_S, 1, RateLimit(100, 0, 1_800_000_300, 1_800_000_000), is_sent=True)
    assert budget.wait_s(_NOW_S, 1, is_live=True) == 300
    assert budget.remaining(_NOW_S) == 0
    assert budget.wait_s(_NOW_S + 300, 1, is_live=True) == 0
    assert budget.remaining(_NOW_S + 300) is None


def test_half_may_go_at_once_and_the_rest_evenly() -> None:
    """A restart of everything is quick; a loop of them does not use up the window."""
    endpoint = _Endpoint(100, _NOW_S)
    budget = Budget(4)
    at_once = _spend(budget, endpoint, _NOW_S + 10, is_live=True)
    assert 48 <= at_once <= 53
    late = _spend(budget, endpoint, _NOW_S + WINDOW_S / 2, is_live=True, from_s=_NOW_S + 10)
    assert 20 <= late <= 28


def test_catching_up_leaves_a_share_to_live_connections() -> None:
    """At every moment of the window."""
    endpoint = _Endpoint(100, _NOW_S)
    budget = Budget(4)
    _spend(budget, endpoint, _NOW_S + WINDOW_S - 1, is_live=False)
    left = budget.remaining(_NOW_S + WINDOW_S - 1)
    assert left is not None
    assert left >= REPLAY_MARGIN * 100
    assert budget.wait_s(_NOW_S + WINDOW_S - 1, 1, is_live=True) == 0


def test_catch_up_of_a_day_takes_as_long_as_the_budget_and_no_429() -> None:
    """384 slices of 4 partitions against 100 in 15 minutes."""
    endpoint = _Endpoint(100)
    budget, now_s, asked = Budget(4), _NOW_S, 0
    while asked < 384:
        wait_s = budget.wait_s(now_s, 1, is_live=False)
        if wait_s == 0:
            budget.ask(now_s)
            budget.over(now_s, now_s, 1, endpoint.ask(now_s), is_sent=True)
            asked += 1
        now_s += wait_s
    assert endpoint.most_used <= 100 * (1 - REPLAY_MARGIN)
    assert now_s - _NOW_S <= 5 * WINDOW_S


def test_attempt_without_an_answer_counts_and_one_that_never_left_does_not() -> None:
    """X may have counted what broke on the way back."""
    budget = Budget(4)
    budget.ask(_NOW_S)
    budget.over(_NOW_S, _NOW_S, 1, RateLimit(100, 90, 900, 0.0), is_sent=True)
    for is_sent in (True, False):
        budget.ask(_NOW_S)
        budget.over(_NOW_S, _NOW_S, 1, None, is_sent=is_sent)
    assert budget.remaining(_NOW_S) == 89


def test_answers_that_overtake_each_other_do_not_give_back_what_is_spent() -> None:
    """The lowest word on a window counts."""
    budget = Budget(4)
    budget.ask(_NOW_S)
    budget.ask(_NOW_S)
    budget.over(_NOW_S, _NOW_S, 1, RateLimit(100, 40, 900, 0.0), is_sent=True)
    budget.over(_NOW_S, _NOW_S, 1, RateLimit(100, 41, 900, 0.0), is_sent=True)
    assert budget.remaining(_NOW_S) == 40


def _ask_an_x_that_never_speaks(replicas: int, *, is_live: bool) -> tuple[list[float], float]:
    """Ask as soon as is allowed for four windows; return when, and the longest wait."""
    budgets = [Budget(4) for _ in range(replicas)]
    owners = [(number, budgets[number % replicas]) for number in range(1, 5)]
    asked_s, longest_s, now_s = list[float](), 0.0, _NOW_S
    while now_s < _NOW_S + 4 * WINDOW_S:
        for number, budget in owners:
            wait_s = budget.wait_s(now_s, number, is_live=is_live)
            longest_s = max(longest_s, wait_s)
            if wait_s == 0:
                budget.ask(now_s)
                budget.over(now_s, now_s, number, None, is_sent=True)
                asked_s.append(now_s)
        now_s += 0.5
    return asked_s, longest_s


@pytest.mark.parametrize("replicas", [1, 2, 4])
@pytest.mark.parametrize(("is_live", "share"), [(True, 0.8), (False, 0.65)])
def test_x_that_never_speaks_of_it_is_asked_within_what_it_once_published(
    replicas: int, share: float, *, is_live: bool
) -> None:
    """In any 15 minutes, over all replicas; none waits so long that a backfill does not reach back."""
    asked_s, longest_s = _ask_an_x_that_never_speaks(replicas, is_live=is_live)
    within = max(sum(start <= each < start + WINDOW_S for each in asked_s) for start in asked_s)
    assert 0.9 * share * ASSUMED_LIMIT <= within <= share * ASSUMED_LIMIT
    assert longest_s < 2 * 60


_GAPS = st.lists(st.floats(0, 120), min_size=1, max_size=300)


@given(limit=st.integers(2, 400), start_s=st.floats(0, 900), gaps=_GAPS, kinds=st.lists(st.booleans(), min_size=1))
def test_no_window_is_ever_used_up(limit: int, start_s: float, gaps: list[float], kinds: list[bool]) -> None:
    """By attempts that come when they like and go when they may, answered one after the other."""
    endpoint, budget, now_s = _Endpoint(limit, start_s), Budget(4), _NOW_S
    for number, gap_s in enumerate(gaps):
        now_s += gap_s
        wait_s = budget.wait_s(now_s, 1, is_live=kinds[number % len(kinds)])
        assert 0 <= wait_s <= WINDOW_S
        if wait_s == 0:
            budget.ask(now_s)
            budget.over(now_s, now_s, 1, endpoint.ask(now_s), is_sent=True)
    assert endpoint.most_used <= limit


@given(replicas=st.integers(2, 4), start_s=st.integers(0, 900))
def test_replicas_that_know_of_each_other_only_by_x_s_word_stay_within(replicas: int, start_s: int) -> None:
    """Each asks as soon as it may, for an hour; an endpoint has four partitions, so no more than four share it."""
    endpoint = _Endpoint(100, start_s)
    budgets = [Budget(4) for _ in range(replicas)]
    now_s = _NOW_S
    while now_s < _NOW_S + 3600:
        for budget in budgets:
            if budget.wait_s(now_s, 1, is_live=True) == 0:
                budget.ask(now_s)
                budget.over(now_s, now_s, 1, endpoint.ask(now_s), is_sent=True)
        now_s += 5.0
    assert endpoint.most_used <= 100
