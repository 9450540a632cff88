"""What operators change by command: a sound ledger is safe from them, and so is whatever they only try."""

import json
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from connector.batch.gaps import Gaps, GapTopic, RecordedGap, reconciling_parts
from connector.batch.records import BatchRecords
from connector.batch.state import RunState
from connector.errors import OwnCorruptionError
from connector.events.catalog import StreamPartition
from connector.events.identity import unpack_ids
from connector.events.times import US_PER_S, format_us
from connector.kafka.clients import producer_config
from connector.kafka.cluster import Cluster
from connector.kafka.ledger import LedgerEntry, Mode
from connector.kafka.ledger_decoding import decode_shipped
from connector.kafka.registry import RegistryClient
from connector.kafka.restore import LedgerReader
from connector.kafka.topics import TopicNames
from connector.kafka.transaction import MisplacedError, Record, TransactionalWriter
from connector.kafka.verify import verify_batch
from connector.operations import withdrawal
from connector.operations.reset import LedgerReset
from connector.operations.withdrawal import Withdrawal, WithdrawalError
from connector.settings import RunSettings
from connector.simulator.server import Simulator
from connector.x.batch_api import JobType
from connector.x.clock import wall_us
from tests.rig.ledger_damage import LedgerDamage
from tests.rig.own_topics import OwnTopics
from tests.rig.process import wait_until
from tests.rig.service import Config, ConnectorProcess, Probe
from tests.rig.session import Kafka, SchemaRegistry
from tests.rig.vandal import Vandal

_PLACE = StreamPartition("tweet", 2)
_WHERE = {"stream": "tweet", "partition": "2"}
_RESET = ("ledger", "reset", "--stream=tweet", "--partition=2")


def _run(folder: Path, config: Config, *arguments: str) -> tuple[int, str, str]:
    with ConnectorProcess(folder, list(arguments), config) as command:
        return command.wait(), command.stdout, command.stderr


def _restored(config: Config) -> list[LedgerEntry]:
    kafka = RunSettings.model_validate(config).kafka
    return [placed.entry for placed in LedgerReader(kafka, _PLACE, decode_shipped).restore().placed]


def _newest(config: Config) -> LedgerEntry:
    return _restored(config)[-1]


def _known_ids(config: Config) -> set[bytes]:
    return {each for entry in _restored(config) for each in unpack_ids(entry.ids)}


def _empty(config: Config, is_wanted: Callable[[str], bool]) -> None:
    """Delete all records of the topics that are wanted, as retention would."""
    admin = AdminClient({"bootstrap.servers": config["kafka"]["bootstrap_servers"]})
    ends = [
        TopicPartition(topic, partition or 0, end)
        for (topic, partition), end in _ends(config).items()
        if topic is not None and is_wanted(topic)
    ]
    for future in admin.delete_records(ends).values():
        future.result(10)


def _ends(config: Config) -> dict[tuple[str | None, int | None], int]:
    """Return where every topic of the prefix ends, transactions that were not committed included."""
    kafka = RunSettings.model_validate(config).kafka
    topics = AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=10).topics
    places = [
        TopicPartition(name, number)
        for name, topic in topics.items()
        if name.startswith(kafka.topic_prefix)
        for number in topic.partitions
    ]
    return Cluster(kafka).ends(places)


def _gaps_counted(probe: Probe) -> tuple[float, float]:
    """Return how many gaps of resets are counted, and how many seconds."""
    scrape = probe.metrics()
    return (
        scrape.total("gaps_total", cause="ledger-reset", **_WHERE),
        scrape.total("gap_seconds_total", cause="ledger-reset", **_WHERE),
    )


def _await_events(probe: Probe, simulator: Simulator) -> None:
    probe.await_connected(simulator)
    simulator.emit(20, _PLACE)
    probe.await_sequences(simulator)


def _stop(run: ConnectorProcess) -> None:
    run.signal(signal.SIGTERM)
    assert run.wait() == 0


