"""What X should not send, through the whole path: each line between two neighbours in the same chunk."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from connector.simulator.config import SimulatorConfig
from connector.simulator.faults import Drop, IgnoreBackfill, Stall, StreamError, Truncate
from connector.simulator.record import Emitted
from connector.simulator.server import Simulator
from tests.integration.bad_lines import PROFILE_LIMIT_BYTES, ROWS, Row, neighbour, tweet_line
from tests.rig.audit import History, Place, audit, read_history
from tests.rig.oracle import LINE_LIMIT_BYTES, expect_dead_letter_id, expect_event
from tests.rig.process import wait_until
from tests.rig.readback import ReadRecord
from tests.rig.service import STREAM_PARTITIONS, Probe, live_connections, make_config, provisioned, running
from tests.rig.session import Kafka, SchemaRegistry

_PARTITIONS = 3
_CONTROLS = {
    ("tweet", 2): StreamError(stream="tweet", partition=2, wrapped=True, terminator="\r\n"),
    ("tweet", 3): StreamError(stream="tweet", partition=3, wrapped=True, terminator="\n"),
    ("user", 3): StreamError(stream="user", partition=3, wrapped=False, terminator="\r\n"),
    ("user", 4): StreamError(stream="user", partition=4, wrapped=False, terminator="\n"),
}
_CUT = ("tweet", 4)
_HALF_IS_WHOLE = tweet_line("delete", note="its first half can be read") + b" "
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


def _emit_rows(simulator: Simulator) -> None:
    """Emit all rows, each followed by a neighbour, while nothing is delivered; then let all go in one write."""
    places = {row.place for row in ROWS.values()}
    for stream, partition in places:
        simulator.inject(Stall(stream=stream, partition=partition))
    wait_until(lambda: simulator.fired["stall"] == len(places), "the partitions are stalled")
    for place in places:
        simulator.emit_line(*place, neighbour(place, 0), "event")
    for number, row in enumerate(ROWS.values(), start=1):
        simulator.emit_line(*row.place, row.line, row.reason or "event")
        simulator.emit_line(*row.place, neighbour(row.place, number), "event")
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
    return {row.place for row in ROWS.values()}


def _send_controls(simulator: Simulator, probe: Probe) -> None:
    """Send each kind of control message, and events after it."""
    for fault in _CONTROLS.values():
        simulator.inject(fault)
    wait_until(lambda: simulator.fired["stream-error"] == len(_CONTROLS), "X has spoken of the connections")
    for number, place in enumerate(_CONTROLS):
        simulator.emit_line(*place, neighbour(place, number), "event")
    probe.await_sequences(simulator)


def _cut_lines(simulator: Simulator, probe: Probe) -> None:
    """End the connection in the middle of a line: once X sends it again, once it does not."""
    stream, partition = _CUT
    before = probe.partition(stream, partition)["sequence"] or 0
    simulator.inject(Truncate(stream=stream, partition=partition))
    simulator.emit_line(stream, partition, neighbour(_CUT, 1), "event")
    wait_until(lambda: probe.partition(stream, partition)["sequence"] == before + 1, "the cut line came again")
    simulator.inject(IgnoreBackfill(stream=stream, partition=partition))
    simulator.inject(Truncate(stream=stream, partition=partition, ending="close"))
    simulator.emit_line(stream, partition, _HALF_IS_WHOLE, "cut")
    wait_until(
        lambda: simulator.fired["ignore-backfill"] == 1 and _CUT in live_connections(simulator),
        "the connection was made again",
    )
    simulator.emit_line(stream, partition, neighbour(_CUT, 2), "event")
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
            malformed = sum(row.reason is not None for row in ROWS.values())
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
    entry = ConfigEntry("max.message.bytes", str(PROFILE_LIMIT_BYTES), incremental_operation=AlterConfigOpType.SET)
    topic = f"{prefix}.user.profile-modification"
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.incremental_alter_configs([resource])[resource].result(30)

    def is_seen() -> bool:
        found = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)])
        return all(each.result(30)["max.message.bytes"].value == str(PROFILE_LIMIT_BYTES) for each in found.values())

    wait_until(is_seen, "the limit is seen")


def _letter(story: _Story, row: Row) -> ReadRecord:
    event_id = expect_dead_letter_id(row.place[0], row.line)
    [letter] = [letter for letter in story.history.dead_letters if letter.key == event_id]
    return letter


def test_all_of_it_leaves_every_other_event_unharmed(story: _Story) -> None:
    """The whole history is right: every event once with all fields, every broken line once, the ledger in balance."""
    assert audit(story.history, story.emitted) == []
    assert story.history.gaps == []


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.reason is not None])
def test_line_that_is_no_event_becomes_a_dead_letter_with_reason_and_origin(story: _Story, name: str) -> None:
    """The dead letter says why, where from and when, and holds the bytes up to the limit."""
    row = ROWS[name]
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


@pytest.mark.parametrize("name", ROWS)
def test_neighbours_of_the_line_are_published_next_to_it(story: _Story, name: str) -> None:
    """The events before and after are there, and no sequence number is spent on a line that is no event."""
    row = ROWS[name]
    lines = [line for line in story.emitted if (line.stream, line.partition) == row.place]
    at = next(at for at, line in enumerate(lines) if line.line == row.line)
    sequences = {event.id: event.fields["sequence"] for event in story.history.events[row.place]}
    before, after = (
        sequences[expect_event(story.history.prefix, *row.place, lines[beside].line).id] for beside in (at - 1, at + 1)
    )
    assert after - before == (1 if row.reason is not None else 2)


def test_same_lines_by_a_backfill_are_duplicates(story: _Story) -> None:
    """A second delivery of everything, broken lines included, is counted and changes nothing."""
    assert sum(story.duplicates.values()) == 2 * len(ROWS) + len(_places())
    assert sum(story.dead_lettered.values()) == len(story.history.dead_letters)


def test_dead_letters_are_counted_by_reason(story: _Story) -> None:
    """The metric of each reason is the number of such lines."""
    for reason, count in story.dead_lettered.items():
        assert count == sum(row.reason == reason for row in ROWS.values())


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
