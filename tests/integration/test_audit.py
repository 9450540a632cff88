"""The checkers checked: damage to the topics themselves is reported, by the audit of the rig and by `ledger verify`."""

from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import Any

import fastavro
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from connector.simulator.server import Simulator
from tests.rig.audit import Event, History, Place, audit, read_history
from tests.rig.readback import Decoder, ReadRecord, read_topics
from tests.rig.service import STREAM_PARTITIONS, Config, ConnectorProcess
from tests.rig.session import Kafka, SchemaRegistry
from tests.rig.verdict import read_verdict

_TIMEOUT_S = 20.0
_LOST, _REPEATED, _HOLE, _TORN = ("like", 1), ("label", 1), ("tweet", 1), ("user", 1)


class _Vandal:
    """Reads and damages the topics of one prefix with nothing but Kafka's own means."""

    def __init__(self, kafka: Kafka, registry: SchemaRegistry, committed: Config) -> None:
        self._servers = kafka.bootstrap_servers
        self._registry_url = registry.url
        self._prefix = committed["kafka"]["topic_prefix"]
        self._partitions = committed["kafka"]["partitions"]
        self._decoder = Decoder(registry.url)
        self._producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})

    def history(self) -> History:
        """Return all that is committed."""
        return read_history(self._servers, self._registry_url, self._prefix, self._partitions)

    def last_entry(self, place: Place) -> ReadRecord:
        """Return the newest record of a ledger partition."""
        key = f"{place[0]}/{place[1]}"
        records = read_topics(self._servers, [f"{self._prefix}-ledger"])
        return [record for record in records if record.key == key][-1]

    def decode(self, record: ReadRecord) -> dict[str, Any]:
        """Return the fields of a record."""
        return self._decoder.decode(record.value)

    def delete(self, record: ReadRecord) -> None:
        """Delete a record, and all before it in its partition."""
        before = TopicPartition(record.topic, record.partition, record.offset + 1)
        admin = AdminClient({"bootstrap.servers": self._servers})
        admin.delete_records([before])[before].result(_TIMEOUT_S)

    def write(self, record: ReadRecord, **changes: Any) -> None:  # noqa: ANN401 - any field
        """Write a record again, with other values of some fields."""
        fields = self.decode(record) | changes
        schema = self._decoder.schema(int.from_bytes(record.value[1:5]))
        value = BytesIO()
        value.write(record.value[:5])
        fastavro.schemaless_writer(value, fastavro.parse_schema(schema), fields)
        self._producer.produce(
            record.topic, value.getvalue(), record.key.encode(), record.partition, headers=dict(record.headers)
        )
        assert self._producer.flush(_TIMEOUT_S) == 0


def _verify(folder: Path, committed: Config, exit_code: int) -> dict[Place, list[str]]:
    with ConnectorProcess(folder, ["ledger", "verify"], committed) as command:
        assert command.wait() == exit_code, command.stderr
        return read_verdict(command.stdout)


def _commit_beyond_a_hole(vandal: _Vandal, last: Event) -> None:
    """Leave a number out: an event and its entry that fit each other, but not what was before."""
    entry = vandal.last_entry(_HOLE)
    number, sequence, new_id = vandal.decode(entry)["entry"] + 1, last.fields["sequence"] + 2, token_hex(16)
    counts = {"received": 1, "published": 1, "duplicate": 0, "dead_lettered": 0, "control": 0}
    vandal.write(last.record, event_id=new_id, sequence=sequence)
    vandal.write(entry, entry=number, sequence=sequence, ids=bytes.fromhex(new_id), **counts)


def test_damage_to_the_topics_is_reported_by_both_checkers(
    kafka: Kafka, registry: SchemaRegistry, simulator: Simulator, committed: Config, tmp_path: Path
) -> None:
    """A loss, a repeat, a hole in the sequence and a torn transaction, each where it is and nowhere else."""
    vandal = _Vandal(kafka, registry, committed)
    history = vandal.history()
    assert audit(history, simulator.record()) == []
    assert _verify(tmp_path, committed, 0) == {}
    lost = min((event.record for event in history.events[_LOST]), key=lambda record: record.offset)
    repeated, torn, last = history.events[_REPEATED][0], history.events[_TORN][-1], history.events[_HOLE][-1]

    vandal.delete(lost)
    vandal.write(repeated.record)
    vandal.write(torn.record, event_id=token_hex(16), sequence=torn.fields["sequence"] + 1)
    _commit_beyond_a_hole(vandal, last)

    found = _verify(tmp_path, committed, 70)
    said = "\n".join(audit(vandal.history(), simulator.record()))
    assert set(found) == {_LOST, _REPEATED, _HOLE, _TORN}
    for place, by_command, by_audit in (
        (_LOST, "1 accounted for in the ledger, but in no topic", "1 lost"),
        (_REPEATED, f"event {repeated.id} is there twice", f"1 repeated, such as {repeated.id}"),
        (_HOLE, f"1 sequence numbers are missing, the first is {last.fields['sequence'] + 1}", "1 made up"),
        (_TORN, "1 in a topic, but not accounted for in the ledger", "1 made up"),
    ):
        assert any(finding.startswith(by_command) for finding in found[place]), found[place]
        assert f"{place}: {by_audit}" in said
    assert f"ledger {_TORN}: ids and events differ" in said
    assert f"ledger {_HOLE}: entry" in said
    assert not [place for place in set(STREAM_PARTITIONS) - found.keys() if f"{place}:" in said]
