"""Which gaps `connector gaps` prints, and what it refuses."""

import json
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from typer.testing import CliRunner

from connector import cli
from connector.commands.gaps import is_wanted, show
from connector.commands.options import Output, TimeRange
from connector.coverage.gap import GapState
from connector.events.times import US_PER_S
from tests.unit.commands.printing import printed

_GAP: dict[str, Any] = {
    "gap_id": "tweet/2/a/b",
    "stream": "tweet",
    "stream_partition": 2,
    "gap_start": "1970-01-01T00:01:40.000000Z",
    "gap_end": "1970-01-01T00:03:20.000000Z",
    "state": "withdrawn",
    "cause": "ledger-reset",
    "detail": "d",
    "withdrawn_at": "1970-01-01T00:05:00.000000Z",
    "withdrawn_because": "nothing was missing",
}


@pytest.mark.parametrize(
    ("start_s", "end_s", "is_met"),
    [
        (0, 100, False),
        (0, 101, True),
        (100, 200, True),
        (150, 160, True),
        (199, 999, True),
        (200, 999, False),
    ],
)
def test_range_overlaps_a_gap_that_shares_an_instant_with_it(start_s: int, end_s: int, *, is_met: bool) -> None:
    """Ends are excluded, of both."""
    assert is_wanted(_GAP, TimeRange(start_s * US_PER_S, end_s * US_PER_S), None) == is_met


def test_gap_of_another_program_is_shown_whatever_the_range() -> None:
    """Better shown than missed."""
    for start in (7, "yesterday", None):
        assert is_wanted({**_GAP, "gap_start": start}, TimeRange(0, 1), None)


def test_states_choose() -> None:
    """Any of those that are given."""
    assert is_wanted(_GAP, None, [GapState.LOST, GapState.WITHDRAWN])
    assert not is_wanted(_GAP, None, [GapState.LOST])
    assert is_wanted(_GAP, None, [])


def _shown(
    output: Output = Output.TABLE,
    states: list[GapState] | None = None,
    gap: Mapping[str, Any] = MappingProxyType(_GAP),
) -> str:
    result = printed(lambda: show([dict(gap)], [], output, states=states))
    assert result.exit_code == os.EX_OK
    return result.stdout


@pytest.mark.parametrize(
    ("stream", "state", "remaining", "says"),
    [
        ("tweet", "lost", None, ["a batch run about all tweets makes up for: tweet.delete, tweet.edit"]),
        ("tweet", "partly-reconciled", ["tweet.withheld"], []),
        (
            "user",
            "partly-reconciled",
            ["user.withheld", "user.scrub-geo"],
            ["a batch run about all tweets makes up for: user.scrub-geo"],
        ),
        ("like", "lost", None, []),
        ("user", "withdrawn", None, []),
    ],
)
def test_gap_says_what_a_batch_run_makes_up_for(
    stream: str, state: str, remaining: list[str] | None, says: list[str]
) -> None:
    """As long as none has, and by the type of ids that it takes."""
    gap = {**_GAP, "stream": stream, "state": state, "remaining": remaining, "reconciled_by": ["run-1"]}
    lines = [line.strip() for line in _shown(gap=gap).splitlines()]
    assert [line for line in lines if "batch run" in line] == says


def test_withdrawn_gap_is_printed_with_its_reason() -> None:
    """On a line of its own, below the id that `withdraw` takes; as JSON with everything, in an array."""
    head, first, second, third = _shown().splitlines()
    assert head.split() == ["PARTITION", "FROM", "TO", "STATE", "CAUSE:", "DETAIL"]
    assert first.endswith("  withdrawn  ledger-reset: d")
    assert second.strip() == "id: tweet/2/a/b"
    assert third.strip() == "withdrawn at 1970-01-01T00:05:00.000000Z: nothing was missing"
    assert json.loads(_shown(Output.JSON)) == [_GAP]
    assert _shown(states=[GapState.LOST]) == "no gaps match\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--state=closed",),
        ("--from=tomorrow",),
        ("--from=1h", "--to=2h"),
        ("--state=lost", "list"),
        ("--config=x.yaml", "withdraw", "a", "--reason=r"),
        ("--output=json", "list"),
    ],
    ids=" ".join,
)
def test_option_that_would_be_without_effect_is_refused(arguments: tuple[str, ...]) -> None:
    """Above all a file of settings: the command would go to another Kafka than meant."""
    result = CliRunner().invoke(cli.app, ["gaps", *arguments])
    assert (result.exit_code, result.stdout) == (2, "")
