"""One stream partition's story: deliveries in, transactions out, every line accounted for."""

from typing import cast

import pytest
from connector.coverage.watermark import BACKFILL_QUIET_US
from connector.source.deliveries import Delivery, Ended, KeptAlive, Opened, Received
from hypothesis import given
from hypothesis import strategies as st

from connector.coverage.known_ids import KEEP_US
from connector.coverage.plan import MINUTE_US, Cause, Live, Lost, Plan, Replay
from connector.coverage.session import Doubt
from connector.errors import OwnCorruptionError
from connector.events.decode import LongLine, SystemMessage
from connector.events.times import US_PER_S
from connector.kafka.ledger import Mode
from connector.kafka.transaction import Record
from connector.partition.state import COVERAGE_INTERVAL_US, Timeline
from connector.telemetry.delays import Arrival
from tests.unit.partition.fakes import (
    NAMES,
    PARTITION,
    Ledger,
    builder,
    header_of,
    line,
    opened,
    received,
    timeline,
    value_of,
)
from tests.unit.x.fakes import NOW_US, FakeConnection

_SYSTEM = b'{"errors":[{"title":"t","disconnect_type":"SlowReader","detail":"too slow"}]}'
_WHOLE = Ended(is_whole=True)
_BROKEN = Ended(is_whole=False)
_SLICE = Replay(NOW_US - 60 * MINUTE_US, NOW_US - 45 * MINUTE_US)


def _committed(*deliveries: Delivery, at: Timeline | None = None) -> Ledger:
    """Return the ledger of one transaction with `deliveries` on a live connection."""
    ledger = Ledger(at or timeline())
    for delivery in deliveries:
        ledger.at.take(delivery)
    ledger.commit()
    return ledger


def _of(ledger: Ledger, topic: str) -> list[Record]:
    return [record for draft in ledger.drafts for record in draft.records if record.topic == topic]


def _events(ledger: Ledger) -> list[Record]:
    return [record for draft in ledger.drafts for record in draft.records if record.topic.startswith("p.")]


def test_events_are_numbered_without_gaps_across_transactions() -> None:
    """In the order of delivery, duplicates and dead letters left out."""
    ledger = _committed(opened(), received(line(1), b"junk", line(2), line(1)))
    ledger.at.take(received(line(3)))
    ledger.commit()
    assert [(value_of(each)["sequence"], each.key) for each in _events(ledger)] == [(1, b"1"), (2, b"2"), (3, b"3")]
    assert [draft.entry.sequence for draft in ledger.drafts] == [2, 3]


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
    ledger = _committed(opened(), Received(lines, NOW_US, NOW_US))
    [draft] = ledger.drafts
    counts = draft.entry.counts
    assert (counts.received, counts.published, counts.duplicate, counts.dead_lettered, counts.control) == (
        8,
        2,
        2,
        2,
        2,
    )
    assert draft.published == {"tweet.delete": 2}
    assert draft.dead_lettered == {"not-json": 1, "too-long": 1}
    assert len(draft.entry.ids) == 4
    assert [header_of(each, "reason") for each in _of(ledger, NAMES.dead_letter)] == ["not-json", "too-long"]


def test_line_known_from_an_earlier_transaction_is_a_duplicate() -> None:
    """Events and dead letters alike, on another connection."""
    ledger = _committed(opened(), received(line(1), b"junk"), _BROKEN)
    ledger.at.take(opened(Live(1)))
    ledger.at.take(received(line(1), b"junk"))
    assert ledger.commit().entry.counts.duplicate == 2
    assert len(_events(ledger)) == 1


@pytest.mark.parametrize(("plan", "is_live"), [(Live(5), True), (_SLICE, False)])
def test_new_events_are_told_with_receipt_and_date(plan: Plan, is_live: bool) -> None:  # noqa: FBT001 - parametrized
    """Each once: no duplicate, dead letter or system message has a delay; nor has a later transaction the same."""
    second_us = NOW_US + US_PER_S
    ledger = _committed(
        opened(plan),
        received(line(1, _SLICE.start_us), line(2, NOW_US - 7), line(1, _SLICE.start_us), b"junk"),
        received(line(2, NOW_US - 7), _SYSTEM, at_us=second_us),
        received(line(3, second_us), at_us=second_us),
    )
    ledger.commit()
    assert [list(draft.arrivals) for draft in ledger.drafts] == [
        [Arrival(NOW_US, [_SLICE.start_us, NOW_US - 7], is_live), Arrival(second_us, [second_us], is_live)],
        [],
    ]


