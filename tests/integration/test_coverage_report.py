"""`connector coverage` over one story: what it says of ranges, gaps, groups, damage, and of what is no longer kept."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from connector.events.avro import AvroEncoder
from connector.events.catalog import EVENT_TYPES, StreamPartition
from connector.events.schemas import COVERAGE
from connector.events.times import format_us, parse_ns
from tests.integration.coverage_story import AWAY_S, LOSING, ODD, PARTITIONS, TIMEOUT_S, Story, told
from tests.rig.readback import Decoder, ReadRecord, read_topics
from tests.rig.service import ConnectorProcess, override
from tests.rig.session import Kafka, SchemaRegistry

_CENTURY_MS = 4_102_444_800_000


@pytest.fixture(scope="module", name="story")
def _story(
    kafka: Kafka, registry: SchemaRegistry, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    with told(kafka, registry, seed, tmp_path_factory.mktemp("coverage")) as story:
        yield story


def test_healthy_stretch_is_complete(story: Story) -> None:
    """Each form says so, and the exit code; the same topics give the same digest, and another range another one."""
    table = story.coverage("--from", story.began, "--to", story.well_until, exit_code=0)
    first, *rest = table.stdout.splitlines()
    assert first == f"complete: {story.prefix} from {story.began} to {story.well_until} (X's clock)"
    assert sum("  complete  " in line for line in rest) == PARTITIONS
    assert table.stderr == ""
    report = story.report(story.began, story.well_until, 0)
    assert report["verdict"] == "complete"
    assert f"digest {report['digest']}, " in table.stdout
    before = [story.report("7d", end, 1)["digest"] for end in ("6d", "5d")]
    assert len({*before, report["digest"]}) == 3
    assert [each["gaps"] + each["dead_letters"] for each in report["partitions"]] == [[]] * PARTITIONS


def test_whole_story_is_complete_but_for_the_gap_and_shows_the_dead_letter(story: Story) -> None:
    """The gap is the one on the topic, the dead letter the one that X's line became, and no event is left out."""
    [recorded] = story.decoded("-gap")
    report = story.whole()
    assert report["verdict"] == "complete but for gaps"
    found = {f"{each['stream']}/{each['stream_partition']}": each for each in report["partitions"]}
    assert {name for name, each in found.items() if each["gaps"]} == {str(LOSING)}
    [gap] = found[str(LOSING)]["gaps"]
    assert (gap["gap_id"], gap["state"], gap["cause"], gap["is_open"]) == (
        recorded["gap_id"],
        "lost",
        "replay-refused",
        True,
    )
    assert parse_ns(gap["gap_end"]) - parse_ns(gap["gap_start"]) > 0.7 * AWAY_S * 1e9
    assert {name for name, each in found.items() if each["dead_letters"]} == {str(ODD)}
    [letter] = found[str(ODD)]["dead_letters"]
    assert (letter["reason"], letter["is_replayed"]) == ("unknown-type", False)
    assert all(each["complete_until"] >= story.ended for each in report["partitions"])
    assert {owner["owner"] for each in report["partitions"] for owner in each["owners"]} == {"replica-7"}
    assert report["foreign"] == []


def test_events_are_counted_by_type(story: Story) -> None:
    """Over all that was ever covered they are those on the topics; what X sent again is among the duplicates."""
    covered_from = min(each["covered_from"] for each in story.whole()["partitions"])
    report = story.report(covered_from, "2099-01-01", 1)
    counted: Counter[str] = Counter()
    for each in report["partitions"]:
        counted.update(each["events"])
        events, letters = sum(each["events"].values()), len(each["dead_letters"])
        assert each["received"] == events + letters + each["duplicates"] + each["control"]
    topics = {f"{story.prefix}.{event_type.name}": event_type.name for event_type in EVENT_TYPES}
    assert counted == Counter(topics[each.topic] for each in read_topics(story.kafka.bootstrap_servers, topics))
    assert sum(each["duplicates"] for each in report["partitions"]) == sum(
        entry["duplicate"] for entry in story.decoded("-ledger")
    )


