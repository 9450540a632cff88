"""Records of what a batch run found: topic, key, headers and value of findings and dead letters."""

import hashlib
import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.batch.records import JobContext, unencodable
from connector.batch.results import DeadReason, DeadResult, Finding, read_line
from connector.events.batch import BY_JOB_TYPE
from connector.events.times import format_us, parse_ns
from connector.kafka.records import UnencodableError
from connector.x.batch_api import JobType
from tests.fakes.partition import NAMES, header_of, value_of
from tests.fakes.x import NOW_US
from tests.unit.batch.joined import line
from tests.unit.batch.record_builder import builder, by_kind

CREATED_AT = "2017-07-04T01:26:50.049Z"
REDACTED_AT = "2026-11-29T08:27:33.5709+01:00"
FINDING = Finding("882048019011207253", "delete", "deleted", CREATED_AT, REDACTED_AT, None)
CONTEXT = JobContext("a1b2c3d4e5f6", "1372966999991541762", NOW_US + 123_999, NOW_US + 60_000_999)
TIME_NAMES = ("created_at", "redacted_at", "deleted_at")
DEAD = DeadResult(DeadReason.NOT_SENT, "id 5 was not sent", b'{"id":"5"}', 10)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ANY = st.recursive(st.none() | st.booleans() | st.integers() | TEXTS, lambda inner: st.lists(inner, max_size=3))
TIMES = ANY | st.integers(0, NOW_US).map(format_us)
NEW = st.dictionaries(TEXTS.map("new {}".format), ANY, max_size=2)
SAID = st.builds(dict.__or__, NEW, st.fixed_dictionaries({}, optional=dict.fromkeys(TIME_NAMES, TIMES)))


def values_of(finding: Finding) -> dict[str, Any]:
    """Return the fields of a finding's record."""
    return value_of(builder().finding(finding, CONTEXT, 1))


def id_of(finding: Finding, context: JobContext = CONTEXT, kind: JobType = JobType.TWEETS, sequence: int = 1) -> str:
    """Return the `event_id` of a finding."""
    event_id = value_of(builder(kind).finding(finding, context, sequence))["event_id"]
    assert isinstance(event_id, str)
    return event_id


def as_ms(text: str) -> int:
    """Return the instant of an RFC 3339 text, rounded down to milliseconds."""
    return parse_ns(text) // 1_000_000


def test_every_type_of_job_has_its_topics() -> None:
    """The table of what batch compliance asks about is that of X's types of jobs."""
    assert list(BY_JOB_TYPE) == [*JobType]


