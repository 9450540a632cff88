"""All rows: what X does, what we do, and what is counted. Shown in `docs/x-connection.md`, each played by a test."""

from collections.abc import Mapping

from tests.connections.answers import ANSWERS
from tests.connections.body import BODY
from tests.connections.clocks import CLOCKS
from tests.connections.lines import LINES
from tests.connections.messages import MESSAGES
from tests.connections.replays import REPLAYS
from tests.connections.row import Row
from tests.connections.way import WAY

TABLES: Mapping[str, tuple[Row, ...]] = {
    "x-way": WAY,
    "x-answers": ANSWERS,
    "x-messages": MESSAGES,
    "x-body": BODY,
    "x-lines": LINES,
    "x-replays": REPLAYS,
    "x-clocks": CLOCKS,
}
"""The rows of each table, by the name of its block in the page."""
ROWS = tuple(row for rows in TABLES.values() for row in rows)
