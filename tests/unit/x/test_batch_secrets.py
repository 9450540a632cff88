"""Nothing secret leaves the process: a whole run is searched, its output, its logs and its files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.x.recorded import JOB_ID, JOB_PATH, TOKEN, URL_SECRET, Partly, X, answer, problem

pytestmark = pytest.mark.slow

_FINDING = b'{"id":"42","action":"delete","reason":"deleted","created_at":null,"redacted_at":null}\n'


def _described(x: X, status: str) -> dict[str, object]:
    """Return a job as X describes it, with URLs at itself."""
    up, down = (f"{x.base_url}{JOB_PATH}/{way}?token={URL_SECRET}-{way}" for way in ("upload", "download"))
    return {"data": {"id": JOB_ID, "type": "tweets", "status": status, "upload_url": up, "download_url": down}}


def _environment(x: X) -> dict[str, str]:
    return {
        **os.environ,
        "CONNECTOR_X__BASE_URL": x.base_url,
        "CONNECTOR_X__BEARER_TOKEN": TOKEN,
        "CONNECTOR_LOG__LEVEL": "debug",
        "PYTHONPATH": str(Path.cwd()),
    }


def _describing(status: str, sources: list[X]) -> Partly:
    return Partly(sys.maxsize, lambda sock: sock.sendall(answer(200, _described(sources[0], status))))


def test_run_shows_and_keeps_nothing_secret(tmp_path: Path) -> None:
    """At the most talkative level, with an X that repeats what it was sent."""
    xs: list[X] = []
    x = X(
        answer(200, {"meta": {"result_count": 0}}),
        answer(200, {"meta": {"result_count": 0}}),
        _describing("created", xs),
        answer(503, problem(503, "t", f"no room for {URL_SECRET}-upload of {TOKEN}")),
        _describing("created", xs),
        answer(200),
        _describing("complete", xs),
        answer(200, _FINDING),
    )
    xs.append(x)
    (tmp_path / "ids").write_text("42\n43\n", encoding="ascii")
    with x:
        ended = subprocess.run(
            [sys.executable, "-m", "connector", "batch", "run", "tweets", "ids", "-r", "results", "--folder", "run"],
            env=_environment(x),
            cwd=tmp_path,
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    assert b"no room for [secret] of [secret]" in ended.stderr
    assert len(x.requests) == 8
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b'"deleted"' in kept
    assert b"hush" not in (ended.stdout + ended.stderr + kept).lower()
