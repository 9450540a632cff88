"""The life of a reader, as `docs/x-connection.md` draws it: every move is made by a script."""

from collections.abc import Callable, Sequence

import pytest

from tests.unit.source.lifecycle import MEANINGS, MOVES, Move, Step
from tests.unit.source.world import CUT, DOWN, HOUR_S, REFUSED, TOO_MANY, Answer, World, boom, event, old_event

Script = Callable[[World], Sequence[Answer]]


def _busy(world: World) -> Sequence[Answer]:
    world.limiter.busy = 1
    return [DOWN]


def _failing_once(world: World) -> Sequence[Answer]:
    acts = [boom]
    world.on_acquire = lambda: acts.pop()() if acts else None
    return [DOWN]


def _stopped_at(name: str) -> Script:
    def prepare(world: World) -> Sequence[Answer]:
        setattr(world, name, world.reader.stop)
        return [DOWN]

    return prepare


_SCRIPTS: dict[tuple[Step, Step], Script] = {
    (Step.WAITING, Step.WAITING): _busy,
    (Step.WAITING, Step.CONNECTING): lambda _: [DOWN],
    (Step.WAITING, Step.BACKING_OFF): _failing_once,
    (Step.WAITING, Step.STOPPED): _stopped_at("on_acquire"),
    (Step.CONNECTING, Step.CONNECTED): lambda _: [[]],
    (Step.CONNECTING, Step.WAITING): lambda _: [REFUSED, REFUSED],
    (Step.CONNECTING, Step.BACKING_OFF): lambda _: [DOWN],
    (Step.CONNECTING, Step.STOPPED): _stopped_at("on_open"),
    (Step.CONNECTED, Step.STREAMING): lambda _: [[event()]],
    (Step.CONNECTED, Step.REPLAYING): lambda _: [[old_event()]],
    (Step.CONNECTED, Step.WAITING): lambda _: [[]],
    (Step.CONNECTED, Step.BACKING_OFF): lambda _: [[CUT]],
    (Step.CONNECTED, Step.STOPPED): lambda world: [[world.reader.stop]],
    (Step.STREAMING, Step.WAITING): lambda _: [[b"\r\n"]],
    (Step.STREAMING, Step.BACKING_OFF): lambda _: [[event(), TOO_MANY]],
    (Step.STREAMING, Step.STOPPED): lambda world: [[event(), world.reader.stop]],
    (Step.REPLAYING, Step.WAITING): lambda _: [[old_event()]],
    (Step.REPLAYING, Step.BACKING_OFF): lambda _: [[old_event(), CUT]],
    (Step.REPLAYING, Step.STOPPED): lambda world: [[old_event(), world.reader.stop]],
    (Step.BACKING_OFF, Step.WAITING): lambda _: [DOWN],
    (Step.BACKING_OFF, Step.STOPPED): _stopped_at("on_wait"),
}


@pytest.mark.parametrize("move", MOVES, ids=lambda move: f"{move.at}-{move.to}")
def test_move_is_made(move: Move) -> None:
    """A script for each; where it is said to reset the delays, the next failure waits as the first one did."""
    is_replay = Step.REPLAYING in {move.at, move.to} or (move.at, move.to) == (Step.CONNECTED, Step.WAITING)
    world = World(away_s=HOUR_S if is_replay else 0.0)
    answers = _SCRIPTS[move.at, move.to](world)
    world.run(*([DOWN, DOWN, *answers, DOWN] if move.resets_delays else answers))
    assert (move.at, move.to) in world.moves
    if move.resets_delays:
        assert world.delays_s == [0.25, 0.5, 0.0, 0.25]


def test_moves_are_few_and_complete() -> None:
    """Each has its script, each step its meaning, and each is reached from the first and left but for the last."""
    moves = [(move.at, move.to) for move in MOVES]
    assert len(set(moves)) == len(moves)
    assert set(moves) == set(_SCRIPTS)
    assert {to for _, to in moves} == set(Step) == set(MEANINGS)
    assert {at for at, _ in moves} == set(Step) - {Step.STOPPED}
