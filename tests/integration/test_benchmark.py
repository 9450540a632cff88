"""The benchmark runs: every part of it, in its short form. How fast anything is, is never asserted."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
def test_benchmark_in_its_short_form_measures_everything(tmp_path: Path) -> None:
    """It ends well with a table and JSON; the script it compares with needs what only `make bench` installs."""
    has_script = find_spec("xdk") is not None
    file = tmp_path / "bench.json"
    done = subprocess.run(  # noqa: S603 - the command is ours
        [
            *(sys.executable, "-m", "benchmarks", "--short", "--json", str(file)),
            *([] if has_script else ["--without-script"]),
        ],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(file.read_bytes())
    [measured] = results["rounds"]
    for duel in ("with_1_a_chunk", "with_20_a_chunk", "on_one_core"):
        assert (measured[duel]["script"] is not None) == has_script
        assert measured[duel]["connector"]["events_per_s"] > 0
        assert measured[duel]["connector"]["cpu_us"].keys() == {"itself", "Kafka", "feeder"}
    assert {"decode and identify", "encode", "produce", "commit"} <= measured["stages_us"].keys()
    assert all(latency["events"] for latency in results["latencies"])
    assert results["catch_up"]["events"] >= results["catch_up"]["stretch_s"]
    assert "| connector, 20 events a chunk |" in done.stdout