def _commit(story: Story, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
    """Have a group commit these offsets."""
    consumer = Consumer({"bootstrap.servers": story.kafka.bootstrap_servers, "group.id": group})
    consumer.commit(offsets=[TopicPartition(*place, offset) for place, offset in offsets.items()], asynchronous=False)
    consumer.close()


def _events(story: Story) -> list[tuple[ReadRecord, StreamPartition, int]]:
    """Return all events, each with its stream partition and sequence."""
    topics = [f"{story.prefix}.{each.name}" for each in EVENT_TYPES if each.stream in ("tweet", "user")]
    decode = Decoder(story.registry.url).decode
    found = [(each, decode(each.value)) for each in read_topics(story.kafka.bootstrap_servers, topics)]
    return [(each, StreamPartition(its["stream"], its["stream_partition"]), its["sequence"]) for each, its in found]


def _covered_before(story: Story, lowest: Mapping[StreamPartition, int]) -> dict[str, str | None]:
    """Return by stream partition how far coverage reached in the last ledger entry below a sequence, by name."""
    covered: dict[str, str | None] = {str(partition): None for partition in lowest}
    for entry in story.decoded("-ledger"):
        partition = StreamPartition(entry["stream"], entry["stream_partition"])
        if partition in lowest and entry["entry"] > 0 and entry["sequence"] < lowest[partition]:
            covered[str(partition)] = format_us(entry["covered_until"])
    return covered


def test_group_that_has_processed_all_leaves_the_verdict_as_it_is(story: Story) -> None:
    """In each form, which names the group; processed is as far as coverage reaches."""
    offsets = {(each.topic, each.partition): each.offset + 1 for each, _, _ in _events(story)}
    _commit(story, f"{story.prefix}-all", offsets)
    asked = ("--from", story.began, "--to", story.well_until, "--group", f"{story.prefix}-all")
    report = json.loads(story.coverage(*asked, "--output", "json", exit_code=0).stdout)
    assert report["groups"] == [f"{story.prefix}-all"]
    for each in report["partitions"]:
        assert [its["processed_until"] for its in each["processed"]] == [each["complete_until"]]
    assert report["digest"] == story.report(story.began, story.well_until, 0)["digest"]
    table = story.coverage(*asked, exit_code=0).stdout
    assert table.startswith("complete: ")
    assert f"--to {story.well_until} --group {story.prefix}-all" in table
    rows = csv.DictReader(io.StringIO(story.coverage(*asked, "--output", "csv", exit_code=0).stdout))
    assert all(row["processed_until"] == row["complete_until"] for row in rows)
    page = story.coverage(*asked, "--output", "html", exit_code=0).stdout
    assert f"is on the topics, and processed by {story.prefix}-all." in page


def test_group_that_has_left_an_event_is_done_up_to_what_was_covered_before_it(story: Story) -> None:
    """By the ledger, for each stream partition of which an event is left; of the others it is done."""
    group, events = f"{story.prefix}-short", _events(story)
    offsets = {(each.topic, each.partition): each.offset + 1 for each, _, _ in events}
    on_topic = [each for each, _, _ in events if each.topic == f"{story.prefix}.tweet.delete" and each.partition == 0]
    place, second = (on_topic[0].topic, 0), on_topic[1].offset  # of the stretch that is asked about, whatever X's mix
    _commit(story, group, offsets | {place: second})
    lowest: dict[StreamPartition, int] = {}
    for each, partition, sequence in events:
        if (each.topic, each.partition) == place and each.offset >= second:
            lowest[partition] = min(sequence, lowest.get(partition, sequence))
    assert lowest
    asked = ("--from", story.began, "--to", story.well_until, "--group", group, "--output", "json")
    report = json.loads(story.coverage(*asked, exit_code=1).stdout)
    assert report["verdict"] == "not yet"
    found = {f"{each['stream']}/{each['stream_partition']}": each for each in report["partitions"]}
    processed = {name: each["processed"][0]["processed_until"] for name, each in found.items()}
    complete = {name: each["complete_until"] for name, each in found.items()}
    assert processed == complete | _covered_before(story, lowest)
    short = {name for name, each in found.items() if each["verdict"] == "not yet"}
    assert short == {name for name, until in processed.items() if until is None or until < story.well_until}


def test_group_that_never_committed_has_processed_nothing(story: Story) -> None:
    """The table says so once, and of which event types."""
    group = f"{story.prefix}-never"
    table = story.coverage("--from", story.began, "--to", story.well_until, "--group", group, exit_code=1).stdout
    assert table.startswith("not processed yet: ")
    assert f"group {group} has committed nothing of tweet.delete, " in table
    assert "NOT COVERED YET" not in table
    assert story.coverage("--group", " ", exit_code=64).stdout == ""


def test_table_and_csv_say_the_same_as_json(story: Story) -> None:
    """The verdict comes first; gap and dead letter have a line each; CSV has a row for each stream partition."""
    report = story.whole()
    run = story.coverage("--from", story.began, "--to", story.ended, exit_code=1)
    lines = run.stdout.splitlines()
    assert lines[0].startswith("complete but for 1 gap: ")
    [gap_line] = [line for line in lines if line.startswith("gap  ")]
    assert gap_line.startswith(f"gap  {LOSING}  ")
    assert "  lost  replay-refused: " in gap_line
    assert "1 DEAD LETTER: it may be a delete that no consumer acts on" in lines
    [letter_line] = [line for line in lines if line.startswith("dead letter  ")]
    assert letter_line.startswith(f"dead letter  {ODD}  ")

    text = story.coverage("--from", story.began, "--to", story.ended, "--output", "csv", exit_code=1).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == PARTITIONS
    for row, each in zip(rows, report["partitions"], strict=True):
        assert (row["stream"], row["stream_partition"]) == (each["stream"], str(each["stream_partition"]))
        assert row["complete_until"] == each["complete_until"]
        assert int(row["events"]) == sum(each["events"].values())
        assert (int(row["open_gaps"]), int(row["dead_letters"])) == (len(each["gaps"]), len(each["dead_letters"]))
        assert (row["verdict"], row["report_verdict"]) == (each["verdict"], report["verdict"])
        cells = [f"{gap['gap_start']}/{gap['gap_end']} {gap['state']} {gap['cause']}" for gap in each["gaps"]]
        assert row["gaps"] == "; ".join(cells)


def test_what_is_not_covered_yet_or_no_more_is_never_complete(story: Story) -> None:
    """A future end, a start before the first coverage, a stream partition that nobody ever read: each is said."""
    future = story.coverage("--from", story.began, "--to", "2099-01-01", exit_code=1).stdout
    assert future.startswith("not covered yet: ")
    assert _named(future, "NOT COVERED YET") == PARTITIONS
    early = story.coverage("--from", "7d", "--to", story.well_until, exit_code=1).stdout
    assert early.startswith("begins later: ")
    assert _named(early, "BEGINS LATER") == PARTITIONS
    before = story.coverage("--from", "7d", "--to", "6d", exit_code=1).stdout
    assert before.startswith("begins later: ")
    never = story.coverage("--from", story.began, "--to", story.well_until, exit_code=1, streams="tweet,like").stdout
    assert never.startswith("not covered yet: ")
    assert "NOT COVERED YET  like/1: no coverage\n" in never
    assert "user/" not in never


def _named(table: str, verdict: str) -> int:
    """Return how many stream partitions the lines with a verdict name."""
    lines = [line.partition(": ")[0] for line in table.splitlines() if line.startswith(f"{verdict}  ")]
    return sum(len(line.split(", ")) for line in lines)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--from", "1h", "--to", "2h"], "is not before the end of the range"),
        (["--from", "2099-01-01"], "is in the future"),
        (["--from", "17:20", "--to", "17:24"], "--from: 17:20: add the date and the zone"),
        (["--output", "xml"], "xml"),
    ],
)
def test_range_that_is_none_is_a_usage_error(story: Story, arguments: Sequence[str], says: str) -> None:
    """Nothing is read for it."""
    run = story.coverage(*arguments, exit_code=64)
    assert says in " ".join(run.stderr.replace("│", " ").split())
    assert run.stdout == ""


