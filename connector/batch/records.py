"""Kafka records of everything that a batch run publishes. Pure: values in, records out.

Owns how X's results become records. Must not know files, jobs or producers.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import msgspec

from connector.batch.accounting import MOST_KINDS, OTHER, UnaccountedError
from connector.batch.ids import IdSource
from connector.batch.ledger import BatchLedgerEntry
from connector.batch.results import DeadReason, DeadResult, Finding, dead_result
from connector.events.avro import AvroEncoder, EventEncoder
from connector.events.batch import BY_JOB_TYPE
from connector.events.identity import ID_BYTES, canonical_json, digest, id_prefix, line_id
from connector.events.schemas import BATCH_LEDGER, BATCH_RUN, GAP, batch_schema
from connector.events.times import format_us, parse_ns
from connector.kafka.records import UnencodableError, cloud_event, dead_letter, over_limit, size_bytes
from connector.kafka.topics import TopicNames
from connector.kafka.transaction import Headers, Record
from connector.x.batch_api import JobType

FIRST_SEQUENCE = 1
_NS_PER_MS = 1_000_000
_NO_PARTITION = "1"
"""The stream partition in a dead letter, as for streams without partitions."""
_ALIAS = {"redacted_at": "deleted_at"}
"""Another name that X uses for the same time."""
_CONTENT = tuple(field.name for field in fields(Finding))


class RunStatus(StrEnum):
    """The state of a run; public, an open set in the contract."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class JobContext:
    """The run and the job of an answer, when the job was created, and when the answer was read, in X's time."""

    run_id: str
    job_id: str
    checked_us: int
    received_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAccount:
    """The outcome of a run so far, counted in ids, except `dead_letters`, which are lines from X.

    `by_action` counts the ids with a published finding by action and reason. Of the `clean` ids, `unclear` have only
    dead letters, among them findings that could not be written. `checked_from_us` is when the earliest job was created,
    None until there is one; `last_sequence` is 0 until there is a finding.
    """

    run_id: str
    source: IdSource
    status: RunStatus
    started_us: int
    finished_us: int | None = None
    ids: int
    clean: int = 0
    rejected: int = 0
    unclear: int = 0
    by_action: Sequence[tuple[str, str | None, int]] = ()
    shards: int
    checked_from_us: int | None = None
    covers_all: bool
    last_sequence: int = 0
    dead_letters: int = 0

    @property
    def vouches_for_all(self) -> bool:
        """Whether X's request is known for every held id."""
        return (
            self.status is RunStatus.DONE
            and self.covers_all
            and self.checked_from_us is not None
            and not (self.rejected or self.unclear or self.dead_letters)
        )

    def doubts(self) -> list[str]:
        """Return why a run about all held ids does not vouch for them, as text."""
        if not self.ids:
            return ["no ids"]
        counts = {"rejected by X": self.rejected, "in doubt": self.unclear, "dead letters": self.dead_letters}
        return [f"{what}: {count:,}" for what, count in counts.items() if count]

    def check(self) -> None:
        """Raise `UnaccountedError` for a run that is done and leaves an id out: readers rely on its sums."""
        acted_on = sum(count for *_, count in self.by_action)
        accounted = self.clean + acted_on + self.rejected
        if self.status is RunStatus.DONE and accounted != self.ids:
            raise UnaccountedError(f"the run asked about {self.ids} ids, but {accounted} are accounted for")
        if self.status is RunStatus.DONE and acted_on != self.last_sequence:
            raise UnaccountedError(f"{acted_on} ids have a finding, but {self.last_sequence} are published")


