"""Every row of the tables in `docs/x-connection.md` is true."""

import re
from collections import Counter

import pytest

from connector.x.errors import FailureReason
from tests.connections.bench import Bench
from tests.connections.messages import CONNECTION_ISSUES, DISCONNECT_TYPES, PROBLEM_TYPES
from tests.connections.row import Row, failed
from tests.connections.rows import ROWS


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row_is_what_happens(row: Row) -> None:
    """X does it, all events arrive all the same, and neither more nor less is waited and counted than the row says."""
    with row.make() as x:
        bench = Bench(x, row.network(), away_s=row.away_s, **{**row.settings, **getattr(x, "settings", {})})
        bench.run(events=x.events, attempts=len(row.delays_s) + 1, tick_s=row.tick_s)
    first, rest = bench.delays_s[: len(row.delays_s)], bench.delays_s[len(row.delays_s) :]
    assert tuple(round(delay_s, 2) for delay_s in first) == row.delays_s
    assert not any(rest)
    assert bench.counted == Counter(row.counted)


def test_rows_have_names_of_their_own() -> None:
    """No row hides another."""
    assert len({row.name for row in ROWS}) == len({row.does for row in ROWS}) == len(ROWS)


def test_every_reason_for_a_failed_attempt_has_a_row() -> None:
    """But the token that cannot be had, which is not X's doing."""
    counted = {name for row in ROWS for name in row.counted}
    assert {reason for reason in FailureReason if failed(reason) not in counted} == {"no-token"}


def test_every_word_of_x_s_for_the_end_of_a_stream_has_a_row() -> None:
    """And each class of status codes."""
    words = {word for row in ROWS for word in re.findall(r"[\w-]+", row.does)}
    assert words.issuperset({*DISCONNECT_TYPES, *CONNECTION_ISSUES, *PROBLEM_TYPES, "3xx", "4xx", "5xx", "2xx"})