def test_damage_is_said_and_never_counted_as_clean(story: Story) -> None:
    """Dead letters that are gone, a claim beyond the ledger, a ledger that was cut, and a record of someone else in it.

    The digest is of what the range rests on, so a false claim leaves it as it was.
    """
    digest = story.whole()["digest"]
    producer = Producer({"bootstrap.servers": story.kafka.bootstrap_servers})
    newest = read_topics(story.kafka.bootstrap_servers, [f"{story.prefix}-coverage"])[-1]
    fields = Decoder(story.registry.url).decode(newest.value) | {"covered_until": _CENTURY_MS}
    value = AvroEncoder(COVERAGE, int.from_bytes(newest.value[1:5])).encode(fields)
    producer.produce(newest.topic, value, newest.key)
    assert producer.flush(TIMEOUT_S) == 0
    claimed = story.whole()
    assert claimed["digest"] == digest
    [note] = [note for each in claimed["partitions"] for note in each["notes"] if "claims" in note]
    assert note == "the coverage topic claims 2100-01-01T00:00:00.000000Z, which the ledger does not support"

    story.delete(f"{story.prefix}-dead-letter", 0)
    emptied = story.whole()
    assert emptied["verdict"] == "begins later"
    assert emptied["digest"] != digest
    odd = next(each for each in emptied["partitions"] if (each["stream"], each["stream_partition"]) == ("user", 3))
    assert odd["verdict"] == "begins later"
    assert odd["known_from"] > story.began
    assert "1 dead letter of the range is no longer on its topic and cannot be shown" in odd["notes"]
    assert story.report(story.began, story.well_until, 0)["verdict"] == "complete"

    story.delete(f"{story.prefix}-ledger", StreamPartition("tweet", 1).ledger_partition, keep=4)
    ledger_partition = StreamPartition("tweet", 4).ledger_partition
    producer.produce(f"{story.prefix}-ledger", b"not an entry", b"tweet/4", ledger_partition)
    assert producer.flush(TIMEOUT_S) == 0
    run = story.coverage("--from", story.began, "--to", story.ended, exit_code=70)
    assert run.stdout.startswith("not covered yet: ")
    assert "NOT COVERED YET  tweet/4: " in run.stdout
    assert _named(run.stdout, "NOT COVERED YET") == 1
    assert _named(run.stdout, "BEGINS LATER") == 2
    assert "BEGINS LATER  tweet/1: recorded only since " in run.stdout
    assert "tweet/1: the ledger is kept from entry " in run.stdout
    assert "1 record was not written by the connector, such as " in run.stderr
    assert "tweet/4: 1 record of the ledger cannot be trusted, such as " in run.stdout