def test_sound_ledger_of_a_running_partition_is_left_alone_unless_forced(
    committed: Config, simulator: Simulator, tmp_path: Path
) -> None:
    """Refused, or only tried, it goes on undisturbed; reset by force, its owner notices and counts the gap once."""
    with ConnectorProcess(tmp_path, ["run"], committed) as run:
        probe = run.probe()
        _await_events(probe, simulator)
        owner = _newest(committed).writer_id
        code, _, told = _run(tmp_path, committed, *_RESET, "--yes")
        assert code == 78, told
        assert "the ledger of tweet/2 is sound and covers until 20" in told
        assert "--force" in told
        code, said, told = _run(tmp_path, committed, *_RESET, "--force", "--dry-run")
        assert code == 0, told
        assert "tweet/2: the ledger is sound, and is reset because of --force\n" in said
        assert "started" not in said
        _await_events(probe, simulator)
        assert _newest(committed).writer_id == owner
        assert probe.metric("partition_restarts_total") == 0
        assert _gaps_counted(probe) == (0, 0)

        code, said, told = _run(tmp_path, committed, *_RESET, "--force", "--yes")
        assert code == 0, told
        assert "tweet/2: recorded a gap from " in said
        wait_until(lambda: _gaps_counted(probe)[0] == 1, "the owner counts the gap", 30)
        assert probe.partition("tweet", 2)["last_gap"].endswith(": lost, ledger-reset")
        _await_events(probe, simulator)
        assert _gaps_counted(probe)[0] == 1
        assert [(each["stream"], each["partition"]) for each in run.logged("ledger_was_reset")] == [("tweet", 2)]
        _stop(run)


