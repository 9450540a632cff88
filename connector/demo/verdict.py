"""Everything that X emitted against everything that can be read back: what is lost, repeated or out of its place.

Pure. Knows lines as the simulator records them and records as any reader decodes them; nothing of Kafka or threads.
What makes two lines the same event, and their key, is the connector's own recipe; where a line belongs is told from
the line itself, or from what the simulator says is wrong with it.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from connector.events.catalog import BY_X_TYPE, StreamPartition
from connector.events.decode import DeadLetter, Event, Reason, SystemMessage, decode
from connector.simulator.record import Emitted

_REASONS = {"unknown-type": Reason.UNKNOWN_TYPE, "invalid-body": Reason.INVALID_BODY, "broken": Reason.NOT_JSON}
_EXAMPLES = 3


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

    `emitted` counts distinct lines, X's system messages left out; `read` counts records.
    """

    emitted: int
    read: int
    dead_letters: int
    gaps: int
    lost: tuple[str, ...]
    repeated: tuple[str, ...]
    misrouted: tuple[str, ...]
    never_emitted: tuple[str, ...]
    out_of_order: tuple[str, ...]
    sequence_breaks: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Return whether every emitted line was read exactly once, in its place and order, and nothing else was.

        A gap is no fault: it says that something may be missing, and this verdict knows whether it is.
        """
        return not any(self._faults().values())

    def lines(self) -> list[str]:
        """Return the figures, a line each, and then a few examples of each fault."""
        figures = {"emitted": self.emitted, "read back": self.read}
        figures |= {name: len(faults) for name, faults in self._faults().items()}
        figures |= {"dead letters": self.dead_letters, "gaps": self.gaps}
        examples = [
            f"{name}: {fault}" for name, faults in self._faults().items() for fault in sorted(faults)[:_EXAMPLES]
        ]
        return [*(f"{name:<16}{figure:>8,}" for name, figure in figures.items()), *examples]

    def _faults(self) -> dict[str, tuple[str, ...]]:
        return {
            "lost": self.lost,
            "repeated": self.repeated,
            "misrouted": self.misrouted,
            "never emitted": self.never_emitted,
            "out of order": self.out_of_order,
            "sequence breaks": self.sequence_breaks,
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


def judge(emitted: Iterable[Emitted], landed: Iterable[Landed], gaps: int = 0) -> Verdict:
    """Compare the simulator's record with the records read; `gaps` is how many gap records were read."""
    expected, landed = expect(emitted), list(landed)
    times_read = Counter(record.id for record in landed)
    return Verdict(
        emitted=len(expected),
        read=len(landed),
        dead_letters=sum(record.sequence is None for record in landed),
        gaps=gaps,
        lost=tuple(str(place) for id_text, place in expected.items() if id_text not in times_read),
        repeated=tuple(f"{id_text} was read {times} times" for id_text, times in times_read.items() if times > 1),
        misrouted=tuple(
            f"{record.place} should be {expected[record.id]}"
            for record in landed
            if record.id in expected and record.place != expected[record.id]
        ),
        never_emitted=tuple(str(record.place) for record in landed if record.id not in expected),
        out_of_order=tuple(_out_of_order(expected, landed)),
        sequence_breaks=tuple(_sequence_breaks(landed)),
    )


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
