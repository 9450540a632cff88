"""The demo's broker starts, ends without a trace, and says why when it cannot start."""

import socket
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from connector.demo.broker import running_broker
from connector.errors import DependencyUnavailableError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder in which the broker's own folder is made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def _script(folder: Path, text: str) -> Path:
    script = folder / "script"
    script.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    script.chmod(0o755)
    return script


def test_broker_answers_until_its_end_and_leaves_nothing(temporary_folder: Path) -> None:
    """It speaks Kafka; afterwards its port is free and its folder is gone."""
    with running_broker() as address:
        assert AdminClient({"bootstrap.servers": address}).list_topics(timeout=10).brokers
        assert list(temporary_folder.iterdir())
    host, port = address.split(":")
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0
    assert not list(temporary_folder.iterdir())


def test_broker_that_ends_at_once_is_reported_with_its_output(tmp_path: Path, temporary_folder: Path) -> None:
    """What it wrote is the reason that a reader can act on."""
    binary = _script(tmp_path, "echo no room here >&2; exit 3")
    with (
        pytest.raises(DependencyUnavailableError, match=r"ended with 3; it said:\n  no room here$"),
        running_broker(binary),
    ):
        pass
    assert not list(temporary_folder.iterdir())


def test_broker_that_never_listens_is_given_up_and_ended(tmp_path: Path) -> None:
    """The process does not outlive the attempt."""
    binary = _script(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    with (
        pytest.raises(DependencyUnavailableError, match=r"does not listen on port \d+ after 1 s; it said:\n  nothing"),
        running_broker(binary, start_limit_s=1.0),
    ):
        pass
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_broker_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    """The end of the demo does not depend on it."""
    loop = f"{tmp_path}/loop.py"
    Path(loop).write_text(
        "import signal, socket, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "server = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "time.sleep(60)\n",
        encoding="utf-8",
    )
    binary = _script(tmp_path, f"echo $$ > {tmp_path}/pid; exec python3 {loop} $5")
    with running_broker(binary, stop_limit_s=0.2):
        assert Path("/proc", (tmp_path / "pid").read_text().strip()).exists()
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_missing_binary_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the program that guards it too."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DependencyUnavailableError, match="cannot be started"), running_broker(tmp_path / "none"):
        pass
