"""Lines of X: each row of what bad input gets, every type, and that nothing ever raises."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.events.catalog import BY_X_TYPE, EVENT_TYPES, STREAMS
from connector.events.decode import (
    DeadLetter,
    Event,
    LongLine,
    Reason,
    SystemMessage,
    decode,
    unencodable,
)
from connector.events.identity import event_id, line_id
from tests.fakes.bodies import EVENT_AT, EVENT_AT_NS, SAMPLES, TWEET_DELETE, Sample, fields_of, line_of
from tests.unit.events.mutations import ANY_JSON, by_sample, mutated

_DETAIL_LIMIT = 300


def _event(stream: str, line: bytes) -> Event:
    event = decode(stream, line)
    assert isinstance(event, Event), event
    return event


def _dead(line: bytes, reason: Reason, stream: str = "tweet") -> DeadLetter:
    """Decode a line that must be a dead letter of `reason` with all its bytes."""
    letter = decode(stream, line)
    assert isinstance(letter, DeadLetter), letter
    assert (letter.reason, letter.line, letter.length) == (reason, line, len(line))
    assert 0 < len(letter.detail) <= _DETAIL_LIMIT
    return letter


def _delete(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - members of a body are any JSON
    return {**TWEET_DELETE.body, **changes}


def test_samples_are_one_for_each_type() -> None:
    """No type of the catalog goes without."""
    assert {sample.name for sample in SAMPLES} == {event_type.name for event_type in EVENT_TYPES}


@by_sample
def test_event_of_each_type_is_read_whole(sample: Sample) -> None:
    """Type, key, time, id and every field are what the body says."""
    event = _event(sample.stream, sample.line)
    assert (event.type.name, event.key) == (sample.name, sample.key)
    assert (event.event_at, event.event_at_ns) == (EVENT_AT, EVENT_AT_NS)
    assert fields_of(event) == {**sample.fields, "unknown_fields": None}
    assert event.id == event_id(sample.stream, sample.x_type, sample.body)


@by_sample
def test_unknown_members_of_each_type_are_kept_in_their_place(sample: Sample) -> None:
    """What X adds tomorrow, nested or not, is neither an error nor thrown away; nulls are not there."""
    inner = next(name for name in ("tweet", "user", "favorite") if name in sample.body)
    body = {**sample.body, inner: {**sample.body[inner], "z": [1], "n": None}, "a": {"b": 2**70, "n": None}, "n": None}
    event = _event(sample.stream, line_of(sample.x_type, body))
    fields = fields_of(event)
    unknown = fields.pop("unknown_fields")
    assert fields == sample.fields
    assert json.loads(unknown) == {"a": {"b": 2**70}, inner: {"z": [1]}}
    assert set(event.unknown_names) == {"a", f"{inner}.z"}


@by_sample
def test_members_of_another_type_on_a_stream_are_unknown_there(sample: Sample) -> None:
    """A type of one stream is unknown on the others, unless they have one of the same name."""
    for stream in set(STREAMS) - {sample.stream}:
        letter = decode(stream, sample.line)
        assert isinstance(letter, DeadLetter)
        is_known = (stream, sample.x_type) in BY_X_TYPE
        assert letter.reason is (Reason.INVALID_BODY if is_known else Reason.UNKNOWN_TYPE)


@pytest.mark.parametrize(
    "line",
    [
        TWEET_DELETE.line[:-2] + b'}, "matching_rules": [1]}',
        b'{"errors": [{"title": "partial"}], ' + TWEET_DELETE.line[1:],
        b'{"title": "t", "type": "u", ' + TWEET_DELETE.line[1:],
        b" \t" + TWEET_DELETE.line + b" ",
        json.dumps({"data": {"delete": dict(reversed(TWEET_DELETE.body.items()))}}, indent=1).encode(),
        b'{"data": {"drop": {}}, ' + TWEET_DELETE.line[1:],
    ],
    ids=["key behind", "errors before", "problem before", "spaces", "other order", "last of two keys"],
)
def test_event_among_other_things_is_that_event(line: bytes) -> None:
    """Keys beside data, order and white space do not matter, nor does their id change."""
    event = _event("tweet", line)
    assert (event.type.name, event.id) == ("tweet.delete", _event("tweet", TWEET_DELETE.line).id)
    assert fields_of(event)["unknown_fields"] is None


@pytest.mark.parametrize(
    ("event_at", "ns"),
    [
        ("2022-06-27T23:49:41Z", 1_656_373_781_000_000_000),
        ("2022-06-28T01:49:41.839123456+02:00", 1_656_373_781_839_123_456),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_799_999_999_999),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000_000),
    ],
)
def test_event_of_any_time_is_accepted_with_x_s_text(event_at: str, ns: int) -> None:
    """Future and ancient times say nothing about the event."""
    event = _event("tweet", line_of("delete", _delete(event_at=event_at)))
    assert (event.event_at, event.event_at_ns) == (event_at, ns)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b'{"data": {"delete": {"event_at',
        b"null",
        b"[]",
        b'"text"',
        b"12",
        b"\x00\x00",
        b"\xff\xfe{}",
        b'{"data": {"delete": "\xc3\x28"}}',
        b'{"data": {"delete": "\xed\xa0\x80"}}',
        b'{"data": {"delete": {"new": "\\ud800"}}}',
        b'{"data": {"delete": 1e999}}',
        b"\xef\xbb\xbf" + TWEET_DELETE.line,
        TWEET_DELETE.line + TWEET_DELETE.line,
        b"[" * 100_000,
        b'{"data":{"delete":' * 100_000,
        b'{"data":{"delete":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}}",
        b'{"data":{"delete":{"a":' + b"[" * 70 + b"]" * 70 + b"}}}",
        b'{"data":{"brand_new":{"a":' + b"[" * 70 + b"]" * 70 + b"}}}",
    ],
)
def test_line_that_is_not_a_json_object_is_not_json(line: bytes) -> None:
    """Neither broken JSON nor bytes, values or depths that JSON has no use for; told apart by bytes."""
    assert _dead(line, Reason.NOT_JSON).id == line_id("tweet", line)


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b'{"data": null}',
        b'{"data": []}',
        b'{"data": {}}',
        b'{"data": "delete"}',
        b'{"data": {"delete": {}, "drop": {}}}',
        b'{"data": {"": {}}}',
        b'{"data": {"Delete": []}}',
        b'{"errors": []}',
        b'{"errors": {}}',
        b'{"title": "no type"}',
    ],
)
def test_line_without_one_known_type_is_of_unknown_type(line: bytes) -> None:
    """None, several, empty or not even an object; told apart by bytes."""
    assert _dead(line, Reason.UNKNOWN_TYPE).id == line_id("tweet", line)


def test_unknown_type_with_a_readable_body_has_the_event_id() -> None:
    """When the type becomes known, the event is still the same one."""
    body = {"event_at": EVENT_AT, "n": None}
    letter = _dead(line_of("brand_new", body), Reason.UNKNOWN_TYPE)
    assert letter.id == event_id("tweet", "brand_new", body)
    assert "brand_new" in letter.detail


def test_unknown_type_with_a_long_name_has_a_short_detail() -> None:
    """The header stays small whatever X sends."""
    assert len(_dead(line_of("x" * 5000, {}), Reason.UNKNOWN_TYPE).detail) == _DETAIL_LIMIT


@pytest.mark.parametrize(
    "changes",
    [
        {"tweet": None},
        {"tweet": {}},
        {"tweet": {"id": None, "author_id": "1"}},
        {"tweet": {"id": "1"}},
        {"tweet": {"id": 1, "author_id": "1"}},
        {"tweet": {"id": "", "author_id": "1"}},
        {"tweet": {"id": "-1", "author_id": "1"}},
        {"tweet": {"id": "1\n", "author_id": "1"}},
        {"tweet": {"id": "1" * 20, "author_id": "1"}},
        {"tweet": {"id": "\u0661", "author_id": "1"}},
        {"tweet": "1"},
        {"tweet": ["1"]},
        {"quote_tweet_id": 12},
        {"quote_tweet_id": ["12"]},
        {"event_at": None},
        {"event_at": "soon"},
        {"event_at": 1_656_373_781},
    ],
)
def test_delete_that_does_not_fit_is_an_invalid_body(changes: dict[str, Any]) -> None:
    """Missing or senseless ids and times, numbers for ids, and no Tweet; the detail names the member."""
    letter = _dead(line_of("delete", _delete(**changes)), Reason.INVALID_BODY)
    assert letter.detail.startswith(next(iter(changes)))


@pytest.mark.parametrize("body", [None, 1, "1", [], [{}], True])
def test_body_that_is_no_object_is_an_invalid_body(body: object) -> None:
    """A body of another kind is not guessed at; told apart by bytes."""
    line = line_of("delete", body)
    assert _dead(line, Reason.INVALID_BODY).id == line_id("tweet", line)


@pytest.mark.parametrize("value", [None, [], "DE", {}, [1], [None], ["DE", 1]])
def test_countries_that_are_no_list_of_texts_are_an_invalid_body(value: object) -> None:
    """A string for a list is the classic."""
    _dead(line_of("withheld", _delete(withheld_in_countries=value)), Reason.INVALID_BODY)


@pytest.mark.parametrize("value", [None, [], "10", ["10", 11], ["10", ""]])
def test_edits_that_are_no_list_of_ids_are_an_invalid_body(value: object) -> None:
    """Each version of an edited Tweet is an id."""
    body = {"event_at": EVENT_AT, "tweet": {"id": "1"}, "initial_tweet_id": "1", "edit_tweet_ids": value}
    _dead(line_of("tweet_edit", body), Reason.INVALID_BODY)


@by_sample
def test_each_required_member_missing_is_an_invalid_body(sample: Sample) -> None:
    """Whatever a type cannot be without is asked for, and nothing else."""
    for name in sample.body:
        body = {other: value for other, value in sample.body.items() if other != name}
        decoded = decode(sample.stream, line_of(sample.x_type, body))
        if name in {"quote_tweet_id", "details"}:
            assert isinstance(decoded, Event)
        else:
            assert isinstance(decoded, DeadLetter)
            assert decoded.reason is Reason.INVALID_BODY
            assert decoded.id == event_id(sample.stream, sample.x_type, body)


def test_invalid_body_with_an_unreadable_time_is_identified_by_bytes() -> None:
    """Without a time there is no event id."""
    line = line_of("delete", _delete(event_at="soon"))
    assert _dead(line, Reason.INVALID_BODY).id == line_id("tweet", line)


@pytest.mark.parametrize("x_type", ["", "\0", "delete\0", "\0delete", "a\0b"])
def test_type_that_is_empty_or_holds_a_nul_is_identified_by_bytes(x_type: str) -> None:
    """Such an id could be that of a line, or of another type's event."""
    line = line_of(x_type, {"event_at": EVENT_AT, "tweet": {"id": "1"}})
    assert _dead(line, Reason.UNKNOWN_TYPE).id == line_id("tweet", line)


