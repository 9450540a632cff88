"""docs/style.md: what can be counted of it is true of every file."""

import ast
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


def test_name_of_a_question_is_that_of_a_truth_value() -> None:
    """`is_…` and `has_…` ask; a name that begins so and returns nothing hides an effect."""
    asked = [
        (path, node)
        for path in (ROOT / "connector").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.lstrip("_").startswith(("is_", "has_"))
    ]
    assert asked
    wrong = [f"{path}:{node.lineno} {node.name}" for path, node in asked if ast.unparse(node.returns or node) != "bool"]
    assert not wrong, "\n".join(wrong)
