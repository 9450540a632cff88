"""The table of a connection's life: what holds for all of its cells."""

import pytest
from connector.source.lifecycle import MEANINGS, TABLE, Delays, Happening, ImpossibleError, State, next_step

_CELLS = [(state, happening) for state in State for happening in Happening]


@pytest.mark.parametrize(("state", "happening"), _CELLS, ids=lambda each: str(each.value))
def test_cell_leads_on_or_is_a_fault_of_ours(state: State, happening: Happening) -> None:
    """No cell is missing, and one that cannot be says what happened where."""
    step = TABLE[state][happening]
    if step is None:
        with pytest.raises(ImpossibleError, match=f"{happening} while {state}"):
            next_step(state, happening)
    else:
        assert next_step(state, happening) == step
        assert (step.to is State.WAITING) == (step.delays is Delays.GROW), "who waits, waits longer each time"


@pytest.mark.parametrize("state", [state for state in State if state is not State.STOPPED])
def test_every_state_can_be_stopped_and_survives_the_unforeseen(state: State) -> None:
    """Whatever it waits for."""
    assert next_step(state, Happening.STOPPED).to is State.STOPPED
    assert next_step(state, Happening.UNFORESEEN).to is State.WAITING


def test_nothing_leads_out_of_the_end() -> None:
    """A stopped reader stays stopped."""
    assert {step.to for step in TABLE[State.STOPPED].values() if step} == {State.STOPPED}


def test_only_what_x_delivers_makes_the_delays_begin_anew() -> None:
    """A granted request is no delivery."""
    resets = {each for row in TABLE.values() for each, step in row.items() if step and step.delays is Delays.RESET}
    assert resets == {Happening.DELIVERED, Happening.CAME_WHOLE}


def test_every_state_is_reached_from_the_first() -> None:
    """And each has its meaning in words."""
    reached, new = {State.PLANNING}, {State.PLANNING}
    while new:
        new = {step.to for state in new for step in TABLE[state].values() if step} - reached
        reached |= new
    assert reached == set(State) == set(MEANINGS)
