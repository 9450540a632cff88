"""The golden renders: what each file of values in `helm/ci` gives, kept as text, so that a review sees every change."""

from pathlib import Path

from tests.chart.chart import render_text

_FOLDER = Path(__file__).parent / "golden"


def golden_file(name: str) -> Path:
    """Return where the render of the values file `name` is kept."""
    return _FOLDER / f"{name}.yaml"


def golden_text(name: str) -> str:
    """Return what is to be kept there."""
    return render_text(name)
