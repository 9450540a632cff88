"""What X should not send, through the whole path: each line between two neighbours in the same chunk."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from connector.simulator.config import SimulatorConfig
from connector.simulator.faults import Drop, IgnoreBackfill, Stall, StreamError, Truncate
from connector.simulator.record import Emitted
from connector.simulator.server import Simulator
from tests.rig.audit import History, Place, audit, read_history
from tests.rig.oracle import LINE_LIMIT_BYTES, expect_dead_letter_id, expect_event
from tests.rig.process import wait_until
from tests.rig.readback import ReadRecord
from tests.rig.service import STREAM_PARTITIONS, Probe, live_connections, make_config, provisioned, running
from tests.rig.session import Kafka, SchemaRegistry

_AT = "2026-03-14T09:26:53.589Z"
_PARTITIONS = 3
_PROFILE_LIMIT_BYTES = 20_000
_TWEET = {"id": "77", "author_id": "78"}
_USER = {"id": "79"}


@dataclass(frozen=True)
class _Row:
    """A line, where it comes, and the reason of its dead letter: None when it is an event."""

    place: Place
    line: bytes
    reason: str | None


def _line(x_type: str, body: Any, **beside: Any) -> bytes:  # noqa: ANN401 - any JSON value
    return json.dumps({"data": {x_type: body}, **beside}, ensure_ascii=False).encode()


def _tweet_line(x_type: str, **members: Any) -> bytes:  # noqa: ANN401 - any JSON value
    return _line(x_type, {"event_at": _AT, "tweet": _TWEET, **members})


def _user_line(x_type: str, **members: Any) -> bytes:  # noqa: ANN401 - any JSON value
    return _line(x_type, {"event_at": _AT, "user": _USER, **members})


def _long_line(size_bytes: int) -> bytes:
    line = _user_line("user_suspend", note="LONG")
    return line.replace(b"LONG", b"x" * (size_bytes - len(line) + 4))


def _nested(levels: int) -> bytes:
    return _tweet_line("delete", note="DEEP").replace(b'"DEEP"', b"[" * levels + b"]" * levels)


def _rows(place: Place, reason: str | None, lines: Mapping[str, bytes]) -> dict[str, _Row]:
    return {f"{reason or 'event'}: {what}": _Row(place, line, reason) for what, line in lines.items()}


_NOT_JSON = {
    "words": b"this is not JSON",
    "HTML": b"<html><body>502</body></html>",
    "a blank": b" ",
    "cut short": _tweet_line("delete")[:-3],
    "two objects": _tweet_line("delete") * 2,
    "a byte order mark": b"\xef\xbb\xbf" + _tweet_line("delete"),
    "not UTF-8": _tweet_line("delete", note="NOTE").replace(b"NOTE", b"\xff\xfe"),
    "a surrogate in UTF-8": _tweet_line("delete", note="NOTE").replace(b"NOTE", b"\xed\xa0\xbd"),
    "a lone surrogate": _tweet_line("delete", note="NOTE").replace(b"NOTE", b"\\ud83d"),
    "a lone surrogate in a name": _tweet_line("delete", NOTE=1).replace(b"NOTE", b"\\udc00"),
    "a control character": _tweet_line("delete", note="NOTE").replace(b"NOTE", b"\x01"),
    "a NUL": b"\0",
    "a string": b'"delete"',
    "a number": b"42",
    "a list": b"[" + _tweet_line("delete") + b"]",
    "null": b"null",
    "not a number": _tweet_line("delete", note="NOTE").replace(b'"NOTE"', b"NaN"),
    "a number beyond a double": _tweet_line("delete", note="NOTE").replace(b'"NOTE"', b"1.5e999"),
    "a number of 5,000 digits": _tweet_line("delete", note="NOTE").replace(b'"NOTE"', b"9" * 5000),
    "100,000 lists": b"[" * 100_000,
    "nested 100,000 deep": _nested(100_000),
    "nested 65 deep": _nested(65),
}
_UNKNOWN_TYPE = {
    "a type nobody knows": _line("tweet_archive", {"event_at": _AT, "tweet": _TWEET}),
    "a type of another stream": _user_line("user_delete"),
    "a type with a long name": _line("t" * 10_000, {"event_at": _AT}),
    "a type with odd characters": _line("naïve\n\u2028\0🎉", {"event_at": _AT}),
    "a type without a name": _line("", {"event_at": _AT}),
    "a type nobody knows, without a body": _line("tweet_archive", None),
    "no type": b'{"data":{}}',
    "no data": b'{"event":{"id":"1"}}',
    "data null": b'{"data":null}',
    "data a list": b'{"data":[]}',
    "data a text": b'{"data":"delete"}',
    "an empty object": b"{}",
    "an empty list of errors": b'{"errors":[]}',
    "two types": json.dumps({"data": {"delete": {"tweet": _TWEET, "event_at": _AT}, "drop": {}}}).encode(),
}
_INVALID_TWEET = {
    "no body": _line("delete", None),
    "a text for a body": _line("delete", "77"),
    "a list for a body": _line("delete", [_TWEET]),
    "an empty body": _line("delete", {}),
    "delete without a Tweet": _line("delete", {"event_at": _AT, "status": _TWEET}),
    "a Tweet that is an id": _tweet_line("delete", tweet="77"),
    "no id": _tweet_line("delete", tweet={"author_id": "78"}),
    "null for an id": _tweet_line("undrop", tweet={"id": None, "author_id": "78"}),
    "a number for an id": _tweet_line("delete", tweet={"id": 77, "author_id": "78"}),
    "no author": _tweet_line("delete", tweet={"id": "77"}),
    "an empty id": _tweet_line("drop", tweet={"id": "", "author_id": "78"}),
    "an id of 20 digits": _tweet_line("drop", tweet={"id": "1" * 20, "author_id": "78"}),
    "a negative id": _tweet_line("drop", tweet={"id": "-77", "author_id": "78"}),
    "an id with a line break": _tweet_line("drop", tweet={"id": "77\n", "author_id": "78"}),
    "an id in other digits": _tweet_line("drop", tweet={"id": "\u0667\u0667", "author_id": "78"}),
    "a quote that is a number": _tweet_line("delete", quote_tweet_id=5),
    "a text for a list": _tweet_line("withheld", withheld_in_countries="DE"),
    "an empty list": _tweet_line("withheld", withheld_in_countries=[]),
    "a list with a number": _tweet_line("withheld", withheld_in_countries=["DE", 1]),
    "a list with null": _tweet_line("withheld", withheld_in_countries=["DE", None]),
    "an edit without its first id": _tweet_line("tweet_edit", edit_tweet_ids=["77"]),
    "an edit with a number among the ids": _tweet_line("tweet_edit", initial_tweet_id="77", edit_tweet_ids=["77", 78]),
}
_INVALID_TIME = {
    "no time": _line("user_undelete", {"user": _USER}),
    **{
        f"the time {json.dumps(event_at)}": _line("user_delete", {"event_at": event_at, "user": _USER})
        for event_at in (
            None,
            "",
            "yesterday",
            1773480413589,
            "1773480413589",
            "2026-03-14",
            "2026-03-14T09:26:53.589",
            "2026-03-14 09:26:53.589Z",
            "2026-02-30T09:26:53Z",
            "2026-03-14T24:00:00Z",
            "2026-03-14T09:26:60Z",
            "2026-03-14T09:26:53.1234567890Z",
            "2026-03-14T09:26:53+24:00",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "\u0662\u0660\u0662\u0666-03-14T09:26:53Z",
            ["2026-03-14T09:26:53Z"],
        )
    },
}
_INVALID_USER = {
    "no profile field": _user_line("user_profile_modification", new_value="x"),
    "null for the new value": _user_line("user_profile_modification", profile_field="profile.name", new_value=None),
    "a number for the new value": _user_line("user_profile_modification", profile_field="profile.name", new_value=1),
    "no Tweet to scrub up to": _user_line("scrub_geo"),
    "no countries": _user_line("user_withheld"),
}
_EVENTS = {
    "extra fields": _tweet_line("delete", new_member={"a": [1, None, {"b": None}], "c": "é"}, other=None),
    "extra fields inside": _tweet_line("delete", tweet={**_TWEET, "edit_of": {"id": "1"}, "empty": {}, "none": None}),
    "a large whole number": _tweet_line("delete", number=123456789012345678901234567890),
    "numbers of all kinds": _tweet_line("delete", numbers=[0, -0.0, 1e300, 5e-324, 1.0, 2**63, -(2**64)]),
    "a member without a name": _tweet_line("delete", **{"": 1}),
    "keys beside data": _line("drop", {"event_at": _AT, "tweet": _TWEET}, meta={"a": 1}, errors=[{"title": "x"}]),
    "another order": _line("undrop", {"tweet": {"author_id": "78", "id": "77"}, "x": 1, "event_at": _AT}),
    "white space": b' \t{ "data"\r: {\t"drop": '
    + json.dumps({"event_at": _AT, "tweet": _TWEET, "y": 2}).encode()
    + b"}} \r",
    "a member twice": _tweet_line("drop", note=1).replace(b'"tweet"', b'"tweet": {"id": 1}, "tweet"'),
    "null for what may be missing": _tweet_line("withheld", quote_tweet_id=None, withheld_in_countries=["xx"]),
    "the id 0": _tweet_line("delete", tweet={"id": "0", "author_id": "0"}),
    "the largest id": _tweet_line("delete", tweet={"id": "9" * 19, "author_id": "9" * 19}),
    "a country of many letters": _tweet_line("withheld", withheld_in_countries=["Côte d'Ivoire", ""]),
    "nested 64 deep": _nested(64),
    **{
        f"the time {event_at}": _line("undrop", {"event_at": event_at, "tweet": _TWEET})
        for event_at in (
            "2026-03-14T09:26:53Z",
            "2026-03-14T09:26:54+00:00",
            "2026-03-14T09:26:53.5-23:59",
            *(f"2026-03-14T09:26:53.{'123456789'[:digits]}Z" for digits in range(1, 10)),
            "2026-03-14t09:26:53.77z",
            "2999-12-31T23:59:59.999999999Z",
            "9999-12-31T23:59:59.999Z",
            "1969-12-31T23:59:59.9995Z",
            "0001-01-01T00:00:00Z",
        )
    },
}

_TWEETS, _USERS, _LIKES, _LABELS, _LONG = ("tweet", 1), ("user", 1), ("like", 1), ("label", 1), ("user", 2)
_ROWS = {
    **_rows(_TWEETS, "not-json", _NOT_JSON),
    **_rows(_TWEETS, "unknown-type", _UNKNOWN_TYPE),
    **_rows(_TWEETS, "invalid-body", _INVALID_TWEET),
    **_rows(_TWEETS, None, _EVENTS),
    **_rows(_USERS, "invalid-body", _INVALID_TIME | _INVALID_USER),
    **_rows(_LIKES, "invalid-body", {"a like without a user": _line("delete", {"event_at": _AT, "favorite": _USER})}),
    **_rows(_LABELS, "invalid-body", {"a notice of no kind": _tweet_line("public_tweet_notice", application="apply")}),
    **_rows(_LONG, None, {"a line of just the limit": _long_line(LINE_LIMIT_BYTES)}),
    **_rows(
        _LONG,
        "too-long",
        {
            "one byte over the limit": _long_line(LINE_LIMIT_BYTES + 1),
            "3 MiB": _long_line(3 * 1024**2),
            "3 MiB of no JSON": b"y" * 3 * 1024**2,
        },
    ),
    **_rows(
        _LONG,
        "unencodable",
        {
            "more than its topic takes": _user_line(
                "user_profile_modification", profile_field="profile.name", new_value="z" * _PROFILE_LIMIT_BYTES
            )
        },
    ),
}

_CONTROLS = {
    ("tweet", 2): StreamError(stream="tweet", partition=2, wrapped=True, terminator="\r\n"),
    ("tweet", 3): StreamError(stream="tweet", partition=3, wrapped=True, terminator="\n"),
    ("user", 3): StreamError(stream="user", partition=3, wrapped=False, terminator="\r\n"),
    ("user", 4): StreamError(stream="user", partition=4, wrapped=False, terminator="\n"),
}
_CUT = ("tweet", 4)
_HALF_IS_WHOLE = _tweet_line("delete", note="its first half can be read") + b" "
_HALF_IS_WHOLE += b" " * len(_HALF_IS_WHOLE)


@dataclass(frozen=True)
class _Story:
    """What the service said before and after the backfill, and what is in Kafka in the end."""

    simulator: Simulator
    emitted: Sequence[Emitted]
    history: History
    dead_lettered: Mapping[str, float]
    duplicates: Mapping[Place, float]
    metric: Callable[..., float]


def _neighbour(place: Place, number: int) -> bytes:
    """Return a well-formed event of the stream, unlike any other."""
    tweet = {"id": str(1000 + number), "author_id": "12"}
    match place[0]:
        case "tweet":
            return _line("delete", {"event_at": _AT, "tweet": tweet})
        case "user":
            return _line("user_delete", {"event_at": _AT, "user": {"id": str(1000 + number)}})
        case "like":
            return _line("delete", {"event_at": _AT, "favorite": {"id": str(1000 + number), "user_id": "12"}})
        case _:
            return _line("public_tweet_unviewable", {"event_at": _AT, "tweet": tweet, "application": "apply"})


def _emit_rows(simulator: Simulator) -> None:
    """Emit all rows, each followed by a neighbour, while nothing is delivered; then let all go in one write."""
    places = {row.place for row in _ROWS.values()}
    for stream, partition in places:
        simulator.inject(Stall(stream=stream, partition=partition))
    wait_until(lambda: simulator.fired["stall"] == len(places), "the partitions are stalled")
    for place in places:
        simulator.emit_line(*place, _neighbour(place, 0), "event")
    for number, row in enumerate(_ROWS.values(), start=1):
        simulator.emit_line(*row.place, row.line, row.reason or "event")
        simulator.emit_line(*row.place, _neighbour(row.place, number), "event")
    simulator.release()


def _redeliver(simulator: Simulator, probe: Probe) -> dict[Place, float]:
    """Drop the rows' connections and return how many duplicates the backfill then brought."""
    counts = {place: sum((line.stream, line.partition) == place for line in simulator.record()) for place in _places()}
    for stream, partition in counts:
        simulator.inject(Drop(stream=stream, partition=partition))

    def duplicates() -> dict[Place, float]:
        metrics = probe.metrics()
        return {
            (stream, partition): metrics.total("lines_duplicate_total", stream=stream, partition=str(partition))
            for stream, partition in counts
        }

    wait_until(lambda: duplicates() == counts, f"all is delivered again: {counts}")
    return duplicates()


