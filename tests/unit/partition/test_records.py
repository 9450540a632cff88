"""Kafka records: topic, key, headers and value of everything that is published."""

import json

import pytest
from msgspec import structs

from connector.coverage.gap import Gap, GapCause, GapState, Suspicion
from connector.events.catalog import StreamPartition
from connector.events.decode import DeadLetter, Event, Reason, decode
from connector.events.times import format_us
from connector.kafka.ledger import Mode, first_entry
from connector.kafka.ledger_decoding import decode_shipped, read_entry
from connector.kafka.records import UnencodableError
from tests.fakes.bodies import EVENT_AT, EVENT_AT_NS, SAMPLES, TWEET_DELETE, Sample, line_of
from tests.fakes.partition import LIMITS, NAMES, PARTITION, builder, header_of, value_of
from tests.fakes.x import NOW_US

by_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


def _event(sample: Sample = TWEET_DELETE) -> Event:
    event = decode(sample.stream, sample.line)
    assert isinstance(event, Event)
    return event


@by_sample
def test_event_of_each_type_is_routed_keyed_and_encoded(sample: Sample) -> None:
    """Topic of its type, key of its entity, and every field of the contract."""
    event = _event(sample)
    record = builder(StreamPartition(sample.stream, 1)).event(event, NOW_US + 999, 41, "replay")
    assert (record.topic, record.key, record.partition) == (f"p.{sample.name}", sample.key.encode(), -1)
    assert value_of(record) == {
        "event_id": event.id.hex(),
        "event_type": sample.name,
        "event_at": EVENT_AT_NS // 1_000_000,
        "received_at": NOW_US // 1000,
        "stream": sample.stream,
        "stream_partition": 1,
        "sequence": 41,
        "delivered_by": "replay",
        **sample.fields,
        "unknown_fields": None,
    }


@pytest.mark.parametrize(
    ("partition", "source"),
    [(PARTITION, "/x/compliance/tweet/2"), (StreamPartition("like", 1), "/x/compliance/like")],
)
def test_event_has_cloudevents_headers(partition: StreamPartition, source: str) -> None:
    """Binary mode, 1.0; the source names a partition only where X has some."""
    sample = next(sample for sample in SAMPLES if sample.stream == partition.stream)
    event = _event(sample)
    record = builder(partition).event(event, NOW_US, 1, "stream")
    assert record.headers == {
        "ce_specversion": "1.0",
        "ce_id": event.id.hex(),
        "ce_source": source,
        "ce_type": f"x.compliance.{sample.name}",
        "ce_time": EVENT_AT,
        "ce_subject": sample.key,
        "content-type": "application/avro",
    }


def test_event_without_headers_has_none() -> None:
    """A setting turns them off."""
    assert builder(has_headers=False).event(_event(), NOW_US, 1, "stream").headers is None


def test_event_over_the_topic_s_limit_is_unencodable() -> None:
    """It must not poison a transaction; the limit is that of its own topic."""
    with pytest.raises(UnencodableError, match="limit of 600"):
        builder(p_tweet_delete=600).event(_event(), NOW_US, 1, "stream")
    assert builder(p_tweet_drop=600).event(_event(), NOW_US, 1, "stream").value


def test_event_that_grows_in_writing_is_measured_as_written() -> None:
    """Numbers in unknown members are spelt out, so a line within its limit can make a record beyond it."""
    line = line_of("delete", {**TWEET_DELETE.body, "n": [0]}).replace(b"[0]", b"[" + b"1e15," * 150_000 + b"1e15]")
    event = decode("tweet", line)
    assert isinstance(event, Event)
    assert len(line) < 1024**2
    with pytest.raises(UnencodableError, match=f"limit of {LIMITS['p.tweet.delete']}"):
        builder().event(event, NOW_US, 1, "stream")


def _letter(line: bytes = b"\xff\n", detail: str = "d", length: int | None = None) -> DeadLetter:
    return DeadLetter(b"i" * 16, Reason.NOT_JSON, detail, line, len(line) if length is None else length, has_data=False)


def test_dead_letter_is_the_line_with_its_story_in_the_headers() -> None:
    """Bytes as X sent them; the closed set of headers."""
    record = builder().dead_letter(_letter(detail="é", length=9), NOW_US)
    assert (record.topic, record.value, record.key) == (NAMES.dead_letter, b"\xff\n", (b"i" * 16).hex().encode())
    names = {name: header_of(record, name) for name in record.headers or ()}
    assert names == {
        "reason": "not-json",
        "detail": "é",
        "length": "9",
        "event-id": (b"i" * 16).hex(),
        "stream": "tweet",
        "stream-partition": "2",
        "received-at": format_us(NOW_US),
    }


