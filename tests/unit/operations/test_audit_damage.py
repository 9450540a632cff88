"""The audit of a damaged history: whatever is done to the topics is found and named."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from connector.events.times import format_us
from connector.kafka.ledger import Mode
from tests.unit.operations.histories import STEP_US, Bench, Event, Transaction, findings_of, made_history, made_id

_MUTATIONS: dict[str, Callable[[Transaction], Transaction | None]] = {
    "lose an event": lambda each: replace(each, events=each.events[1:]),
    "lose the last event": lambda each: replace(each, events=each.events[:-1]),
    "lose a dead letter": lambda each: replace(each, letters=each.letters[1:]),
    "lose all": lambda each: replace(each, events=(), letters=()),
    "repeat an event": lambda each: replace(each, events=each.events + each.events[:1]),
    "repeat a dead letter": lambda each: replace(each, letters=each.letters + each.letters[:1]),
    "shift a sequence": lambda each: replace(
        each, events=tuple(replace(event, sequence=event.sequence + 1) for event in each.events)
    ),
    "publish what is not accounted for": lambda each: replace(each, letters=(*each.letters, b"?" * 16)),
    "lose the entry": lambda _: None,
}
_MUTATIONS_OF_CONTENT: dict[str, Callable[[Transaction], Transaction]] = {
    "alter a value": lambda each: replace(
        each, events=tuple(replace(event, value=event.value + b"!") for event in each.events)
    ),
    "move to another topic": lambda each: replace(
        each, events=tuple(replace(event, kind="tweet.drop") for event in each.events)
    ),
    "lose coverage": lambda each: replace(each, has_coverage=False),
    "make coverage up": lambda each: replace(each, has_coverage=True),
}


@pytest.mark.slow
@given(
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=8),
    at=st.integers(1, 8),
    name=st.sampled_from(sorted(_MUTATIONS | _MUTATIONS_OF_CONTENT)),
    has_reset=st.booleans(),
    has_digests=st.booleans(),
)
def test_any_single_damage_is_found(
    steps: list[tuple[int, int]], at: int, name: str, *, has_reset: bool, has_digests: bool
) -> None:
    """Wherever it is in a history, reset or not; what needs digests is found where there are some."""
    assume(has_digests or name in _MUTATIONS)
    history = made_history(*([None] if has_reset else []), *steps, without_digests=0 if has_digests else 99)
    assume(at < len(history) and history[at].entry.mode is Mode.LIVE)
    damaged = (_MUTATIONS | _MUTATIONS_OF_CONTENT)[name](history[at])
    assume(damaged != history[at])
    bench = Bench()
    if damaged is None:
        assume(history[at].entry.ids or at + 1 < len(history))
        bench.entries([*history[:at], *history[at + 1 :]])
        bench.records(history)
    else:
        bench.entries(history)
        bench.records([*history[:at], damaged, *history[at + 1 :]])
    assert bench.findings


def _damage(at: int, **changes: Any) -> list[str]:  # noqa: ANN401 - any field
    """Return the findings of a history with another transaction in the place of one."""
    history = made_history((2, 1), (0, 0), (1, 1), (3, 0))
    bench = Bench()
    bench.entries(history)
    bench.records([*history[:at], replace(history[at], **changes), *history[at + 1 :]])
    return bench.findings


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            _damage(1, events=()),
            "1 tweet.delete records of entry 1, committed by 1970-01-01T00:00:00.010000Z, are missing",
        ),
        (_damage(3, letters=()), "1 dead-letter records of entry 3, committed by"),
        (_damage(3, letters=(made_id(5), made_id(5))), "1 dead-letter records more than entry 3, committed by"),
        (
            _damage(3, letters=(made_id(5), made_id(77))),
            "1 in a topic, but not accounted for in the ledger, such as dead letter ",
        ),
        (_damage(3, has_coverage=False), "1 coverage records of entry 3"),
        (_damage(2, has_coverage=True), "such as coverage of 1970-01-01T00:00:00.020000Z"),
        (_damage(4, events=(Event(made_id(6), 9, "tweet.edit", b""),)), "sequence 9 is beyond the ledger's 6"),
    ],
)
def test_damage_is_named(found: list[str], expected: str) -> None:
    """With the entry, the id or the number where to look."""
    assert any(expected in finding for finding in found), found


def test_altered_records_are_named_by_kind_and_entry() -> None:
    """There are as many as there should be."""
    altered = tuple(replace(each, value=b"?") for each in made_history((2, 1))[1].events)
    assert _damage(1, events=altered) == [
        f"{kind} records of entry 1, committed by {format_us(STEP_US)}, are not those that the ledger accounts for"
        for kind in ("tweet.edit", "tweet.delete")
    ]


def test_records_in_another_order_are_found() -> None:
    """By Kafka partition of a topic: sequence and offset grow together."""
    history = made_history((3, 0))
    bench = Bench()
    bench.entries(history)
    first, second, third = history[1].events
    for event in (third, second, first):
        bench.event(event)
    assert bench.findings[0] == "1 out of order, such as sequence 1 in p.tweet.edit partition 0"


@pytest.mark.parametrize("at", [1, 2, 3])
def test_missing_entry_is_found_by_the_next(at: int) -> None:
    """Also an idle one, which no event would tell of."""
    history = made_history((2, 1), (0, 0), (1, 1), (3, 0))
    assert any(
        f"entry {at + 1}: follows entry {at - 1}" in finding
        for finding in findings_of([*history[:at], *history[at + 1 :]])
    )


@pytest.mark.parametrize(
    ("previous", "expected"),
    [(b"?" * 32, "is not the one that it was written after"), (None, "without a reference to the previous one")],
)
def test_entry_that_is_not_chained_to_the_one_before_is_found(previous: bytes | None, expected: str) -> None:
    """It may be sound in itself, whatever it claims."""
    history = made_history((2, 1), (0, 0))
    history[-1] = replace(history[-1], entry=replace(history[-1].entry, previous=previous))
    assert any(expected in finding for finding in findings_of(history))


def test_unreadable_entry_is_a_finding() -> None:
    """In the words of what could not be read."""
    bench = Bench()
    bench.audit.unreadable("offset 7: cut off")
    assert bench.findings == ["1 no sound entries of the ledger, such as offset 7: cut off"]


def test_many_findings_are_counted_and_few_are_shown() -> None:
    """A report of millions of lines is useless, and its memory is bounded."""
    bench = Bench()
    bench.entries(made_history((1, 0)))
    for number in range(2, 1000):
        bench.event(Event(made_id(number), 1, "tweet.edit", b""))
    assert all(len(finding) < 300 for finding in bench.findings)
    assert len(bench.findings) == 3