def _places() -> set[Place]:
    return {row.place for row in _ROWS.values()}


def _send_controls(simulator: Simulator, probe: Probe) -> None:
    """Send each kind of control message, and events after it."""
    for fault in _CONTROLS.values():
        simulator.inject(fault)
    wait_until(lambda: simulator.fired["stream-error"] == len(_CONTROLS), "X has spoken of the connections")
    for number, place in enumerate(_CONTROLS):
        simulator.emit_line(*place, _neighbour(place, number), "event")
    probe.await_sequences(simulator)


def _cut_lines(simulator: Simulator, probe: Probe) -> None:
    """End the connection in the middle of a line: once X sends it again, once it does not."""
    stream, partition = _CUT
    before = probe.partition(stream, partition)["sequence"] or 0
    simulator.inject(Truncate(stream=stream, partition=partition))
    simulator.emit_line(stream, partition, _neighbour(_CUT, 1), "event")
    wait_until(lambda: probe.partition(stream, partition)["sequence"] == before + 1, "the cut line came again")
    simulator.inject(IgnoreBackfill(stream=stream, partition=partition))
    simulator.inject(Truncate(stream=stream, partition=partition, ending="close"))
    simulator.emit_line(stream, partition, _HALF_IS_WHOLE, "cut")
    wait_until(
        lambda: simulator.fired["ignore-backfill"] == 1 and _CUT in live_connections(simulator),
        "the connection was made again",
    )
    simulator.emit_line(stream, partition, _neighbour(_CUT, 2), "event")
    probe.await_sequences(simulator)


