"""Stories to draw: of an X that is sound, of one that lies in a way that can be seen, and of one that does anything."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from connector.events.times import US_PER_S
from tests.unit.partition.stories.connector import Answer, Crash
from tests.unit.partition.stories.story import Away, Connect, Rate, Restart, Sight, Step, Story, Suspend, Wall
from tests.unit.partition.stories.x import Lie, Manner, Traits

_FROM = st.sampled_from
_LATE_S = [(0,), (0,), (0, 3), (30,), (0, 90), (0, 0, 0, 200)]
_AWAY_MINUTES = [0.02, 0.5, 2, 3.5, 4, 5, 6.5, 17, 50, 200, 1500, 2000]
_EVENTS_AWAY = 250
_WALL_S = [0, 0, 0, 1, -30, 30, -300, 600, -7200, 7200]
HOUR_US = 3600 * US_PER_S


def _manners(lie: Lie | None, **fixed: Any) -> SearchStrategy[Manner]:  # noqa: ANN401 - members of a manner
    members: dict[str, SearchStrategy[Any]] = {
        "lie": _FROM([lie, None]),
        "lie_size": _FROM([0, 1, 3, 10, 40, 90, 600, 2400]),
        "live_s": _FROM([1, 5, 5, 30, 70, 130, 400, 900]),
        "is_proper": st.booleans(),
        "pace_s": _FROM([0, 0, 0, 1, 20, 45]),
        "repeat_every": _FROM([0, 0, 1, 3]),
        "repeat_age": _FROM([1, 1, 4, 20]),
        "is_reordered": _FROM([False, False, True]),
        "foreign_at": _FROM([0, 0, 0, 1, 5]),
        "system_at": _FROM([0, 0, 0, 2, 9]),
    }
    members |= {name: st.just(value) for name, value in fixed.items()}
    return st.builds(Manner, **members)


def _answers(*, may_refuse: bool) -> SearchStrategy[Answer]:
    rarely = _FROM([False, False, False, may_refuse])
    return st.builds(
        Answer,
        is_refused=rarely,
        is_html=rarely,
        takes_ms=_FROM([50, 300, 4000, 20_000, 70_000] if may_refuse else [50, 4000, 20_000]),
        date_off_us=_FROM([0] * 8 + [None, HOUR_US, -HOUR_US, 48 * HOUR_US]),
        grants_future=st.booleans(),
    )


_CRASHES = st.none() | st.none() | st.builds(Crash, _FROM([0, 1, 2, 5, 20]))


@st.composite
def _stories(  # noqa: PLR0913, PLR0917 - what a kind of story is made of
    draw: st.DrawFn,
    traits: SearchStrategy[Traits],
    manners: SearchStrategy[Manner],
    answers: SearchStrategy[Answer],
    others: list[SearchStrategy[Step]],
    crashes: SearchStrategy[Crash | None] = _CRASHES,
    *,
    sight: Sight,
) -> Story:
    drawn, wall_s = draw(traits), _WALL_S
    if drawn.is_by_date:
        wall_s = [0]
    longest = _EVENTS_AWAY * drawn.every_s / 60
    away = _FROM([minutes for minutes in _AWAY_MINUTES if minutes <= longest]).map(Away)
    connect = st.builds(Connect, _FROM([1, 1, 2, 7]), answers, manners, _FROM([1, 3, 1000]), crashes)
    steps = st.lists(st.one_of(connect, connect, connect, away, *others), min_size=1, max_size=8)
    return Story(drawn, draw(steps), draw(_FROM(wall_s)), sight)


_CLOCKS: list[SearchStrategy[Step]] = [_FROM(_WALL_S).map(Wall), _FROM([5, 40, 400]).map(Suspend)]
_RESTARTS = st.just(Restart())
_RATES = _FROM([2, 30, 400, 5000]).map(Rate)

_LATE = st.builds(
    Traits,
    _FROM([5, 20, 60, 300, 1800]),
    _FROM(_LATE_S),
    _FROM([0, 0, 5, 30]),
)
_PUNCTUAL = st.builds(Traits, _FROM([4, 6, 8]), _FROM([(0,), (0, 1), (0, 3)]))


def with_lies_that_show(lie: Lie | None) -> SearchStrategy[Story]:
    """Draw stories of an X that is sound but for lies that show by themselves, however little happens."""
    return _stories(
        _LATE, _manners(lie), _answers(may_refuse=True), [*_CLOCKS, _RESTARTS, _RATES], sight=Sight.BY_ITSELF
    )


def with_lies_beside_much_else(lie: Lie) -> SearchStrategy[Story]:
    """Draw stories with lies that show where much happens, and is known."""
    needs_memory = lie in {Lie.EMPTY, Lie.NO_BACKFILL}
    crashes = st.none() if needs_memory else _CRASHES
    others = _CLOCKS if needs_memory else [*_CLOCKS, _RESTARTS]
    manners = _manners(lie, foreign_at=0, system_at=0)
    return _stories(
        _PUNCTUAL,
        manners,
        _answers(may_refuse=False),
        others,
        crashes,
        sight=Sight.LATER if lie is Lie.EARLY_END else Sight.BESIDE_OTHERS,
    )


def with_anything() -> SearchStrategy[Story]:
    """Draw stories in which X does anything, also what cannot be seen."""
    of_before = {"repeats_of_before": True, "repeat_age": 150}
    manners = st.one_of([*(_manners(lie) for lie in Lie), *(_manners(lie, **of_before) for lie in Lie)])
    return _stories(_LATE, manners, _answers(may_refuse=True), [*_CLOCKS, _RESTARTS, _RATES], sight=Sight.NONE)


def by_date() -> SearchStrategy[Story]:
    """Draw stories of a sound X that selects by `event_at`, whose events are up to 200 s late, and known to be."""
    late_s = _FROM([(0,), (0, 30), (0, 0, 90), (200, 0), (100,)])
    traits = st.builds(Traits, _FROM([5, 20, 60]), late_s, is_by_date=st.just(True))  # noqa: FBT003 - of a strategy
    return _stories(traits, _manners(None), _answers(may_refuse=False), [_RESTARTS], sight=Sight.BESIDE_OTHERS)
