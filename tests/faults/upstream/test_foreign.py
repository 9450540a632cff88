"""Answers that do not come from X, or not in a form that was asked for: they are never read as a stream."""

from collections.abc import Callable

import pytest

from connector.simulator.faults import ForeignAnswer, ForeignEncoding, Refuse
from tests.faults.upstream.journey import US_PER_S, Journey
from tests.rig.process import wait_until

_MINUTE_S = 60.0
_AWAY_S = 150.0
_LONG_AWAY_S = 20 * _MINUTE_S
_RETRY_AFTER_S = 8
"""More than the 5 s of the first failure."""


@pytest.mark.usefixtures("delays_cut_short")
@pytest.mark.fires("X: foreign-answer", "X: foreign-encoding")
def test_no_silent_gap_when_something_on_the_way_answers_in_x_s_place(embark: Callable[..., Journey]) -> None:
    """Pages of a proxy and encodings that were not requested, to backfills and replays: asked again, none given up.

    gzip under its older name and of many members is read.
    """
    journey = embark("user")
    inject = journey.simulator.inject
    with journey.running():
        journey.emit_on(journey.places)
        journey.settle()
        inject(ForeignAnswer(stream="user", partition=1, status=403, headers={"server": "cloudflare"}, mode="live"))
        inject(ForeignEncoding(stream="user", partition=2, encoding="gzip", member_per_write=True, mode="live"))
        inject(ForeignEncoding(stream="user", partition=3, encoding="br", mode="live"))
        inject(ForeignEncoding(stream="user", partition=4, encoding="x-gzip", mode="live"))
        journey.cut_off(_AWAY_S)
        journey.settle()
        inject(ForeignAnswer(stream="user", partition=1, mode="replay", times=5))
        inject(ForeignAnswer(stream="user", partition=2, status=400, mode="replay", times=3))
        inject(ForeignEncoding(stream="user", partition=3, encoding="zstd", mode="replay", times=2))
        inject(ForeignEncoding(stream="user", partition=4, encoding="x-gzip", member_per_write=True, mode="replay"))
        journey.cut_off(_LONG_AWAY_S)
        journey.settle()
        assert not journey.simulator.faults.armed
    journey.verify()


@pytest.mark.long
@pytest.mark.fires("X: refuse")
def test_good_citizen_waits_as_long_as_x_asks_for(embark: Callable[..., Journey]) -> None:
    """A `Retry-After` longer than our own delay counts."""
    journey = embark("like")
    with journey.running():
        journey.emit_on(journey.places)
        journey.settle()
        journey.simulator.inject(Refuse(stream="like", status=503, retry_after_s=_RETRY_AFTER_S))
        back_us = journey.now_us
        journey.drop_connections_only()
        wait_until(lambda: len(journey.asked_since(back_us, ("like", 1))) > 1, "the connector asks again")
        journey.settle()
    first, second = journey.asked_since(back_us, ("like", 1))[:2]
    assert (first.status, second.status) == (503, 200)
    assert (second.at - first.at) / 1000 >= _RETRY_AFTER_S * US_PER_S
    journey.verify()
