"""The life of a stream partition's connection, as a table: which state each happening leads to, and what to do. Pure.

Every cell is there. `NEVER` marks what cannot happen in a state; should it, that is a fault of ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a reader is doing."""

    PLANNING = "planning"
    CONNECTING = "connecting"
    UNPROVEN = "unproven"
    ESTABLISHED = "established"
    WAITING = "waiting"
    STOPPED = "stopped"


MEANINGS: Mapping[State, str] = {
    State.PLANNING: "waits until all that came is committed, plans, and waits for its turn to connect",
    State.CONNECTING: "has asked X",
    State.UNPROVEN: "X has granted a connection, and nothing shows yet that it is good for anything",
    State.ESTABLISHED: "a live connection that has delivered",
    State.WAITING: "backs off",
    State.STOPPED: "is over",
}


class Happening(StrEnum):
    """What can happen to it. Whether X closes properly, breaks off or falls silent, an end is an end."""

    TURN_CAME = "its turn came"
    GRANTED = "X granted it"
    REPLAN = "another plan is due"
    DELIVERED = "a live line came"
    CAME_WHOLE = "a slice came whole"
    ENDED = "it failed or ended"
    TOO_MANY = "X counts too many"
    WAITED = "the wait is over"
    STOPPED = "we stop"
    UNFORESEEN = "what nobody foresaw"


class Delays(StrEnum):
    """What a step does to the back-off."""

    KEEP = "keep"
    RESET = "reset"
    GROW = "grow"


@dataclass(frozen=True, slots=True)
class Step:
    """Where a happening leads; with `GROW`, after a delay that grows from one to the next."""

    to: State
    delays: Delays = Delays.KEEP


class ImpossibleError(Exception):
    """What happened cannot happen in this state: a fault of ours."""


_ASK = Step(State.CONNECTING)
_READ = Step(State.UNPROVEN)
_PROVE = Step(State.ESTABLISHED, Delays.RESET)
_PLAN = Step(State.PLANNING)
_GO_ON = Step(State.PLANNING, Delays.RESET)
_WAIT = Step(State.WAITING, Delays.GROW)
_END = Step(State.STOPPED)
NEVER = None

# fmt: off
_ROWS: Mapping[State, tuple[Step | None, ...]] = {
    # in this order:    TURN_CAME GRANTED REPLAN DELIVERED CAME_WHOLE ENDED  TOO_MANY WAITED STOPPED UNFORESEEN
    State.PLANNING:    (_ASK,     NEVER,  _PLAN, NEVER,    NEVER,     NEVER, NEVER,   NEVER, _END,   _WAIT),
    State.CONNECTING:  (NEVER,    _READ,  _PLAN, NEVER,    NEVER,     _WAIT, _WAIT,   NEVER, _END,   _WAIT),
    State.UNPROVEN:    (NEVER,    NEVER,  NEVER, _PROVE,   _GO_ON,    _WAIT, _WAIT,   NEVER, _END,   _WAIT),
    State.ESTABLISHED: (NEVER,    NEVER,  NEVER, NEVER,    NEVER,     _PLAN, _WAIT,   NEVER, _END,   _WAIT),
    State.WAITING:     (NEVER,    NEVER,  NEVER, NEVER,    NEVER,     NEVER, NEVER,   _PLAN, _END,   _WAIT),
    State.STOPPED:     (NEVER,    NEVER,  NEVER, NEVER,    NEVER,     NEVER, NEVER,   NEVER, NEVER,  _END),
}
# fmt: on

TABLE: Mapping[State, Mapping[Happening, Step | None]] = {
    state: dict(zip(Happening, _ROWS[state], strict=True)) for state in State
}


def next_step(state: State, happening: Happening) -> Step:
    """Return what a happening leads to. Raises `ImpossibleError`."""
    step = TABLE[state][happening]
    if step is None:
        raise ImpossibleError(f"{happening} while {state}")
    return step
