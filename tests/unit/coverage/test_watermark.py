"""The watermark: each rule, and that it never runs back nor ahead of what is known."""

from connector.coverage.watermark import BACKFILL_QUIET_US, FUTURE_TOLERANCE_US, Watermark
from hypothesis import given
from hypothesis import strategies as st

from connector.events.times import US_PER_S

_T0 = 1_000_000 * US_PER_S


def _live(*, has_backfill: bool = False) -> Watermark:
    watermark = Watermark(_T0)
    watermark.connected(_T0 + 60 * US_PER_S, has_backfill=has_backfill)
    return watermark


def test_events_move_it_to_their_latest_date() -> None:
    """What X dated later may still be on its way."""
    watermark = _live()
    watermark.events(_T0 + 100, _T0 + 10, _T0 + 50)
    assert watermark.position_us == _T0 + 50


def test_events_dated_after_their_receipt_move_it_to_the_receipt() -> None:
    """A date a little ahead of us is no knowledge of the future."""
    watermark = _live()
    watermark.events(_T0 + 100, _T0 + 10, _T0 + 100 + FUTURE_TOLERANCE_US)
    assert watermark.position_us == _T0 + 100


def test_events_without_a_sensible_date_leave_it() -> None:
    """A date far ahead says nothing about time."""
    watermark = _live()
    watermark.events(_T0 + 100, _T0 + 10**12, None)
    assert watermark.position_us == _T0


def test_old_events_leave_it() -> None:
    """What was known stays known."""
    watermark = _live()
    watermark.events(_T0 + 100, 0, _T0 - 1)
    assert watermark.position_us == _T0


def test_keep_alive_moves_it_to_the_begin_of_the_wait() -> None:
    """Not to the keep-alive itself: X may have queued something meanwhile."""
    watermark = _live()
    watermark.keep_alive(_T0 + 20 * US_PER_S, _T0 + 7 * US_PER_S)
    assert watermark.position_us == _T0 + 7 * US_PER_S


def test_backfill_holds_it_until_a_minute_without_old_events() -> None:
    """Neither new events nor keep-alives end a backfill before."""
    watermark = _live(has_backfill=True)
    connected_us = _T0 + 60 * US_PER_S
    old_us = connected_us + 30 * US_PER_S
    watermark.events(old_us, connected_us - 1, connected_us - 1)
    last_us = old_us + BACKFILL_QUIET_US - 1
    watermark.events(last_us, connected_us, last_us)
    watermark.keep_alive(last_us, last_us)
    assert watermark.position_us == _T0
    watermark.keep_alive(last_us + 1, connected_us)
    assert watermark.position_us == connected_us


def test_backfill_among_whose_events_are_new_ones_goes_on() -> None:
    """One old event among new ones is enough."""
    watermark = _live(has_backfill=True)
    at_us = _T0 + 60 * US_PER_S + BACKFILL_QUIET_US
    watermark.events(at_us, _T0, at_us)
    assert watermark.position_us == _T0


def test_backfill_that_is_over_stays_over_on_that_connection() -> None:
    """A straggler later on does not hold it again."""
    watermark = _live(has_backfill=True)
    at_us = _T0 + 60 * US_PER_S + BACKFILL_QUIET_US
    watermark.keep_alive(at_us, at_us)
    watermark.events(at_us + 1, _T0, at_us + 1)
    assert watermark.position_us == at_us + 1


def test_next_connection_holds_it_anew() -> None:
    """Each backfill must end by itself."""
    watermark = _live(has_backfill=True)
    at_us = _T0 + 600 * US_PER_S
    watermark.connected(at_us, has_backfill=True)
    watermark.events(at_us + 1, at_us + 1, at_us + 1)
    assert watermark.position_us == _T0


def test_advance_moves_it_even_during_a_backfill() -> None:
    """A recorded gap is known at once."""
    watermark = _live(has_backfill=True)
    watermark.advance(_T0 + 1)
    assert watermark.position_us == _T0 + 1


def test_backfill_that_is_not_credible_holds_it_until_it_is() -> None:
    """Events and keep-alives alike; the question is put only when the backfill has gone quiet."""
    asked: list[bool] = []
    answers = [False, False, True]

    def is_credible() -> bool:
        asked.append(answers[len(asked)])
        return asked[-1]

    watermark = Watermark(_T0, is_credible)
    watermark.connected(_T0, has_backfill=True)
    quiet_us = _T0 + BACKFILL_QUIET_US
    watermark.keep_alive(quiet_us - 1, quiet_us - 1)
    assert asked == []
    watermark.keep_alive(quiet_us, quiet_us)
    watermark.events(quiet_us, quiet_us, quiet_us)
    assert watermark.position_us == _T0
    watermark.events(quiet_us + 1, quiet_us + 1, quiet_us + 1)
    assert watermark.position_us == quiet_us + 1
    watermark.events(quiet_us + 2, quiet_us + 2, quiet_us + 2)
    assert asked == answers
    assert watermark.position_us == quiet_us + 2


def test_credit_of_a_backfill_is_not_asked_for_where_there_is_none() -> None:
    """Nor does it hold back what is known by other means."""
    watermark = Watermark(_T0, lambda: False)
    watermark.connected(_T0, has_backfill=False)
    watermark.keep_alive(_T0 + 5, _T0 + 1)
    assert watermark.position_us == _T0 + 1
    watermark.connected(_T0, has_backfill=True)
    watermark.advance(_T0 + 9)
    assert watermark.position_us == _T0 + 9


_INSTANTS = st.integers(0, 400 * US_PER_S)
_CALLS = st.one_of(
    st.tuples(st.just("connected"), _INSTANTS, st.booleans()),
    st.tuples(st.just("events"), _INSTANTS, _INSTANTS, st.none() | _INSTANTS),
    st.tuples(st.just("keep_alive"), _INSTANTS, _INSTANTS),
    st.tuples(st.just("advance"), _INSTANTS),
)


@given(calls=st.lists(_CALLS, max_size=30))
def test_it_never_moves_back_nor_beyond_what_it_was_told(calls: list[tuple[object, ...]]) -> None:
    """In any order of telemetry, events move it to their receipt at most."""
    watermark, position_us = Watermark(0), 0
    for call in calls:
        match call:
            case ("connected", int(at_us), bool(has_backfill)):
                watermark.connected(at_us, has_backfill=has_backfill)
                bound_us = position_us
            case ("events", int(at_us), int(earliest_us), latest_us):
                assert latest_us is None or isinstance(latest_us, int)
                watermark.events(at_us, earliest_us, latest_us)
                bound_us = at_us
            case ("keep_alive", int(at_us), int(since_us)):
                watermark.keep_alive(at_us, since_us)
                bound_us = since_us
            case (_, int(to_us)):
                watermark.advance(to_us)
                bound_us = to_us
        assert position_us <= watermark.position_us <= max(position_us, bound_us)
        position_us = watermark.position_us


def test_set_back_never_moves_forward() -> None:
    """X's first answer may show that a watermark began ahead of it, not that more is covered."""
    watermark = Watermark(100)
    watermark.set_back(200)
    assert watermark.position_us == 100
    watermark.set_back(50)
    assert watermark.position_us == 50
