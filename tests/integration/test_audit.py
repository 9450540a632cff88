"""The checkers checked: damage to the topics themselves is reported, by the audit of the rig and by `ledger verify`."""

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import pytest

from connector.events.catalog import STREAM_PARTITIONS
from connector.operations.audit_report import lines
from connector.operations.verification import verify
from connector.settings import Settings
from connector.simulator.faults import UnknownType
from connector.simulator.server import Simulator
from connector.x.clock import wall_us
from tests.rig.audit import Event, audit
from tests.rig.service import Config, ConnectorProcess, make_config, provisioned, running
from tests.rig.session import Kafka, SchemaRegistry
from tests.rig.vandal import Vandal
from tests.rig.verdict import read_verdict

_LOST, _REPEATED, _HOLE, _TORN = ("like", 1), ("label", 1), ("tweet", 1), ("user", 1)
_EVENTS = 80
_PARTITIONS = 2


@pytest.fixture
def config(kafka: Kafka, registry: SchemaRegistry, simulator: Simulator) -> Iterator[Config]:
    """Give settings with which events of every stream partition are committed, a dead letter, and no replica runs."""
    prefix = f"test-{secrets.token_hex(6)}"
    settings = make_config(kafka.bootstrap_servers, registry.url, prefix, simulator.base_url, partitions=_PARTITIONS)
    with provisioned(settings) as config:
        with running(config) as probe:
            probe.await_connected(simulator)
            simulator.inject(UnknownType(stream="tweet", partition=4))
            for partition in STREAM_PARTITIONS:
                simulator.emit(_EVENTS, partition)
            probe.await_sequences(simulator)
        yield config


@pytest.fixture
def vandal(kafka: Kafka, registry: SchemaRegistry, config: Config) -> Vandal:
    """Give a producer that may write to all topics."""
    return Vandal(kafka.bootstrap_servers, registry.url, config["kafka"]["topic_prefix"])


def _verify(folder: Path, config: Config, exit_code: int, *options: str) -> tuple[str, str]:
    with ConnectorProcess(folder, ["ledger", "verify", *options], config) as command:
        assert command.wait() == exit_code, command.stderr + command.stdout
        return command.stdout, command.stderr


def _commit_beyond_a_hole(vandal: Vandal, last: Event) -> None:
    """Leave a number out: an event and its entry that fit each other, but not what was before."""
    entry = vandal.last("-ledger", "tweet/1")
    number, sequence, new_id = vandal.decode(entry)["entry"] + 1, last.fields["sequence"] + 2, token_hex(16)
    counts = {"received": 1, "published": 1, "duplicate": 0, "dead_lettered": 0, "control": 0, "records": None}
    vandal.write(last.record, event_id=new_id, sequence=sequence)
    vandal.write(entry, entry=number, sequence=sequence, ids=bytes.fromhex(new_id), **counts)


def test_damage_to_the_topics_is_reported_by_both_checkers(
    simulator: Simulator, config: Config, vandal: Vandal, tmp_path: Path
) -> None:
    """A loss, a repeat, a hole in the sequence and a torn transaction, each where it is and nowhere else."""
    history = vandal.history(_PARTITIONS)
    assert audit(history, simulator.record()) == []
    assert read_verdict(_verify(tmp_path, config, os.EX_OK)[0]) == {}
    lost = min((event.record for event in history.events[_LOST]), key=lambda record: record.offset)
    repeated, torn, last = history.events[_REPEATED][0], history.events[_TORN][-1], history.events[_HOLE][-1]

    vandal.delete(lost)
    vandal.copy(repeated.record)
    vandal.write(torn.record, event_id=token_hex(16), sequence=torn.fields["sequence"] + 1)
    _commit_beyond_a_hole(vandal, last)

    found = read_verdict(_verify(tmp_path, config, os.EX_SOFTWARE)[0])
    said = "\n".join(audit(vandal.history(_PARTITIONS), simulator.record()))
    assert set(found) == {_LOST, _REPEATED, _HOLE, _TORN}
    for place, by_command, by_audit in (
        (_LOST, "like.delete records of entr", "lost"),
        (_REPEATED, "out of order, such as", f"1 repeated, such as {repeated.id}"),
        (_HOLE, "the sequence does not add up", "1 made up"),
        (_TORN, f"sequence {torn.fields['sequence'] + 1} is beyond the ledger's", "1 made up"),
    ):
        assert any(by_command in finding for finding in found[place]), found[place]
        assert by_audit in "".join(line for line in said.splitlines() if line.startswith(f"{place}:"))
    assert f"ledger {_TORN}: ids and events differ" in said
    assert f"ledger {_HOLE}: entry" in said
    assert not [place for place in set(STREAM_PARTITIONS) - found.keys() if f"{place}:" in said]