def _coverage(folder: Path, config: Config, start: str, end: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Return the exit code, and by stream partition the verdict and the notes."""
    arguments = ("coverage", "--from", start, "--to", end, "--output", "json")
    code, printed, told = _run(folder, config, *arguments)
    assert printed, told
    partitions = json.loads(printed)["partitions"]
    found = {f"{each['stream']}/{each['stream_partition']}": each for each in partitions}
    return code, {name: (each["verdict"], "; ".join(each["notes"])) for name, each in found.items()}


def test_coverage_believes_a_reset_that_records_its_gap_and_no_forged_entry(
    kafka: Kafka, registry: SchemaRegistry, committed: Config, tmp_path: Path
) -> None:
    """Nor does it believe a gap topic from which that gap is gone, wherever in the gap the range ends."""
    vandal = Vandal(kafka.bootstrap_servers, registry.url, committed["kafka"]["topic_prefix"])
    code, _, told = _run(tmp_path, committed, *_RESET, "--force", "--yes")
    assert code == 0, told
    newest = _newest(committed)
    start = format_us(newest.covered_until_before_us + 1000)  # coverage on its topic is cut to the millisecond
    end = format_us(newest.covered_until_us - 1)
    code, found = _coverage(tmp_path, committed, start, end)
    assert code == 1
    assert found["tweet/2"][0] == "complete but for gaps"
    assert found["tweet/2"][1].startswith("the ledger was reset at 20")
    assert not [notes for _, notes in found.values() if "cannot be trusted" in notes]

    now_us = wall_us()
    nothing = dict.fromkeys(("received", "published", "duplicate", "dead_lettered", "control"), 0)
    forged: dict[str, Any] = nothing | {
        "covered_until": now_us,
        "covers_to": now_us,
        "ids": b"",
        "records": [],
        "previous": None,
    }
    for number, changes in {3: {}, 4: {"mode": "reset", "entry": 0, "oldest_offset": None}}.items():
        last = vandal.last("-ledger", f"tweet/{number}")
        fields = vandal.decode(last)
        following = {"entry": fields["entry"] + 1, "covered_until_before": fields["covered_until"]}
        vandal.write(last, **(following | forged | changes))
    vandal.delete(vandal.records("-gap")[-1])
    code, found = _coverage(tmp_path, committed, start, end)
    assert code == 70
    assert {name for name, (_, notes) in found.items() if "cannot be trusted" in notes} == {
        "tweet/2",
        "tweet/3",
        "tweet/4",
    }
    assert {found[name][0] for name in ("tweet/2", "tweet/3", "tweet/4")} == {"not yet"}
    assert "1 gap is not on the gap topic though this entry accounts for 1" in found["tweet/2"][1]
    assert "does not refer to the previous one" in found["tweet/3"][1]
    assert "the skipped time is not accounted for as a gap" in found["tweet/4"][1]
    assert "the ledger was reset at 20" in found["tweet/4"][1]


def test_damaged_ledger_is_reset_once_shown_and_counted_by_who_restores_it_first(
    kafka: Kafka, committed: Config, simulator: Simulator, tmp_path: Path
) -> None:
    """A dry run and a command without consent change nothing; a restart later counts nothing again."""
    LedgerDamage(kafka.bootstrap_servers, committed["kafka"]["topic_prefix"]).garble(_PLACE.ledger_partition)
    with pytest.raises(OwnCorruptionError, match="cannot be read"):
        _newest(committed)  # which waits until the damage is committed
    ends = _ends(committed)
    code, shown, told = _run(tmp_path, committed, *_RESET, "--dry-run")
    assert code == 0, told
    refused, coverage, gap, known = shown.splitlines()
    assert refused.startswith("tweet/2: the ledger is refused: ")
    assert "cannot be read" in refused
    assert coverage.startswith("tweet/2: coverage reached until 20")
    assert gap.startswith("tweet/2: a gap from 20")
    assert gap.endswith(" s")
    code, said, told = _run(tmp_path, committed, *_RESET)
    assert code == 64
    assert said.splitlines()[:2] == [refused, coverage]
    assert "--yes" in told
    assert _ends(committed) == ends

    code, said, told = _run(tmp_path, committed, *_RESET, "--yes")
    assert code == 0, told
    newest = _newest(committed)
    assert (newest.mode, newest.entry) == (Mode.RESET, 0)
    assert known.endswith(f"next sequence: {newest.sequence + 1}")
    with ConnectorProcess(tmp_path, ["run"], committed) as run:
        probe = run.probe()
        _await_events(probe, simulator)
        count, seconds = _gaps_counted(probe)
        expected_us = newest.covered_until_us - newest.covered_until_before_us
        assert count == 1
        assert seconds == pytest.approx(expected_us / US_PER_S)
        assert len(run.logged("ledger_was_reset")) == 1
        assert [each["cause"] for each in run.logged("gap_recorded")] == ["ledger-reset"]
        _stop(run)
    with ConnectorProcess(tmp_path, ["run"], committed) as run:
        _await_events(run.probe(), simulator)
        assert _gaps_counted(run.probe()) == (0, 0)
        assert run.logged("ledger_was_reset") == []
        _stop(run)
    assert _run(tmp_path, committed, *_RESET, "--yes")[0] == 78


def test_reset_takes_from_the_ledger_what_the_other_topics_no_longer_hold(
    kafka: Kafka, committed: Config, simulator: Simulator, tmp_path: Path
) -> None:
    """How far coverage reached, the sequence and the ids; where the ledger is empty, too, an operator has to say it."""
    before, known, emptied = _newest(committed), _known_ids(committed), StreamPartition("tweet", 3)
    damage = LedgerDamage(kafka.bootstrap_servers, committed["kafka"]["topic_prefix"])
    damage.garble(_PLACE.ledger_partition)
    damage.empty(emptied.ledger_partition)
    _empty(committed, lambda topic: topic.endswith("-coverage") or ".tweet." in topic)
    code, said, told = _run(tmp_path, committed, *_RESET, "--yes")
    assert code == 0, told
    after = _newest(committed)
    assert (after.covered_until_before_us, after.sequence) == (before.covered_until_us, before.sequence)
    assert after.records is not None
    assert after.records["gap"].count == 1
    assert _known_ids(committed) == known != set()
    assert f"tweet/2: recorded a gap from {format_us(before.covered_until_us)} to " in said

    other = (*_RESET[:-1], "--partition=3", "--yes")
    code, said, told = _run(tmp_path, committed, *other)
    assert (code, said) == (78, "")
    assert "--gap-from" in told
    assert _run(tmp_path, committed, *other, "--gap-from=2100-01-01")[0] == 64
    code, said, told = _run(tmp_path, committed, *other, "--gap-from=2026-01-02T03:04Z")
    assert code == 0, told
    assert "tweet/3: recorded a gap from 2026-01-02T03:04:00.000000Z to " in said
    with ConnectorProcess(tmp_path, ["run"], committed) as run:
        _await_events(run.probe(), simulator)
        assert len(run.logged("ledger_was_reset")) == 2
        _stop(run)


def test_one_of_several_resets_at_a_time_is_carried_out(kafka: Kafka, committed: Config, tmp_path: Path) -> None:
    """The others find the ledger sound again, or give way to who keeps committing; none records a false gap."""
    LedgerDamage(kafka.bootstrap_servers, committed["kafka"]["topic_prefix"]).garble(_PLACE.ledger_partition)
    with ExitStack() as stack:
        commands = [stack.enter_context(ConnectorProcess(tmp_path, [*_RESET, "--yes"], committed)) for _ in range(3)]
        codes = sorted(command.wait() for command in commands)
        assert codes[0] == 0, [command.stderr for command in commands]
        assert set(codes[1:]) <= {os.EX_SOFTWARE, os.EX_CONFIG}, [command.stderr for command in commands]
    assert _run(tmp_path, committed, "gaps", "--output=json")[1].count("ledger-reset") == 1


class _InterruptedTopic(GapTopic):
    """The topic of the gaps; something happens right after it is read for the first time."""

    meanwhile: Callable[[], object]

    def read(self) -> Gaps:
        found, meanwhile = super().read(), self.meanwhile
        self.meanwhile = lambda: None
        meanwhile()
        return found


def _reconcile(settings: RunSettings, registry: RegistryClient, read: Callable[[], Gaps]) -> list[RecordedGap]:
    """Write, as a run that is done writes at its end, which of the gaps it closes, and return them."""
    names, found = (
        TopicNames(settings.kafka.topic_prefix),
        verify_batch(settings.kafka, Cluster(settings.kafka), registry),
    )
    records = BatchRecords(JobType.TWEETS, names, found.schema_ids, found.max_message_bytes, has_headers=True)
    writer = TransactionalWriter(producer_config(settings.kafka, names.transactional_id("batch.tweets")))
    gaps = read()
    state = RunState("a1", JobType.TWEETS, "", 0, 0, 0, [], covers_all=True, gaps_end=dict(gaps.ends))
    closed = gaps.closed_by(state, wall_us() + US_PER_S)
    writer.commit(reconciling_parts(gaps, closed, state, records))
    return closed


def _check_nothing_is_changed_by_trying(
    committed: Config, tmp_path: Path, withdraw: tuple[str, ...], second: str
) -> None:
    """Check what a wrong id, a dry run, a missing consent and the dry run of a batch say, and that none writes."""
    code, _, told = _run(tmp_path, committed, "gaps", "withdraw", "tweet/9", "--reason=no", "--yes")
    assert code == 64
    assert f"\n  {withdraw[2]}\n  {second}\n" in told
    ends = _ends(committed)
    code, said, told = _run(tmp_path, committed, *withdraw, "--dry-run")
    assert (code, "\ntweet/1   20" in said, "would be" in told) == (0, True, True)
    assert _run(tmp_path, committed, *withdraw)[0] == 64
    (tmp_path / "ids").write_text("17\n", encoding="utf-8")
    batch_run = ("batch", "run", "tweets", str(tmp_path / "ids"), "--publish", "--dry-run", "--due=24h")
    code, said, _ = _run(tmp_path, committed, *batch_run, "--covers-all")
    due, first_line, published, *gaps = said.splitlines()
    assert (code, due.startswith("due: the gap of tweet/")) == (0, True)
    assert first_line.startswith("tweets to check: 1; jobs that X would be asked for, one after the other: 1; ")
    assert published.startswith("would be published: results to ")
    assert [line.partition(" from ")[0] for line in sorted(gaps)] == [
        "could be reconciled: gap of tweet/1",
        "could be reconciled: gap of tweet/2",
    ]
    assert _ends(committed) == ends


def test_gap_is_withdrawn_once_and_for_batch_runs_too(
    committed: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record stays, with reason; of an operator and a run, the later one sees what the other has written."""
    settings = RunSettings.model_validate(committed)
    for number in (1, 2):
        with LedgerReset(settings, StreamPartition("tweet", number), is_forced=True) as reset:
            assert reset.carry_out() is not None
    ids = [gap["gap_id"] for gap in json.loads(_run(tmp_path, committed, "gaps", "--output=json")[1])]
    first, second = sorted(ids)
    own_topics = OwnTopics.of(committed)
    own_topics.write([Record(own_topics.names.gap, key.encode(), b"") for key in ids])  # which erases none

    withdraw = ("gaps", "withdraw", first, "--reason", "the stream was  silent: \N{SNOWMAN}")
    _check_nothing_is_changed_by_trying(committed, tmp_path, withdraw, second)
    with RegistryClient(settings.schema_registry) as registry:
        topic = GapTopic(settings.kafka, registry)
        before = {each.gap["gap_id"]: each.gap for each in topic.read().gaps}
        read_by_a_run = topic.read()
        assert _run(tmp_path, committed, *withdraw, "--yes")[0] == 0
        with pytest.raises(MisplacedError):
            _reconcile(settings, registry, lambda: read_by_a_run)
        [closed] = _reconcile(settings, registry, topic.read)
        assert closed.gap["gap_id"] == second
        after = {each.gap["gap_id"]: each.gap for each in topic.read().gaps}
        assert {**after[first], "withdrawn_at": None} == {
            **before[first],
            "state": "withdrawn",
            "withdrawn_because": "the stream was  silent: \N{SNOWMAN}",
        }
        assert after[second]["state"] == "partly-reconciled"

        reading = _InterruptedTopic(settings.kafka, registry)
        reading.meanwhile = Withdrawal(settings, second, "earlier").carry_out
        monkeypatch.setattr(withdrawal, "GapTopic", lambda *_: reading)
        with pytest.raises(WithdrawalError, match=r"was withdrawn at 20.*: earlier$"):
            Withdrawal(settings, second, "later").carry_out()
        monkeypatch.undo()
        last = {each.gap["gap_id"]: each.gap for each in GapTopic(settings.kafka, registry).read().gaps}
        kept = ("reconciled_by", "remaining", "recorded_at", "cause", "detail")
        assert [last[second][name] for name in kept] == [after[second][name] for name in kept]
        assert last[second]["reconciled_by"] == ["a1"]

    code, _, told = _run(tmp_path, committed, *withdraw, "--yes")
    assert (code, f"gap {first} was withdrawn at 20" in told) == (64, True)
    code, said, _ = _run(tmp_path, committed, "gaps", "--state=withdrawn", "--from=1h")
    assert (code, said.count("  withdrawn  ledger-reset: ")) == (0, 2)
    assert said.count(": the stream was  silent: \N{SNOWMAN}\n") == 1
    assert _run(tmp_path, committed, "gaps", "list", "--state=lost")[:2] == (0, "no gaps match\n")
    assert _run(tmp_path, committed, "gaps", "--to=2h")[:2] == (0, "no gaps match\n")