def test_events_that_are_no_longer_kept_are_said_and_never_counted_as_clean(story: Story) -> None:
    """All of one type are removed; the stream partitions that had some in the range begin later, the others do not."""
    kind = "user.profile-modification"
    before = _of_users(story)
    for partition in range(2):
        story.delete(f"{story.prefix}.{kind}", partition)
    after = _of_users(story)
    had_some = {name for name, each in before.items() if kind in each["events"]}
    assert had_some
    assert {each["verdict"] for each in before.values()} == {"complete"}
    assert {name for name, each in after.items() if each["verdict"] == "begins later"} == had_some
    for name in had_some:
        assert after[name]["known_from"] > story.began
        assert f"events of the range are no longer kept on 1 topic: {kind}" in after[name]["notes"]
        assert after[name]["events"] == before[name]["events"]


def _of_users(story: Story) -> dict[str, dict[str, Any]]:
    """Return what is reported of the stream `user`, of a range without a gap or a dead letter."""
    arguments = ("--from", story.began, "--to", story.well_until, "--output", "json")
    with ConnectorProcess(
        story.folder, ["coverage", *arguments], override(story.config, x={"streams": "user"})
    ) as command:
        command.wait()
        partitions = json.loads(command.stdout)["partitions"]
    return {f"{each['stream']}/{each['stream_partition']}": each for each in partitions}
