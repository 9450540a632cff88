"""The audit: a whole history in Kafka against everything that X emitted.

Every `check_…` returns its findings as text; none means all is right. Knows the contract and the oracle; must not
know the connector's code.
"""

import json
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connector.simulator.record import Emitted
from tests.rig.oracle import (
    EVENTS,
    LINE_LIMIT_BYTES,
    ExpectedEvent,
    expect_dead_letter_id,
    expect_event,
    kafka_partition,
)
from tests.rig.readback import Decoder, ReadRecord, read_topics
from tests.rig.service import STREAM_PARTITIONS

_FOUND_ONLY_IN_KAFKA = {"received_at", "sequence", "delivered_by"}
_OWN = ("coverage", "gap", "dead-letter", "ledger")
_CLOCK_SLACK_MS = 1500
"""X tells its time in whole seconds, so a time of receipt may be that much too early."""
_ID_BYTES = 16
_REPLAYED = "replayed"
_BY_REPLAY = "dead-letter"

Place = tuple[str, int]
"""A stream partition."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event read back."""

    record: ReadRecord
    fields: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The `event_id`."""
        return str(self.fields["event_id"])


@dataclass(frozen=True, slots=True)
class History:
    """All topics of a prefix. Events are by stream partition in the order of their sequence, the rest as read.

    `marks` are what the dead-letter topic holds beside dead letters: that some of them were replayed.
    """

    prefix: str
    partitions: int
    events: Mapping[Place, Sequence[Event]]
    dead_letters: Sequence[ReadRecord]
    marks: Sequence[ReadRecord]
    coverage: Mapping[Place, Sequence[Mapping[str, Any]]]
    ledger: Mapping[Place, Sequence[Mapping[str, Any]]]
    gaps: Sequence[Mapping[str, Any]]
    ledger_records: Sequence[ReadRecord]


def read_history(bootstrap_servers: str, registry_url: str, prefix: str, partitions: int) -> History:
    """Read everything back; `partitions` is what each event topic has."""
    decoder = Decoder(registry_url)
    topics = [*(f"{prefix}.{event}" for event in EVENTS), *(f"{prefix}-{own}" for own in _OWN)]
    records = read_topics(bootstrap_servers, topics)
    events: dict[Place, list[Event]] = defaultdict(list)
    for record in records:
        if record.topic.startswith(f"{prefix}."):
            fields = decoder.decode(record.value)
            events[fields["stream"], fields["stream_partition"]].append(Event(record, fields))
    own = {name: [record for record in records if record.topic == f"{prefix}-{name}"] for name in _OWN}
    return History(
        prefix,
        partitions,
        {place: sorted(found, key=lambda event: int(event.fields["sequence"])) for place, found in events.items()},
        [record for record in own["dead-letter"] if record.headers["reason"] != _REPLAYED],
        [record for record in own["dead-letter"] if record.headers["reason"] == _REPLAYED],
        _by_place(own["coverage"], decoder),
        _by_place(own["ledger"], decoder),
        [decoder.decode(record.value) for record in own["gap"]],
        own["ledger"],
    )


def _by_place(records: Sequence[ReadRecord], decoder: Decoder) -> dict[Place, list[Mapping[str, Any]]]:
    found: dict[Place, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        fields = decoder.decode(record.value)
        place = (fields["stream"], fields["stream_partition"])
        assert record.key == f"{place[0]}/{place[1]}"
        found[place].append(fields)
    return found


def expected_events(prefix: str, emitted: Sequence[Emitted]) -> dict[Place, dict[str, tuple[Emitted, ExpectedEvent]]]:
    """Return what the well-formed lines must become, by stream partition and id, in the order of emission."""
    expected: dict[Place, dict[str, tuple[Emitted, ExpectedEvent]]] = defaultdict(dict)
    for line in emitted:
        if line.kind == "event":
            event = expect_event(prefix, line.stream, line.partition, line.line)
            expected[line.stream, line.partition].setdefault(event.id, (line, event))
    return expected


def audit(history: History, emitted: Sequence[Emitted]) -> list[str]:
    """Return all findings of all checks."""
    expected = expected_events(history.prefix, emitted)
    return [
        *check_once_in_order(history, expected),
        *check_contents(history, expected),
        *check_places(history),
        *check_dead_letters(history, emitted),
        *check_marks(history),
        *check_ledger(history),
        *check_coverage(history),
        *(finding for _, finding in check_end_of_coverage(history)),
    ]


def check_once_in_order(
    history: History, expected: Mapping[Place, Mapping[str, tuple[Emitted, ExpectedEvent]]]
) -> Iterator[str]:
    """Nothing lost, repeated or made up; sequences are 1, 2, 3 …, and follow the order of emission."""
    for place in STREAM_PARTITIONS:
        events, wanted = history.events.get(place, ()), list(expected.get(place, ()))
        found = [event.id for event in events]
        if [event.fields["sequence"] for event in events] != list(range(1, len(events) + 1)):
            yield f"{place}: sequences have gaps or repetitions"
        if lost := set(wanted) - set(found):
            yield f"{place}: {len(lost)} lost, such as {min(lost)}"
        if odd := set(found) - set(wanted):
            yield f"{place}: {len(odd)} made up, such as {min(odd)}"
        if repeated := [event_id for event_id, count in Counter(found).items() if count > 1]:
            yield f"{place}: {len(repeated)} repeated, such as {min(repeated)}"
        for is_replayed in (False, True):
            ids = [event.id for event in events if (event.fields["delivered_by"] == _BY_REPLAY) is is_replayed]
            known = set(ids)
            if not (lost or odd or repeated) and ids != [event_id for event_id in wanted if event_id in known]:
                yield f"{place}: out of order"


def check_contents(
    history: History, expected: Mapping[Place, Mapping[str, tuple[Emitted, ExpectedEvent]]]
) -> Iterator[str]:
    """Topic, key, headers and every field are right."""
    replayed = {(_origin(mark), mark.key) for mark in history.marks}
    for place, found in history.events.items():
        for event in found:
            line, wanted = expected[place].get(event.id, (None, None))
            if line is not None and wanted is not None:
                way = _BY_REPLAY if (place, event.id) in replayed else "stream"
                yield from _differences(place, event, line, wanted, way)


def _differences(place: Place, event: Event, line: Emitted, wanted: ExpectedEvent, way: str) -> Iterator[str]:
    record, fields = event.record, dict(event.fields)
    received_at = fields["received_at"]
    if not line.emitted_at // 10**6 - _CLOCK_SLACK_MS <= received_at <= record.timestamp_ms:
        yield f"{place} {event.id}: received at {received_at}, emitted at {line.emitted_at}"
    if fields["unknown_fields"] is not None:
        fields["unknown_fields"] = json.loads(fields["unknown_fields"])
    for what, actual, right in (
        ("topic", record.topic, wanted.topic),
        ("key", record.key, wanted.key),
        ("headers", record.headers, wanted.headers),
        ("fields", {name: fields[name] for name in fields if name not in _FOUND_ONLY_IN_KAFKA}, wanted.fields),
        ("fields' names", fields.keys() - wanted.fields.keys(), _FOUND_ONLY_IN_KAFKA),
        ("way", fields["delivered_by"], way),
    ):
        if actual != right:
            yield f"{place} {event.id}: {what} {actual}, should be {right}"


def check_places(history: History) -> Iterator[str]:
    """Each record is on the partition that murmur2 gives its key; within one, offsets follow the sequence."""
    for place, found in history.events.items():
        last_offsets: dict[tuple[str, int], int] = {}
        for event in found:
            record = event.record
            if record.partition != kafka_partition(record.key.encode(), history.partitions):
                yield f"{place} {event.id}: on partition {record.partition}"
            if record.offset <= last_offsets.get((record.topic, record.partition), -1):
                yield f"{place} {event.id}: its offset does not follow its sequence"
            last_offsets[record.topic, record.partition] = record.offset


def check_dead_letters(history: History, emitted: Sequence[Emitted]) -> Iterator[str]:
    """Each malformed line is there once, byte by byte up to the limit, with its id, length and origin."""
    wanted = {
        (expect_dead_letter_id(line.stream, line.line), line.stream, str(line.partition)): line.line
        for line in emitted
        if line.kind != "event"
    }
    replayed = {(_origin(mark), mark.key) for mark in history.marks}
    letters = [letter for letter in history.dead_letters if (_origin(letter), letter.key) not in replayed]
    found = Counter((letter.key, letter.headers["stream"], letter.headers["stream-partition"]) for letter in letters)
    for place in wanted.keys() ^ found.keys():
        yield f"dead letter {place} is {'missing' if place in wanted else 'made up'}"
    yield from (f"dead letter {place} is there {count} times" for place, count in found.items() if count > 1)
    for letter in letters:
        headers = letter.headers
        line = wanted.get((letter.key, headers["stream"], headers["stream-partition"]), b"")
        if letter.value != line[:LINE_LIMIT_BYTES]:
            yield f"dead letter {letter.key}: other bytes: {letter.value[:200]!r}"
        if (headers["length"], headers["event-id"]) != (str(len(line)), letter.key):
            yield f"dead letter {letter.key}: wrong headers {headers}"


def check_marks(history: History) -> Iterator[str]:
    """Each mark is that of one dead letter and of one event, whose sequence it names."""
    letters = {(_origin(letter), letter.key): letter for letter in history.dead_letters}
    events = {(place, event.id): event for place, found in history.events.items() for event in found}
    marks = Counter((_origin(mark), mark.key) for mark in history.marks)
    yield from (f"dead letter {key} is marked {count} times" for key, count in marks.items() if count > 1)
    for mark in history.marks:
        key, headers = (_origin(mark), mark.key), mark.headers
        if key not in letters or key not in events or mark.value:
            yield f"mark {key}: no such dead letter or event, or a value"
        elif (headers["sequence"], headers["received-at"], headers["event-id"]) != (
            str(events[key].fields["sequence"]),
            letters[key].headers["received-at"],
            mark.key,
        ):
            yield f"mark {key}: wrong headers {headers}"
    replayed = {key for key, event in events.items() if event.fields["delivered_by"] == _BY_REPLAY}
    yield from (f"{key} was replayed and not marked" for key in replayed - marks.keys())


def _origin(record: ReadRecord) -> Place:
    return record.headers["stream"], int(record.headers["stream-partition"])


def check_ledger(history: History) -> Iterator[str]:
    """Entries are contiguous, add up, and name exactly the ids of events and dead letters."""
    for record in history.ledger_records:
        stream, _, number = record.key.partition("/")
        if STREAM_PARTITIONS[record.partition] != (stream, int(number)):
            yield f"ledger entry of {record.key} on partition {record.partition}"
    for place in STREAM_PARTITIONS:
        entries = history.ledger.get(place, ())
        letters = [letter.key for letter in history.dead_letters if _origin(letter) == place]
        events = [(event.fields["sequence"], event.id) for event in history.events.get(place, ())]
        findings = (*_ledger_findings(entries), *_id_findings(entries, deque(events), deque(letters)))
        yield from (f"ledger {place}: {finding}" for finding in findings)


def _ledger_findings(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if [entry["entry"] for entry in entries] != list(range(len(entries))):
        yield "entries are not contiguous"
    before: Mapping[str, Any] = {"sequence": 0, "covered_until": entries[0]["covered_until_before"]} if entries else {}
    for entry in entries:
        number = entry["entry"]
        if entry["received"] != sum(entry[name] for name in ("published", "duplicate", "dead_lettered", "control")):
            yield f"entry {number}: lines are unaccounted for"
        if entry["sequence"] != before["sequence"] + entry["published"]:
            yield f"entry {number}: sequence and count differ"
        if entry["covered_until_before"] != before["covered_until"] or (
            entry["covered_until"] < before["covered_until"] and entry["entry"] > 1
        ):
            yield f"entry {number}: coverage does not follow"
        if len(entry["ids"]) != _ID_BYTES * (entry["published"] + entry["dead_lettered"]):
            yield f"entry {number}: ids and counts differ"
        before = entry


def _id_findings(
    entries: Sequence[Mapping[str, Any]], events: deque[tuple[int, str]], letters: deque[str]
) -> Iterator[str]:
    """Ids are those of the events in the order of their sequence, and of the dead letters in theirs."""
    for entry in entries:
        for at in range(0, len(entry["ids"]), _ID_BYTES):
            event_id = entry["ids"][at : at + _ID_BYTES].hex()
            if events and events[0][1] == event_id and events[0][0] <= entry["sequence"]:
                events.popleft()
            elif letters and letters[0] == event_id:
                letters.popleft()
            else:
                yield f"ids and events differ from id {event_id} of entry {entry['entry']} on"
                return
    if events:
        yield "ids and events differ"
    if letters:
        yield "ids and dead letters differ"


def check_coverage(history: History) -> Iterator[str]:
    """Coverage moves forward, and never beyond the clock."""
    for place, records in history.coverage.items():
        marks = [(record["covered_until"], record["sequence"]) for record in records]
        if marks != sorted(marks):
            yield f"coverage {place}: moves back"
        for record in records:
            if record["covered_until"] > record["written_at"]:
                yield f"coverage {place}: ahead of the clock: {record}"


def check_end_of_coverage(history: History) -> Iterator[tuple[Place, str]]:
    """Yield each stream partition whose coverage ends elsewhere than its ledger, as it must not after a clean stop."""
    for place, records in history.coverage.items():
        last = records[-1]["covered_until"], records[-1]["sequence"]
        newest = history.ledger[place][-1]
        if last != (newest["covered_until"] // 1000, newest["sequence"]):
            yield place, f"coverage {place}: ends at {last}, not where the ledger does"
