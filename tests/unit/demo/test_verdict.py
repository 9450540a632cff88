"""The verdict reports every kind of fault that is put into an otherwise perfect reading."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields, replace

import pytest

from connector.demo.accounts import Accounts, RecordedGap, Result, Run
from connector.demo.verdict import Landed, Place, Verdict, dead_letter_landed, event_landed, expect, judge
from connector.events.catalog import BY_X_TYPE, EVENT_TYPES, StreamPartition
from connector.events.decode import Event, decode
from connector.simulator.config import SimulatorConfig
from connector.simulator.events import EventSource
from connector.simulator.faults import Broken, InvalidBody, UnknownType
from connector.simulator.record import Emitted
from connector.simulator.world import World

_TWEET_1 = StreamPartition("tweet", 1)
_FAULTS = {field.name for field in fields(Verdict)} - {
    "emitted",
    "read",
    "dead_letters",
    "gaps",
    "made_up_for",
    "remaining",
}

_GAP = RecordedGap(_TWEET_1, 0, 1)
_ALWAYS_MS = 10**14
_REMAINING = frozenset({"tweet.withheld", "tweet.drop", "tweet.undrop"})
_RESULT = Result("run", "7", "delete", "deleted")
_RUN = Run("run", "tweets", (_RESULT,))
_RECONCILED = RecordedGap(_TWEET_1, 0, _ALWAYS_MS, frozenset({"run"}), _REMAINING)
_ACCOUNTS = Accounts([_RECONCILED], [_RUN], [_RESULT])


@pytest.fixture(scope="module")
def emitted() -> tuple[Emitted, ...]:
    """Give the record of a simulator that emitted events of all types and one line of each malformed kind."""
    world = World(SimulatorConfig(seed=7))
    world.emit(3000)
    world.inject(UnknownType(stream="user", partition=3))
    world.inject(InvalidBody(stream="tweet", partition=2))
    world.inject(Broken(stream="tweet", partition=1))
    return tuple(world.record())


@pytest.fixture
def landed(emitted: tuple[Emitted, ...]) -> list[Landed]:
    """Give the reading that a connector without a fault leaves behind."""
    return _perfect(emitted)


def _perfect(emitted: Iterable[Emitted]) -> list[Landed]:
    sequences: Counter[StreamPartition] = Counter()
    landed = []
    for id_text, place in expect(emitted).items():
        is_event = not place.name.startswith("dead-letter")
        sequences[place.partition] += is_event
        landed.append(Landed(id_text, place, sequences[place.partition] if is_event else None))
    return landed


def _events(landed: list[Landed], partition: StreamPartition = _TWEET_1) -> list[int]:
    """Return the indices of the events of one stream partition."""
    return [
        index
        for index, record in enumerate(landed)
        if record.place.partition == partition and record.sequence is not None
    ]


def _found(verdict: Verdict) -> dict[str, int]:
    """Return the kinds of faults that were found, and how many of each."""
    assert verdict.is_clean == (not any(getattr(verdict, name) for name in _FAULTS))
    return {name: len(faults) for name in _FAULTS if (faults := getattr(verdict, name))}


def _event(line: Emitted) -> Event | None:
    decoded = decode(line.stream, line.line)
    return decoded if isinstance(decoded, Event) else None


def _delete(event_at: str = "2026-01-01T00:00:00Z", kind: str = "event") -> Emitted:
    body = {"event_at": event_at, "tweet": {"id": "5", "author_id": "6"}}
    return Emitted("tweet", 1, 0, kind, json.dumps({"data": {"delete": body}}).encode())


def test_perfect_reading_is_clean(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """Events of all types and the dead letters are counted, and nothing is found."""
    verdict = judge(emitted, landed)
    assert (_found(verdict), verdict.is_clean) == ({}, True)
    assert (verdict.emitted, verdict.read, verdict.dead_letters) == (3003, 3003, 3)
    assert {record.place.name for record in landed} == {
        *(event_type.name for event_type in EVENT_TYPES),
        "dead-letter unknown-type",
        "dead-letter invalid-body",
        "dead-letter not-json",
    }


def test_reading_in_any_order_is_clean(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """Topics are read one by one, so only the sequence tells the order."""
    assert judge(emitted, sorted(landed)).is_clean


def test_last_event_missing_is_lost(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """No sequence number shows it."""
    missing = landed.pop(_events(landed)[-1])
    verdict = judge(emitted, landed)
    assert _found(verdict) == {"lost": 1}
    assert verdict.lost == (f"{missing.place.name} {missing.place.key} of tweet/1",)


def test_event_missing_in_the_middle_is_lost_and_breaks_the_sequence(
    emitted: tuple[Emitted, ...], landed: list[Landed]
) -> None:
    """Both are reported, each once."""
    del landed[_events(landed)[10]]
    verdict = judge(emitted, landed)
    assert _found(verdict) == {"lost": 1, "sequence_breaks": 1}
    assert verdict.sequence_breaks == ("tweet/1: 12 follows 10",)


@pytest.mark.slow
def test_dead_letter_missing_is_lost(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """What was no event must arrive too."""
    landed.remove(next(record for record in landed if record.sequence is None))
    assert _found(judge(emitted, landed)) == {"lost": 1}


def test_event_with_a_second_sequence_is_repeated(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """A duplicate that was published as if it were new, the last number being taken by it."""
    places = _events(landed)
    landed.append(landed[places[-1]]._replace(sequence=len(places) + 1))
    assert _found(judge(emitted, landed)) == {"repeated": 1}


def test_record_committed_twice_is_repeated_and_breaks_the_sequence(
    emitted: tuple[Emitted, ...], landed: list[Landed]
) -> None:
    """The same sequence number stands there twice."""
    landed.append(landed[_events(landed)[4]])
    verdict = judge(emitted, landed)
    assert _found(verdict) == {"repeated": 1, "sequence_breaks": 1}
    assert verdict.sequence_breaks == ("tweet/1: 5 follows 5",)


def test_dead_letter_committed_twice_is_repeated(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """The same broken line delivered again is one dead letter."""
    landed.append(next(record for record in landed if record.sequence is None))
    assert _found(judge(emitted, landed)) == {"repeated": 1}


@pytest.mark.parametrize(
    ("name", "key"),
    [("user.delete", None), (None, "1"), ("dead-letter invalid-body", None)],
)
def test_event_on_another_topic_or_key_is_misrouted(
    emitted: tuple[Emitted, ...], landed: list[Landed], name: str | None, key: str | None
) -> None:
    """It is there, once and in order, but not where its readers look."""
    place = _events(landed)[3]
    right = landed[place].place
    wrong = right._replace(name=name or right.name, key=key or right.key)
    landed[place] = landed[place]._replace(place=wrong)
    assert _found(judge(emitted, landed)) == {"misrouted": 1}


def test_event_of_another_stream_partition_is_misrouted(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """Its number is then missing in one sequence and too many in the other."""
    place = _events(landed)[3]
    elsewhere = landed[place].place._replace(partition=StreamPartition("tweet", 2))
    landed[place] = landed[place]._replace(place=elsewhere)
    assert _found(judge(emitted, landed)).keys() >= {"misrouted", "sequence_breaks"}


def test_event_among_the_dead_letters_is_misrouted(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """Dead letters must be exactly the lines that are no events."""
    place = _events(landed)[-1]
    dead = landed[place].place._replace(name="dead-letter not-json", key=landed[place].id)
    landed[place] = landed[place]._replace(place=dead, sequence=None)
    assert _found(judge(emitted, landed)) == {"misrouted": 1}


def test_dead_letter_with_another_reason_is_misrouted(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """The reason must be what the simulator did to the line, whatever `decode` thinks of it."""
    place = next(index for index, record in enumerate(landed) if record.place.name == "dead-letter not-json")
    wrong = landed[place].place._replace(name="dead-letter unknown-type")
    landed[place] = landed[place]._replace(place=wrong)
    assert _found(judge(emitted, landed)) == {"misrouted": 1}


def test_record_that_was_never_emitted_is_reported(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """As when a line was changed on its way: it is lost, and something else is there instead."""
    place = _events(landed)[3]
    landed[place] = landed[place]._replace(id="0" * 32)
    assert _found(judge(emitted, landed)) == {"lost": 1, "never_emitted": 1}


@pytest.mark.slow
def test_exchanged_sequence_numbers_are_out_of_order(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """Nothing is missing, but an older state follows a newer one."""
    first, second = _events(landed)[20:22]
    before, after = landed[first].sequence, landed[second].sequence
    landed[first], landed[second] = landed[first]._replace(sequence=after), landed[second]._replace(sequence=before)
    assert _found(judge(emitted, landed)) == {"out_of_order": 1}


def test_hole_in_the_sequence_is_reported_though_nothing_is_lost(
    emitted: tuple[Emitted, ...], landed: list[Landed]
) -> None:
    """One hole, however long, at whatever place."""
    for index in _events(landed)[10:]:
        landed[index] = landed[index]._replace(sequence=(landed[index].sequence or 0) + 5)
    verdict = judge(emitted, landed)
    assert _found(verdict) == {"sequence_breaks": 1}
    assert verdict.sequence_breaks == ("tweet/1: 16 follows 10",)


def test_sequence_that_does_not_begin_at_one_is_reported(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """The hole may be the beginning."""
    for index in _events(landed):
        landed[index] = landed[index]._replace(sequence=(landed[index].sequence or 0) + 1)
    assert judge(emitted, landed).sequence_breaks == ("tweet/1: 2 follows 0",)


def test_gap_is_counted_and_is_no_fault(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """A gap says that something may be missing; here it is known that nothing is."""
    verdict = judge(emitted, landed, Accounts([_GAP, _GAP]))
    assert (verdict.gaps, verdict.is_clean) == (2, True)


def _lose_tail(landed: list[Landed], count: int = 60) -> list[Landed]:
    """Take the last events of a stream partition out of a reading, and return them."""
    lost = [landed[index] for index in _events(landed)[-count:]]
    for record in lost:
        landed.remove(record)
    return lost


def test_stretch_in_a_gap_is_made_up_for_or_remains(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """By the types of its events; no fault is found."""
    lost = _lose_tail(landed)
    verdict = judge(emitted, landed, _ACCOUNTS)
    remaining = sum(record.place.name in _REMAINING for record in lost)
    assert 0 < remaining < 60
    assert (_found(verdict), verdict.gaps) == ({}, 1)
    assert (verdict.made_up_for, verdict.remaining) == (60 - remaining, remaining)
    assert verdict.emitted == verdict.read + 60


@pytest.mark.slow
def test_stretch_without_a_gap_is_lost(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """Though a run has all results."""
    _lose_tail(landed)
    assert _found(judge(emitted, landed, Accounts((), [_RUN], [_RESULT]))) == {"lost": 60}


def test_one_lost_event_outside_any_gap_is_found(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """That of another stream partition."""
    _lose_tail(landed)
    other = landed.pop(_events(landed, StreamPartition("tweet", 2))[-1])
    verdict = judge(emitted, landed, _ACCOUNTS)
    assert _found(verdict) == {"lost": 1}
    assert verdict.lost == (str(other.place),)


def test_one_lost_event_dated_before_the_gap_is_found(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """The gap begins with the event behind it, to the millisecond."""
    lost = {record.id for record in _lose_tail(landed)}
    events = [event for line in emitted if (event := _event(line)) is not None]
    dates_ms = [event.event_at_ns // 10**6 for event in events if event.id.hex() in lost]
    first_ms = min(dates_ms)
    gap = replace(_RECONCILED, start_ms=first_ms + 1)
    verdict = judge(emitted, landed, replace(_ACCOUNTS, gaps=[gap]))
    assert _found(verdict) == {"lost": dates_ms.count(first_ms)}


def test_stretch_in_a_gap_that_no_run_has_reconciled_is_lost(
    emitted: tuple[Emitted, ...], landed: list[Landed]
) -> None:
    """A gap alone accounts for nothing."""
    _lose_tail(landed)
    gap = replace(_RECONCILED, runs=frozenset(), remaining=frozenset())
    assert _found(judge(emitted, landed, replace(_ACCOUNTS, gaps=[gap]))) == {"lost": 60}


@pytest.mark.parametrize("results", [[], [_RESULT, _RESULT], [_RESULT._replace(action="rehydrate")]])
def test_gap_that_says_reconciled_is_not_believed_with_wrong_results(
    emitted: tuple[Emitted, ...], landed: list[Landed], results: list[Result]
) -> None:
    """One result is missing, doubled or wrong: what the run was to make up for is lost, what remains still remains."""
    lost = _lose_tail(landed)
    verdict = judge(emitted, landed, replace(_ACCOUNTS, results=results))
    remaining = sum(record.place.name in _REMAINING for record in lost)
    assert _found(verdict).keys() == {"lost", "wrong_results"}
    assert (len(verdict.lost), verdict.made_up_for, verdict.remaining) == (60 - remaining, 0, remaining)


def test_wrong_result_is_a_fault_though_nothing_is_lost(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """A run says something untrue."""
    verdict = judge(emitted, landed, Accounts((), [_RUN], []))
    assert _found(verdict) == {"wrong_results": 1}
    assert "wrong batch results: delete (deleted) of 7 is missing in run run" in verdict.lines()


def test_dead_letter_missing_in_a_gap_is_lost(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """No run answers for a line that is no event."""
    landed.remove(next(record for record in landed if record.place.name == "dead-letter not-json"))
    assert _found(judge(emitted, landed, _ACCOUNTS)) == {"lost": 1}


def test_event_without_a_date_is_lost_in_any_gap() -> None:
    """What the connector cannot read it would have kept as a dead letter."""
    assert _found(judge([_delete(event_at="never")], [], _ACCOUNTS)) == {"lost": 1}


def test_lost_event_that_was_emitted_twice_is_counted_once() -> None:
    """In one place or in two spellings."""
    emitted = [_delete(), _delete("2026-01-01T00:00:00.000+00:00")]
    verdict = judge(emitted, [], _ACCOUNTS)
    assert (_found(verdict), verdict.made_up_for, verdict.remaining) == ({}, 1, 0)


def test_closing_counts_what_did_not_arrive(emitted: tuple[Emitted, ...], landed: list[Landed]) -> None:
    """Only of a reading without a hole it says that every event arrived."""
    assert judge([], []).closing() == ["Stopped before X had emitted anything."]
    assert judge(emitted, landed).closing()[0].startswith("Every event arrived exactly once; ")
    lost = _lose_tail(landed)
    remaining = sum(record.place.name in _REMAINING for record in lost)
    assert judge(emitted, landed, _ACCOUNTS).closing() == [
        "2,940 events arrived exactly once; the lines that were not events are dead letters.",
        f"60 that X did not deliver are in gaps: batch runs made up for {60 - remaining} of them;",
        f"neither streams nor runs can bring back the other {remaining}; the gap records list their event types.",
    ]


def test_same_event_in_two_spellings_is_expected_once() -> None:
    """A record with both is matched by one reading."""
    emitted = [_delete(), _delete("2026-01-01T00:00:00.000+00:00")]
    verdict = judge(emitted, _perfect(emitted))
    assert (verdict.emitted, verdict.is_clean) == (1, True)


def test_system_message_is_not_expected() -> None:
    """X speaking of the connection is no content."""
    message = Emitted("tweet", 1, 0, "system", b'{"errors":[{"title":"operational-disconnect"}]}')
    assert judge([message], []).is_clean


def test_line_of_a_tests_own_kind_is_expected_where_it_decodes_to() -> None:
    """The recipe tells what such a line is."""
    broken = Emitted("tweet", 1, 0, "mine", b"{")
    names = [place.name for place in expect([_delete(kind="mine"), broken]).values()]
    assert names == ["tweet.delete", "dead-letter not-json"]


def test_well_formed_event_is_expected_on_its_topic_whatever_decode_says() -> None:
    """A connector that cannot read an event would otherwise agree with itself."""
    unreadable = _delete(event_at="never")
    assert [place.name for place in expect([unreadable]).values()] == ["tweet.delete"]


def test_event_record_is_identified_by_its_own_fields() -> None:
    """Name and key come from where it was read."""
    value = {"event_id": "ab", "stream": "user", "stream_partition": 4, "sequence": 9}
    place = Place(StreamPartition("user", 4), "user.protect", "12")
    assert event_landed(value, "user.protect", "12") == Landed("ab", place, 9)


def test_dead_letter_is_identified_by_its_headers() -> None:
    """Values of headers are bytes."""
    headers = {"event-id": b"cd", "stream": b"like", "stream-partition": b"1", "reason": b"too-long"}
    place = Place(StreamPartition("like", 1), "dead-letter too-long", "cd")
    assert dead_letter_landed(headers, "cd") == Landed("cd", place, None)


@pytest.mark.slow
def test_text_of_a_verdict_holds_the_figures_and_some_examples(
    emitted: tuple[Emitted, ...], landed: list[Landed]
) -> None:
    """Every figure on a line of its own, then a few of the faults."""
    text = judge(emitted, landed[5:], Accounts([_GAP])).lines()
    assert [line.split() for line in text[:3]] == [["emitted", "3,003"], ["read", "back", "2,998"], ["lost", "5"]]
    assert ["gaps", "1"] in [line.split() for line in text]
    assert sum(line.startswith("lost: ") for line in text) == 3


def test_simulators_events_are_of_types_the_verdict_can_place() -> None:
    """Each line names a type of the catalog."""
    source = EventSource(3, StreamPartition("label", 1))
    lines = [Emitted("label", 1, 0, "event", source.line(10**18)) for _ in range(50)]
    names = {place.name for place in expect(lines).values()}
    assert names <= {event_type.name for (stream, _), event_type in BY_X_TYPE.items() if stream == "label"}