def _moved(vandal: Vandal) -> None:
    vandal.replace(vandal.of_one_partition(".tweet.undrop"), lambda record: vandal.copy(record, topic=".tweet.drop"))


def _moved_and_encoded(vandal: Vandal) -> None:
    """By the schema of the topic to which they are moved, which has the same fields."""
    records = vandal.of_one_partition(".user.unprotect")
    vandal.replace(
        records, lambda record: vandal.encode(".user.suspend", record.key, record.partition, **vandal.decode(record))
    )


def _altered(vandal: Vandal) -> None:
    records = vandal.of_one_partition(".user.profile-modification")
    vandal.replace(records, lambda record: vandal.write(record, new_value="altered"))


def _rekeyed(vandal: Vandal) -> None:
    records = vandal.of_one_partition(".user.protect")
    vandal.replace(records, lambda record: vandal.copy(record, key="1", partition=1 - record.partition))


def _reversed(vandal: Vandal) -> None:
    vandal.replace(list(reversed(vandal.of_one_partition(".tweet.withheld"))), vandal.copy)


def _renamed(vandal: Vandal) -> None:
    records = vandal.of_one_partition(".label.notice")
    vandal.replace(records, lambda record: vandal.write(record, event_id=vandal.decode(record)["event_id"][::-1]))


def _mislaid(vandal: Vandal) -> None:
    records = vandal.of_one_partition(".label.unviewable")
    vandal.replace(records, lambda record: vandal.copy(record, partition=1 - record.partition))


def _repeated(vandal: Vandal) -> None:
    vandal.copy(vandal.records(".like.delete")[0])


def _lost(vandal: Vandal) -> None:
    vandal.delete(vandal.of_one_partition(".tweet.delete")[0])


def _foreign(vandal: Vandal) -> None:
    vandal.copy(vandal.records(".user.delete")[0], value=b"hello")


def _unbalanced_entry(vandal: Vandal) -> None:
    last = vandal.last("-ledger", "user/4")
    fields = vandal.decode(last)
    vandal.write(last, entry=fields["entry"] + 1, covered_until_before=fields["covered_until"], received=5, ids=b"")


def _foreign_entry(vandal: Vandal) -> None:
    """Sound in itself, and an hour ahead."""
    last = vandal.last("-ledger", "user/3")
    fields = vandal.decode(last)
    nothing = dict.fromkeys(("received", "published", "duplicate", "dead_lettered", "control"), 0)
    covered_us = fields["covered_until"]
    vandal.write(
        last,
        entry=fields["entry"] + 1,
        covered_until_before=covered_us,
        covered_until=covered_us + 3600 * 10**6,
        ids=b"",
        writer_id="nobody",
        records=[],
        **nothing,
    )


def _coverage_ahead(vandal: Vandal) -> None:
    last = vandal.last("-coverage", "tweet/2")
    fields = vandal.decode(last)
    vandal.write(last, covered_until=fields["covered_until"] + 3_600_000, sequence=fields["sequence"] + 1000)


def _coverage_of_1970(vandal: Vandal) -> None:
    last = vandal.last("-coverage", "user/2")
    vandal.write(last, covered_until=vandal.decode(last)["covered_until"] + 60_000, written_at=0)


def _skipping_reset(vandal: Vandal) -> None:
    """By which a ledger begins again an hour later, without a gap."""
    last = vandal.last("-ledger", "like/1")
    until_us = vandal.decode(last)["covered_until"]
    nothing = dict.fromkeys(("received", "published", "duplicate", "dead_lettered", "control", "entry"), 0)
    vandal.write(
        last,
        mode="reset",
        covered_until_before=until_us,
        covered_until=until_us + 3600 * 10**6,
        ids=b"",
        records=[],
        previous=None,
        **nothing,
    )