def test_event_that_cannot_be_written_is_its_own_dead_letter() -> None:
    """With its event id; its neighbours get the numbers as if it had not been there."""
    records = builder(p_tweet_delete=900)
    at = Timeline(PARTITION, records, "w", Ledger(timeline()).placed)
    big = line(2).replace(b'"7"', b'"7", "new": "' + b"x" * 1000 + b'"')
    ledger = _committed(opened(), received(line(1), big, line(3), big), at=at)
    assert [(value_of(each)["sequence"], each.key) for each in _events(ledger)] == [(1, b"1"), (2, b"3")]
    [letter] = _of(ledger, NAMES.dead_letter)
    assert (header_of(letter, "reason"), letter.value) == ("unencodable", big)
    assert ledger.drafts[0].entry.counts.duplicate == 1


def test_events_move_coverage_at_commit() -> None:
    """Not before; and to their latest date."""
    at = timeline(NOW_US - MINUTE_US)
    at.take(opened(at_us=NOW_US))
    at.take(received(line(1, NOW_US - 5), line(2, NOW_US - 9)))
    assert at.covered_until_us == NOW_US - MINUTE_US
    ledger = _committed(at=at)
    assert at.covered_until_us == NOW_US - 5
    assert ledger.drafts[0].entry.covered_until_before_us == NOW_US - MINUTE_US


def test_first_answer_of_x_sets_back_a_coverage_that_began_ahead_of_it() -> None:
    """Entry 0 is by the wall clock, which may be fast; after it coverage never moves back."""
    at = timeline(NOW_US + 10 * MINUTE_US)
    assert not at.has_begun
    ledger = _committed(opened(at_us=NOW_US), at=at)
    assert (at.has_begun, at.covered_until_us) == (True, NOW_US)
    at.take(opened(at_us=NOW_US - MINUTE_US))
    assert ledger.commit().entry.covered_until_us == NOW_US


def test_first_answer_of_x_leaves_a_coverage_that_began_behind_it() -> None:
    """What lies between has still to be asked for."""
    assert _committed(opened(at_us=NOW_US), at=timeline(NOW_US - MINUTE_US)).at.covered_until_us == NOW_US - MINUTE_US


@pytest.mark.parametrize("ahead_s", [6, 10**9])
def test_event_from_the_future_does_not_move_coverage(ahead_s: int) -> None:
    """Its neighbours do."""
    ledger = _committed(opened(), received(line(1, NOW_US + ahead_s * US_PER_S)), at=timeline(NOW_US - MINUTE_US))
    assert ledger.at.covered_until_us == NOW_US - MINUTE_US
    ledger.at.take(received(line(2, NOW_US + ahead_s * US_PER_S), line(3, NOW_US - 1)))
    ledger.commit()
    assert ledger.at.covered_until_us == NOW_US - 1


def test_event_ahead_by_no_more_than_the_answer_was_on_its_way_moves_coverage_to_its_receipt() -> None:
    """X's `Date` was that old when it came, so what seems to lie ahead need not."""
    begin = opened(answer_us=20 * US_PER_S)
    ledger = _committed(begin, received(line(1, NOW_US + 26 * US_PER_S)), at=timeline(NOW_US - MINUTE_US))
    assert ledger.at.covered_until_us == NOW_US - MINUTE_US
    ledger.at.take(received(line(2, NOW_US + 24 * US_PER_S)))
    assert ledger.commit().entry.covered_until_us == NOW_US


def test_dead_letters_and_duplicates_move_coverage_as_far_as_they_are_dated() -> None:
    """A known event says as much about time as a new one, junk says nothing."""
    ledger = _committed(opened(), received(line(1, NOW_US)), at=timeline(NOW_US - MINUTE_US))
    ledger.at.take(received(b"junk", line(1, NOW_US), at_us=NOW_US + MINUTE_US))
    assert ledger.commit().entry.covered_until_us == NOW_US


def test_keep_alive_moves_coverage_when_live() -> None:
    """To the moment from which the reader waited."""
    ledger = _committed(opened(), KeptAlive(NOW_US + 20 * US_PER_S, NOW_US + US_PER_S))
    assert ledger.at.covered_until_us == NOW_US + US_PER_S


