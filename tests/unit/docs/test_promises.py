"""Each promise has tests of its name, among those that play faults on real parts."""

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]
_PROMISES = re.findall(r"^\*\*(\w+)\.\*\*", (_ROOT / "docs/guarantees.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_promises_are_ten() -> None:
    """The page that makes them is read as it is meant."""
    assert len(set(_PROMISES)) == len(_PROMISES) == 10


@pytest.mark.parametrize("promise", _PROMISES)
def test_promise_has_a_test_of_its_name(promise: str) -> None:
    """Each promise can be traced to its tests."""
    scenarios = [*(_ROOT / "tests/faults").rglob("test_*.py"), *(_ROOT / "tests/integration").rglob("test_*.py")]
    assert any(f"def test_{promise}" in path.read_text(encoding="utf-8") for path in scenarios)
