"""Publishes dead letters as events, once a release knows their type: each exactly once.

A transaction is a compare-and-set on the ledger of a stream partition. First the end of the ledger is read, then which
dead letters are marked as replayed; events, marks and the next ledger entry are committed only if that entry follows
directly. If another writer, the owner or another replay, commits in between, the transaction starts over. The owner
then finds its own next entry misplaced, and restarts from the ledger after some seconds. A busy owner would win each
time: once it has won it is stopped first, by taking the place of its next entry with one that is never committed.
Between bursts of transactions an owner gets time to work (`replay_pace`).
Instants are microseconds since 1970.
"""

import random
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

from connector.app import look_up
from connector.errors import DependencyUnavailableError, WriterLostError
from connector.events.catalog import EventType, StreamPartition
from connector.events.decode import DeadLetter, Event, decode
from connector.events.identity import pack_ids
from connector.events.times import US_PER_S
from connector.kafka.clients import ClientProperties, producer_config, try_properties
from connector.kafka.digests import record_set
from connector.kafka.ledger import REPLAYED, Counts, LedgerEntry, Mode, RecordSet, Writer, first_entry
from connector.kafka.reading import ForeignRecordError, ReadRecord, TopicReader, entry_decoder
from connector.kafka.records import UnencodableError
from connector.kafka.registry import RegistryClient
from connector.kafka.restore import LedgerReader, OffsetEntry, Restored
from connector.kafka.topics import TopicNames
from connector.kafka.transaction import MisplacedError, Part, Record, TransactionalWriter
from connector.operations.accounts import is_mark
from connector.operations.dead_letters import Letter, LetterKey, Letters, Wanted, read_record
from connector.operations.replay_pace import Pace
from connector.partition.records import RecordBuilder
from connector.settings import Settings
from connector.x.clock import wall_us

DELIVERED_BY = "dead-letter"
MOST_EVENTS = 5_000
_MOST_BYTES = 8 * 1024**2
"""Bytes of lines in one transaction, which must end within 10 s."""
_ATTEMPTS = 10
_PAUSE_S = 0.5
"""Replays that collide repeatedly must get out of step; a stopped owner waits longer than that."""
_NOT_BEGUN = "its ledger is new or was reset: run the connector until this stream partition is connected"
_OWNER = "dead-letters replay"
_NS_PER_US = 1000


@dataclass(slots=True)
class Survey:
    """What can be replayed: the type of each dead letter that now decodes, and why the others stay.

    `places` are the offsets of the first whole record of each candidate; `replayed` were replayed before. `ids` are
    those of all existing dead letters that are wanted.
    """

    types: dict[LetterKey, EventType] = field(default_factory=dict)
    places: dict[LetterKey, int] = field(default_factory=dict)
    refused: dict[LetterKey, str] = field(default_factory=dict)
    replayed: int = 0
    ids: set[bytes] = field(default_factory=set)
    foreign: list[str] = field(default_factory=list)

    def counts(self) -> dict[tuple[StreamPartition, str], int]:
        """Return how many events there would be, by stream partition and event type."""
        counts: dict[tuple[StreamPartition, str], int] = defaultdict(int)
        for key, event_type in self.types.items():
            counts[key.origin, event_type.name] += 1
        return dict(sorted(counts.items()))


class _Line(NamedTuple):
    """A dead letter that is an event."""

    key: LetterKey
    received_us: int
    event: Event
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Composed:
    """A prepared transaction: the part that it commits, if any, and why some of the lines are not in it."""

    part: Part | None
    refused: Mapping[LetterKey, str]


def survey(settings: Settings, wanted: Wanted) -> Survey:
    """Return which of the wanted dead letters can be replayed. Raises as `TopicReader` does."""
    found, letters = Survey(), Letters()
    whys: dict[LetterKey, str] = {}
    with TopicReader(settings.kafka, [TopicNames(settings.kafka.topic_prefix).dead_letter]) as reader:
        for record in reader.to_end():
            letter = letters.take(record)
            if letter is None or letter.key in found.types or not wanted.has(letter):
                continue
            found.ids.add(letter.key.id)
            judged = judge(letter, record.value, settings.x.streams)
            if isinstance(judged, Event):
                found.types[letter.key], found.places[letter.key] = judged.type, record.offset
            else:
                whys[letter.key] = judged
    found.replayed = len(letters.marks.keys() & (found.types.keys() | whys.keys()))
    for key in letters.marks:
        found.types.pop(key, None)
        found.places.pop(key, None)
    found.refused = {key: why for key, why in whys.items() if key not in found.types and key not in letters.marks}
    found.foreign = letters.foreign
    return found


def judge(letter: Letter, line: bytes, streams: Iterable[str]) -> Event | str:
    """Return the event to which a dead letter now decodes, or why it does not."""
    if letter.key.is_of_batch:
        return "is a result of a batch run: start a run of its kind again"
    if letter.key.origin.stream not in streams:
        return f"its stream, {letter.key.origin.stream}, is not among x.streams"
    if not letter.is_whole:
        return f"is cut: {letter.kept} of its {letter.length} bytes are kept"
    match decode(letter.key.origin.stream, line):
        case DeadLetter(reason=reason, detail=detail):
            return f"still {reason}: {detail}"
        case Event() as event:
            return event if event.id == letter.key.id else f"decodes to event {event.id.hex()}, which is not its id"
        case _:
            return "is a system message from X, not an event"