def test_keep_alive_during_a_replay_does_not_move_coverage() -> None:
    """It says that X has nothing to send now, not that the slice has been sent."""
    ledger = _committed(opened(_SLICE), KeptAlive(NOW_US, NOW_US - 20 * US_PER_S), at=timeline(_SLICE.start_us))
    assert ledger.at.covered_until_us == _SLICE.start_us


def test_events_of_a_replay_do_not_move_coverage() -> None:
    """Only the whole slice does, since older ones may follow."""
    ledger = _committed(opened(_SLICE), received(line(1, _SLICE.end_us)), at=timeline(_SLICE.start_us))
    assert ledger.at.covered_until_us == _SLICE.start_us
    assert value_of(_events(ledger)[0])["delivered_by"] == "replay"
    assert ledger.drafts[0].entry.slice_us == (_SLICE.start_us, _SLICE.end_us)


def test_whole_slice_moves_coverage_to_its_end() -> None:
    """Also one in which nothing happened."""
    assert _committed(opened(_SLICE), _WHOLE, at=timeline(_SLICE.start_us)).at.covered_until_us == _SLICE.end_us


@pytest.mark.parametrize(
    "deliveries",
    [[_BROKEN], [received(_SYSTEM), _WHOLE], [received(line(1)), _BROKEN]],
    ids=["broken", "system message", "broken after events"],
)
def test_slice_that_is_not_whole_does_not_move_coverage(deliveries: list[Delivery]) -> None:
    """A proper end after X said that something is wrong is none."""
    at = timeline(_SLICE.start_us)
    assert _committed(opened(_SLICE), *deliveries, at=at).at.covered_until_us == _SLICE.start_us


def test_system_message_of_one_connection_does_not_taint_the_next() -> None:
    """The next slice counts again."""
    ledger = _committed(opened(_SLICE), received(_SYSTEM), _WHOLE, at=timeline(_SLICE.start_us))
    ledger.at.take(opened(_SLICE))
    ledger.at.take(_WHOLE)
    ledger.commit()
    assert ledger.at.covered_until_us == _SLICE.end_us


def test_lost_stretch_is_recorded_where_coverage_moves_past_it() -> None:
    """In the same transaction, once."""
    lost = Lost(NOW_US - 60 * MINUTE_US, NOW_US - 5 * MINUTE_US, Cause.REPLAY_REFUSED)
    ledger = _committed(opened(Live(5), lost=lost), at=timeline(lost.start_us))
    ledger.commit()
    assert ledger.drafts[0].lost == [lost]
    assert ledger.drafts[0].entry.covered_until_us == lost.end_us
    [gap] = _of(ledger, NAMES.gap)
    assert value_of(gap)["gap_end"] == lost.end_us // 1000


def test_lost_stretch_moves_coverage_no_further_than_x_surely_reached_back() -> None:
    """X tells whole seconds: the record takes the later bound of its time, coverage the earlier one."""
    lost = Lost(NOW_US - MINUTE_US, NOW_US + US_PER_S, Cause.BACKFILL_REFUSED)
    ledger = _committed(opened(Live(0), lost=lost), at=timeline(lost.start_us))
    assert ledger.drafts[0].entry.covered_until_us == NOW_US
    assert value_of(_of(ledger, NAMES.gap)[0])["gap_end"] == lost.end_us // 1000


def test_backfill_holds_coverage_until_it_is_over() -> None:
    """A minute without events from before the connect."""
    ledger = _committed(
        opened(Live(2)), received(line(1, NOW_US - 1), at_us=NOW_US + US_PER_S), at=timeline(NOW_US - 9)
    )
    ledger.at.take(received(line(2, NOW_US + 30 * US_PER_S), at_us=NOW_US + 30 * US_PER_S))
    ledger.commit()
    assert ledger.at.covered_until_us == NOW_US - 9
    ledger.at.take(received(line(3, NOW_US + 62 * US_PER_S), at_us=NOW_US + 62 * US_PER_S))
    ledger.commit()
    assert ledger.at.covered_until_us == NOW_US + 62 * US_PER_S