@pytest.fixture(scope="module")
def story(kafka: Kafka, registry: SchemaRegistry, seed: int) -> Iterator[_Story]:
    """Run the service through all of it."""
    prefix = f"test-{token_hex(6)}"
    with (
        Simulator(SimulatorConfig(seed=seed)) as simulator,
        provisioned(
            make_config(kafka.bootstrap_servers, registry.url, prefix, simulator.base_url, _PARTITIONS)
        ) as config,
    ):
        _limit_profile_topic(kafka, prefix)
        with running(config) as probe:
            probe.await_connected(simulator)
            _emit_rows(simulator)
            malformed = sum(row.reason is not None for row in _ROWS.values())
            wait_until(
                lambda: probe.metric("lines_dead_lettered_total") >= malformed, f"{malformed} lines are dead letters"
            )
            probe.await_sequences(simulator)
            duplicates = _redeliver(simulator, probe)
            _send_controls(simulator, probe)
            _cut_lines(simulator, probe)
            metrics = probe.metrics()
            dead_lettered = {
                reason: metrics.total("lines_dead_lettered_total", reason=reason)
                for reason in ("not-json", "unknown-type", "invalid-body", "too-long", "unencodable")
            }
        emitted = [line for line in simulator.record() if line.kind != "cut"]
        history = read_history(kafka.bootstrap_servers, registry.url, prefix, _PARTITIONS)
        yield _Story(simulator, emitted, history, dead_lettered, duplicates, metrics.total)


