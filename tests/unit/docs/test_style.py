"""docs/style.md: what can be counted of it is true of every file."""

import re
from pathlib import Path

from tests.unit.docs.tables import ROOT

_STYLE = (ROOT / "docs/style.md").read_text(encoding="utf-8")
_FOLDERS = ("connector", "tests", "scripts", "benchmarks", "examples")


def _lines(path: Path) -> int:
    return len(path.read_bytes().splitlines())


def test_module_has_at_most_as_many_lines_as_the_page_says() -> None:
    """A longer one has a second subject: give that a module of its own."""
    [limit] = map(int, re.findall(r"at most (\d+) lines", _STYLE))
    paths = {folder: list((ROOT / folder).rglob("*.py")) for folder in _FOLDERS}
    assert all(paths.values())
    lines = {str(path.relative_to(ROOT)): _lines(path) for each in paths.values() for path in each}
    long = [f"{path} has {number} lines" for path, number in sorted(lines.items()) if number > limit]
    assert not long, "\n".join(long)