def test_coverage_record_is_due_every_interval_and_at_each_change_of_mode() -> None:
    """And when the clock was set back."""
    ledger = Ledger(timeline())
    dues = []
    for delivery, written_at_us in [
        (None, NOW_US),
        (None, NOW_US + COVERAGE_INTERVAL_US - 1),
        (None, NOW_US + COVERAGE_INTERVAL_US),
        (opened(), NOW_US + COVERAGE_INTERVAL_US + 1),
        (received(line(1)), NOW_US + COVERAGE_INTERVAL_US + 2),
        (_WHOLE, NOW_US + COVERAGE_INTERVAL_US + 3),
        (opened(_SLICE), NOW_US + COVERAGE_INTERVAL_US + 4),
        (None, NOW_US),
    ]:
        if delivery is not None:
            ledger.at.take(delivery)
        draft = ledger.commit(written_at_us)
        dues.append([value_of(record)["mode"] for record in draft.records if record.topic == NAMES.coverage])
    assert dues == [["disconnected"], [], ["disconnected"], ["live"], [], ["disconnected"], ["replay"], ["replay"]]


def test_end_of_a_connection_is_told_even_when_its_beginning_was_not() -> None:
    """Nothing may be told for long after it: whoever stops has told all that the ledger says."""
    ledger = Ledger(timeline())
    ledger.commit(NOW_US)
    for delivery in (opened(), received(line(1)), _WHOLE):
        ledger.at.take(delivery)
    [coverage] = [record for record in ledger.commit(NOW_US + 1).records if record.topic == NAMES.coverage]
    assert value_of(coverage)["mode"] == "disconnected"
    assert value_of(coverage)["sequence"] == 1


def test_system_message_closes_the_connection_once_and_is_remembered_until_the_next() -> None:
    """X speaks of closing and does not always do it."""
    opening = opened()
    at = timeline()
    at.take(opening)
    at.take(received(_SYSTEM))
    connection = cast("FakeConnection", opening.connection)
    assert connection.closed.is_set()
    connection.closed.clear()
    at.take(received(_SYSTEM.replace(b"SlowReader", b"ForceDisconnect"), line(1)))
    assert not connection.closed.is_set()
    at.take(_WHOLE)
    assert at.system_message == SystemMessage("SlowReader", "too slow")
    at.take(opened())
    assert at.system_message is None


def test_ids_are_kept_by_the_latest_time_that_x_may_have_it() -> None:
    """Where X's clock is ahead of ours, a line belongs to X's time, not to ours."""
    hour_us = 60 * MINUTE_US
    delivery = Received([line(1, NOW_US + hour_us)], NOW_US, NOW_US + hour_us)
    assert _committed(opened(), delivery).drafts[0].entry.covers_to_us >= NOW_US + hour_us


def test_ids_of_a_slice_are_kept_by_its_end() -> None:
    """Coverage goes that far when it is whole."""
    ledger = _committed(opened(_SLICE), received(line(1)), at=timeline(_SLICE.start_us))
    assert ledger.drafts[0].entry.covers_to_us == _SLICE.end_us


def test_pending_counts_lines_and_bytes_until_the_commit() -> None:
    """What the committer decides by."""
    at = timeline()
    at.take(opened())
    at.take(received(line(1), line(1), _SYSTEM))
    assert at.pending == 3
    assert at.pending_bytes == sum(len(each.value) for each in _events(_committed(opened(), received(line(1)))))
    ledger = _committed(at=at)
    assert (ledger.at.pending, ledger.at.pending_bytes) == (0, 0)


def test_fault_of_our_own_in_the_accounts_is_never_committed() -> None:
    """The draft contradicts itself, and so is none."""
    at = timeline()
    at.take(opened())
    at.take(received(line(1)))
    at._batch.ids.clear()  # noqa: SLF001 - there is no way to such a fault but by force
    with pytest.raises(OwnCorruptionError, match="ids and counts differ"):
        at.draft(NOW_US)


_DELIVERIES = st.one_of(
    st.lists(st.tuples(st.integers(0, 12), st.integers(-30, 30)), min_size=1, max_size=6),
    st.sampled_from(["live", "backfill", "replay", "end", "break", "keep-alive", "system", "junk", "commit"]),
)


