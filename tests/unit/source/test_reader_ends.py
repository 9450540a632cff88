"""What ends a connection while the reader reads it."""

from connector.coverage.gap import Suspicion
from connector.coverage.messages import Ended, EndReason, KeepAlive, Verdict
from connector.coverage.plan import Live, Replay
from connector.coverage.recovery import MINUTE_US, Recovery, Refetch
from connector.events.times import US_PER_S
from tests.fakes.x import NOW_US
from tests.unit.source.world import AT_US, HOUR_S, NETWORK_S, OPERATIONAL, TOO_MANY, Piece, World, event, old_event


def test_system_message_hangs_up_with_its_words() -> None:
    """X does not always close; what it said is quoted, and after an event the next attempt comes at once."""
    world = World()
    world.run([event(), OPERATIONAL, event(2)])
    assert world.observed.of("system_message") == [("OperationalDisconnect", "d")]
    assert world.observed.of("disconnected") == [(EndReason.SYSTEM_MESSAGE, 0)]
    assert world.put(Ended) == [Ended(EndReason.SYSTEM_MESSAGE, is_proper=False, at_us=AT_US)]
    assert world.delays_s == [0.0]
    assert len(world.lines) == 2, "nothing is read after the hang-up"


def test_system_message_in_the_same_read_as_events_does_not_hide_them() -> None:
    """The connection has delivered, so X is asked again at once."""
    world = World()
    world.run([event() + OPERATIONAL])
    assert world.delays_s == [0.0]


def test_system_message_that_is_all_that_comes_backs_off() -> None:
    """An X that answers every connect with a farewell is not to be hammered."""
    world = World()
    world.run(*[[OPERATIONAL]] * 3)
    assert world.delays_s == [0.25, 0.5, 0.75]


def test_system_message_in_a_slice_makes_it_interrupted() -> None:
    """X ended the body properly, but said that it was not all."""
    world = World(away_s=HOUR_S)
    world.run([old_event() + OPERATIONAL])
    assert world.observed.of("slice_ended") == [(Verdict.INTERRUPTED,)]
    assert world.delays_s == [NETWORK_S]


def test_too_many_connections_in_the_stream_backs_off_further_each_time() -> None:
    """From a few seconds up, whatever came before it."""
    world = World()
    world.run(*[[event(), TOO_MANY]] * 3)
    assert world.delays_s == [4.0, 8.0, 16.0]


def test_replay_that_x_keeps_open_is_hung_up_by_the_committer() -> None:
    """Two minutes of keep-alives and nothing else: the slice is in doubt, and asked for once more."""
    world = World(away_s=HOUR_S)
    keep_alives: list[Piece] = [world.wait(25), b"\r\n"]
    world.run([old_event(), *keep_alives * 10], [old_event()])
    assert world.observed.of("disconnected") == [(EndReason.REPLAY_IDLE, 0), (EndReason.CLOSED, 0)]
    assert world.observed.of("slice_ended") == [(Verdict.SUSPECTED,), (Verdict.WHOLE,)]
    first, second, *_ = world.plans
    assert isinstance(first, Replay)
    assert second == Replay(first.start_us, first.end_us, is_refetch=True)
    assert len(world.put(KeepAlive)) == 5, "nothing is read after the hang-up"


def test_event_that_an_earlier_slice_left_out_hangs_up_before_it_is_published() -> None:
    """The slice comes first again, so that what else it left out keeps its place in the order."""
    world = World(away_s=HOUR_S)
    left_out = event(2, NOW_US - 45 * MINUTE_US - 30 * US_PER_S)
    world.run([old_event(1)], [left_out, event(3)], [old_event(1) + left_out], [])
    first, _, third, *_ = world.plans
    assert isinstance(first, Replay)
    assert third == Replay(first.start_us, first.end_us, is_refetch=True)
    assert [reason for reason, _ in world.observed.of("disconnected")][:2] == [EndReason.CLOSED, EndReason.SUSPICION]
    assert world.delays_s[:2] == [0.0, NETWORK_S]


def test_range_in_doubt_is_asked_for_before_anything_else() -> None:
    """Also by the next process, as the ledger has it."""
    refetch = Refetch(NOW_US - 20 * MINUTE_US, NOW_US - 5 * MINUTE_US, Suspicion.REPLAY_INCOMPLETE)
    world = World(recovery=Recovery(refetch=refetch))
    world.run([event(1, NOW_US - 10 * MINUTE_US)], [])
    assert world.plans[:2] == [Replay(refetch.start_us, refetch.end_us, is_refetch=True), Live(2)]
