"""The ledger in the hands of operators: reset, deleted and created again, and foreign records."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Producer

from connector.errors import OwnCorruptionError
from connector.events.avro import AvroEncoder
from connector.events.catalog import StreamPartition
from connector.events.schemas import LEDGER, AvroSchema
from connector.events.times import US_PER_S
from connector.kafka.clients import producer_config
from connector.kafka.ledger import Counts, Mode
from connector.kafka.ledger_decoding import EntryDecoder, decode_shipped
from connector.kafka.registry import RegistryClient
from connector.kafka.restore import LedgerReader
from connector.kafka.topics import TopicNames, subject
from connector.kafka.transaction import MisplacedError, Part, Record, TransactionalWriter
from connector.operations import reset as reset_module
from connector.operations.reset import LedgerReset
from connector.settings import Settings
from connector.simulator.server import Simulator
from tests.rig.audit import History, check_once_in_order, expected_events, read_history
from tests.rig.process import wait_until
from tests.rig.service import (
    STREAM_PARTITIONS,
    Config,
    ConnectorProcess,
    delete_topics,
    provision_topics,
    running,
)
from tests.rig.session import Kafka, SchemaRegistry

_TIMEOUT_S = 20.0
_PLACE = StreamPartition("tweet", 2)


@pytest.fixture
def read(kafka: Kafka, registry: SchemaRegistry, committed: Config) -> Callable[[], History]:
    """Give what reads all that is committed."""
    prefix = committed["kafka"]["topic_prefix"]
    return lambda: read_history(kafka.bootstrap_servers, registry.url, prefix, committed["kafka"]["partitions"])


def _run(folder: Path, committed: Config, *arguments: str) -> tuple[int, str, str]:
    with ConnectorProcess(folder, list(arguments), committed) as command:
        return command.wait(), command.stdout, command.stderr


def test_reset_with_more_ids_than_an_entry_takes_is_one_beginning_and_forgets_nothing(
    read: Callable[[], History],
    simulator: Simulator,
    committed: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All its entries are number 0 and needed; what X brings again is known, and the audit finds nothing."""
    monkeypatch.setattr(reset_module, "_IDS_PER_ENTRY", 20)
    settings = Settings.model_validate(committed)
    with LedgerReset(settings, _PLACE, is_forced=True) as reset:
        assert reset.carry_out() is not None
        assert reset.foreign == []
    restored = [placed.entry for placed in LedgerReader(settings.kafka, _PLACE, decode_shipped).restore().placed]
    emitted = sum((line.stream, line.partition) == (_PLACE.stream, _PLACE.number) for line in simulator.record())
    assert len(restored) == -(-emitted // 20) > 1
    assert {(entry.entry, entry.mode) for entry in restored} == {(0, Mode.RESET)}
    assert sum(entry.id_count for entry in restored) == emitted

    with running(committed) as probe:
        probe.await_connected(simulator)
        wait_until(
            lambda: probe.metric("lines_duplicate_total", stream="tweet", partition="2") >= emitted,
            "X brought all again",
        )
        simulator.emit(200)
        probe.await_sequences(simulator)
    code, said, _ = _run(tmp_path, committed, "ledger", "verify", "--from=1970-01-01")
    assert code == 0, said
    history = read()
    assert list(check_once_in_order(history, expected_events(history.prefix, simulator.record()))) == []


def test_entry_after_some_that_were_not_read_is_never_committed(committed: Config) -> None:
    """A replica that sees less of the ledger than there is would repeat the rest; the next one reads it whole."""
    settings = Settings.model_validate(committed).kafka
    names, reader = TopicNames(settings.topic_prefix), LedgerReader(settings, _PLACE, decode_shipped)
    producer = producer_config(settings, names.transactional_id("writer"))

    writer = TransactionalWriter(producer)
    restored = reader.restore()
    newest = restored.placed[-1]
    following = replace(
        newest.entry,
        entry=newest.entry.entry + 1,
        covered_until_before_us=newest.entry.covered_until_us,
        counts=Counts(),
        ids=b"",
        oldest_offset=restored.placed[0].offset,
        records={},
        previous=newest.digest,
    )
    value = AvroEncoder(LEDGER, 1).encode(following.as_record())
    record = Record(names.ledger, str(_PLACE).encode(), value, partition=_PLACE.ledger_partition)
    with pytest.raises(MisplacedError, match=f"known up to {newest.offset}, but the next entry is at offset") as caught:
        writer.commit([Part(_PLACE, [], record, newest.offset)])
    assert caught.value.misplaced.keys() == {_PLACE}

    writer = TransactionalWriter(producer)
    again = reader.restore()
    assert again.placed == restored.placed
    assert again.end > restored.end
    writer.commit([Part(_PLACE, [], record, again.end)])
    assert [each[:2] for each in reader.restore().placed] == [
        *((each.offset, each.entry) for each in restored.placed),
        (again.end, following),
    ]


def test_ledger_deleted_and_made_again_is_corruption_and_no_first_start(
    kafka: Kafka, committed: Config, tmp_path: Path
) -> None:
    """Coverage tells that there was one; a reset, and no new start, records what may be missing."""
    delete_topics(kafka.bootstrap_servers, f"{committed['kafka']['topic_prefix']}-ledger")
    provision_topics(committed)
    code, _, said = _run(tmp_path, committed, "run")
    assert code == 70, said
    assert said.count("empty, but its coverage is recorded: entries were deleted") >= len(STREAM_PARTITIONS)


def test_foreign_records_are_reported_and_stop_no_command(kafka: Kafka, committed: Config, tmp_path: Path) -> None:
    """Foreign records are on the topics that the commands read."""
    prefix = committed["kafka"]["topic_prefix"]
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for topic in ("-dead-letter", "-gap", "-coverage", ".tweet.delete"):
        producer.produce(f"{prefix}{topic}", b"\0\0\0\0\x01junk", str(_PLACE).encode())
    assert producer.flush(_TIMEOUT_S) == 0

    code, _, said = _run(tmp_path, committed, "ledger", "verify")
    assert code == 70
    assert "4 records were not written by the connector, such as" in said
    code, printed, said = _run(tmp_path, committed, "tail", "--to-end", "tweet.delete")
    assert code == 0
    assert printed.count("\n") > 1
    assert f"1 record was not written by the connector, such as {prefix}.tweet.delete partition 0 offset" in said
    code, _, said = _run(tmp_path, committed, "gaps")
    assert code == 0
    assert f"{prefix}-gap partition 0 offset 0" in said
    code, printed, said = _run(
        tmp_path, committed, "ledger", "reset", "--stream=tweet", "--partition=2", "--force", "--yes"
    )
    assert code == 0, said
    assert "3 records were not written by the connector" in said
    assert "recorded a gap" in printed


def test_forged_entry_with_coverage_a_year_ahead_is_neither_restored_nor_sound(
    kafka: Kafka, committed: Config, tmp_path: Path
) -> None:
    """It follows the last one in all else; the reset takes coverage from the coverage topic and records a gap."""
    settings = Settings.model_validate(committed)
    names, reader = TopicNames(settings.kafka.topic_prefix), LedgerReader(settings.kafka, _PLACE, decode_shipped)
    restored = reader.restore()
    newest, ahead_us = restored.placed[-1].entry, (int(time.time()) + 365 * 24 * 3600) * US_PER_S
    forged = replace(
        newest,
        entry=newest.entry + 1,
        covered_until_before_us=newest.covered_until_us,
        covered_until_us=ahead_us,
        covers_to_us=ahead_us,
        written_at_us=ahead_us,
        counts=Counts(),
        ids=b"",
        oldest_offset=restored.placed[0].offset,
    )
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    value = AvroEncoder(LEDGER, 1).encode(forged.as_record())
    producer.produce(names.ledger, value, str(_PLACE).encode(), partition=_PLACE.ledger_partition)
    assert producer.flush(_TIMEOUT_S) == 0

    with pytest.raises(OwnCorruptionError, match=f"offset {restored.end}: .* covered_until is .* any clock shows"):
        reader.restore()
    code, said, _ = _run(tmp_path, committed, "ledger", "verify")
    assert code == 70
    assert f"entry {forged.entry}: covered_until is " in said
    code, said, _ = _run(tmp_path, committed, "ledger", "reset", "--yes", f"--stream={_PLACE.stream}", "--partition=2")
    assert code == 0
    assert "recorded a gap" in said
    assert reader.restore().placed[-1].entry.covered_until_us < ahead_us


def test_records_by_schemas_that_contain_themselves_end_no_process(
    kafka: Kafka, committed: Config, tmp_path: Path
) -> None:
    """In the ledger they are corruption, in other topics foreign, under whichever subject they were registered."""
    settings = Settings.model_validate(committed)
    names = TopicNames(settings.kafka.topic_prefix)
    declared = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": "Node"}]}
    schema = AvroSchema("Node", json.dumps(declared), {})
    ledger_subject, event_topic = subject(names.ledger), f"{names.prefix}.tweet.delete"
    with RegistryClient(settings.schema_registry) as client:
        value = b"\0" + client.register(f"{names.prefix}-foreign-value", schema).to_bytes(4, "big")
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
        producer.produce(names.ledger, value, b"key", partition=_PLACE.ledger_partition)
        producer.produce(event_topic, value, b"key", partition=0)
        assert producer.flush(_TIMEOUT_S) == 0
        decode = EntryDecoder(partial(client.writer_schema, subject=ledger_subject)).decode
        with pytest.raises(OwnCorruptionError, match=f"is not one of subject {ledger_subject}"):
            LedgerReader(settings.kafka, _PLACE, decode).restore()
    code, said, told = _run(tmp_path, committed, "ledger", "verify")
    assert code == 70
    assert f"is not one of subject {ledger_subject}" in said
    assert f"{event_topic} partition 0 offset" in told
    code, _, told = _run(tmp_path, committed, "tail", "--to-end", "tweet.delete")
    assert code == 0
    assert f"is not one of subject {subject(event_topic)}" in told
