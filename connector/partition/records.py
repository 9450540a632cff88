"""Builds the Kafka records of everything that one stream partition publishes. Pure: values in, records out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connector.coverage.gap import Gap, GapCause
from connector.events.avro import AvroEncoder, EventEncoder
from connector.events.catalog import EVENT_TYPES, EventType, StreamPartition
from connector.events.decode import DeadLetter, Event
from connector.events.identity import ID_BYTES
from connector.events.schemas import COVERAGE, GAP, LEDGER, event_schema
from connector.events.times import format_us
from connector.kafka.digests import gap_number, number_set, record_sets
from connector.kafka.ledger import GAP_RECORD, REPLAYED, LedgerEntry, Mode, RecordSet
from connector.kafka.records import UnencodableError, cloud_event, dead_letter, over_limit, size_bytes
from connector.kafka.topics import TopicNames
from connector.kafka.transaction import Headers, Record

_GAP_DETAIL = {
    GapCause.OUTAGE_TOO_LONG: "the connector had no connection to X for longer than the 24 hours that X can replay",
    GapCause.REPLAY_REFUSED: "X refused the replay, or returned a different range",
    GapCause.REPLAY_INTERRUPTED: "X interrupted every attempt to replay this range, or took too long over it",
    GapCause.BACKFILL_REFUSED: "X refused a backfill on reconnect",
    GapCause.CONNECT_TOO_SLOW: "X took so long to answer that the requested backfill no longer reached back far enough",
    GapCause.LEDGER_RESET: "the ledger was reset, and what was committed of this range is not accounted for",
    GapCause.REPLAY_INCOMPLETE: "a replay that X ended as complete omitted events, and X could not deliver it again",
    GapCause.REPLAY_UNCONFIRMED: "a replay omitted events already seen, or returned nothing after another had done so",
    GapCause.REPLAY_NOT_CLOSED: "X delivered a replay and never ended it, so it cannot be known to be complete",
    GapCause.BACKFILL_UNCONFIRMED: "a backfill brought none of the events known to be in it, and no replay did",
    GapCause.COVERAGE_HELD_BACK: "old events kept coming on a live connection, and X grants no replay to check against",
}


class RecordBuilder:
    """Builds the records of one stream partition.

    `schema_ids` and `limits_bytes` (the largest record) are by topic.
    """

    def __init__(
        self,
        partition: StreamPartition,
        names: TopicNames,
        schema_ids: Mapping[str, int],
        limits_bytes: Mapping[str, int],
        *,
        has_headers: bool,
    ) -> None:
        self.partition = partition
        self._names = names
        self._limits = limits_bytes
        self._key = str(partition).encode()
        self._coverage = AvroEncoder(COVERAGE, schema_ids[names.coverage])
        self._gap = AvroEncoder(GAP, schema_ids[names.gap])
        self._ledger = AvroEncoder(LEDGER, schema_ids[names.ledger])
        self._has_headers = has_headers
        self._routes = {
            event_type: self._route(event_type, names.event(event_type), schema_ids)
            for event_type in EVENT_TYPES
            if event_type.stream == partition.stream
        }

    def event(self, event: Event, received_at_us: int, sequence: int, delivered_by: str) -> Record:
        """Return the record of an event. Raises `UnencodableError`."""
        route = self._routes[event.type]
        id_text = event.id.hex()
        own = (id_text, event.event_at_ns // 1_000_000, received_at_us // 1000, sequence, delivered_by)
        try:
            value = route.encoder.encode(own + event.values)
        except Exception as error:  # whatever the encoder rejects concerns this event alone
            raise UnencodableError(f"{type(error).__name__}: {error}") from error
        key = event.key.encode()
        size = route.fixed_bytes + len(value) + 2 * len(key) + len(event.event_at)
        if size > route.limit_bytes:
            raise over_limit(size, route.limit_bytes)
        headers = None
        if self._has_headers:
            headers = cloud_event(route.ce_type, route.ce_source, id_text, event.event_at, event.key)
        return Record(route.topic, key, value, headers)

    def dead_letter(self, letter: DeadLetter, received_at_us: int) -> Record:
        """Return the record of a dead letter, its value cut to the limit of the topic."""
        id_text = letter.id.hex()
        headers: Headers = {
            "reason": letter.reason.value,
            "detail": letter.detail.encode("utf-8", "replace"),
            "length": str(letter.length),
            "event-id": id_text,
            "stream": self.partition.stream,
            "stream-partition": str(self.partition.number),
            "received-at": format_us(received_at_us),
        }
        topic = self._names.dead_letter
        return dead_letter(topic, id_text, letter.line, headers, self._limits[topic])

    def replayed(self, event_id: bytes, received_at_us: int, sequence: int, replayed_at_us: int) -> Record:
        """Return the mark of a dead letter that was published as an event with this `sequence`."""
        id_text = event_id.hex()
        headers: Headers = {
            "reason": REPLAYED,
            "event-id": id_text,
            "stream": self.partition.stream,
            "stream-partition": str(self.partition.number),
            "received-at": format_us(received_at_us),
            "replayed-at": format_us(replayed_at_us),
            "sequence": str(sequence),
        }
        return Record(self._names.dead_letter, id_text.encode(), b"", headers)

    def coverage(self, covered_until_us: int, sequence: int, mode: Mode, written_at_us: int) -> Record:
        """Return the record of how far this stream partition is complete."""
        fields = {
            "stream": self.partition.stream,
            "stream_partition": self.partition.number,
            "covered_until": covered_until_us // 1000,
            "sequence": sequence,
            "mode": mode.value,
            "written_at": written_at_us // 1000,
        }
        return Record(self._names.coverage, self._key, self._coverage.encode(fields))

    def gap(self, gap: Gap, written_at_us: int) -> Record:
        """Return the record of a gap, in whole milliseconds around it."""
        gap_id, start_ms, end_ms, cause, recorded_ms = self._gap_fields(gap, written_at_us)
        fields = {
            "gap_id": gap_id,
            "stream": self.partition.stream,
            "stream_partition": self.partition.number,
            "gap_start": start_ms,
            "gap_end": end_ms,
            "state": gap.state.value,
            "cause": cause,
            "detail": _GAP_DETAIL[gap.cause],
            "recorded_at": recorded_ms,
            "reconciled_by": None,
            "remaining": None,
            "withdrawn_at": None,
            "withdrawn_because": None,
        }
        return Record(self._names.gap, gap_id.encode(), self._gap.encode(fields))

    def _gap_fields(self, gap: Gap, written_at_us: int) -> tuple[str, int, int, str, int]:
        """Return the constant fields of a gap, the same in all of its records: id, bounds, cause and time of record."""
        gap_id = f"{self.partition}/{format_us(gap.start_us)}/{format_us(gap.end_us)}"
        return gap_id, gap.start_us // 1000, -(-gap.end_us // 1000), gap.cause.value, written_at_us // 1000

    def sets(self, records: Sequence[Record], gaps: Sequence[Gap], written_at_us: int) -> dict[str, RecordSet]:
        """Return the sets of `records` by kind, as a ledger entry accounts for them; `gaps` are those among them."""
        sets = record_sets(records, self._names.prefix)
        if gaps:
            sets[GAP_RECORD] = number_set(gap_number(*self._gap_fields(gap, written_at_us)) for gap in gaps)
        return sets

    def ledger(self, entry: LedgerEntry) -> Record:
        """Return the record of a ledger entry, on the ledger partition of this stream partition."""
        value = self._ledger.encode(entry.as_record())
        return Record(self._names.ledger, self._key, value, None, self.partition.ledger_partition)

    def _route(self, event_type: EventType, topic: str, schema_ids: Mapping[str, int]) -> "_Route":
        constants: dict[str, str | int] = {
            "event_type": event_type.name,
            "stream": self.partition.stream,
            "stream_partition": self.partition.number,
        }
        ce_type, ce_source = f"x.compliance.{event_type.name}", self.partition.source
        return _Route(
            topic,
            EventEncoder(event_schema(event_type), schema_ids[topic], constants),
            ce_type,
            ce_source,
            size_bytes(cloud_event(ce_type, ce_source, "0" * 2 * ID_BYTES, "", "")),
            self._limits[topic],
        )


@dataclass(frozen=True, slots=True)
class _Route:
    """What all records of an event type have in common.

    `fixed_bytes` is the size of a record without value, key and time; the latter two are in the headers, too.
    """

    topic: str
    encoder: EventEncoder
    ce_type: str
    ce_source: str
    fixed_bytes: int
    limit_bytes: int