def test_unknown_type_is_identified_by_its_body() -> None:
    """Spelled otherwise it is the same event, whatever it means."""
    body = {"event_at": EVENT_AT, "tweet": {"id": "1"}}
    letter = _dead(line_of("tweet_vanish", body), Reason.UNKNOWN_TYPE)
    assert letter.id == event_id("tweet", "tweet_vanish", body)


def test_long_line_is_a_dead_letter_with_its_head_and_true_length() -> None:
    """The head is what is kept; id and length are those of the whole line."""
    letter = decode("tweet", LongLine(b"{head", b"i" * 16, 10**9))
    assert letter == DeadLetter(b"i" * 16, Reason.TOO_LONG, "1000000000 bytes", b"{head", 10**9, has_data=False)


@pytest.mark.parametrize(
    ("line", "has_data"),
    [
        (b'{"data":{"tweet_vanish":{}}}', True),
        (b'{"data":{}}', False),
        (b'{"data":{},"message":"Service under maintenance"}', False),
        (b'{"data":[],"meta":{"result_count":0}}', False),
        (b'{"data":{"error":"x","code":503}}', False),
        (b'{"data":{"message":"Service under maintenance"}}', False),
        (b'{"data":{"delete":{"event_at":"2026', True),
        (b' { "data" : ', True),
        (b'{"error":{"message":"over capacity"}}', False),
        (b'{"meta":{"data":1}}', False),
        (b"<html>", False),
        (b"null", False),
        (b"\xff", False),
    ],
)
def test_line_without_data_is_not_one_of_x_s_events(line: bytes, has_data: bool) -> None:  # noqa: FBT001 - a parameter
    """What cannot be parsed goes by how it begins."""
    letter = decode("tweet", line)
    assert isinstance(letter, DeadLetter)
    assert letter.has_data == has_data


