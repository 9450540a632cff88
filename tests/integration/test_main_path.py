"""The main path at scale: events of all types over all stream partitions, every one of them accounted for."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Any

import pytest

from connector.simulator.config import SimulatorConfig
from connector.simulator.faults import Broken, Drop, Duplicate, InvalidBody, UnknownType
from connector.simulator.record import Emitted
from connector.simulator.server import Simulator
from tests.rig import audit
from tests.rig.audit import Event, History, Place, expected_events, read_history
from tests.rig.oracle import EVENTS, ExpectedEvent, murmur2
from tests.rig.process import wait_until
from tests.rig.service import (
    STREAM_PARTITIONS,
    STREAMS,
    live_connections,
    make_config,
    override,
    provisioned,
    running,
)
from tests.rig.session import Kafka, SchemaRegistry

_EVENTS = 200_000 if os.environ.get("LONG") else 100_000
_WHILE_NONE_RUNS = _EVENTS // 5
_WHILE_ONE_RUNS = (_EVENTS - _WHILE_NONE_RUNS) // 2
_BURST = 5_000
_PARTITIONS = 6


@dataclass(frozen=True)
class _Story:
    """What was emitted and what is in Kafka in the end."""

    simulator: Simulator
    emitted: Sequence[Emitted]
    history: History
    expected: Mapping[Place, Mapping[str, tuple[Emitted, ExpectedEvent]]]


@pytest.fixture(scope="module")
def story(kafka: Kafka, registry: SchemaRegistry, seed: int) -> Iterator[_Story]:
    """Run two services one after the other, the first with gzip, with duplicates, broken lines and drops on the way.

    A fifth of the events comes while neither runs.
    """
    prefix = f"test-{token_hex(6)}"
    with (
        Simulator(SimulatorConfig(seed=seed, chunking="random")) as simulator,
        provisioned(make_config(kafka.bootstrap_servers, registry.url, prefix, simulator.base_url)) as config,
    ):
        with running(config) as probe:
            probe.await_connected(simulator)
            _emit(simulator, _WHILE_ONE_RUNS)
            _drop(simulator, STREAMS)
            probe.await_sequences(simulator, 120)
        _emit(simulator, _WHILE_NONE_RUNS)
        with running(override(config, x={"gzip": False})) as probe:
            probe.await_connected(simulator)
            _emit(simulator, _WHILE_ONE_RUNS)
            _drop(simulator, ["user", "like", "label"])
            probe.await_sequences(simulator, 120)
        emitted = simulator.record()
        history = read_history(kafka.bootstrap_servers, registry.url, prefix, _PARTITIONS)
        yield _Story(simulator, emitted, history, expected_events(prefix, emitted))


def _emit(simulator: Simulator, count: int) -> None:
    for _ in range(count // _BURST):
        simulator.emit(_BURST)
        simulator.inject(Duplicate(lines=20, after_lines=30))
        for malformed in (UnknownType(), InvalidBody(), Broken()):
            simulator.inject(malformed)


def _drop(simulator: Simulator, streams: Sequence[str]) -> None:
    """Reset the streams' connections behind what was emitted so far, and wait for each to come back."""
    simulator.faults.disarm()
    due = simulator.fired["drop"] + sum(stream in streams for stream, _ in STREAM_PARTITIONS)
    for stream in streams:
        simulator.inject(Drop(stream=stream, reset=True))
    wait_until(lambda: simulator.fired["drop"] == due, "the connections are dropped")
    wait_until(lambda: len(live_connections(simulator)) == len(STREAM_PARTITIONS), "all are connected again")


def test_every_event_once_and_in_order(story: _Story) -> None:
    """Nothing is lost, repeated or made up; sequences have no gap and follow the order in which X delivered."""
    assert list(audit.check_once_in_order(story.history, story.expected)) == []
    assert sum(map(len, story.history.events.values())) == _EVENTS


def test_every_field_key_and_header_is_the_oracles(story: _Story) -> None:
    """Topic, key, headers and all fields of all events are what the contract says."""
    assert list(audit.check_contents(story.history, story.expected)) == []
    assert {event.record.topic for found in story.history.events.values() for event in found} == {
        f"{story.history.prefix}.{event}" for event in EVENTS
    }


