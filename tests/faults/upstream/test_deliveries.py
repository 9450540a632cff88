"""What X may do to the events: promises `every_event_once`, `bad_input_never_stops_us`, `order_per_entity`."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from connector.simulator.faults import Broken, Duplicate, InvalidBody, Redeliver, Reorder, Straggler, Twin, UnknownType
from tests.faults.upstream.journey import US_PER_S, Expected, Journey
from tests.rig.audit import Place
from tests.rig.process import wait_until

_AWAY_S = 120.0
_LONG_AWAY_S = 50 * 60.0
_TWEETS: Place = ("tweet", 1)
_WITHIN_S = 2 * 60.0
_AFTER_S = 30 * 60.0
_MISDATED = "events: misdated"
_RESPELLED = "events: respelled or nearly the same"
_TOGETHER = "events: catch-up while X emits"


def _delete(journey: Journey, tweet_id: int, dated_s: float = 0.0, **members: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    at = datetime.fromtimestamp(journey.now_us / US_PER_S + dated_s, tz=UTC).isoformat(timespec="milliseconds")
    return {"tweet": {"id": str(tweet_id), "author_id": "12"}, "event_at": at, **members}


def _emit(journey: Journey, *bodies: dict[str, Any]) -> None:
    for body in bodies:
        journey.simulator.emit_line(*_TWEETS, json.dumps({"data": {"delete": body}}).encode(), "event")


@pytest.mark.fires("X: duplicate", "X: reorder", _MISDATED)
def test_every_event_once_whatever_is_repeated_reordered_or_misdated(embark: Callable[..., Journey]) -> None:
    """Lines again, lines in another order, dates of 90 s ago and of tomorrow, through a backfill and a catch-up."""
    journey = embark("tweet")
    with journey.running():
        journey.emit_on(journey.places)
        journey.settle()
        for away_s in (_AWAY_S, 20 * 60.0):
            for _ in range(4):
                journey.simulator.inject(Duplicate(stream="tweet", lines=7, after_lines=3))
                journey.simulator.inject(Reorder(stream="tweet", lines=6, after_lines=2))
            dates_s = (-90.0, 3.0, 6.0, 86_400.0, -86_400.0)
            _emit(journey, *(_delete(journey, 1000 + turn, dates_s[turn % 5]) for turn in range(20)))
            journey.note(_MISDATED)
            journey.emit_on(journey.places, 60)
            journey.await_sequences()
            journey.cut_off(away_s)
            journey.settle()
            _emit(journey, *(_delete(journey, 2000 + turn, dates_s[turn % 5]) for turn in range(20)))
        journey.settle()
    journey.verify(Expected(is_ordered=False))
    fired = journey.simulator.fired
    assert min(fired["duplicate"], fired["reorder"]) >= 4 * len(journey.places)


@pytest.mark.fires(_RESPELLED)
def test_every_event_once_however_it_is_spelled_and_none_merged(embark: Callable[..., Journey]) -> None:
    """Another spelling of `event_at` or of the order is the same event; a new field or another Quote Tweet is not."""
    journey = embark("tweet")
    with journey.running():
        journey.await_live()
        first = _delete(journey, 4)
        instant = first["event_at"].removesuffix("+00:00")
        same = [
            {**first, "event_at": f"{instant}Z"},
            {**first, "event_at": f"{instant}000+00:00"},
            {**first, "note": None},
            dict(reversed(first.items())),
        ]
        others = [{**first, "reason": "new"}, *({**first, "quote_tweet_id": str(number)} for number in range(50, 55))]
        _emit(journey, first, *same, *others, *others)
        journey.settle()
        journey.cut_off(_AWAY_S)
        _emit(journey, *same, *others)
        journey.settle()
    history = journey.verify()
    found = [event.fields for event in history.events[_TWEETS] if event.fields["tweet_id"] == "4"]
    assert [fields["quote_tweet_id"] for fields in found] == [None, None, "50", "51", "52", "53", "54"]
    assert [fields["unknown_fields"] for fields in found[:2]] == [None, '{"reason":"new"}']
    assert sum(entry["duplicate"] for entry in history.ledger[_TWEETS]) >= 2 * len(same) + 2 * len(others)
    journey.note(_RESPELLED)


@pytest.mark.fires("X: unknown-type", "X: invalid-body", "X: broken")
def test_bad_input_never_stops_us(embark: Callable[..., Journey]) -> None:
    """A storm of unreadable lines, live, in a backfill and in a catch-up: kept apart once, the rest flows."""
    journey = embark("user")
    with journey.running():
        journey.await_live()
        for away_s in (1.0, _AWAY_S, 20 * 60.0):
            for fault in (UnknownType, InvalidBody, Broken):
                journey.simulator.inject(fault(stream="user", times=10))
                journey.emit_on(journey.places, 5)
            journey.cut_off(away_s)
            journey.settle()
    history = journey.verify()
    reasons = {letter.headers["reason"] for letter in history.dead_letters}
    assert reasons == {"not-json", "unknown-type", "invalid-body"}


@pytest.mark.fires(_TOGETHER)
def test_order_per_entity_in_catch_up(embark: Callable[..., Journey]) -> None:
    """What was missed comes before what is live, and the events of an entity in their order, slice after slice."""
    journey = embark("user")
    with journey.running():
        journey.emit_on(journey.places)
        journey.settle()
        journey.cut()
        journey.let_x_emit(_LONG_AWAY_S, 2000)
        journey.simulator.set_rate(200)
        journey.way.come_back()
        journey.await_live()
        journey.simulator.stop_emitting()
        journey.settle()
    history = journey.verify()
    ways = [[event.fields["delivered_by"] for event in events] for events in history.events.values()]
    assert all("replay" in way and way[-1] == "stream" for way in ways)
    journey.note(_TOGETHER)


@pytest.mark.fires("X: redeliver", "X: twin")
def test_every_event_once_within_the_window_and_on_one_stream_partition(embark: Callable[..., Journey]) -> None:
    """Lines again after 2 minutes are known, after half an hour they are published again, with the same `event_id`.

    On another stream partition the same line is an event of its own; and nothing of this makes events seem late.
    """
    lines = 5
    journey = embark("user")
    with journey.running():
        journey.emit_on(journey.places, 3 * lines)
        journey.settle()
        for _ in range(round(_AFTER_S / 60)):
            journey.stride(60.0)
        journey.simulator.inject(Redeliver(stream="user", partition=1, lines=lines, older_than_s=_WITHIN_S))
        journey.simulator.inject(Redeliver(stream="user", partition=2, lines=lines, older_than_s=_AFTER_S))
        journey.simulator.inject(Twin(stream="user", partition=3, times=3))
        wait_until(lambda: journey.simulator.fired["redeliver"] == 2, "lines are delivered again")
        journey.settle()
        back_us = journey.now_us
        journey.drop_connections_only()
        wait_until(lambda: len(journey.asked_since(back_us, ("user", 1))) > 0, "the connector asks again")
        journey.settle()
    history = journey.verify(Expected(is_ordered=False, repeated={("user", 2): lines}))
    [request] = journey.asked_since(back_us, ("user", 1))
    assert request.query["backfill_minutes"] == "2"
    ids = [event.id for event in history.events["user", 2]]
    assert len(ids) - len(set(ids)) == lines


@pytest.mark.fires("X: straggler", "X: drop")
def test_events_minutes_late_survive_selection_by_date(embark: Callable[..., Journey]) -> None:
    """X selects what it brings again by `event_at`, and half of the events come 200 s after it: none is missing."""
    journey = embark("user", select_by="event-at")
    with journey.running():
        journey.await_live()
        journey.simulator.inject(Straggler(stream="user", late_s=200, times=None, every_s=20))
        journey.settle()
        journey.settle()
        for away_s in (_AWAY_S, 20 * 60.0):
            journey.drop_connections_only()
            journey.stride()
            journey.settle()
            journey.cut_off(away_s)
            journey.settle()
        journey.simulator.stop_emitting()
        journey.settle()
    journey.verify(Expected(is_ordered=False, is_deceived=True))
