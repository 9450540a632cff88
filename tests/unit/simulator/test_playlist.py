"""Which lines a connection gets: a choice of the past by either time, then what is emitted from now on."""

from hypothesis import given
from hypothesis import strategies as st

from connector.events.catalog import StreamPartition
from connector.simulator.playlist import Playlist
from connector.simulator.record import PartitionLog

_LIKE = StreamPartition("like", 1)
_TIMES = st.integers(0, 30)
_LINES = st.lists(st.tuples(_TIMES, _TIMES), max_size=40)


def _log(lines: list[tuple[int, int]], limit: int | None = None, *, by_event_at: bool) -> PartitionLog:
    """Emit a line for each pair of a time and how much earlier it is dated."""
    log = PartitionLog(_LIKE, limit, by_event_at=by_event_at)
    for number, (time_ns, late_ns) in enumerate(sorted(lines)):
        log.append(b"%d" % number, time_ns, "event", time_ns - late_ns)
    return log


def _numbers(playlist: Playlist, count: int) -> list[int]:
    return [int(emitted.line) for emitted in playlist.peek(count)]


@given(_LINES, _TIMES, st.one_of(st.none(), _TIMES), st.integers(0, 40), st.one_of(st.none(), st.integers(1, 40)))
def test_select_by_event_at_is_what_a_look_at_every_line_finds(
    lines: list[tuple[int, int]], start: int, end: int | None, before: int, limit: int | None
) -> None:
    """In the order of emission, of the lines that are kept, up to a position."""
    log = _log(lines, limit, by_event_at=True)
    dates = [time_ns - late_ns for time_ns, late_ns in sorted(lines)]
    assert list(log.select(start, end, before)) == [
        position
        for position, date in enumerate(dates)
        if log.first <= position < before and start <= date and (end is None or date < end)
    ]


@given(_LINES, _TIMES, st.one_of(st.none(), _TIMES), st.integers(0, 40))
def test_select_by_emission_is_what_a_look_at_every_line_finds(
    lines: list[tuple[int, int]], start: int, end: int | None, before: int
) -> None:
    """The date of the event does not matter."""
    log = _log(lines, by_event_at=False)
    before = min(before, log.end)
    assert list(log.select(start, end, before)) == [
        position
        for position, (time_ns, _) in enumerate(sorted(lines))
        if position < before and start <= time_ns and (end is None or time_ns < end)
    ]


def test_playlist_goes_from_the_past_to_what_is_live() -> None:
    """Lines may be looked at, and looked back at, across the border."""
    log = _log([(number, 0) for number in range(10)], by_event_at=False)
    playlist = Playlist(log, [1, 4, 6], 8)
    assert _numbers(playlist, 2) == [1, 4]
    assert _numbers(playlist, 9) == [1, 4, 6, 8, 9]
    playlist.advance(2)
    assert playlist.is_in_past
    playlist.advance(2)
    assert (playlist.is_in_past, playlist.is_over) == (False, False)
    assert [int(emitted.line) for emitted in playlist.last(3)] == [4, 6, 8]
    assert [int(emitted.line) for emitted in playlist.last(9)] == [1, 4, 6, 8]
    log.append(b"10", 10, "event")
    assert _numbers(playlist, 9) == [9, 10]


def test_playlist_of_a_replay_is_over_after_its_lines() -> None:
    """Nothing live follows, and nothing counts as backlog."""
    log = _log([(number, 0) for number in range(10)], by_event_at=False)
    playlist = Playlist(log, range(2, 5), None)
    assert _numbers(playlist, 9) == [2, 3, 4]
    assert playlist.backlog_bytes() == 0
    playlist.advance(3)
    assert playlist.is_over
    assert _numbers(playlist, 9) == []


def test_playlist_skips_lines_that_the_log_has_forgotten() -> None:
    """Of the past and of what was live; what is left comes once and in order."""
    log = _log([(number, 0) for number in range(10)], limit=8, by_event_at=False)
    past, live = Playlist(log, range(10), None), Playlist(log, range(0), 3)
    for number in range(10, 30):
        log.append(b"%d" % number, number, "event")
    for playlist in (past, live):
        playlist.skip_forgotten()
    assert past.is_over
    assert _numbers(live, 99) == list(range(log.first, 30))


def test_playlist_backlog_is_what_was_emitted_since_and_not_forgiven() -> None:
    """The past does not count, nor what waits because of a fault."""
    log = _log([(number, 0) for number in range(10)], by_event_at=False)
    playlist = Playlist(log, range(10), 10)
    assert playlist.backlog_bytes() == 0
    log.append(b"123", 11, "event")
    assert playlist.backlog_bytes() == 3
    playlist.forgive_backlog()
    log.append(b"1", 12, "event")
    assert playlist.backlog_bytes() == 1