def test_every_record_is_where_java_would_put_it_in_order(story: _Story) -> None:
    """The Kafka partition is murmur2's choice, and within it the offsets follow the sequence."""
    assert list(audit.check_places(story.history)) == []


def test_every_malformed_line_is_one_dead_letter(story: _Story) -> None:
    """Lines that are not events are kept byte for byte, once."""
    assert list(audit.check_dead_letters(story.history, story.emitted)) == []
    assert len(story.history.dead_letters) == 3 * len(STREAM_PARTITIONS) * _EVENTS // _BURST


def test_ledger_accounts_for_every_line(story: _Story) -> None:
    """Entries are contiguous, counts add up, and the ids are those of the events and dead letters, and the reverse."""
    assert list(audit.check_ledger(story.history)) == []
    assert set(story.history.ledger) == set(STREAM_PARTITIONS)


def test_coverage_never_runs_ahead(story: _Story) -> None:
    """Coverage moves forward up to the ledger's end, and no gap is recorded."""
    assert list(audit.check_coverage(story.history)) == []
    assert list(audit.check_end_of_coverage(story.history)) == []
    assert set(story.history.coverage) == set(STREAM_PARTITIONS)
    assert story.history.gaps == []


def test_duplicates_and_reconnects_really_came(story: _Story) -> None:
    """X repeated lines by itself and by backfill, sent gzip and plain text, and dropped every partition."""
    assert story.simulator.fired["duplicate"] > 0
    assert story.simulator.fired["drop"] == len(STREAM_PARTITIONS) + 6
    for place in STREAM_PARTITIONS:
        entries = story.history.ledger[place]
        assert sum(entry["duplicate"] for entry in entries) > 0
        assert len({entry["writer_id"] for entry in entries}) == 2
    asked = {request.headers["accept-encoding"] for request in story.simulator.requests}
    assert asked == {"gzip", "identity"}
    assert any("backfill_minutes" in request.query for request in story.simulator.requests)


Tampering = Callable[[list[Event]], list[Event]]


def _with_field(event: Event, name: str, value: Any) -> Event:  # noqa: ANN401 - any field
    return Event(event.record, {**event.fields, name: value})


_TAMPERINGS: dict[str, Tampering] = {
    "lost": lambda events: events[:5] + events[6:],
    "repeated": lambda events: [*events, events[5]],
    "out of order": lambda events: [*events[:5], events[6], events[5], *events[7:]],
    "sequences": lambda events: [*events[:-1], _with_field(events[-1], "sequence", len(events) + 1)],
    "made up": lambda events: [*events, _with_field(events[5], "event_id", "0" * 32)],
    "fields": lambda events: [_with_field(events[0], "user_id", "1"), *events[1:]],
    "way": lambda events: [_with_field(events[0], "delivered_by", "replay"), *events[1:]],
    "received at": lambda events: [_with_field(events[0], "received_at", 0), *events[1:]],
    "key": lambda events: [replace(events[0], record=replace(events[0].record, key="1")), *events[1:]],
    "topic": lambda events: [replace(events[0], record=replace(events[0].record, topic="t")), *events[1:]],
    "headers": lambda events: [replace(events[0], record=replace(events[0].record, headers={})), *events[1:]],
    "on partition": lambda events: [replace(events[0], record=replace(events[0].record, partition=99)), *events[1:]],
    "ids and events differ": lambda events: events[:-1],
}


@pytest.mark.parametrize("finding", _TAMPERINGS)
def test_audit_of_a_tampered_history_finds_it(story: _Story, finding: str) -> None:
    """The audit is no rubber stamp: each kind of fault is found."""
    place = ("like", 1)
    tampered = _TAMPERINGS[finding](list(story.history.events[place]))
    history = replace(
        story.history, events={place: tampered}, ledger={place: story.history.ledger[place]}, dead_letters=[]
    )
    expected = {place: story.expected[place]}
    findings = [
        *audit.check_once_in_order(history, expected),
        *audit.check_contents(history, expected),
        *audit.check_places(history),
        *audit.check_ledger(history),
    ]
    assert any(finding in text for text in findings), findings


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_murmur2_of_javas_own_examples_is_javas(key: str, digest: int) -> None:
    """The oracle's hash agrees with the vectors in the tests of Kafka's Java client."""
    assert murmur2(key.encode()) == digest & 0xFFFFFFFF
