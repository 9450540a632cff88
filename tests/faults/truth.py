"""What must be true of a history whatever went wrong on the way, beyond what the audit of a smooth run asks.

Findings are text; none means all is right. Knows the contract, the oracle and the simulator's record.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from connector.simulator.record import Emitted
from tests.rig.audit import (
    History,
    Place,
    check_contents,
    check_coverage,
    check_dead_letters,
    check_end_of_coverage,
    check_ledger,
    check_once_in_order,
    check_places,
    expected_events,
)
from tests.rig.oracle import expect_dead_letter_id, expect_event
from tests.rig.readback import ReadRecord

_ID_BYTES = 16


def findings(
    history: History,
    emitted: Sequence[Emitted],
    *,
    is_clock_ahead: bool,
    reordered: Collection[Emitted] = frozenset(),
    left_in_trouble: Collection[Place] = frozenset(),
) -> list[str]:
    """Return all that is wrong.

    A stream partition that was `left_in_trouble` had no last transaction, in which coverage would be on its topic.

    With X's clock set ahead of ours, times of receipt and of writing cannot be held against X's, and a replay is a way
    by which an event may come. Coverage rests on X's order: it says nothing of lines that were `reordered`.
    """
    expected = expected_events(history.prefix, emitted)
    found = [
        *check_once_in_order(history, expected),
        *(finding for finding in check_contents(history, expected) if not (is_clock_ahead and _is_of_clock(finding))),
        *check_places(history),
        *check_dead_letters(history, emitted),
        *check_ledger(history),
        *(finding for finding in check_coverage(history) if not (is_clock_ahead and _is_of_clock(finding))),
        *(finding for place, finding in check_end_of_coverage(history) if place not in left_in_trouble),
        *check_coverage_is_true(history, [line for line in emitted if line not in reordered]),
        *check_one_writer_at_a_time(history),
    ]
    return [*found, *(f"gap {gap['gap_id']}: {gap['cause']}" for gap in history.gaps)]


def without(history: History, places: Collection[Place]) -> History:
    """Return the history of all other stream partitions."""

    def others(found: Mapping[Place, Any]) -> dict[Place, Any]:
        return {place: found[place] for place in found if place not in places}

    return replace(
        history,
        events=others(history.events),
        coverage=others(history.coverage),
        ledger=others(history.ledger),
        dead_letters=[letter for letter in history.dead_letters if _origin(letter) not in places],
        gaps=[gap for gap in history.gaps if (gap["stream"], gap["stream_partition"]) not in places],
    )


def _origin(letter: ReadRecord) -> Place:
    return letter.headers["stream"], int(letter.headers["stream-partition"])


def _is_of_clock(finding: str) -> bool:
    return "received at" in finding or "ahead of the clock" in finding or "way replay" in finding


def check_coverage_is_true(history: History, emitted: Sequence[Emitted]) -> Iterator[str]:
    """When an entry says how far all is covered, all that X emitted until then is committed by that entry.

    What lies in a recorded gap may come later, with an overlap, or not at all.
    """
    for place, entries in history.ledger.items():
        entry_of = {line_id: entry["entry"] for entry in reversed(entries) for line_id in _ids(entry)}
        lines = [line for line in emitted if (line.stream, line.partition) == place and not is_in_gap(history, line)]
        for line, line_id in _first_emissions(history.prefix, place, lines):
            at_us = line.emitted_at // 1000
            claim = next((entry["entry"] for entry in entries if entry["covered_until"] > at_us), None)
            if claim is not None and at_us >= entries[0]["covered_until"] and entry_of.get(line_id, claim + 1) > claim:
                yield f"coverage {place}: entry {claim} covers {line_id}, which entry {entry_of.get(line_id)} holds"
                break


def is_in_gap(history: History, line: Emitted) -> bool:
    """Return whether a line was emitted within a recorded gap of its stream partition."""
    at_us = line.emitted_at // 1000
    return any(
        (gap["stream"], gap["stream_partition"]) == (line.stream, line.partition)
        and gap["gap_start"] * 1000 <= at_us < gap["gap_end"] * 1000
        for gap in history.gaps
    )


def _ids(entry: Mapping[str, Any]) -> list[str]:
    ids: bytes = entry["ids"]
    return [ids[at : at + _ID_BYTES].hex() for at in range(0, len(ids), _ID_BYTES)]


def _first_emissions(prefix: str, place: Place, lines: Sequence[Emitted]) -> Iterator[tuple[Emitted, str]]:
    seen = set[str]()
    for line in lines:
        if line.kind == "event":
            line_id = expect_event(prefix, *place, line.line).id
        else:
            line_id = expect_dead_letter_id(line.stream, line.line)
        if line_id not in seen:
            seen.add(line_id)
            yield line, line_id


def check_one_writer_at_a_time(history: History) -> Iterator[str]:
    """Say where a writer comes back that was followed by another."""
    for place, entries in history.ledger.items():
        writers = [writer for writer, _ in groupby(entry["writer_id"] for entry in entries)]
        if len(writers) != len(set(writers)):
            yield f"ledger {place}: writers alternate: {writers}"