def _limit_profile_topic(kafka: Kafka, prefix: str) -> None:
    entry = ConfigEntry("max.message.bytes", str(_PROFILE_LIMIT_BYTES), incremental_operation=AlterConfigOpType.SET)
    topic = f"{prefix}.user.profile-modification"
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.incremental_alter_configs([resource])[resource].result(30)

    def is_seen() -> bool:
        found = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)])
        return all(each.result(30)["max.message.bytes"].value == str(_PROFILE_LIMIT_BYTES) for each in found.values())

    wait_until(is_seen, "the limit is seen")


def _letter(story: _Story, row: _Row) -> ReadRecord:
    event_id = expect_dead_letter_id(row.place[0], row.line)
    [letter] = [letter for letter in story.history.dead_letters if letter.key == event_id]
    return letter


def test_all_of_it_leaves_every_other_event_unharmed(story: _Story) -> None:
    """The whole history is right: every event once with all fields, every broken line once, the ledger in balance."""
    assert audit(story.history, story.emitted) == []
    assert story.history.gaps == []


@pytest.mark.parametrize("name", [name for name, row in _ROWS.items() if row.reason is not None])
def test_line_that_is_no_event_becomes_a_dead_letter_with_reason_and_origin(story: _Story, name: str) -> None:
    """The dead letter says why, where from and when, and holds the bytes up to the limit."""
    row = _ROWS[name]
    letter = _letter(story, row)
    headers = dict(letter.headers)
    received_at = datetime.fromisoformat(headers.pop("received-at"))
    assert 0 <= letter.timestamp_ms / 1000 - received_at.timestamp() < 60
    assert headers.pop("detail")
    assert headers == {
        "reason": row.reason,
        "length": str(len(row.line)),
        "event-id": letter.key,
        "stream": row.place[0],
        "stream-partition": str(row.place[1]),
    }
    assert letter.value == row.line[:LINE_LIMIT_BYTES]