@given(steps=st.lists(_DELIVERIES, max_size=40))
def test_any_story_is_gapless_without_repeats_and_the_same_after_a_restore(steps: list[object]) -> None:
    """Whatever comes in whichever order, entries follow each other, and a restore knows what the process knew."""
    ledger, now_us = Ledger(timeline(NOW_US - MINUTE_US)), NOW_US
    for step in steps:
        now_us += 10 * US_PER_S
        match step:
            case list():
                ledger.at.take(received(*(line(n, now_us + s * US_PER_S) for n, s in step), at_us=now_us))
            case "live" | "backfill":
                ledger.at.take(opened(Live(0 if step == "live" else 1), now_us))
            case "replay":
                start_us = ledger.at.covered_until_us - MINUTE_US
                ledger.at.take(opened(ledger.at.again or Replay(start_us, start_us + 2 * MINUTE_US), now_us))
            case "end" | "break":
                ledger.at.take(_WHOLE if step == "end" else _BROKEN)
            case "keep-alive":
                ledger.at.take(KeptAlive(now_us, now_us - 5 * US_PER_S))
            case "system" | "junk":
                ledger.at.take(received(_SYSTEM if step == "system" else b"junk", at_us=now_us))
            case _:
                ledger.commit(now_us)
    ledger.commit(now_us)
    assert [value_of(each)["sequence"] for each in _events(ledger)] == list(range(1, len(_events(ledger)) + 1))
    ids = [value_of(each)["event_id"] for each in _events(ledger)]
    assert len(set(ids)) == len(ids)
    again = timeline(restored=ledger.restored())
    assert again.covered_until_us == ledger.at.covered_until_us
    again.memory.forget(again.covered_until_us)
    ledger.at.memory.forget(again.covered_until_us)
    assert len(again.memory) == len(ledger.at.memory)
    assert all(bytes.fromhex(each) in again.memory for each in ids if bytes.fromhex(each) in ledger.at.memory)
    assert again.mode is Mode.DISCONNECTED


def test_restored_memory_forgets_what_coverage_left_behind() -> None:
    """As the process before did."""
    ledger = _committed(opened(), received(line(1)))
    later_us = NOW_US + KEEP_US + 10 * US_PER_S
    ledger.at.take(received(line(2, later_us), at_us=later_us))
    ledger.commit()
    again = timeline(restored=ledger.restored())
    assert len(again.memory) == len(ledger.at.memory) == 1
    again.take(opened())
    again.take(received(line(2, later_us)))
    assert _follow(again, ledger).commit().entry.counts.duplicate == 1


_AFTER = Replay(_SLICE.end_us - MINUTE_US, _SLICE.end_us + 15 * MINUTE_US)
_IN_SLICE_US = _SLICE.start_us + 6 * MINUTE_US
_IN_OVERLAP_US = _AFTER.start_us + MINUTE_US // 2


def _after_slice(*lines: bytes) -> Ledger:
    """Return the ledger after a whole slice with `lines`, in a partition covered until 5 minutes after its begin."""
    ledger = _committed(opened(_SLICE), received(*lines), _WHOLE, at=timeline(_SLICE.start_us + 5 * MINUTE_US))
    assert ledger.at.covered_until_us == _SLICE.end_us
    return ledger


def _is_closed(opening: Opened) -> bool:
    return cast("FakeConnection", opening.connection).closed.is_set()


def test_new_event_where_all_is_known_ends_the_connection_before_it_is_taken_up() -> None:
    """Lines before it count, the rest of what was read does not: it comes again, after what is in doubt."""
    ledger = _after_slice(line(1, _IN_SLICE_US))
    opening = opened(_AFTER)
    ledger.at.take(opening)
    ledger.at.take(received(line(2, _AFTER.end_us), line(3, _IN_OVERLAP_US), line(4), _SYSTEM, b"junk"))
    ledger.at.take(received(line(5)))
    ledger.at.take(_WHOLE)
    draft = ledger.commit()
    assert _is_closed(opening)
    assert (ledger.at.doubt, ledger.at.again) == (Doubt.NEW_WHERE_ALL_IS_KNOWN, _SLICE)
    assert (draft.entry.counts.received, draft.entry.counts.published) == (1, 1)
    assert ledger.at.system_message is None
    assert ledger.at.covered_until_us == _SLICE.end_us


