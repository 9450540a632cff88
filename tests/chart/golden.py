"""The golden renders: what each file of values in `helm/ci` gives, kept as text, so that a review sees every change.

Rules and dashboard are left out: they are kept in files of their own, and `test_monitoring` compares them.
"""

import re
from pathlib import Path

from tests.rig.chart import render_text

_FOLDER = Path(__file__).parent / "golden"
_RULES = re.compile(r"(?<=\nkind: PrometheusRule\n)(.*?\nspec:\n).*?(?=\n---|\Z)", re.DOTALL)
_DASHBOARD = re.compile(r"^(  \S+\.json: ).*", re.MULTILINE)


def golden_file(name: str) -> Path:
    """Return where the render of the values file `name` is kept."""
    return _FOLDER / f"{name}.yaml"


def golden_text(name: str) -> str:
    """Return what is to be kept there."""
    return _DASHBOARD.sub(r"\1{}", _RULES.sub(r"\1  {}", render_text(name)))
