"""docs/simulator.md: every request it shows is one that the simulator takes, or refuses as shown."""

import json
import re
from pathlib import Path

import pytest

from connector.simulator import Simulator
from connector.simulator.manual import FAULTS, read_fault
from tests.unit.simulator.reader import ask

_PAGE = (Path(__file__).parents[3] / "docs/simulator.md").read_text(encoding="utf-8")
_RECIPES = re.findall(r"^\| [^|]+ \| `(\{.+\})` \|$", _PAGE, re.MULTILINE)
_STARTS = re.findall(r"--fault '(\{.+?\})'", _PAGE)
_REQUESTS = re.findall(r"^\$ curl -s localhost:8400(/control/\S+) -d '(\{.+?\})'\n(.+)$", _PAGE, re.MULTILINE)


@pytest.mark.parametrize("fault", [*_RECIPES, *_STARTS])
def test_fault_on_the_page_is_taken(sim: Simulator, fault: str) -> None:
    """As it stands there, by the control endpoint and by the command."""
    response = ask(sim, "POST", "/control/faults", content=fault.encode())
    assert response.status_code == 200, response.text
    assert read_fault(fault.encode()).kind in FAULTS


@pytest.mark.parametrize(("path", "body", "answer"), _REQUESTS)
def test_control_request_on_the_page_is_answered_as_shown(sim: Simulator, path: str, body: str, answer: str) -> None:
    """With an error where the page shows one, word for word."""
    response = ask(sim, "POST", path, content=body.encode())
    is_error = answer.startswith('{"error"')
    assert response.status_code == (400 if is_error else 200)
    assert response.text == answer if is_error else response.json().keys() == json.loads(answer).keys()


def test_page_shows_what_these_tests_look_for() -> None:
    """The patterns still find it."""
    assert len(_RECIPES) > 20
    assert _STARTS
    assert len(_REQUESTS) > 4