def test_slice_that_comes_once_more_brings_what_it_left_out_and_repeats_nothing() -> None:
    """Also where it overlaps with what was known long before: ids stay known for as long as it may come again."""
    before_us = _SLICE.start_us + MINUTE_US
    ledger = _committed(opened(), received(line(1, before_us), at_us=before_us), _BROKEN, at=timeline(before_us))
    ledger.at.take(KeptAlive(0, 0))
    for plan, lines in [
        (_SLICE, [line(1, before_us), line(2, _IN_SLICE_US)]),
        (_AFTER, [line(3, _IN_OVERLAP_US)]),
        (_SLICE, [line(1, before_us), line(2, _IN_SLICE_US), line(3, _IN_OVERLAP_US)]),
        (_AFTER, [line(3, _IN_OVERLAP_US), line(4, _AFTER.end_us)]),
    ]:
        ledger.at.take(opened(plan))
        ledger.at.take(received(*lines))
        ledger.at.take(_WHOLE)
        ledger.commit()
    assert [each.key for each in _events(ledger)] == [b"1", b"2", b"3", b"4"]
    assert ledger.at.covered_until_us == _AFTER.end_us
    assert ledger.at.again is None


def test_slice_that_repeats_nothing_moves_coverage_only_when_it_came_once_more() -> None:
    """Until then it is in doubt whether it was whole."""
    ledger = _after_slice(line(1, _IN_OVERLAP_US))
    moves = []
    for _ in range(2):
        ledger.at.take(opened(_AFTER))
        ledger.at.take(received(line(2, _AFTER.end_us)))
        ledger.at.take(_WHOLE)
        ledger.commit()
        moves.append((ledger.at.doubt, ledger.at.again, ledger.at.covered_until_us))
    assert moves == [(Doubt.NOTHING_REPEATED, _AFTER, _SLICE.end_us), (None, None, _AFTER.end_us)]


def test_doubt_after_a_system_message_is_none() -> None:
    """X itself said that the slice is not whole, so nothing follows from what it did not bring."""
    ledger = _after_slice(line(1, _IN_OVERLAP_US))
    ledger.at.take(opened(_AFTER))
    ledger.at.take(received(_SYSTEM))
    ledger.at.take(_WHOLE)
    ledger.commit()
    assert (ledger.at.doubt, ledger.at.again) == (None, None)


