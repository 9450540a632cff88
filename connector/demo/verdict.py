"""Compares everything that X emitted with everything that was read back: lost, repeated or misplaced records.

Pure. Knows lines as the simulator records them and records as any reader decodes them; nothing of Kafka or threads.
An event that is on no topic is lost, unless gaps and batch runs account for it.
What makes two lines the same event, and their key, is the connector's own recipe; where a line belongs follows from
the line itself, or from what the simulator records as wrong with it.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from connector.demo.accounts import Accounts, Fate
from connector.events.catalog import BY_X_TYPE, StreamPartition
from connector.events.decode import DeadLetter, Event, Reason, SystemMessage, decode
from connector.simulator.record import Emitted

_REASONS = {"unknown-type": Reason.UNKNOWN_TYPE, "invalid-body": Reason.INVALID_BODY, "broken": Reason.NOT_JSON}
_EXAMPLES = 3
_NO_ACCOUNTS = Accounts()


class Place(NamedTuple):
    """Where a record belongs or is: `name` is an event type's, or `dead-letter` and the reason; then its key."""

    partition: StreamPartition
    name: str
    key: str

    def __str__(self) -> str:
        return f"{self.name} {self.key} of {self.partition}"


class Landed(NamedTuple):
    """A record that was read back; a dead letter has no sequence."""

    id: str
    place: Place
    sequence: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How what was emitted compares with what was read; each fault is described in a line.

    `emitted` counts distinct lines, X's system messages left out; `read` counts records. Of the events that are on no
    topic, batch runs made up for `made_up_for`, and `remaining` are of types that their gap says remain.
    """

    emitted: int
    read: int
    dead_letters: int
    gaps: int
    made_up_for: int
    remaining: int
    lost: tuple[str, ...]
    repeated: tuple[str, ...]
    misrouted: tuple[str, ...]
    never_emitted: tuple[str, ...]
    out_of_order: tuple[str, ...]
    sequence_breaks: tuple[str, ...]
    wrong_results: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Return whether every emitted line is accounted for, in its place and order, and nothing else was read.

        It was read exactly once, or is an event for which its gap and the batch runs account. A gap is not a fault: it
        records that something may be missing, and this verdict knows whether it is.
        """
        return not any(self._faults().values())

    def lines(self) -> list[str]:
        """Return the figures, a line each, and then a few examples of each fault."""
        figures = {"emitted": self.emitted, "read back": self.read}
        figures |= {name: len(faults) for name, faults in self._faults().items()}
        figures |= {"dead letters": self.dead_letters, "gaps": self.gaps}
        figures |= {"made up for by batch runs": self.made_up_for, "remaining in gaps": self.remaining}
        examples = [
            f"{name}: {fault}" for name, faults in self._faults().items() for fault in sorted(faults)[:_EXAMPLES]
        ]
        return [*(f"{name:<26}{figure:>8,}" for name, figure in figures.items()), *examples]

    def closing(self) -> list[str]:
        """Return the conclusion of a clean verdict, in a sentence or two."""
        if not self.emitted:
            return ["Stopped before X had emitted anything."]
        dead_letters = "the lines that were not events are dead letters."
        missing = self.made_up_for + self.remaining
        if not missing:
            return [f"Every event arrived exactly once; {dead_letters}"]
        return [
            f"{self.read - self.dead_letters:,} events arrived exactly once; {dead_letters}",
            f"{missing:,} that X did not deliver are in gaps: batch runs made up for {self.made_up_for:,} of them;",
            (
                f"neither streams nor runs can bring back the other {self.remaining:,}; "
                "the gap records list their event types."
            ),
        ]

    def _faults(self) -> dict[str, tuple[str, ...]]:
        return {
            "lost": self.lost,
            "repeated": self.repeated,
            "misrouted": self.misrouted,
            "never emitted": self.never_emitted,
            "out of order": self.out_of_order,
            "sequence breaks": self.sequence_breaks,
            "wrong batch results": self.wrong_results,
        }


def event_landed(value: Mapping[str, Any], name: str, key: str) -> Landed:
    """Return the event record `value`, read from the topic of the event type `name`."""
    partition = StreamPartition(value["stream"], value["stream_partition"])
    return Landed(value["event_id"], Place(partition, name, key), value["sequence"])


def dead_letter_landed(headers: Mapping[str, bytes], key: str) -> Landed:
    """Return the dead letter with these headers."""
    partition = StreamPartition(headers["stream"].decode(), int(headers["stream-partition"]))
    return Landed(
        headers["event-id"].decode(), Place(partition, _dead_letter_name(headers["reason"].decode()), key), None
    )


