"""`connector simulate`: its options reach the simulator, and a wrong fault is named before anything listens."""

import signal
import subprocess
import sys
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from connector.cli import app
from connector.commands.rehearsal import exports
from tests.unit.simulator.app import JOBS, TEXT
from tests.unit.simulator.reader import BEARER, LIKE, new_client


def test_help_points_to_the_manual() -> None:
    """Where the endpoints and faults are listed."""
    assert "GET /control/" in CliRunner().invoke(app, ["simulate", "--help"]).stdout


@pytest.mark.parametrize(
    ("fault", "word"), [('{"kind":"dorp"}', "endless-line"), ('{"kind":"drop","rset":1}', "after_lines"), ("{", "JSON")]
)
def test_fault_wrong_is_a_wrong_usage(fault: str, word: str) -> None:
    """The message names what there is."""
    result = CliRunner().invoke(app, ["simulate", "--port", "0", "--fault", fault])
    assert result.exit_code == 2
    assert word in result.output.replace("\n", " ")


def test_empty_control_token_is_a_wrong_usage() -> None:
    """Anyone would have it."""
    result = CliRunner().invoke(app, ["simulate", "--port", "0", "--control-token", ""])
    assert result.exit_code == 2
    assert "--control-token" in result.output


@pytest.mark.slow
def test_options_reach_the_simulator() -> None:
    """A fault armed at the start acts on the first request, and SIGTERM ends the process properly."""
    options: dict[str, Any] = {"--port": 0, "--rate": 0, "--rate-limit": 7, "--select-by": "event-at"}
    options |= {"--batch-job-s": 0, "--batch-transfers": "presigned", "--storage-port": 0}
    options["--fault"] = '{"kind":"refuse","status":408,"stream":"like"}'
    arguments = [str(part) for option in options.items() for part in option]
    with (
        subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "connector", "simulate", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        new_client() as client,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().strip()
        assert [process.stderr.readline() for _ in range(3)] == [
            "to point a connector at it:\n",
            f"  export CONNECTOR_X__BASE_URL={url}\n",
            "  export CONNECTOR_X__BEARER_TOKEN=simulator-token\n",
        ]
        response = client.get(url + LIKE, headers=BEARER)
        assert (response.status_code, response.headers["x-rate-limit-limit"]) == (408, "7")
        assert client.get(f"{url}/control/status").json()["fired"] == {"refuse": 1}
        job = client.post(url + JOBS, headers=BEARER, content=b'{"type":"users"}').json()["data"]
        assert client.put(job["upload_url"], headers=TEXT, content=b"").status_code == 200
        looked_up = client.get(f"{url}{JOBS}/{job['id']}", headers=BEARER).json()["data"]
        assert (looked_up["status"], job["upload_url"].startswith(url)) == ("complete", False)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    with pytest.raises(httpx.ConnectError), new_client() as client:
        client.get(url + LIKE)


def test_exports_can_be_pasted_into_a_shell_of_the_same_machine() -> None:
    """Whatever the token, and though nothing can connect to the address that means all of them."""
    assert exports("http://0.0.0.0:8400", "it's $HOME") == (
        "export CONNECTOR_X__BASE_URL=http://127.0.0.1:8400",
        """export CONNECTOR_X__BEARER_TOKEN='it'"'"'s $HOME'""",
    )