@by_kind
def test_finding_is_routed_keyed_and_encoded(kind: JobType, entity: str) -> None:
    """Topic of its kind, the id as its key, and every field of the contract; instants are rounded down."""
    record = builder(kind).finding(FINDING, CONTEXT, 41)
    assert (record.topic, record.key, record.partition) == (f"p.batch.{entity}", FINDING.id.encode(), -1)
    value = value_of(record)
    assert value.pop("event_id") == id_of(FINDING, kind=kind)
    assert list(value.items()) == [
        ("event_type", f"batch.{entity}"),
        ("received_at", NOW_US // 1000 + 60_000),
        ("checked_at", NOW_US // 1000 + 123),
        ("run_id", CONTEXT.run_id),
        ("job_id", CONTEXT.job_id),
        ("sequence", 41),
        (f"{entity}_id", FINDING.id),
        ("action", "delete"),
        ("reason", "deleted"),
        ("created_at", as_ms(CREATED_AT)),
        ("redacted_at", as_ms("2026-11-29T07:27:33.570Z")),
        ("unknown_fields", None),
    ]


@by_kind
def test_finding_has_cloudevents_headers(kind: JobType, entity: str) -> None:
    """Binary mode, 1.0; its time is the one from which X's answer is valid."""
    record = builder(kind).finding(FINDING, CONTEXT, 1)
    assert record.headers == {
        "ce_specversion": "1.0",
        "ce_id": id_of(FINDING, kind=kind),
        "ce_source": f"/x/compliance/batch/{kind.value}",
        "ce_type": f"x.compliance.batch.{entity}",
        "ce_time": format_us(CONTEXT.checked_us),
        "ce_subject": FINDING.id,
        "content-type": "application/avro",
    }


def test_finding_without_headers_has_none() -> None:
    """A setting turns them off."""
    assert builder(has_headers=False).finding(FINDING, CONTEXT, 1).headers is None


def test_finding_of_few_words_has_nulls() -> None:
    """An action is all that X has to say."""
    values = values_of(Finding("1", "an_action_to_come", None, None, None, None))
    assert [values[name] for name in ("reason", "created_at", "redacted_at", "unknown_fields")] == [None] * 4
    assert values["action"] == "an_action_to_come"


def test_finding_id_is_that_of_its_content_in_its_run() -> None:
    """The same finding has the same id, whichever job brings it and when; the recipe is written down here once more."""
    elsewhere = replace(CONTEXT, job_id="2", checked_us=0, received_us=1)
    assert id_of(FINDING, elsewhere, sequence=2) == id_of(FINDING)
    content = (
        '{"action":"delete","created_at":"2017-07-04T01:26:50.049Z","id":"882048019011207253","reason":"deleted",'
        '"redacted_at":"2026-11-29T08:27:33.5709+01:00"}'
    )
    hashed = f"batch.tweet\0a1b2c3d4e5f6\0{content}".encode()
    assert id_of(FINDING) == hashlib.blake2b(hashed, digest_size=16).hexdigest()


def test_findings_that_differ_in_anything_have_other_ids() -> None:
    """Also by their run and kind alone."""
    others = [
        replace(FINDING, **{name: text}) for name in asdict(FINDING) for text in ("1", "") if (name, text) != ("id", "")
    ]
    ids = {id_of(FINDING), *map(id_of, others)}
    ids |= {id_of(FINDING, replace(CONTEXT, run_id="another")), id_of(FINDING, kind=JobType.USERS)}
    assert len(ids) == len(others) + 3


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-02-30T00:00:00Z", "2017-07-04", "1499131610", "0001-01-01T00:00:00+01:00"]
)
@pytest.mark.parametrize("name", ["created_at", "redacted_at"])
def test_text_that_is_no_time_is_kept_under_its_name(name: str, text: str) -> None:
    """No finding is lost over it."""
    values = values_of(replace(FINDING, **{name: text}))
    assert values[name] is None
    assert json.loads(values["unknown_fields"]) == {name: text}


def test_texts_that_are_no_times_stand_among_the_unknown_members() -> None:
    """All sorted; the members are as X sent them."""
    finding = replace(FINDING, created_at="then", redacted_at="now", unknown_fields='{"a":1e400,"z":{"b":[1.50]}}')
    values = values_of(finding)
    assert values["unknown_fields"] == '{"a":1e400,"created_at":"then","redacted_at":"now","z":{"b":[1.50]}}'


def test_text_that_is_no_time_leaves_what_x_sent_under_its_name() -> None:
    """A number for `redacted_at` beside a text for its alias: both are kept."""
    read = read_line(line("1", redacted_at=5, deleted_at="now"), "1")
    assert isinstance(read, Finding)
    assert json.loads(values_of(read)["unknown_fields"]) == {"redacted_at": 5, "deleted_at": "now"}


@pytest.mark.slow
@given(said=SAID)
def test_nothing_that_x_says_is_lost(said: dict[str, Any]) -> None:
    """Each member that is not null is the instant of a field or among the unknown ones, but for a second time."""
    read = read_line(line("1", **said), "1")
    assert isinstance(read, Finding)
    values = values_of(read)
    unknown = json.loads(values["unknown_fields"] or "{}")
    for name, value in said.items():
        is_second = name == "deleted_at" and isinstance(said.get("redacted_at"), str) and isinstance(value, str)
        field = "redacted_at" if name == "deleted_at" and name not in unknown else name
        assert value is None or is_second or value == unknown.get(field) or as_ms(value) == values[field]


def test_finding_over_the_topic_s_limit_is_unencodable() -> None:
    """It must not poison a transaction; the limit is that of its own topic."""
    size = len(builder().finding(FINDING, CONTEXT, 1).value)
    with pytest.raises(UnencodableError, match="limit of 800"):
        builder(p_batch_tweet=800).finding(FINDING, CONTEXT, 1)
    assert len(builder(p_batch_user=800).finding(FINDING, CONTEXT, 1).value) == size < 800
    assert builder(p_batch_tweet=1200).finding(FINDING, CONTEXT, 1).value


def test_finding_that_grows_in_writing_is_measured_as_written() -> None:
    """Numbers in unknown members are spelt out, so a line within its limit can make a record beyond one."""
    text = line("1", n=0).replace(b'"n": 0', b'"n": [' + b"1e15," * 10_000 + b"1e15]")
    assert len(text) < 64 * 1024
    read = read_line(text, "1")
    assert isinstance(read, Finding)
    assert len(builder().finding(read, CONTEXT, 1).value) > 2 * len(text)
    with pytest.raises(UnencodableError, match="limit of 150000"):
        builder(p_batch_tweet=150_000).finding(read, CONTEXT, 1)


@pytest.mark.parametrize(
    "finding",
    [
        replace(FINDING, action="\ud800"),
        replace(FINDING, created_at="\ud800"),
        replace(FINDING, created_at="then", unknown_fields="{"),
    ],
)
def test_finding_that_cannot_be_written_becomes_a_dead_letter_with_all_of_it(finding: Finding) -> None:
    """Whatever the reason: it has what X said as JSON."""
    with pytest.raises(UnencodableError) as caught:
        builder().finding(finding, CONTEXT, 1)
    dead = unencodable(finding, str(caught.value))
    assert (dead.reason, dead.length) == (DeadReason.UNENCODABLE, len(dead.line))
    assert json.loads(dead.line) == {name: value for name, value in asdict(finding).items() if value is not None}
    record = builder().dead_letter(dead, CONTEXT)
    assert (record.value, header_of(record, "reason")) == (dead.line, "unencodable")


@by_kind
def test_dead_letter_is_the_line_with_its_story_in_the_headers(kind: JobType, entity: str) -> None:
    """Bytes as X sent them; the headers of every dead letter, and which run and job it belongs to."""
    record = builder(kind).dead_letter(replace(DEAD, detail="é", line=b"\xff{", length=9), CONTEXT)
    assert (record.topic, record.value) == (NAMES.dead_letter, b"\xff{")
    names = {name: header_of(record, name) for name in record.headers or ()}
    assert record.key.decode() == names.pop("event-id")
    assert names == {
        "reason": "not-sent",
        "detail": "é",
        "length": "9",
        "stream": f"batch.{entity}",
        "stream-partition": "1",
        "run-id": CONTEXT.run_id,
        "job-id": CONTEXT.job_id,
        "received-at": format_us(CONTEXT.received_us),
    }


def test_dead_letter_id_is_that_of_its_line_in_its_run() -> None:
    """And never that of a finding with the same bytes; the recipe is written down here once more."""
    content = b'{"action":"delete","id":"1"}'
    record = builder().dead_letter(replace(DEAD, line=content), CONTEXT)
    hashed = b"batch.tweet\0\0" + CONTEXT.run_id.encode() + b"\0" + content
    assert record.key.decode() == hashlib.blake2b(hashed, digest_size=16).hexdigest()
    assert record.key.decode() != id_of(Finding("1", "delete", None, None, None, None))
    assert record.key != builder().dead_letter(replace(DEAD, line=content), replace(CONTEXT, run_id="another")).key


def test_dead_letter_with_a_detail_no_utf8_can_hold_is_still_one() -> None:
    """A lone surrogate is replaced."""
    assert header_of(builder().dead_letter(replace(DEAD, detail="\ud800"), CONTEXT), "detail") == "?"


@pytest.mark.parametrize("size", [0, 1, 400, 401, 70_000])
def test_dead_letter_is_cut_to_what_the_topic_takes(size: int) -> None:
    """The beginning is kept, the true length is in the header, and it fits."""
    dead = replace(DEAD, line=b"x" * size, length=size)
    record = builder(p_dead_letter=1250).dead_letter(dead, CONTEXT)
    assert dead.line.startswith(record.value)
    assert header_of(record, "length") == str(size)
    headers = sum(len(name) + len(value or "") for name, value in (record.headers or {}).items())
    assert len(record.key) + len(record.value) + headers <= 1250 - 500
    assert len(record.value) >= min(size, 400)