def test_dead_letter_with_a_detail_no_utf8_can_hold_is_still_one() -> None:
    """A lone surrogate is replaced."""
    assert header_of(builder().dead_letter(_letter(detail="\ud800"), NOW_US), "detail") == "?"


@pytest.mark.parametrize("size", [0, 1, 400, 401, 5000])
def test_dead_letter_is_cut_to_what_the_topic_takes(size: int) -> None:
    """The beginning is kept, the true length is in the header, and it fits."""
    record = builder(p_dead_letter=1200).dead_letter(_letter(b"x" * size), NOW_US)
    assert (b"x" * size).startswith(record.value)
    assert len(record.value) == min(size, len(record.value))
    assert header_of(record, "length") == str(size)
    headers = sum(len(name) + len(value or "") for name, value in (record.headers or {}).items())
    assert len(record.key) + len(record.value) + headers <= 1200 - 500
    assert len(record.value) >= min(size, 400)


def test_coverage_says_how_far_the_partition_is_complete() -> None:
    """In whole milliseconds, never rounded ahead."""
    record = builder().coverage(NOW_US + 1999, 7, Mode.REPLAY, NOW_US)
    assert (record.topic, record.key) == (NAMES.coverage, b"tweet/2")
    assert value_of(record) == {
        "stream": "tweet",
        "stream_partition": 2,
        "covered_until": NOW_US // 1000 + 1,
        "sequence": 7,
        "mode": "replay",
        "written_at": NOW_US // 1000,
    }


@pytest.mark.parametrize("cause", GapCause)
def test_gap_spans_the_whole_range_and_says_why(cause: GapCause) -> None:
    """Whole milliseconds around the range; every cause has words, and what X contradicted is only suspected."""
    record = builder().gap(Gap(NOW_US + 1, NOW_US + 2001, cause), NOW_US)
    fields = value_of(record)
    assert (record.topic, record.key) == (NAMES.gap, fields["gap_id"].encode())
    assert fields.pop("detail")
    is_suspected = cause.value in {each.value for each in Suspicion}
    assert fields == {
        "gap_id": f"tweet/2/{format_us(NOW_US + 1)}/{format_us(NOW_US + 2001)}",
        "stream": "tweet",
        "stream_partition": 2,
        "gap_start": NOW_US // 1000,
        "gap_end": NOW_US // 1000 + 3,
        "state": GapState.SUSPECTED if is_suspected else GapState.LOST,
        "cause": cause.value,
        "recorded_at": NOW_US // 1000,
        "reconciled_by": None,
        "remaining": None,
        "withdrawn_at": None,
        "withdrawn_because": None,
    }


def test_ledger_entry_goes_to_the_partition_s_own_place() -> None:
    """And reads back as itself."""
    entry = first_entry(PARTITION, "w", NOW_US)
    record = builder().ledger(entry)
    assert (record.topic, record.key, record.partition) == (NAMES.ledger, b"tweet/2", PARTITION.ledger_partition)
    assert read_entry(record.value, PARTITION, decode_shipped) == entry


def test_unknown_members_travel_with_the_event() -> None:
    """As JSON text."""
    event = decode("tweet", line_of("delete", {**TWEET_DELETE.body, "new": {"a": [1, None]}}))
    assert isinstance(event, Event)
    value = value_of(builder().event(event, NOW_US, 1, "stream"))
    assert json.loads(value["unknown_fields"]) == {"new": {"a": [1, None]}}


def test_event_that_its_schema_does_not_take_is_unencodable() -> None:
    """Whatever the encoder says concerns this event alone."""
    odd = structs.replace(_event(), values=(object(),) * len(_event().values))
    with pytest.raises(UnencodableError, match=r"^AttributeError: "):
        builder().event(odd, NOW_US, 1, "stream")


def test_mark_of_a_replayed_dead_letter_says_when_and_as_what() -> None:
    """It has the id of the dead letter, and no value."""
    record = builder().replayed(b"\x0a" * 16, NOW_US, 41, NOW_US + 1_000_000)
    assert (record.topic, record.key, record.value) == (NAMES.dead_letter, b"0a" * 16, b"")
    assert record.headers == {
        "reason": "replayed",
        "event-id": "0a" * 16,
        "stream": "tweet",
        "stream-partition": "2",
        "received-at": format_us(NOW_US),
        "replayed-at": format_us(NOW_US + 1_000_000),
        "sequence": "41",
    }