@pytest.mark.parametrize("is_event", [True, False])
def test_backfill_that_repeats_nothing_ends_the_connection_and_holds_coverage(is_event: bool) -> None:  # noqa: FBT001 - parametrized
    """Judged a minute after the connect, by an event or a keep-alive; what comes after that is not taken up."""
    ledger = _committed(opened(), received(line(1, NOW_US)))
    connect_us = NOW_US + MINUTE_US // 2
    quiet_us = connect_us + BACKFILL_QUIET_US
    opening = opened(Live(2), connect_us)
    ledger.at.take(opening)
    ledger.at.take(received(line(2, quiet_us), at_us=quiet_us) if is_event else KeptAlive(quiet_us, connect_us))
    assert _is_closed(opening)
    ledger.at.take(received(line(3, quiet_us), at_us=quiet_us))
    ledger.at.take(KeptAlive(quiet_us + MINUTE_US, quiet_us + MINUTE_US // 2))
    ledger.at.take(_BROKEN)
    ledger.commit()
    assert [each.key for each in _events(ledger)] == [b"1", b"2"][: 1 + is_event]
    assert ledger.at.covered_until_us == NOW_US
    assert (ledger.at.doubt, ledger.at.again) == (
        Doubt.NOTHING_REPEATED,
        Replay(NOW_US - 5 * MINUTE_US, connect_us),
    )
    assert ledger.at.again is not None
    ledger.at.take(opened(ledger.at.again, quiet_us))
    ledger.at.take(_WHOLE)
    ledger.commit()
    assert ledger.at.covered_until_us == connect_us


def test_keep_alive_after_a_doubt_does_not_move_coverage_past_what_was_not_taken_up() -> None:
    """It was queued before the connection was closed; lines that were read and dropped are still to come again."""
    ledger = _after_slice(line(1, _IN_SLICE_US))
    ledger.at.take(opened(Live(5), NOW_US - 43 * MINUTE_US))
    ledger.at.take(received(line(2, _SLICE.end_us - MINUTE_US // 2), line(3), at_us=NOW_US))
    assert ledger.at.doubt is Doubt.NEW_WHERE_ALL_IS_KNOWN
    ledger.at.take(KeptAlive(NOW_US + 2 * MINUTE_US, NOW_US + MINUTE_US))
    ledger.at.take(_BROKEN)
    ledger.commit()
    assert ledger.at.covered_until_us == _SLICE.end_us


def test_doubt_lasts_until_the_next_connection() -> None:
    """As what X said of the one before does."""
    ledger = _after_slice(line(1, _IN_SLICE_US))
    ledger.at.take(opened(_AFTER))
    ledger.at.take(received(line(2, _IN_OVERLAP_US)))
    doubts = []
    for delivery in (_BROKEN, opened(_SLICE)):
        ledger.at.take(delivery)
        doubts.append(ledger.at.doubt)
    assert doubts == [Doubt.NEW_WHERE_ALL_IS_KNOWN, None]
    assert ledger.at.again == _SLICE


@pytest.mark.parametrize("is_live", [True, False])
def test_restored_timeline_knows_what_a_backfill_must_repeat(is_live: bool) -> None:  # noqa: FBT001 - parametrized
    """As far as the ledger tells: of a replayed entry it does not say how late its events were."""
    at = timeline(NOW_US - MINUTE_US)
    ledger = _committed(opened(None if is_live else _AFTER), received(line(1)), _BROKEN, at=at)
    again = timeline(restored=ledger.restored())
    connect_us = NOW_US + MINUTE_US // 2
    again.take(opened(Live(2), connect_us))
    again.take(KeptAlive(connect_us + BACKFILL_QUIET_US, connect_us))
    assert again.doubt is (Doubt.NOTHING_REPEATED if is_live else None)


@pytest.mark.parametrize("idle_commits", [0, 2])
def test_restored_timeline_notices_that_the_slice_before_was_not_whole(idle_commits: int) -> None:
    """A process may be replaced between a replay that X ended early and the next, which overlaps with it."""
    ledger = _after_slice(line(1, _IN_SLICE_US))
    for _ in range(idle_commits):
        ledger.commit()
    again = _follow(timeline(restored=ledger.restored()), ledger)
    again.at.take(opened(Replay(_SLICE.end_us - 5 * MINUTE_US, _AFTER.end_us)))
    again.at.take(received(line(2, _IN_OVERLAP_US)))
    assert (again.at.doubt, again.at.again) == (Doubt.NEW_WHERE_ALL_IS_KNOWN, _SLICE)
    again.at.take(_BROKEN)
    again.at.take(opened(_SLICE))
    again.at.take(received(line(1, _IN_SLICE_US), line(2, _IN_OVERLAP_US)))
    counts = again.commit().entry.counts
    assert (counts.duplicate, counts.published) == (1, 1)


def test_restored_timeline_takes_new_events_after_what_was_read_live() -> None:
    """Coverage then does not end with a slice, and nothing is in doubt."""
    ledger = _after_slice(line(1, _IN_SLICE_US))
    at_us = _SLICE.end_us + MINUTE_US
    ledger.at.take(opened(Live(2), at_us))
    ledger.at.take(received(line(1, _IN_SLICE_US), line(2, at_us), at_us=at_us + 2 * BACKFILL_QUIET_US))
    ledger.at.take(KeptAlive(at_us + 4 * BACKFILL_QUIET_US, at_us + 3 * BACKFILL_QUIET_US))
    ledger.commit()
    assert ledger.at.covered_until_us > _SLICE.end_us
    again = timeline(restored=ledger.restored())
    again.take(opened(Live(5), at_us + 4 * BACKFILL_QUIET_US))
    again.take(received(line(3, at_us)))
    assert again.doubt is None


def _follow(at: Timeline, before: Ledger) -> Ledger:
    """Return a ledger that goes on from `before` with another timeline."""
    ledger = Ledger(at)
    ledger.placed = list(before.placed)
    return ledger


def test_unknown_types_and_members_are_told_by_name_once_an_event() -> None:
    """Not for a duplicate; nor does a later transaction tell them again."""
    new_member = line(1).replace(b'"7"', b'"7", "why": 1')
    new_type = b'{"data":{"brand_new":{}}}'
    ledger = _committed(opened(), received(new_member, new_member, new_type, new_type, line(2)))
    ledger.at.take(received(line(3), new_member))
    ledger.commit()
    told = [(dict(draft.unknown_types), dict(draft.unknown_fields)) for draft in ledger.drafts]
    assert told == [({"brand_new": 1}, {"tweet.why": 1}), ({}, {})]