def test_long_line_that_begins_with_data_is_an_event_too_long() -> None:
    """Its end is not kept, so its beginning decides."""
    letter = decode("tweet", LongLine(b'{"data":{"de', b"i" * 16, 10**9))
    assert isinstance(letter, DeadLetter)
    assert letter.has_data


def test_unencodable_event_is_a_dead_letter_with_the_event_s_id() -> None:
    """It takes part in the known ids as the event it is."""
    event = _event("tweet", TWEET_DELETE.line)
    letter = unencodable(event, TWEET_DELETE.line, "d" * 1000)
    assert (letter.id, letter.reason, letter.line) == (event.id, Reason.UNENCODABLE, TWEET_DELETE.line)
    assert len(letter.detail) == _DETAIL_LIMIT


@pytest.mark.parametrize(
    ("line", "problem", "detail"),
    [
        (
            (
                b'{"errors":[{"title":"operational-disconnect","disconnect_type":"UpstreamOperationalDisconnect",'
                b'"detail":"This stream has been disconnected upstream for operational reasons.",'
                b'"type":"https://api.twitter.com/2/problems/operational-disconnect"}]}'
            ),
            "UpstreamOperationalDisconnect",
            "This stream has been disconnected upstream for operational reasons.",
        ),
        (
            (
                b'{"title":"ConnectionException","detail":"This stream is currently at the maximum allowed connection '
                b'limit.","connection_issue":"TooManyConnections",'
                b'"type":"https://api.x.com/2/problems/streaming-connection"}'
            ),
            "TooManyConnections",
            "This stream is currently at the maximum allowed connection limit.",
        ),
        (b'{"title":"t","type":"u"}', "t", ""),
        (b'{"data":null,"errors":[{"message":"m","code":88}]}', "error", "m"),
        (b'{"errors":["words"]}', "error", "words"),
        (b'{"errors":[null]}', "error", "None"),
        (b'{"errors":[{"disconnect_type":1,"connection_issue":[],"title":"t","detail":{}}]}', "t", ""),
    ],
)
def test_system_message_wrapped_or_bare_is_understood(line: bytes, problem: str, detail: str) -> None:
    """X's most specific word is the problem; odd members do no harm."""
    assert decode("tweet", line) == SystemMessage(problem, detail)


