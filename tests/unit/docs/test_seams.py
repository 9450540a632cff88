"""What unit tests must not do: reach into the product, or into the process, instead of passing in what they play."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]
_PLACES = ("tests/unit", "tests/connections")
_REASONS = {
    (
        "tests/unit/batch/runs.py",
        "self._patch.setattr",
    ): "counts what a run asks of the operating system, to kill it there",
    ("tests/unit/demo/test_broker.py", "monkeypatch.setattr"): "tempfile reads TMPDIR once in a process",
    ("tests/unit/telemetry/test_logs.py", "threading.excepthook"): "puts back what the product has set",
}
"""Those that stay, and why there is no seam."""
_SETTERS = {"setattr", "delattr", "setitem", "delitem"}


def _reaches(source: str) -> Iterator[str]:
    """Yield each place where something is replaced, as it is written.

    That is every `setattr` and `delattr` of a patch, any use of `unittest.mock`, and whatever sets an attribute or an
    item of something that is imported, or a private attribute of another object.
    """
    nodes = list(ast.walk(ast.parse(source)))
    imported = set(_imported(nodes))
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom) and "mock" in {*_parts(node)}:
            yield "mock"
        elif isinstance(node, ast.Call) and _sets(node, imported):
            yield ast.unparse(node.func)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            is_foreign = node.attr.startswith("_") and ast.unparse(node.value) not in {"self", "cls"}
            if is_foreign or _root(node.value) in imported:
                yield ast.unparse(node)


def _sets(call: ast.Call, imported: set[str]) -> bool:
    """Return whether a call replaces what is not the test's own."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
    if name not in _SETTERS or not call.args:
        return False
    is_patch = isinstance(call.func, ast.Attribute) and name in {"setattr", "delattr"}
    return is_patch or _root(call.args[0]) in imported


def _imported(nodes: list[ast.AST]) -> Iterator[str]:
    """Yield the names that imports bind."""
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((each.asname or each.name).partition(".")[0] for each in node.names)


def _parts(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """Yield the parts of the names in an import."""
    module = node.module if isinstance(node, ast.ImportFrom) else None
    for each in node.names:
        yield from f"{module or ''}.{each.name}".split(".")


def _root(node: ast.expr) -> str | None:
    """Return the name that an expression begins with, if it begins with one."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def test_unit_tests_pass_in_what_they_play() -> None:
    """Types do not see what a test replaces in a module, and to move it is to break the test."""
    paths = [path for place in _PLACES for path in (_ROOT / place).rglob("*.py")]
    found = {(str(path.relative_to(_ROOT)), reach) for path in paths for reach in _reaches(path.read_text())}
    assert found == set(_REASONS)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("monkeypatch.setattr('connector.app.verify', f)", ["monkeypatch.setattr"]),
        ("monkeypatch.setattr(module, 'verify', f)", ["monkeypatch.setattr"]),
        ("with pytest.MonkeyPatch.context() as patch:\n    patch.delattr(module.verify)", ["patch.delattr"]),
        ("from unittest import mock", ["mock"]),
        ("from unittest.mock import patch", ["mock"]),
        ("import unittest.mock as m", ["mock"]),
        ("from connector import app\napp.RETRY_S = 0.0", ["app.RETRY_S"]),
        ("import connector.app\ndel connector.app.verify", ["connector.app.verify"]),
        ("from connector.app import Service\nsetattr(Service, 'run', f)", ["setattr"]),
        ("import sys\nmonkeypatch.setitem(sys.modules, 'rich', None)", ["monkeypatch.setitem"]),
        ("service._clock, other = clock, 1", ["service._clock"]),
        ("bench.worker._wait += 1", ["bench.worker._wait"]),
        ("monkeypatch.setenv('PATH', '')\nmonkeypatch.chdir(folder)", []),
        ("self._clock = clock\nbench.now_s = 1.0\nsetattr(world, name, stop)", []),
    ],
)
def test_what_is_replaced_is_found(source: str, found: list[str]) -> None:
    """However it is written."""
    assert list(_reaches(source)) == found
