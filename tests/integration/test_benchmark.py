"""The benchmark runs: every part of it, in its short form. How fast anything is, is never asserted."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]


def _run(folder: Path, *options: str) -> tuple[str, Any]:
    """Run the benchmark in its short form; return its table and its results."""
    file = folder / "bench.json"
    done = subprocess.run(  # noqa: S603 - the command is ours
        [sys.executable, "-m", "benchmarks", "--short", "--json", str(file), *options],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(file.read_bytes())


@pytest.mark.long
@pytest.mark.timeout(600)
def test_benchmark_in_its_short_form_measures_everything(tmp_path: Path) -> None:
    """It ends well with a table and JSON; one of the scripts needs what only `make bench` installs."""
    has_xdk = find_spec("xdk") is not None
    table, results = _run(tmp_path, *([] if has_xdk else ["--without-script"]))
    [measured] = results["rounds"]
    scripts = {"plain", "xdk"} if has_xdk else {"plain"}
    for name in ("with_1_a_chunk", "with_20_a_chunk", "on_one_core"):
        compared = measured[name]
        assert compared["scripts"].keys() == scripts
        for pace in (compared["connector"], *compared["scripts"].values()):
            assert pace["events_per_s"] > 0
            assert pace["cpu_us"].keys() == {"itself", "Kafka", "feeder"}
    assert {"decode and identify", "encode", "produce", "commit"} <= measured["stages_us"].keys()
    for latency in results["latencies"]:
        assert latency["events"]
        assert latency["kafka_cpu_cores"] > 0
        assert latency["bytes_a_record"] > 0
    assert [restore["partitions"] for restore in results["restores"]] == [1, 1, 10]
    assert results["catch_up"]["events"] >= results["catch_up"]["stretch_s"]
    assert results["catch_up"]["verify_s"] > 0
    assert "| connector, 20 events a chunk |" in table
    assert "| connector against plain script, on one core, 20 a chunk |" in table


@pytest.mark.long
@pytest.mark.timeout(300)
def test_benchmark_compares_settings_at_one_rate(tmp_path: Path) -> None:
    """In the short form one of each kind, with the cost for connector and Kafka."""
    table, results = _run(tmp_path, "--sweep")
    assert results["latencies"].keys() == {"compression zstd, level 1", "commit every 100 ms"}
    for name, latency in results["latencies"].items():
        assert latency["cpu_cores"] > 0
        assert latency["kafka_cpu_cores"] > 0
        assert latency["bytes_a_record"] > 0
        assert f"| {name} |" in table
