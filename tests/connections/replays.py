"""Rows: replays that are not what they seem."""

from tests.connections.row import MINUTE_S, NETWORK_S, WHOLE_SLICE, Row, ended, gap, refused_twice
from tests.connections.timed import Timed
from tests.connections.x import X


def _verdict(name: str) -> str:
    return f'replay_slices_total{{verdict="{name}"}}'


def _refetched(suspicion: str) -> str:
    return f'refetches_total{{suspicion="{suspicion}"}}'


def _kept_open() -> X:
    replays = Timed()
    first = replays.at(1, ago_s=15 * MINUTE_S)
    scripts = [replays.kept_open(first, lines=1), replays.whole(first), replays.whole(), replays.live(2)]
    return replays.x(*scripts, events=2)


def _kept_open_twice() -> X:
    replays = Timed()
    first, second = (replays.at(number, ago_s=ago_s) for number, ago_s in ((1, 15 * MINUTE_S), (2, 3 * MINUTE_S)))
    kept_open = [replays.kept_open(first, lines=lines) for lines in (1, 2)]
    return replays.x(*kept_open, replays.whole(second), replays.live(3), events=3)


def _cut_again_and_again() -> X:
    replays = Timed()
    cut = [replays.cut(replays.at(1, ago_s=360), after_s=60)] * 7
    return replays.x(*cut, *[replays.whole()] * 3, replays.live(2), events=2)


def _empty_where_known_events_must_come() -> X:
    """Return an X that delivers an event, is away for 20 minutes, and then leaves the event out twice."""
    replays = Timed()
    known, later = replays.at(1, ago_s=MINUTE_S), replays.at(2, ago_s=-17 * MINUTE_S)
    first = replays.lasting(known, minutes=20)
    return replays.x(first, replays.whole(), replays.whole(), replays.whole(later), replays.live(3), events=3)


def _ignoring_its_parameters() -> X:
    replays = Timed()
    return replays.x(*[replays.whole(replays.at(1, ago_s=0))] * 2, replays.live(2), events=1)


def _ending_in_the_future() -> X:
    replays = Timed(wall_ahead_s=20 * MINUTE_S)
    in_time = replays.at(1, ago_s=3 * MINUTE_S)
    return replays.x(replays.whole(in_time), replays.whole(in_time), replays.live(2), events=2)


REPLAYS = (
    Row(
        "replay-kept-open",
        "a replay that brings keep-alives instead of its end",
        "close it after two minutes of nothing else, and request its range again",
        _kept_open,
        (NETWORK_S, 0.0, 0.0),
        (
            ended("replay-idle"),
            _verdict("suspected"),
            _refetched("replay-not-closed"),
            *[ended("closed"), WHOLE_SLICE] * 2,
        ),
        away_s=20 * MINUTE_S,
    ),
    Row(
        "replay-kept-open-again",
        "the same on the second request",
        "record its range as a suspected gap, and go on",
        _kept_open_twice,
        (NETWORK_S, 2 * NETWORK_S, 0.0),
        (
            *[ended("replay-idle"), _verdict("suspected")] * 2,
            _refetched("replay-not-closed"),
            gap("replay-not-closed", "suspected"),
            *[ended("closed"), WHOLE_SLICE],
        ),
        away_s=20 * MINUTE_S,
    ),
    Row(
        "replay-cut-again",
        "a replay that keeps breaking off, for minutes",
        "ask for half each time, down to a minute; then that minute is a gap, and the rest goes on",
        _cut_again_and_again,
        tuple(NETWORK_S * number for number in range(1, 8)),
        (
            *[ended("network"), _verdict("interrupted")] * 7,
            gap("replay-interrupted"),
            *[ended("closed"), WHOLE_SLICE] * 3,
        ),
        away_s=6 * MINUTE_S,
    ),
    Row(
        "replay-empty",
        "a replay that ends properly without known events of its range, and again on the second request",
        "record the range as a suspected gap, and go on",
        _empty_where_known_events_must_come,
        (0.0, NETWORK_S, 2 * NETWORK_S, 0.0),
        (
            ended("closed"),
            *[ended("closed"), _verdict("suspected")] * 2,
            _refetched("replay-unconfirmed"),
            gap("replay-unconfirmed", "suspected"),
            *[ended("closed"), WHOLE_SLICE],
        ),
    ),
    Row(
        "replay-ignoring-parameters",
        "a replay that brings what happens now, and does so again",
        "publish nothing of it; repeat the request, then ask for the longest backfill: the rest is a gap",
        _ignoring_its_parameters,
        (NETWORK_S, 2 * NETWORK_S),
        (
            *[ended("parameters-ignored"), _verdict("parameters-ignored")] * 2,
            *refused_twice("replay"),
            gap("replay-refused"),
        ),
        away_s=20 * MINUTE_S,
    ),
    Row(
        "replay-ending-in-the-future",
        "a replay that is granted though it ends in X's future, as our clock was fast",
        "read nothing of it; plan again by the time of the answer",
        _ending_in_the_future,
        (NETWORK_S, 0.0),
        (ended("out-of-reach"), *[ended("closed"), WHOLE_SLICE]),
        away_s=25 * MINUTE_S,
    ),
)