class BatchRecords:
    """Builds the records of the runs of one kind.

    `schema_ids` and `limits_bytes` (the largest record) are by topic.
    """

    def __init__(
        self,
        kind: JobType,
        names: TopicNames,
        schema_ids: Mapping[str, int],
        limits_bytes: Mapping[str, int],
        *,
        has_headers: bool,
    ) -> None:
        self._kind = kind
        self._type = batch_type = BY_JOB_TYPE[kind]
        self._names = names
        self._topic = topic = names.batch(kind)
        self._limits = limits_bytes
        constants: dict[str, str | int] = {"event_type": batch_type.name}
        self._result = EventEncoder(batch_schema(batch_type), schema_ids[topic], constants)
        self._run = AvroEncoder(BATCH_RUN, schema_ids[names.batch_run])
        self._ledger = AvroEncoder(BATCH_LEDGER, schema_ids[names.batch_ledger])
        self._gap = AvroEncoder(GAP, schema_ids[names.gap])
        self._has_headers = has_headers
        self._ce_type = f"x.compliance.{batch_type.name}"
        self._fixed_bytes = size_bytes(cloud_event(self._ce_type, batch_type.source, "0" * 2 * ID_BYTES, "", ""))

    def finding(self, finding: Finding, context: JobContext, sequence: int) -> Record:
        """Return the record of a finding, the `sequence`-th of its run. Raises `UnencodableError`."""
        try:
            id_text, value = self._encode(finding, context, sequence)
        except Exception as error:  # whatever the encoder raises concerns this finding alone
            raise UnencodableError(f"{type(error).__name__}: {error}") from error
        checked_at, key = format_us(context.checked_us), finding.id.encode()
        size, limit = self._fixed_bytes + len(value) + 2 * len(key) + len(checked_at), self._limits[self._topic]
        if size > limit:
            raise over_limit(size, limit)
        headers = None
        if self._has_headers:
            headers = cloud_event(self._ce_type, self._type.source, id_text, checked_at, finding.id)
        return Record(self._topic, key, value, headers)

    def dead_letter(self, dead: DeadResult, context: JobContext) -> Record:
        """Return the record of a dead result, its value cut to what the topic takes."""
        id_text = line_id(self._type.name, b"%b\0%b" % (context.run_id.encode(), dead.line)).hex()
        headers: Headers = {
            "reason": dead.reason.value,
            "detail": dead.detail.encode("utf-8", "replace"),
            "length": str(dead.length),
            "event-id": id_text,
            "stream": self._type.name,
            "stream-partition": _NO_PARTITION,
            "run-id": context.run_id,
            "job-id": context.job_id,
            "received-at": format_us(context.received_us),
        }
        topic = self._names.dead_letter
        return dead_letter(topic, id_text, dead.line, headers, self._limits[topic])

    def run(self, account: RunAccount) -> Record:
        """Return the record of a run. Raises `UnaccountedError` for a sum that is wrong, and `UnencodableError`."""
        account.check()
        value = self._run.encode(
            {
                "run_id": account.run_id,
                "type": self._kind.value,
                "source": account.source.value,
                "state": account.status.value,
                "started_at": account.started_us // 1000,
                "finished_at": _whole_ms(account.finished_us),
                "ids": account.ids,
                "clean": account.clean,
                "rejected": account.rejected,
                "unclear": account.unclear,
                "counts": _counts(account.by_action),
                "shards": account.shards,
                "checked_from": _whole_ms(account.checked_from_us),
                "covers_all": account.covers_all,
                "first_sequence": FIRST_SEQUENCE,
                "last_sequence": account.last_sequence,
                "dead_letters": account.dead_letters,
            }
        )
        return self._fitting(Record(self._names.batch_run, account.run_id.encode(), value))

    def gap(self, gap: Mapping[str, Any], partition: int) -> Record:
        """Return the record of a gap, with the fields of `Gap.avsc`, on a partition of the gap topic.

        Raises `UnencodableError`.
        """
        return self._fitting(Record(self._names.gap, gap["gap_id"].encode(), self._gap.encode(gap), None, partition))

    def ledger(self, entry: BatchLedgerEntry) -> Record:
        """Return the record of a ledger entry, on the ledger partition of its kind.

        Raises `OwnCorruptionError` for an entry that reading would refuse, and `UnencodableError`.
        """
        entry.check()
        value = self._ledger.encode(entry.as_record())
        place = BY_JOB_TYPE[entry.kind].ledger_partition
        return self._fitting(Record(self._names.batch_ledger, entry.kind.value.encode(), value, None, place))

    def _encode(self, finding: Finding, context: JobContext, sequence: int) -> tuple[str, bytes]:
        """Return the id and the value of a finding's record."""
        content = canonical_json(_content(finding))
        id_text = digest(id_prefix(self._type.name, context.run_id), content).hex()
        asked = (context.received_us // 1000, context.checked_us // 1000, context.run_id, context.job_id)
        said = (finding.id, finding.action, finding.reason, *_times_and_rest(finding))
        return id_text, self._result.encode((id_text, *asked, sequence, *said))

    def _fitting(self, record: Record) -> Record:
        """Return a record without headers if its topic takes it: one over the limit aborts every transaction."""
        size, limit = len(record.key) + len(record.value) + size_bytes({}), self._limits[record.topic]
        if size > limit:
            raise over_limit(size, limit)
        return record


def unencodable(finding: Finding, detail: str) -> DeadResult:
    """Return the dead result of a finding that can be read but not written; its line is the finding as JSON."""
    line = json.dumps(_content(finding), sort_keys=True, separators=(",", ":"))
    return dead_result(DeadReason.UNENCODABLE, detail, line.encode())


def _content(finding: Finding) -> dict[str, Any]:
    """Return the members of a finding that are not null."""
    return {name: value for name in _CONTENT if (value := getattr(finding, name)) is not None}


def _times_and_rest(finding: Finding) -> tuple[int | None, int | None, str | None]:
    """Return creation and redaction in milliseconds, and the unknown fields with invalid times among them."""
    odd: dict[str, str] = {}
    created_ms = _read_ms("created_at", finding.created_at, odd)
    redacted_ms = _read_ms("redacted_at", finding.redacted_at, odd)
    return created_ms, redacted_ms, _with(finding.unknown_fields, odd) if odd else finding.unknown_fields


def _read_ms(name: str, text: str | None, odd: dict[str, str]) -> int | None:
    """Return the instant in a text from X, rounded down; a text that is not RFC 3339 goes to `odd`."""
    if text is None:
        return None
    try:
        return parse_ns(text) // _NS_PER_MS
    except ValueError:
        odd[name] = text
        return None


def _with(unknown_fields: str | None, odd: Mapping[str, str]) -> str:
    """Return unknown fields, a sorted JSON object, with more members; its values keep their spelling."""
    members = msgspec.json.decode(unknown_fields or "{}", type=dict[str, msgspec.Raw])
    for name, text in odd.items():
        members[_ALIAS.get(name, name) if name in members else name] = msgspec.Raw(msgspec.json.encode(text))
    return msgspec.json.encode(members, order="sorted").decode()


def _counts(by_action: Iterable[tuple[str, str | None, int]]) -> list[dict[str, Any]]:
    """Return the largest counts, and the sum of the others, so that they fit the record."""
    counts: Counter[tuple[str, str | None]] = Counter()
    for action, reason, count in by_action:
        counts[action, reason] += count
    if len(counts) > MOST_KINDS:
        rest = counts.total()
        counts = Counter(dict(counts.most_common(MOST_KINDS)))
        counts[OTHER] += rest - counts.total()
    return [{"action": action, "reason": reason, "count": count} for (action, reason), count in counts.most_common()]


def _whole_ms(instant_us: int | None) -> int | None:
    return None if instant_us is None else instant_us // 1000