class Replay:
    """Publishes what a survey found, inside a `with`.

    Making one raises the errors of Kafka and the registry, and `SettingsError`. `published` counts the published
    events, `replayed_meanwhile` those that others published, and `refused` has what could not be published, and why. A
    transaction has at most `most_events`. `pause` waits for some seconds, `jitter` gives numbers from 0 to 1, and
    `monotonic_s` is a clock in seconds.
    """

    def __init__(  # noqa: PLR0913 - what it replays, and what a test plays
        self,
        settings: Settings,
        surveyed: Survey,
        *,
        most_events: int = MOST_EVENTS,
        pause: Callable[[float], object] = time.sleep,
        jitter: Callable[[], float] = random.random,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        try_properties(settings.kafka, settings.pipeline.session_timeout_ms)
        self._settings = settings
        self._keys = {offset: key for key, offset in surveyed.places.items()}
        self._provisioned = look_up(settings)
        self._most_events = most_events
        self._pause = pause
        self._jitter = jitter
        self._monotonic_s = monotonic_s
        names = self._names = TopicNames(settings.kafka.topic_prefix)
        self._properties = producer_config(settings.kafka, names.transactional_id(f"replay-{uuid.uuid4().hex}"))
        self._partitions: dict[StreamPartition, _PartitionReplay] = {}
        self._marked: set[LetterKey] = set()
        self.published = self.replayed_meanwhile = 0
        self.refused: dict[LetterKey, str] = {}
        with ExitStack() as stack:
            registry = stack.enter_context(RegistryClient(settings.schema_registry))
            self._decode = entry_decoder(registry, names.ledger)
            self._marks = stack.enter_context(TopicReader(settings.kafka, [names.dead_letter]))
            self._clients = stack.pop_all()

    def run(self) -> None:
        """Publish everything, in the order of the topic within each stream partition.

        Raises `DependencyUnavailableError`, also if others keep committing, and `OwnCorruptionError` for an untrusted
        ledger; events published until then stay.
        """
        missing = set(self._keys.values())
        for batch in self._batches():
            missing -= {line.key for line in batch}
            self._publish(batch)
        self.refused |= dict.fromkeys(missing, "is no longer on the topic")

    def _batches(self) -> Iterator[Sequence[_Line]]:
        """Yield lines of one stream partition, as many as one transaction may take."""
        waiting: dict[StreamPartition, list[_Line]] = defaultdict(list)
        with TopicReader(self._settings.kafka, [self._names.dead_letter]) as reader:
            for record in reader.to_end():
                line = self._line(record)
                if line is None:
                    continue
                lines = waiting[line.key.origin]
                lines.append(line)
                if len(lines) == self._most_events or sum(each.size_bytes for each in lines) >= _MOST_BYTES:
                    yield waiting.pop(line.key.origin)
        yield from waiting.values()

    def _line(self, record: ReadRecord) -> _Line | None:
        """Return the line of a record, if it is one to be published."""
        if record.offset not in self._keys or not isinstance(letter := read_record(record), Letter):
            return None
        event = judge(letter, record.value, self._settings.x.streams)
        return _Line(letter.key, letter.received_us, event, len(record.value)) if isinstance(event, Event) else None

    def _publish(self, batch: Sequence[_Line]) -> None:
        """Publish lines of one stream partition in one transaction, except those replayed by then."""
        replaying = self._partition(batch[0].key.origin)
        self._pause(replaying.pace.begin(self._monotonic_s()))
        lost: WriterLostError | None = None
        for attempt in range(_ATTEMPTS):
            self._pause(attempt * self._jitter() * _PAUSE_S)
            try:
                return self._attempt(replaying, batch, has_lost=isinstance(lost, MisplacedError))
            except WriterLostError as error:  # whether it was committed, ledger and marks tell the next attempt
                lost = error
        what = "others kept committing, stop its owner first" if isinstance(lost, MisplacedError) else str(lost)
        raise DependencyUnavailableError(
            f"{batch[0].key.origin}: nothing was published in {_ATTEMPTS} attempts: {what}"
        )

    def _attempt(self, replaying: "_PartitionReplay", batch: Sequence[_Line], *, has_lost: bool) -> None:
        """Publish lines, if nothing is committed to their ledger meanwhile. Raises `WriterLostError`."""
        writer, restored = replaying.begin(has_lost=has_lost)
        self._look_for_owner(replaying.pace, restored)
        self._read_marks()
        left = [line for line in batch if line.key not in self._marked]
        composed = replaying.compose(left, restored)
        if composed.part is not None:
            writer.commit([composed.part])
            replaying.pace.committed(self._monotonic_s())
        self.published += len(left) - len(composed.refused)
        self.replayed_meanwhile += len(batch) - len(left)
        self.refused |= composed.refused

    def _look_for_owner(self, pace: Pace, restored: Restored) -> None:
        """Record when an owner last wrote, if it was the last to write."""
        if restored.placed and (newest := restored.placed[-1].entry).owner != _OWNER:
            pace.saw_owner(self._monotonic_s() - (wall_us() - newest.written_at_us) / US_PER_S)

    def _read_marks(self) -> None:
        """Read the marks of replayed dead letters that are committed by now."""
        for record in self._marks.to_end():
            with suppress(ForeignRecordError):
                if is_mark(record):
                    self._marked.add(read_record(record).key)

    def _partition(self, partition: StreamPartition) -> "_PartitionReplay":
        if partition not in self._partitions:
            provisioned, kafka = self._provisioned, self._settings.kafka
            records = RecordBuilder(
                partition,
                self._names,
                provisioned.schema_ids,
                provisioned.max_message_bytes,
                has_headers=kafka.headers,
            )
            ledger = LedgerReader(kafka, partition, self._decode, clock_us=wall_us)
            self._partitions[partition] = _PartitionReplay(records, ledger, self._properties)
        return self._partitions[partition]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clients.close()


class _PartitionReplay:
    """The ledger of one stream partition, a factory for producers that write to it, and their pace."""

    def __init__(self, records: RecordBuilder, ledger: LedgerReader, properties: ClientProperties) -> None:
        self._records = records
        self._ledger = ledger
        self._properties = properties
        self._writer_id = uuid.uuid4().hex
        self.pace = Pace()

    def begin(self, *, has_lost: bool) -> tuple[TransactionalWriter, Restored]:
        """Return a new producer, which ends what the previous one left open, and the content and end of the ledger.

        An owner that has won is stopped first; another replay is not, since it moves on. Raises `WriterLostError`, and
        as `LedgerReader.restore` does.
        """
        writer, restored = TransactionalWriter(self._properties), self._ledger.restore()
        if has_lost and restored.placed and restored.placed[-1].entry.owner != _OWNER:
            first = first_entry(self._records.partition, self._writer_id, wall_us())
            writer.write(self._records.ledger(first))
            return TransactionalWriter(self._properties), self._ledger.restore()
        return writer, restored

    def compose(self, lines: Sequence[_Line], restored: Restored) -> _Composed:
        """Return the transaction that publishes `lines` after the newest entry.

        Entry 1 is left to the owner: a new or reset ledger is covered by a wall clock until that entry corrects it by
        X's.
        """
        if not restored.placed or restored.placed[-1].entry.entry == 0:
            return _Composed(None, dict.fromkeys((line.key for line in lines), _NOT_BEGUN))
        newest, now_us = restored.placed[-1], wall_us()
        events, marks, refused = list[Record](), list[Record](), dict[LetterKey, str]()
        sequence = newest.entry.sequence
        for line in lines:
            try:
                event = self._records.event(line.event, _received_us(line), sequence + 1, DELIVERED_BY)
            except UnencodableError as error:
                refused[line.key] = f"decodes to an event, which is still unencodable: {error}"
                continue
            sequence += 1
            events.append(event)
            marks.append(self._records.replayed(line.key.id, line.received_us, sequence, now_us))
        if not events:
            return _Composed(None, refused)
        ids = [line.key.id for line in lines if line.key not in refused]
        sets = self._records.sets(events, [], now_us) | {REPLAYED: record_set(marks)}
        entry = entry_after(newest, ids, sets, Writer(self._writer_id, _OWNER), now_us)
        entry.check()
        entry.check_follows(newest.entry)
        part = Part(self._records.partition, [*events, *marks], self._records.ledger(entry), restored.end)
        return _Composed(part, refused)


def entry_after(
    newest: OffsetEntry, ids: Sequence[bytes], records: Mapping[str, RecordSet], writer: Writer, now_us: int
) -> LedgerEntry:
    """Return the entry of a transaction that publishes events with `ids`, and neither reads from X nor moves coverage.

    It keeps what the newest entry needs, and the newest itself, whose ids the owner may still have to know.
    """
    before = newest.entry
    return LedgerEntry(
        entry=before.entry + 1,
        writer_id=writer.id,
        partition=before.partition,
        covered_until_before_us=before.covered_until_us,
        covered_until_us=before.covered_until_us,
        covers_to_us=before.covers_to_us,
        counts=Counts(received=len(ids), published=len(ids)),
        sequence=before.sequence + len(ids),
        mode=Mode.DISCONNECTED,
        slice_us=None,
        ids=pack_ids(ids),
        oldest_offset=newest.offset if before.oldest_offset is None else before.oldest_offset,
        written_at_us=now_us,
        recovery=before.recovery,
        records=records,
        previous=newest.digest,
        owner=writer.owner,
    )


def _received_us(line: _Line) -> int:
    """Return when a line was received, but not before its date: the clock may be as coarse as X's `Date`."""
    date_us = line.event.event_at_ns // _NS_PER_US
    return date_us if line.received_us < date_us <= line.received_us + US_PER_S else line.received_us
