"""The state of one stream partition: messages in, transactions out, every line accounted for."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.coverage.gap import Gap, GapCause, Suspicion
from connector.coverage.live_session import BACKFILL_QUIET_US
from connector.coverage.messages import Ended, EndReason, LastConnection, LinesRead, Message, Opened, Verdict
from connector.coverage.plan import Live, Plan, Replay
from connector.coverage.recovery import MINUTE_US, NOTHING_LEARNED, Refetch
from connector.events.decode import LongLine, SystemMessage
from connector.events.times import US_PER_S
from connector.kafka.ledger import Mode
from connector.partition.state import COVERAGE_INTERVAL_US, PartitionState
from connector.telemetry.delays import Arrival
from tests.unit.partition.fakes import (
    NAMES,
    PARTITION,
    Ledger,
    builder,
    header_of,
    keep_alive,
    line,
    lines_read,
    opened,
    reading,
    state_of,
    value_of,
)
from tests.unit.x.fakes import NOW_US

_SYSTEM = b'{"errors":[{"title":"t","disconnect_type":"SlowReader","detail":"too slow"}]}'
_CLOSED = Ended(EndReason.CLOSED, is_proper=True, at_us=NOW_US)
_CUT = Ended(EndReason.NETWORK, is_proper=False, at_us=NOW_US)
_WINDOW_US = 15 * MINUTE_US
_SLICE = Replay(NOW_US - 60 * MINUTE_US, NOW_US - 45 * MINUTE_US)
_AFTER = Replay(_SLICE.end_us - MINUTE_US, _SLICE.end_us + 15 * MINUTE_US)
_IN_SLICE_US = _SLICE.start_us + 6 * MINUTE_US
_IN_OVERLAP_US = _AFTER.start_us + MINUTE_US // 2


def _committed(*messages: Message, state: PartitionState | None = None) -> Ledger:
    """Return the ledger of one transaction with `messages`."""
    ledger = Ledger(state or state_of())
    for message in messages:
        ledger.state.apply(message)
    ledger.commit()
    return ledger


def _restored(ledger: Ledger) -> Ledger:
    """Return the ledger as the next process reads it and goes on with it."""
    return Ledger(state_of(restored=ledger.restored()), ledger.entries)


def test_events_are_numbered_without_gaps_across_transactions() -> None:
    """In the order of delivery, duplicates and dead letters left out."""
    ledger = _committed(opened(), lines_read(line(1), b"junk", line(2), line(1)))
    ledger.state.apply(lines_read(line(3)))
    ledger.commit()
    numbered = [(value_of(each)["sequence"], each.key) for each in ledger.records("p.")]
    assert numbered == [(1, b"1"), (2, b"2"), (3, b"3")]
    assert [transaction.entry.sequence for transaction in ledger.transactions] == [2, 3]


def test_every_line_is_accounted_for() -> None:
    """Received is published and duplicate and dead-lettered and control, as metrics and ledger see it."""
    lines: list[bytes | LongLine] = [
        line(1),
        line(1),
        b"junk",
        b"junk",
        _SYSTEM,
        _SYSTEM,
        LongLine(b"h", b"l" * 16, 99),
        line(2),
    ]
    [transaction] = _committed(opened(), lines_read(*lines)).transactions
    counts = transaction.entry.counts
    assert (counts.received, counts.published, counts.duplicate) == (8, 2, 2)
    assert (counts.dead_lettered, counts.control) == (2, 2)
    assert transaction.published == {"tweet.delete": 2}
    assert transaction.dead_lettered == {"not-json": 1, "too-long": 1}
    assert transaction.entry.id_count == 4


def test_line_known_from_an_earlier_transaction_is_a_duplicate() -> None:
    """Events and dead letters alike, on another connection."""
    ledger = _committed(opened(), lines_read(line(1), b"junk"), _CUT)
    ledger.state.apply(opened(Live(1)))
    ledger.state.apply(lines_read(line(1), b"junk"))
    assert ledger.commit().entry.counts.duplicate == 2
    assert len(ledger.records("p.")) == len(ledger.records(NAMES.dead_letter)) == 1


@pytest.mark.parametrize(("plan", "is_live"), [(Live(5), True), (_SLICE, False)])
def test_new_events_arrive_with_receipt_and_date(plan: Plan, *, is_live: bool) -> None:
    """Each once: no duplicate, dead letter or system message has a delay; nor has a later transaction the same."""
    second_us = NOW_US + US_PER_S
    ledger = _committed(
        opened(plan),
        lines_read(line(1, _IN_SLICE_US), line(2, _IN_SLICE_US - 7), line(1, _IN_SLICE_US), b"junk"),
        lines_read(line(2, _IN_SLICE_US - 7), line(3, _IN_SLICE_US), _SYSTEM, at_us=second_us),
    )
    ledger.commit()
    assert [list(transaction.arrivals) for transaction in ledger.transactions] == [
        [
            Arrival(NOW_US, NOW_US, [_IN_SLICE_US, _IN_SLICE_US - 7], is_live=is_live),
            Arrival(second_us, second_us, [_IN_SLICE_US], is_live=is_live),
        ],
        [],
    ]


@pytest.mark.parametrize(
    ("ahead_us", "received_us"), [(-5, 0), (0, 0), (400_000, 400_000), (US_PER_S, US_PER_S), (US_PER_S + 1, 0)]
)
def test_event_is_not_received_before_it_happened_only_because_dates_have_whole_seconds(
    ahead_us: int, received_us: int
) -> None:
    """One dated further ahead is simply wrong."""
    [event] = _committed(opened(), lines_read(line(1, NOW_US + ahead_us))).records("p.")
    assert value_of(event)["received_at"] == (NOW_US + received_us) // 1000


def test_event_that_cannot_be_written_is_its_own_dead_letter() -> None:
    """With its event id; its neighbours get the numbers as if it had not been there."""
    first = Ledger(state_of()).entries
    state = PartitionState(PARTITION, builder(p_tweet_delete=900), "w", first, window_us=_WINDOW_US)
    big = line(2).replace(b'"7"', b'"7", "new": "' + b"x" * 1000 + b'"')
    ledger = _committed(opened(), lines_read(line(1), big, line(3), big), state=state)
    assert [(value_of(each)["sequence"], each.key) for each in ledger.records("p.")] == [(1, b"1"), (2, b"3")]
    [letter] = ledger.records(NAMES.dead_letter)
    assert (header_of(letter, "reason"), letter.value) == ("unencodable", big)
    assert ledger.transactions[0].entry.counts.duplicate == 1


def test_events_move_coverage_at_commit() -> None:
    """Not before; and to their latest date."""
    state = state_of(NOW_US - MINUTE_US)
    state.apply(opened())
    state.apply(lines_read(line(1, NOW_US - 5), line(2, NOW_US - 9)))
    assert state.covered_until_us == NOW_US - MINUTE_US
    ledger = _committed(state=state)
    assert state.covered_until_us == NOW_US
    assert ledger.transactions[0].entry.covered_until_before_us == NOW_US - MINUTE_US


def test_first_answer_of_x_sets_back_a_coverage_that_began_ahead_of_it() -> None:
    """Entry 0 is by the wall clock, which may be fast; after it coverage never moves back."""
    state = state_of(NOW_US + 10 * MINUTE_US)
    assert not state.has_begun
    ledger = _committed(opened(), state=state)
    assert (state.has_begun, state.covered_until_us) == (True, NOW_US)
    state.apply(opened(at_us=NOW_US - MINUTE_US))
    assert ledger.commit().entry.covered_until_us == NOW_US


def test_whole_slice_moves_coverage_to_its_end_and_its_events_do_not() -> None:
    """Since older ones may follow; nor does a keep-alive, which says nothing of the slice."""
    ledger = _committed(opened(_SLICE), lines_read(line(1, _SLICE.end_us)), state=state_of(_SLICE.start_us))
    ledger.state.apply(keep_alive(NOW_US))
    assert ledger.commit().entry.covered_until_us == _SLICE.start_us
    ledger.state.apply(_CLOSED)
    transaction = ledger.commit()
    assert transaction.entry.covered_until_us == _SLICE.end_us
    assert transaction.entry.slice_us == (_SLICE.start_us, _SLICE.end_us)
    assert ledger.state.progress.last == LastConnection(has_proved=True, verdict=Verdict.WHOLE, system_message=None)
    assert value_of(ledger.records("p.")[0])["delivered_by"] == "replay"


def test_event_dated_in_the_future_says_nothing_against_a_replay() -> None:
    """One made 20 hours `lost`, which X replayed soundly."""
    state = state_of(_SLICE.start_us)
    lines = lines_read(line(1, _IN_SLICE_US), line(2, NOW_US + 9**8 * US_PER_S), line(3, _IN_SLICE_US))
    ledger = _committed(opened(_SLICE), lines, lines, _CLOSED, state=state)
    [transaction] = ledger.transactions
    assert (transaction.entry.counts.published, transaction.entry.counts.duplicate) == (3, 3)
    assert transaction.gaps == []
    assert state.progress.last == LastConnection(has_proved=True, verdict=Verdict.WHOLE, system_message=None)
    alone = _committed(
        opened(_SLICE), lines_read(line(2, NOW_US + 9**8 * US_PER_S)), _CLOSED, state=state_of(_SLICE.start_us)
    )
    assert alone.state.progress.last == LastConnection(has_proved=True, verdict=Verdict.WHOLE, system_message=None)


def test_event_that_comes_twice_over_one_connection_is_no_repetition() -> None:
    """It is known, but not from before: a backfill that X ignored passed for one that repeats."""
    state = state_of()
    known_us, at_us = NOW_US - MINUTE_US, NOW_US + 90 * US_PER_S
    ledger = _committed(opened(), lines_read(line(1, known_us), line(3, NOW_US)), state=state)
    ledger.state.apply(Ended(EndReason.CLOSED, is_proper=True, at_us=at_us))
    ledger.commit()
    late = line(2, known_us)
    for message in (opened(Live(5), at_us), lines_read(late, late, at_us=at_us)):
        ledger.state.apply(message)
    for seconds in (40, 80):
        reason = ledger.state.apply(keep_alive(at_us + seconds * US_PER_S))
    assert reason is EndReason.SUSPICION


def test_gap_is_recorded_where_coverage_moves_past_it() -> None:
    """In the same transaction, once."""
    ledger = _committed(opened(Live(5, GapCause.REPLAY_REFUSED)), state=state_of(NOW_US - 60 * MINUTE_US))
    ledger.commit()
    gap = Gap(NOW_US - 60 * MINUTE_US, NOW_US - 5 * MINUTE_US + US_PER_S, GapCause.REPLAY_REFUSED)
    assert [list(transaction.gaps) for transaction in ledger.transactions] == [[gap], []]
    assert ledger.transactions[0].entry.covered_until_us == NOW_US - 5 * MINUTE_US
    assert len(ledger.records(NAMES.gap)) == 1


def test_coverage_record_is_due_every_interval_and_at_each_change_of_mode() -> None:
    """And when the clock was set back."""
    ledger = Ledger(state_of())
    dues = []
    for message, written_at_us in [
        (None, NOW_US),
        (None, NOW_US + COVERAGE_INTERVAL_US - 1),
        (None, NOW_US + COVERAGE_INTERVAL_US),
        (opened(), NOW_US + COVERAGE_INTERVAL_US + 1),
        (lines_read(line(1)), NOW_US + COVERAGE_INTERVAL_US + 2),
        (_CLOSED, NOW_US + COVERAGE_INTERVAL_US + 3),
        (opened(_SLICE), NOW_US + COVERAGE_INTERVAL_US + 4),
        (None, NOW_US),
    ]:
        if message is not None:
            ledger.state.apply(message)
        transaction = ledger.commit(written_at_us)
        dues.append([value_of(each)["mode"] for each in transaction.records if each.topic == NAMES.coverage])
        assert transaction.has_coverage is bool(dues[-1])
    assert dues == [["disconnected"], [], ["disconnected"], ["live"], [], ["disconnected"], ["replay"], ["replay"]]


def test_end_of_a_connection_is_recorded_even_when_its_beginning_was_not() -> None:
    """A partition that stops has said all that the ledger says."""
    ledger = Ledger(state_of())
    ledger.commit(NOW_US)
    for message in (opened(), lines_read(line(1)), _CLOSED):
        ledger.state.apply(message)
    [coverage] = [each for each in ledger.commit(NOW_US + 1).records if each.topic == NAMES.coverage]
    assert (value_of(coverage)["mode"], value_of(coverage)["sequence"]) == ("disconnected", 1)


def test_system_message_hangs_up_and_is_reported_until_the_next_connection_ends() -> None:
    """X speaks of closing and does not always do it; lines behind it still count."""
    state = state_of()
    reasons = [state.apply(message) for message in (opened(), lines_read(_SYSTEM), lines_read(line(1)))]
    assert reasons == [None, EndReason.SYSTEM_MESSAGE, EndReason.SYSTEM_MESSAGE]
    state.apply(_CUT)
    assert state.progress.last is not None
    assert state.progress.last.system_message == SystemMessage("SlowReader", "too slow")
    state.apply(opened())
    state.apply(_CUT)
    assert state.progress.last == LastConnection(has_proved=False, verdict=None, system_message=None)


@pytest.mark.parametrize(
    ("message", "expected_us"),
    [
        (lines_read(line(1, NOW_US - 1)), NOW_US + US_PER_S),
        (LinesRead([line(1)], reading(wall_us=NOW_US + 5 * MINUTE_US)), NOW_US + 5 * MINUTE_US),
        (lines_read(line(1, NOW_US + 5 * US_PER_S)), NOW_US + 5 * US_PER_S),
        (lines_read(line(1, NOW_US + 10**12)), NOW_US + US_PER_S),
        (LinesRead([line(1, NOW_US + 10**12)], replace(reading(), wall_us=NOW_US + 10**15)), NOW_US + US_PER_S),
    ],
)
def test_ids_read_live_are_kept_by_the_latest_time_that_x_may_have_it(message: Message, expected_us: int) -> None:
    """Or by their date, unless that is wrong: it would keep them for ever."""
    assert _committed(opened(), message).transactions[0].entry.covers_to_us == expected_us


@pytest.mark.parametrize("date_us", [_IN_SLICE_US, _SLICE.end_us + MINUTE_US])
def test_ids_of_a_slice_are_kept_by_its_end_or_their_date(date_us: int) -> None:
    """A replay that overshot by 40 minutes brought 852 events that were published twice."""
    ledger = _committed(
        opened(_SLICE), lines_read(line(1, _IN_SLICE_US), line(2, date_us)), state=state_of(_SLICE.start_us)
    )
    assert ledger.transactions[0].entry.covers_to_us == max(_SLICE.end_us, date_us)


def test_ids_are_bounded_on_a_connection_without_a_backfill() -> None:
    """After a replay those of a day were kept, since nothing ended the doubt about its slice."""
    end_us = NOW_US - MINUTE_US
    ledger = _committed(opened(Replay(end_us - 15 * MINUTE_US, end_us)), _CLOSED, opened())
    for minute in range(60):
        at_us = NOW_US + minute * MINUTE_US
        ledger.state.apply(lines_read(line(minute, at_us), at_us=at_us))
        ledger.commit()
    assert ledger.state.known_ids <= _WINDOW_US // MINUTE_US + 1


def test_event_that_comes_again_behind_the_window_of_covered_time_is_published_again() -> None:
    """Within it, it is known; by covered time, not by the clock."""
    ledger = _committed(opened(), lines_read(line(1)))
    for minutes, is_known in ((14, True), (17, False)):
        later_us = NOW_US + minutes * MINUTE_US
        ledger.state.apply(lines_read(line(minutes, later_us), at_us=later_us))
        ledger.commit()
        ledger.state.apply(lines_read(line(1), at_us=later_us))
        assert ledger.commit().entry.counts.duplicate == is_known
    first, *_, again = ledger.records("p.")
    assert value_of(first)["event_id"] == value_of(again)["event_id"]


def test_pending_counts_lines_and_bytes_until_the_commit() -> None:
    """What the committer decides by."""
    state = state_of()
    state.apply(opened())
    state.apply(lines_read(line(1), line(1), _SYSTEM))
    one = _committed(opened(), lines_read(line(1))).records("p.")
    assert (state.pending, state.pending_bytes) == (3, sum(len(each.value) for each in one))
    assert (_committed(state=state).state.pending, state.pending_bytes) == (0, 0)


def _after_slice(*lines: bytes) -> Ledger:
    """Return the ledger after a whole slice with `lines`, in a partition covered until 5 minutes after its begin."""
    ledger = _committed(opened(_SLICE), lines_read(*lines), _CLOSED, state=state_of(_SLICE.start_us + 5 * MINUTE_US))
    assert ledger.state.covered_until_us == _SLICE.end_us
    return ledger


_DOUBT = Refetch(_SLICE.start_us, _SLICE.end_us, Suspicion.REPLAY_INCOMPLETE)


def test_line_that_casts_doubt_ends_the_connection_and_nothing_behind_it_counts() -> None:
    """Lines before it do; the rest comes again, after what is in doubt."""
    ledger = _after_slice(line(1, _IN_SLICE_US))
    state = ledger.state
    state.apply(opened(_AFTER))
    lines = lines_read(line(2, _AFTER.end_us), line(3, _IN_OVERLAP_US), line(4), _SYSTEM, b"junk")
    assert [state.apply(each) for each in (lines, lines_read(line(5)), keep_alive(NOW_US))] == [EndReason.SUSPICION] * 3
    state.apply(_CUT)
    transaction = ledger.commit()
    assert (transaction.entry.counts.received, transaction.entry.counts.published) == (1, 1)
    assert list(transaction.refetches) == [_DOUBT]
    assert state.progress.recovery.refetch == _DOUBT
    assert state.covered_until_us == _SLICE.end_us


def test_keep_alive_behind_a_refused_line_moves_no_coverage() -> None:
    """It was read before the connection was closed, and would pass over lines that are still to come again."""
    ledger = _after_slice(line(1, _IN_SLICE_US))
    ledger.state.apply(opened(Live(5), _SLICE.end_us + 2 * MINUTE_US))
    ledger.state.apply(lines_read(line(2, _SLICE.end_us - MINUTE_US // 2), at_us=_SLICE.end_us + 2 * MINUTE_US))
    ledger.state.apply(keep_alive(NOW_US))
    assert ledger.commit().entry.covered_until_us == _SLICE.end_us


@pytest.mark.parametrize("is_restarted", [True, False])
def test_slice_that_comes_once_more_brings_what_it_left_out_and_repeats_nothing(*, is_restarted: bool) -> None:
    """Also in a new process: the ids of what may come again stay known."""
    before_us = _SLICE.start_us + MINUTE_US
    ledger = Ledger(state_of(before_us))
    for plan, lines in [
        (_SLICE, [line(1, before_us), line(2, _IN_SLICE_US)]),
        (_AFTER, [line(3, _IN_OVERLAP_US)]),
        (Replay(_SLICE.start_us, _SLICE.end_us, is_refetch=True), [line(1, before_us), line(2, _IN_SLICE_US)]),
        (_AFTER, [line(3, _IN_OVERLAP_US), line(4, _AFTER.end_us)]),
    ]:
        if is_restarted:
            ledger = _restored(ledger)
        ledger.state.apply(opened(plan))
        ledger.state.apply(lines_read(*lines))
        ledger.state.apply(_CLOSED)
        ledger.commit()
    sequences = [each.entry.sequence for each in ledger.entries]
    assert sequences == [0, 2, 2, 2, 4]
    assert ledger.state.covered_until_us == _AFTER.end_us
    assert ledger.state.progress.recovery.refetch is None


@pytest.mark.parametrize("is_restarted", [True, False])
def test_restored_state_knows_what_a_backfill_must_repeat(*, is_restarted: bool) -> None:
    """As far as the ledger says."""
    ledger = _committed(opened(), lines_read(line(1), line(2, NOW_US + 20 * US_PER_S), at_us=NOW_US + 20 * US_PER_S))
    ledger.state.apply(lines_read(line(3, NOW_US + 40 * US_PER_S), at_us=NOW_US + 40 * US_PER_S))
    ledger.state.apply(_CUT)
    ledger.commit()
    ledger = _restored(ledger) if is_restarted else ledger
    connect_us = NOW_US + 45 * US_PER_S
    ledger.state.apply(opened(Live(2), connect_us))
    reason = ledger.state.apply(keep_alive(connect_us + BACKFILL_QUIET_US))
    assert reason is EndReason.SUSPICION


def test_events_dated_far_ahead_do_not_hide_what_a_backfill_must_repeat() -> None:
    """A thousand of them took the place of all dates that were known, and of all that became known."""
    odd = [line(number, NOW_US + 10**12 + number * 10 * US_PER_S) for number in range(2, 1200)]
    ledger = _committed(opened(), lines_read(line(1, NOW_US + 20 * US_PER_S), *odd, at_us=NOW_US + 20 * US_PER_S))
    ledger.state.apply(keep_alive(NOW_US + 60 * US_PER_S))
    ledger.state.apply(_CUT)
    ledger.commit()
    connect_us = NOW_US + 70 * US_PER_S
    ledger.state.apply(opened(Live(2), connect_us))
    assert ledger.state.apply(keep_alive(connect_us + BACKFILL_QUIET_US)) is EndReason.SUSPICION


@pytest.mark.parametrize("read", [b'{"data":{"of_tomorrow":{}}}', line(1, NOW_US - 60 * MINUTE_US)])
def test_restored_state_asks_no_backfill_for_what_is_not_in_it(read: bytes) -> None:
    """A dead letter, or an event dated long before it was read: after a restart a sound backfill was doubted."""
    ledger = _committed(opened(), lines_read(read, at_us=NOW_US + 40 * US_PER_S))
    ledger.state.apply(keep_alive(NOW_US + 70 * US_PER_S))
    ledger.state.apply(_CUT)
    ledger.commit()
    ledger = _restored(ledger)
    connect_us = NOW_US + 75 * US_PER_S
    ledger.state.apply(opened(Live(2), connect_us))
    assert ledger.state.apply(keep_alive(connect_us + BACKFILL_QUIET_US)) is None
    assert ledger.commit().entry.covered_until_us > NOW_US + 70 * US_PER_S


def test_restored_state_asks_no_backfill_for_what_the_one_before_it_had_brought() -> None:
    """What a backfill brings is dated minutes before it is read."""
    ledger = _committed(opened(Live(5)), lines_read(line(1, NOW_US - 4 * MINUTE_US)))
    ledger.state.apply(keep_alive(NOW_US + 70 * US_PER_S))
    ledger.state.apply(_CUT)
    ledger.commit()
    ledger = _restored(ledger)
    connect_us = NOW_US + 75 * US_PER_S
    ledger.state.apply(opened(Live(2), connect_us))
    assert ledger.state.apply(keep_alive(connect_us + BACKFILL_QUIET_US)) is None


@pytest.mark.parametrize("idle_commits", [0, 2])
def test_restored_state_notices_that_the_slice_before_was_not_whole(idle_commits: int) -> None:
    """A process may be replaced between a replay that X ended early and the next, which overlaps with it."""
    ledger = _after_slice(line(1, _IN_SLICE_US))
    for _ in range(idle_commits):
        ledger.commit()
    ledger = _restored(ledger)
    ledger.state.apply(opened(_AFTER))
    assert ledger.state.apply(lines_read(line(2, _IN_OVERLAP_US))) is EndReason.SUSPICION


def test_doubt_survives_a_restart() -> None:
    """It was dropped, and what the slice had left out with it."""
    ledger = _after_slice(line(1, _IN_SLICE_US))
    ledger.state.apply(opened(_AFTER))
    ledger.state.apply(lines_read(line(2, _IN_OVERLAP_US)))
    ledger.state.apply(_CUT)
    ledger.commit()
    assert _restored(ledger).state.progress.recovery.refetch == _DOUBT


def test_unknown_types_and_members_are_counted_by_name_once_an_event() -> None:
    """Not for a duplicate; nor does a later transaction count them again."""
    new_member = line(1).replace(b'"7"', b'"7", "why": 1')
    new_type = b'{"data":{"brand_new":{}}}'
    ledger = _committed(opened(), lines_read(new_member, new_member, new_type, new_type, line(2)))
    ledger.state.apply(lines_read(line(3), new_member))
    ledger.commit()
    counted = [(dict(each.unknown_types), dict(each.unknown_fields)) for each in ledger.transactions]
    assert counted == [({"brand_new": 1}, {"tweet.why": 1}), ({}, {})]


def test_messages_without_a_connection_change_nothing() -> None:
    """What was queued before a restore belongs to the state before."""
    state = state_of()
    assert [state.apply(each) for each in (lines_read(line(1)), keep_alive(NOW_US), _CUT)] == [None] * 3
    assert (state.pending, state.mode, state.progress.last) == (0, Mode.DISCONNECTED, None)


_STEPS = st.one_of(
    st.lists(st.tuples(st.integers(0, 12), st.integers(-30, 30)), min_size=1, max_size=6),
    st.sampled_from(["live", "backfill", "replay", "end", "cut", "keep-alive", "system", "junk", "commit"]),
)


@given(steps=st.lists(_STEPS, max_size=40))
def test_any_order_of_messages_is_gapless_without_repeats_and_the_same_after_a_restore(steps: list[object]) -> None:
    """Entries follow each other, and a restore knows what the process knew."""
    ledger, now_us = Ledger(state_of(NOW_US - MINUTE_US)), NOW_US
    for step in steps:
        now_us += 10 * US_PER_S
        if step == "commit":
            ledger.commit(now_us)
        else:
            ledger.state.apply(_message(step, now_us, ledger.state.covered_until_us))
    ledger.commit(now_us)
    events = [value_of(each) for each in ledger.records("p.")]
    assert [each["sequence"] for each in events] == list(range(1, len(events) + 1))
    assert len({each["event_id"] for each in events}) == len(events)
    again = _restored(ledger).state
    assert (again.covered_until_us, again.known_ids) == (ledger.state.covered_until_us, ledger.state.known_ids)
    assert again.progress.recovery == ledger.state.progress.recovery
    assert again.mode is Mode.DISCONNECTED


def _message(step: object, now_us: int, covered_us: int) -> Message:
    match step:
        case list():
            return lines_read(*(line(n, now_us + s * US_PER_S) for n, s in step), at_us=now_us)
        case "live" | "backfill":
            return opened(Live(0 if step == "live" else 1), now_us)
        case "replay":
            return Opened(Replay(covered_us - MINUTE_US, covered_us + MINUTE_US), reading(now_us), 0)
        case "end" | "cut":
            return _CLOSED if step == "end" else _CUT
        case "keep-alive":
            return keep_alive(now_us, 5)
        case _:
            return lines_read(_SYSTEM if step == "system" else b"junk", at_us=now_us)


def test_stop_concludes_nothing_of_a_connection_that_was_to_be_hung_up() -> None:
    """A stop has no time of X's: it had set back how long a range was being tried."""
    state = state_of(_SLICE.start_us)
    state.apply(opened(_SLICE))
    assert state.apply(lines_read(_SYSTEM)) is EndReason.SYSTEM_MESSAGE
    state.apply(Ended(EndReason.STOPPED, is_proper=False, at_us=0))
    assert state.progress.recovery == NOTHING_LEARNED
