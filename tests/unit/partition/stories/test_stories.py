"""Whatever X does: each event once, none lost in silence, and coverage that always moves.

What holds after every transaction is in `story`; what cannot be seen by any connector, and so is left out of all but
the last kind of story, is said here:

- a replay or backfill that leaves events out where nothing is known that it should have brought again, and nothing
  comes later that it should have brought: every replay of a quiet partition is empty;
- the same in a process that has begun since a replay: the ledger keeps ids of replayed events, and not their dates;
- a lie that hides another: an empty replay right after one that ended early, a refused overlap with it;
- an event that X delivers again after the window of covered time: it is published again, under the same id;
- an X that selects by `event_at`, while it refuses what would reach back for late events, or our clock is wrong when
  they are asked for;
- two clocks that are wrong alike, a `Date` and a wall clock;
- an X that does not tell its time when that is needed, to a new process or to a machine that was suspended, and an
  event that is delivered meanwhile and again later: its id was kept by a clock that is minutes slow.
"""

import os

import pytest
from hypothesis import given
from hypothesis import seed as drawn_from
from hypothesis import settings as hypothesis_settings

from tests.unit.partition.stories.story import Story, Told
from tests.unit.partition.stories.strategies import (
    by_date,
    with_anything,
    with_lies_beside_much_else,
    with_lies_that_show,
)
from tests.unit.partition.stories.x import Lie

pytestmark = pytest.mark.slow

STORIES = int(os.environ.get("STORIES") or 300)
"""How many run in all; `make stories N=n` sets it."""
CORES = 2

KINDS = {
    "sound": with_lies_that_show(None),
    "by-date": by_date(),
    **{lie.value: with_lies_that_show(lie) for lie in (Lie.CUT, Lie.OPEN, Lie.OVERSHOOT)},
    **{lie.value: with_lies_beside_much_else(lie) for lie in (Lie.EARLY_END, Lie.EMPTY, Lie.IGNORED, Lie.NO_BACKFILL)},
    "anything": with_anything(),
}


@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("core", range(CORES))
@pytest.mark.parametrize("kind", KINDS)
def test_every_event_once_and_coverage_always_moves(kind: str, core: int, seed: int) -> None:
    """Tell stories of one kind; those of the two cores differ, and are the same in every run unless a seed is given."""
    is_same = hypothesis_settings().derandomize

    @drawn_from(core if is_same else CORES * seed + core)
    @hypothesis_settings(max_examples=max(1, STORIES // CORES // len(KINDS)))
    @given(story=KINDS[kind])
    def tell(story: Story) -> None:
        Told(story).tell()

    tell()