def expect(emitted: Iterable[Emitted]) -> dict[str, Place]:
    """Return where each distinct emitted line belongs, by id, in the order of first emission."""
    expected: dict[str, Place] = {}
    for line in emitted:
        decoded = decode(line.stream, line.line)
        if not isinstance(decoded, SystemMessage):
            id_text = decoded.id.hex()
            expected.setdefault(id_text, _place(line, decoded, id_text))
    return expected


def judge(emitted: Iterable[Emitted], landed: Iterable[Landed], accounts: Accounts = _NO_ACCOUNTS) -> Verdict:
    """Compare the simulator's record with the records read, and with what gaps and batch runs say of the rest."""
    emitted, landed = list(emitted), list(landed)
    expected = expect(emitted)
    times_read = Counter(record.id for record in landed)
    missing = {id_text: place for id_text, place in expected.items() if id_text not in times_read}
    fates = _fates(emitted, missing, accounts)
    counts = Counter(fates.values())
    return Verdict(
        emitted=len(expected),
        read=len(landed),
        dead_letters=sum(record.sequence is None for record in landed),
        gaps=len(accounts.gaps),
        made_up_for=counts[Fate.MADE_UP_FOR],
        remaining=counts[Fate.REMAINS],
        lost=tuple(str(place) for id_text, place in missing.items() if fates.get(id_text, Fate.LOST) is Fate.LOST),
        repeated=tuple(f"{id_text} was read {times} times" for id_text, times in times_read.items() if times > 1),
        misrouted=tuple(
            f"{record.place} should be {expected[record.id]}"
            for record in landed
            if record.id in expected and record.place != expected[record.id]
        ),
        never_emitted=tuple(str(record.place) for record in landed if record.id not in expected),
        out_of_order=tuple(_out_of_order(expected, landed)),
        sequence_breaks=tuple(_sequence_breaks(landed)),
        wrong_results=accounts.wrong_results(),
    )


def _fates(emitted: Iterable[Emitted], missing: Mapping[str, Place], accounts: Accounts) -> dict[str, Fate]:
    """Return the fates of the events among the missing lines, by id; a line that is not an event has none."""
    events: dict[str, tuple[StreamPartition, str, int]] = {}
    for line in emitted:
        decoded = decode(line.stream, line.line)
        if isinstance(decoded, Event) and (id_text := decoded.id.hex()) in missing:
            place = missing[id_text]
            events.setdefault(id_text, (place.partition, place.name, decoded.event_at_ns))
    return dict(zip(events, accounts.fates(events.values()), strict=True))


def _place(line: Emitted, decoded: Event | DeadLetter, id_text: str) -> Place:
    partition = StreamPartition(line.stream, line.partition)
    if line.kind == "event":
        [x_type] = json.loads(line.line)["data"]
        return Place(partition, BY_X_TYPE[line.stream, x_type].name, getattr(decoded, "key", id_text))
    if line.kind in _REASONS:
        return Place(partition, _dead_letter_name(_REASONS[line.kind]), id_text)
    if isinstance(decoded, Event):
        return Place(partition, decoded.type.name, decoded.key)
    return Place(partition, _dead_letter_name(decoded.reason), id_text)


def _dead_letter_name(reason: str) -> str:
    return f"dead-letter {reason}"


def _by_sequence(landed: Iterable[Landed]) -> dict[StreamPartition, list[tuple[int, str]]]:
    """Return sequence and id of the events of each stream partition, in the order of the sequence."""
    events = defaultdict(list)
    for record in landed:
        if record.sequence is not None:
            events[record.place.partition].append((record.sequence, record.id))
    return {partition: sorted(rows) for partition, rows in events.items()}


def _out_of_order(expected: Mapping[str, Place], landed: Iterable[Landed]) -> Iterable[str]:
    positions = {id_text: position for position, id_text in enumerate(expected)}
    for partition, rows in _by_sequence(landed).items():
        known = [(sequence, positions[id_text]) for sequence, id_text in rows if id_text in positions]
        for (_, before), (sequence, position) in pairwise(known):
            if position < before:
                yield f"{partition}: sequence {sequence} was emitted before its predecessor"


def _sequence_breaks(landed: Iterable[Landed]) -> Iterable[str]:
    for partition, rows in _by_sequence(landed).items():
        for before, sequence in pairwise([0, *(sequence for sequence, _ in rows)]):
            if sequence != before + 1:
                yield f"{partition}: {sequence} follows {before}"
