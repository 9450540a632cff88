"""All that can go wrong, hundreds of times in any order: promises `every_event_once` and `no_silent_gap`."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, get_args

import pytest

from connector.simulator.faults import (
    AcceptAndClose,
    Broken,
    Burst,
    Close,
    Drop,
    Duplicate,
    EndlessLine,
    EndReplayEarly,
    Fault,
    ForeignAnswer,
    ForeignEncoding,
    HoldAnswer,
    IgnoreBackfill,
    IgnoreReplay,
    InvalidBody,
    KeepReplayOpen,
    Mode,
    OvershootReplay,
    Redeliver,
    Refuse,
    Reorder,
    SlowBackfill,
    Stall,
    Straggler,
    StreamError,
    Truncate,
    Twin,
    UnframedBody,
    UnknownType,
    WrongDate,
)
from connector.x.backoff import Backoff
from tests.faults.upstream.journey import Expected, Journey
from tests.rig.audit import Place
from tests.rig.process import wait_until

_STREAMS = ("tweet", "user")
_DELAY_S = 0.02
_AWAY_S = 120.0
_LONG_AWAY_S = 20 * 60.0
_A_FEW = 8
"""More events than X sends together with one date (6), so that some of a burst have that date."""
_OLD_S = 60.0
"""How old what comes again is at least: from before the disturbances, so that it was delivered in its order before."""
_TIMES = 3
_MOST_LINES = 15
_LEAST_FIRED = 300
_LEAST_OF_A_KIND = 3
_NEEDS_A_CLOCK = "grant-future-end"
"""Only a wall clock that is ahead at a start makes the connector ask for it."""
_KINDS = tuple(sorted({kind.__struct_config__.tag for kind in get_args(Fault)} - {_NEEDS_A_CLOCK}))
_LEAST_OFF_S = 30 * 60.0
_MOST_OFF_S = 48 * 60 * 60.0
_WITHIN_S = 60 * 60.0


def _faults_of_a_connection(random: Random, place: Place, mode: Mode) -> list[Fault]:
    """Return one of each kind that ends or disturbs a connection but does not mislead, with random fields."""
    stream, partition = place
    where: dict[str, Any] = {"stream": stream, "partition": partition, "mode": mode}
    after: dict[str, Any] = {"after_lines": random.randrange(_MOST_LINES)}
    status = random.choice((401, 404, 409, 429, 500, 503))
    return [
        Drop(reset=random.random() < 0.5, **where, **after),
        Truncate(ending=random.choice(("close", "drop", "reset")), **where, **after),
        StreamError(
            wrapped=random.random() < 0.5,
            terminator=random.choice(("\r\n", "\n")),
            ending=random.choice(("open", "close", "drop", "reset")),
            **where,
            **after,
        ),
        Stall(seconds=random.uniform(0.05, 0.2), **where, **after),
        Duplicate(lines=random.randrange(1, _MOST_LINES), **where, **after),
        Refuse(status=status, too_many_connections=status == 429, **where),
        AcceptAndClose(ending=random.choice(("drop", "reset")), **where),
        HoldAnswer(seconds=random.uniform(0.01, 0.1), **where),
        EndlessLine(seconds=random.uniform(0.05, 0.1), **where, **after),
        ForeignAnswer(status=random.choice((200, 400, 403, 503)), **where),
        ForeignEncoding(encoding=random.choice(("br", "zstd")), **where),
        ForeignEncoding(encoding="x-gzip", member_per_write=random.random() < 0.5, **where),
        UnframedBody(**where),
        WrongDate(offset_s=random.choice((-1, 1)) * random.uniform(_LEAST_OFF_S, _MOST_OFF_S), **where),
    ]


def _faults_of_a_live_connection(random: Random, place: Place) -> list[Fault]:
    """Return one of each kind that only a live connection can suffer without being deceived."""
    stream, partition = place
    where: dict[str, Any] = {"stream": stream, "partition": partition}
    return [
        *_faults_of_a_connection(random, place, "live"),
        Close(mode="live", after_lines=random.randrange(_MOST_LINES), **where),
        AcceptAndClose(mode="live", ending="close", **where),
        Redeliver(mode="live", lines=random.randrange(1, 5), older_than_s=_OLD_S, **where),
        Reorder(mode="live", lines=random.randrange(2, _MOST_LINES), **where),
        SlowBackfill(lines_per_second=500, **where),
    ]


def _arm(journey: Journey, faults: Sequence[Fault]) -> None:
    for fault in journey.random.sample(faults, len(faults)):
        journey.simulator.inject(fault)


def _await_fired(journey: Journey) -> None:
    """Let X emit a little, now and then, until all that is armed has fired."""

    def have_fired() -> bool:
        journey.emit_on(journey.places, 2)
        return not journey.simulator.faults.armed

    wait_until(have_fired, lambda: f"all faults fire; armed are {dict(journey.simulator.faults.armed)}", 60)


def _suffer_live(journey: Journey) -> None:
    for place in journey.places:
        _arm(journey, [each for _ in range(_TIMES) for each in _faults_of_a_live_connection(journey.random, place)])
    for stream in _STREAMS:
        for kind in (UnknownType, InvalidBody, Broken, Twin):
            journey.simulator.inject(kind(stream=stream))
        journey.simulator.inject(Burst(stream=stream, events=30))
        journey.simulator.inject(Straggler(stream=stream, events=2, late_s=journey.random.uniform(60, 86_400)))
    _await_fired(journey)


def _suffer_in_a_catch_up(journey: Journey) -> None:
    journey.cut()
    journey.let_x_emit(_LONG_AWAY_S, 800)
    for place in journey.places:
        _arm(journey, _faults_of_a_connection(journey.random, place, "replay"))
    journey.way.come_back()


def _be_deceived(journey: Journey) -> None:
    """X says that it brought what it did not; around that all is calm, and so much happens that it shows.

    Only what overlaps with time that is covered can show it (`docs/guarantees.md`, "Not promised"). So each stream
    partition has events of its own before the backfill that is not given, and in each minute of the replay that ends
    early: by chance alone, one partition in 200 had none, and nothing could tell that X had left anything out.
    """
    journey.emit_on(journey.places)
    journey.await_sequences()
    for stream in _STREAMS:
        journey.simulator.inject(IgnoreBackfill(stream=stream))
    journey.cut_off(_AWAY_S)
    journey.settle()
    for kind in (EndReplayEarly, IgnoreReplay, KeepReplayOpen, OvershootReplay):
        journey.cut()
        journey.let_x_emit_everywhere(_LONG_AWAY_S, _A_FEW)
        for stream in _STREAMS:
            journey.simulator.inject(kind(stream=stream))
        journey.way.come_back()
        journey.return_to_live(_WITHIN_S)
        journey.settle()


@pytest.mark.fires(*(f"X: {kind}" for kind in _KINDS))
def test_chaos_of_every_kind_loses_and_repeats_nothing(
    embark: Callable[..., Journey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of faults, every kind of them several times; delays are cut short, and all else is as it is."""
    monkeypatch.setattr(Backoff, "failed", lambda *_, **__: _DELAY_S)
    journey = embark(",".join(_STREAMS), keep_alive_s=1.0)
    with journey.running():
        journey.emit_on(journey.places)
        journey.settle()
        _suffer_live(journey)
        journey.settle()
        _suffer_in_a_catch_up(journey)
        journey.settle()
        assert not journey.simulator.faults.armed
    journey.verify(Expected(is_ordered=False))
    with journey.running():
        journey.await_live()
        _be_deceived(journey)
    journey.verify(Expected(is_ordered=False, is_deceived=True))
    fired = journey.simulator.fired
    print(f"fired {fired.total()} faults: {dict(sorted(fired.items()))}")  # noqa: T201 - shown by pytest
    assert fired.total() >= _LEAST_FIRED
    assert [kind for kind in _KINDS if fired[kind] < _LEAST_OF_A_KIND] == []