def test_system_message_of_any_length_is_cut_short() -> None:
    """It ends up in a log and a status, not in a topic."""
    message = decode("tweet", json.dumps({"errors": [{"title": "t" * 999, "detail": "d" * 999}]}).encode())
    assert isinstance(message, SystemMessage)
    assert (len(message.problem), len(message.detail)) == (_DETAIL_LIMIT, _DETAIL_LIMIT)


def _check_total(stream: str, line: bytes) -> None:
    decoded = decode(stream, line)
    if isinstance(decoded, DeadLetter):
        assert (decoded.line, decoded.length) == (line, len(line))
    assert decoded == decode(stream, line)


@given(stream=st.sampled_from(list(STREAMS)), line=st.binary(max_size=200))
def test_decode_of_any_bytes_answers(stream: str, line: bytes) -> None:
    """Nothing raises, and the same bytes are the same thing again."""
    _check_total(stream, line)


@pytest.mark.slow
@given(sample=st.sampled_from(SAMPLES), data=st.data(), value=ANY_JSON)
def test_decode_of_any_mutated_event_answers(sample: Sample, data: st.DataObject, value: object) -> None:
    """One member anywhere in a good line is replaced by anything."""
    _check_total(sample.stream, mutated(sample, data, value))


@given(sample=st.sampled_from(SAMPLES), at=st.integers(0, 400), junk=st.binary(max_size=3), cut=st.integers(0, 3))
def test_decode_of_any_damaged_line_answers(sample: Sample, at: int, junk: bytes, cut: int) -> None:
    """A few bytes anywhere in a good line are replaced by others."""
    _check_total(sample.stream, sample.line[:at] + junk + sample.line[at + cut :])


def test_names_of_unknown_members_are_few_and_short() -> None:
    """Whatever a body holds, what is counted by name stays bounded."""
    event = _event("tweet", line_of("delete", _delete(**{f"{number:05}" * 100: 1 for number in range(1000)})))
    assert len(event.unknown_names) == 20
    assert {len(name) for name in event.unknown_names} == {60}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (line_of("brand_new", {}), "brand_new"),
        (line_of("x" * 5000, {}), "x" * 60),
        (line_of("delete", {}), None),
        (b'{"data": {}}', None),
    ],
)
def test_dead_letter_of_an_unknown_type_names_it(line: bytes, name: str | None) -> None:
    """Only where there is one type, and it is unknown."""
    letter = decode("tweet", line)
    assert isinstance(letter, DeadLetter)
    assert letter.unknown_type == name
