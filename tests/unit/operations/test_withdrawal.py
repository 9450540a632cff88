"""Which gap can be withdrawn, and for which reasons."""

import os
from collections.abc import Iterator

import pytest

from connector.batch.gaps import RecordedGap
from connector.operations.withdrawal import LONGEST_REASON, WithdrawalError, check_reason, find
from connector.quoting import forget_secrets, keep_secret


@pytest.fixture
def secret() -> Iterator[str]:
    """Give a secret of the process."""
    keep_secret("test", "s3cret-s3cret")
    yield "s3cret-s3cret"
    forget_secrets()


def _gap(gap_id: str, state: str = "lost", why: str | None = None) -> RecordedGap:
    gap = {"gap_id": gap_id, "state": state, "withdrawn_at": 0 if why else None, "withdrawn_because": why}
    return RecordedGap(0, 0, gap)


@pytest.mark.parametrize(
    ("reason", "problem"),
    [
        ("", "is empty"),
        (" \t ", "is empty"),
        ("x" * (LONGEST_REASON + 1), "has 501 characters, more than 500"),
        ("two\nlines", "control characters"),
        ("\x1b[2Jcleared", "control characters"),
        ("turned \u202e round", "control characters"),
    ],
)
def test_reason_must_be_a_line_of_text(reason: str, problem: str) -> None:
    """Every reader of the gap is shown it."""
    with pytest.raises(WithdrawalError, match=problem) as told:
        check_reason(reason)
    assert told.value.exit_code == os.EX_USAGE


def test_reason_is_kept_in_any_script_and_up_to_its_limit() -> None:
    """Without the blanks around it."""
    longest = "\N{SNOWMAN}" * LONGEST_REASON
    assert check_reason(f" {longest}\n") == longest


def test_reason_holds_no_secret(secret: str) -> None:
    """It would be on a topic that others read."""
    with pytest.raises(WithdrawalError, match="secret of the settings") as told:
        check_reason(f"because {secret}")
    assert secret not in str(told.value)


def test_unknown_id_is_answered_with_those_that_can_be_withdrawn() -> None:
    """At most twenty of them."""
    gaps = [_gap(f"tweet/{number:02}") for number in range(23)]
    with pytest.raises(WithdrawalError) as told:
        find([*gaps, _gap("like/1", "withdrawn", "r")], "like/2")
    first, *ids, more = told.value.lines
    assert first == "there is no gap 'like/2' that can be withdrawn; there are:"
    assert ids == [f"  tweet/{number:02}" for number in range(20)]
    assert more == "  and 3 more: connector gaps"
    with pytest.raises(WithdrawalError, match=r"; there is none$"):
        find([], "like/2")


def test_gap_is_withdrawn_once() -> None:
    """The first reason stays."""
    assert find([_gap("a"), _gap("b")], "b") == _gap("b")
    with pytest.raises(WithdrawalError, match=r"^gap b was withdrawn at 1970-01-01T00:00:00\.000000Z: twice counted$"):
        find([_gap("b", "withdrawn", "twice counted")], "b")
