"""The state of one stream partition: messages in, transactions out, every line accounted for."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.coverage.messages import EndReason, LastConnection, LinesRead, Message, Opened
from connector.coverage.plan import Live, Plan, Replay
from connector.coverage.recovery import MINUTE_US
from connector.events.decode import LongLine, SystemMessage
from connector.events.times import US_PER_S
from connector.kafka.digests import entry_digest, record_sets
from connector.kafka.ledger import Mode
from connector.partition.state import PartitionState
from connector.telemetry.delays import Arrival
from tests.fakes.partition import (
    CLOSED,
    CUT,
    IN_SLICE_US,
    NAMES,
    PARTITION,
    SLICE,
    SYSTEM,
    WRITER,
    Ledger,
    builder,
    committed,
    header_of,
    keep_alive,
    line,
    lines_read,
    opened,
    reading,
    restored,
    state_of,
    value_of,
)
from tests.fakes.x import NOW_US

_WINDOW_US = 15 * MINUTE_US


def test_events_are_numbered_without_gaps_across_transactions() -> None:
    """In the order of delivery, duplicates and dead letters left out."""
    ledger = committed(opened(), lines_read(line(1), b"junk", line(2), line(1)))
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
        SYSTEM,
        SYSTEM,
        LongLine(b"h", b"l" * 16, 99),
        line(2),
    ]
    [transaction] = committed(opened(), lines_read(*lines)).transactions
    counts = transaction.entry.counts
    assert (counts.received, counts.published, counts.duplicate) == (8, 2, 2)
    assert (counts.dead_lettered, counts.control) == (2, 2)
    assert transaction.published == {"tweet.delete": 2}
    assert transaction.dead_lettered == {"not-json": 1, "too-long": 1}
    assert transaction.entry.id_count == 4


def test_line_known_from_an_earlier_transaction_is_a_duplicate() -> None:
    """Events and dead letters alike, on another connection."""
    ledger = committed(opened(), lines_read(line(1), b"junk"), CUT)
    ledger.state.apply(opened(Live(1)))
    ledger.state.apply(lines_read(line(1), b"junk"))
    assert ledger.commit().entry.counts.duplicate == 2
    assert len(ledger.records("p.")) == len(ledger.records(NAMES.dead_letter)) == 1


@pytest.mark.parametrize(("plan", "is_live"), [(Live(5), True), (SLICE, False)])
def test_new_events_arrive_with_receipt_and_date(plan: Plan, *, is_live: bool) -> None:
    """Each once: no duplicate, dead letter or system message has a delay; nor has a later transaction the same."""
    second_us = NOW_US + US_PER_S
    ledger = committed(
        opened(plan),
        lines_read(line(1, IN_SLICE_US), line(2, IN_SLICE_US - 7), line(1, IN_SLICE_US), b"junk"),
        lines_read(line(2, IN_SLICE_US - 7), line(3, IN_SLICE_US), SYSTEM, at_us=second_us),
    )
    ledger.commit()
    assert [list(transaction.arrivals) for transaction in ledger.transactions] == [
        [
            Arrival(NOW_US, NOW_US, [IN_SLICE_US, IN_SLICE_US - 7], is_live=is_live),
            Arrival(second_us, second_us, [IN_SLICE_US], is_live=is_live),
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
    [event] = committed(opened(), lines_read(line(1, NOW_US + ahead_us))).records("p.")
    assert value_of(event)["received_at"] == (NOW_US + received_us) // 1000


def test_event_that_cannot_be_written_is_its_own_dead_letter() -> None:
    """With its event id; its neighbours get the numbers as if it had not been there."""
    first = Ledger(state_of()).entries
    state = PartitionState(PARTITION, builder(p_tweet_delete=900), WRITER, first, window_us=_WINDOW_US)
    big = line(2).replace(b'"7"', b'"7", "new": "' + b"x" * 1000 + b'"')
    ledger = committed(opened(), lines_read(line(1), big, line(3), big), state=state)
    assert [(value_of(each)["sequence"], each.key) for each in ledger.records("p.")] == [(1, b"1"), (2, b"3")]
    [letter] = ledger.records(NAMES.dead_letter)
    assert (header_of(letter, "reason"), letter.value) == ("unencodable", big)
    assert ledger.transactions[0].entry.counts.duplicate == 1


def test_ledger_accounts_for_the_content_of_every_record() -> None:
    """By kind. An entry also refers to the one before, and names the replica that wrote it."""
    ledger = committed(opened(), lines_read(line(1), b"junk", line(2)), state=state_of(NOW_US - MINUTE_US))
    ledger.commit()
    first, second = ledger.transactions
    by_kind = dict(first.entry.records or {})
    assert by_kind.pop("gap").count == 1
    expected = record_sets(first.records, NAMES.prefix)
    assert by_kind == {kind: each for kind, each in expected.items() if kind != "gap"}
    assert {kind: each.count for kind, each in (first.entry.records or {}).items()} == {
        "tweet.delete": 2,
        "dead-letter": 1,
        "gap": 1,
        "coverage": 1,
    }
    assert (first.entry.previous, first.entry.owner) == (None, "replica")
    assert second.entry.previous == entry_digest(first.entry_record.value)


def test_system_message_hangs_up_and_is_reported_until_the_next_connection_ends() -> None:
    """X speaks of closing and does not always do it; lines behind it still count."""
    state = state_of()
    reasons = [state.apply(message) for message in (opened(), lines_read(SYSTEM), lines_read(line(1)))]
    assert reasons == [None, EndReason.SYSTEM_MESSAGE, EndReason.SYSTEM_MESSAGE]
    state.apply(CUT)
    assert state.progress.last is not None
    assert state.progress.last.system_message == SystemMessage("SlowReader", "too slow")
    state.apply(opened())
    state.apply(CUT)
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
    """Or by their date, unless that is wrong: it would keep them forever."""
    assert committed(opened(), message).transactions[0].entry.covers_to_us == expected_us


@pytest.mark.parametrize("date_us", [IN_SLICE_US, SLICE.end_us + MINUTE_US])
def test_ids_of_a_slice_are_kept_by_its_end_or_their_date(date_us: int) -> None:
    """A replay that overshot by 40 minutes brought 852 events that were published twice."""
    ledger = committed(
        opened(SLICE), lines_read(line(1, IN_SLICE_US), line(2, date_us)), state=state_of(SLICE.start_us)
    )
    assert ledger.transactions[0].entry.covers_to_us == max(SLICE.end_us, date_us)


def test_ids_are_bounded_on_a_connection_without_a_backfill() -> None:
    """After a replay those of a day were kept, since nothing ended the doubt about its slice."""
    end_us = NOW_US - MINUTE_US
    ledger = committed(opened(Replay(end_us - 15 * MINUTE_US, end_us)), CLOSED, opened())
    for minute in range(60):
        at_us = NOW_US + minute * MINUTE_US
        ledger.state.apply(lines_read(line(minute, at_us), at_us=at_us))
        ledger.commit()
    assert ledger.state.known_ids <= _WINDOW_US // MINUTE_US + 1


def test_event_that_comes_again_behind_the_window_of_covered_time_is_published_again() -> None:
    """Within it, it is known; by covered time, not by the clock."""
    ledger = committed(opened(), lines_read(line(1)))
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
    state.apply(lines_read(line(1), line(1), SYSTEM))
    one = committed(opened(), lines_read(line(1))).records("p.")
    assert (state.pending, state.pending_bytes) == (3, sum(len(each.value) for each in one))
    assert (committed(state=state).state.pending, state.pending_bytes) == (0, 0)


def test_unknown_types_and_members_are_counted_by_name_once_an_event() -> None:
    """Not for a duplicate; nor does a later transaction count them again."""
    new_member = line(1).replace(b'"7"', b'"7", "why": 1')
    new_type = b'{"data":{"brand_new":{}}}'
    ledger = committed(opened(), lines_read(new_member, new_member, new_type, new_type, line(2)))
    ledger.state.apply(lines_read(line(3), new_member))
    ledger.commit()
    counted = [(dict(each.unknown_types), dict(each.unknown_fields)) for each in ledger.transactions]
    assert counted == [({"brand_new": 1}, {"tweet.why": 1}), ({}, {})]


def test_messages_without_a_connection_change_nothing() -> None:
    """What was queued before a restore belongs to the state before."""
    state = state_of()
    assert [state.apply(each) for each in (lines_read(line(1)), keep_alive(NOW_US), CUT)] == [None] * 3
    assert (state.pending, state.mode, state.progress.last) == (0, Mode.DISCONNECTED, None)


_STEPS = st.one_of(
    st.lists(st.tuples(st.integers(0, 12), st.integers(-30, 30)), min_size=1, max_size=6),
    st.sampled_from(["live", "backfill", "replay", "end", "cut", "keep-alive", "system", "junk", "commit"]),
)


@pytest.mark.slow
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
    again = restored(ledger).state
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
            return CLOSED if step == "end" else CUT
        case "keep-alive":
            return keep_alive(now_us, 5)
        case _:
            return lines_read(SYSTEM if step == "system" else b"junk", at_us=now_us)