def _coverage_lost(vandal: Vandal) -> None:
    vandal.delete(vandal.records("-coverage")[0])


def _gap_made_up(vandal: Vandal) -> None:
    now_ms = vandal.decode(vandal.last("-coverage", "tweet/3"))["written_at"]
    vandal.encode(
        "-gap",
        f"tweet/3/{now_ms}",
        0,
        gap_id=f"tweet/3/{now_ms}",
        stream="tweet",
        stream_partition=3,
        gap_start=now_ms - 1000,
        gap_end=now_ms,
        state="lost",
        cause="replay-refused",
        detail="made up",
        recorded_at=now_ms,
    )


def _gap_closed(vandal: Vandal) -> None:
    """As by a run that there was none."""
    vandal.write(vandal.last("-gap", vandal.records("-gap")[0].key), state="reconciled", reconciled_by=["no-run"])


def _dead_letter_made_up(vandal: Vandal) -> None:
    letter = vandal.records("-dead-letter")[0]
    vandal.copy(replace(letter, headers={**letter.headers, "event-id": "ab" * 16}), key="ab" * 16)


def _dead_letter_altered(vandal: Vandal) -> None:
    vandal.replace(vandal.records("-dead-letter")[:1], lambda record: vandal.copy(record, value=b"altered"))


_TAMPERINGS: tuple[tuple[Callable[[Vandal], None], str], ...] = (
    (_moved, "is not one of subject"),
    (_moved_and_encoded, "of a different event type than their topic"),
    (_altered, "user.profile-modification records of"),
    (_rekeyed, "with a key that does not match their body"),
    (_reversed, "out of order"),
    (_repeated, "like.delete records more than"),
    (_renamed, "label.notice records of"),
    (_mislaid, "in a Kafka partition that is not their key's"),
    (_lost, "tweet.delete records of"),
    (_foreign, "not in the registry's wire format"),
    (_unbalanced_entry, "no sound entries of the ledger"),
    (_foreign_entry, "the entry before is not the one that it was written after"),
    (_coverage_ahead, "in a topic, but not accounted for in the ledger, such as coverage of"),
    (_coverage_of_1970, "not accounted for in the ledger, such as coverage of 1970-01-01"),
    (_skipping_reset, "resets that skip time without a gap"),
    (_coverage_lost, "coverage records of"),
    (_gap_made_up, "in a topic, but not accounted for in the ledger, such as gap tweet/3/"),
    (_gap_closed, "gaps reconciled by a run that is not on record as done"),
    (_dead_letter_altered, "dead-letter records of"),
    (_dead_letter_made_up, "such as dead letter abab"),
)


def test_audit_sees_everything(config: Config, vandal: Vandal) -> None:
    """Each tampering, all on records of their own, by a finding that names it."""
    settings = Settings.model_validate(config)
    assert _findings(settings) == []
    for tamper, _ in _TAMPERINGS:
        tamper(vandal)
    found = _findings(settings)
    unseen = [tamper.__name__ for tamper, expected in _TAMPERINGS if not any(expected in each for each in found)]
    assert not unseen, "\n".join(found)


def test_audit_of_any_range_is_sound_while_events_flow(config: Config, simulator: Simulator) -> None:
    """What is published while it reads is no matter of a range of the past, and is not missed in one without an end."""
    settings, before_us = Settings.model_validate(config), wall_us()
    with running(config) as probe:
        probe.await_connected(simulator)
        simulator.set_rate(500)
        for start_us, end_us in ((0, None), (0, before_us), (0, 1), (before_us, wall_us()), (before_us, None)):
            report = verify(settings, start_us, end_us, wall_us())
            assert report.is_sound, list(lines(report))
        simulator.stop_emitting()


def _findings(settings: Settings) -> list[str]:
    """Return each finding with the stream partition that it is of, and foreign records."""
    report = verify(settings, 0, None, wall_us())
    findings = [f"{each.partition}: {finding}" for each in report.partitions for finding in each.findings]
    return [*findings, *report.foreign]