@pytest.mark.parametrize("name", _ROWS)
def test_neighbours_of_the_line_are_published_next_to_it(story: _Story, name: str) -> None:
    """The events before and after are there, and no sequence number is spent on a line that is no event."""
    row = _ROWS[name]
    lines = [line for line in story.emitted if (line.stream, line.partition) == row.place]
    at = next(at for at, line in enumerate(lines) if line.line == row.line)
    sequences = {event.id: event.fields["sequence"] for event in story.history.events[row.place]}
    before, after = (
        sequences[expect_event(story.history.prefix, *row.place, lines[beside].line).id] for beside in (at - 1, at + 1)
    )
    assert after - before == (1 if row.reason is not None else 2)


def test_same_lines_by_a_backfill_are_duplicates(story: _Story) -> None:
    """A second delivery of everything, broken lines included, is counted and changes nothing."""
    assert sum(story.duplicates.values()) == 2 * len(_ROWS) + len(_places())
    assert sum(story.dead_lettered.values()) == len(story.history.dead_letters)


def test_dead_letters_are_counted_by_reason(story: _Story) -> None:
    """The metric of each reason is the number of such lines."""
    for reason, count in story.dead_lettered.items():
        assert count == sum(row.reason == reason for row in _ROWS.values())


@pytest.mark.parametrize("place", _CONTROLS)
def test_control_message_closes_and_reopens_the_connection(story: _Story, place: Place) -> None:
    """It is counted and no dead letter; we close, since X does not, and what follows arrives over the next one."""
    stream, partition = place
    where = {"stream": stream, "partition": str(partition)}
    assert story.metric("lines_control_total", **where) == 1
    assert story.metric("disconnects_total", reason="system-message", **where) == 1
    endings = [each.ended for each in story.simulator.connections if (each.stream, each.partition) == place]
    assert endings == ["client-gone", "client-gone"]
    assert len(story.history.events[place]) == 1


def test_tail_of_a_cut_connection_is_counted_and_never_published(story: _Story) -> None:
    """Not even one that could be read: the event comes when X sends it whole, or not at all."""
    stream, partition = _CUT
    assert story.metric("truncated_tails_total", stream=stream, partition=str(partition)) == 2
    assert story.simulator.fired["truncate"] == 2
    unsent = expect_event(story.history.prefix, stream, partition, _HALF_IS_WHOLE)
    json.loads(_HALF_IS_WHOLE[: len(_HALF_IS_WHOLE) // 2])
    assert unsent.id not in {event.id for event in story.history.events[_CUT]}
    assert len(story.history.events[_CUT]) == 2


def test_process_was_never_disturbed(story: _Story) -> None:
    """No producer was lost, and no partition restarted or given up over any of it."""
    assert story.metric("producers_replaced_total", cause="failed") == 0
    assert story.metric("partition_restarts_total") == 0
    assert story.metric("partition_corrupt") == 0
    assert story.metric("partition_owned") == len(STREAM_PARTITIONS)
