"""How replicas share the stream partitions: every one within one of each other, whatever streams are on."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from connector.simulator.server import Simulator
from tests.rig.process import wait_until
from tests.rig.service import (
    STREAM_PARTITIONS,
    TAKE_OVER,
    Config,
    ConnectorProcess,
    make_config,
    override,
    provisioned,
)
from tests.rig.session import Kafka, SchemaRegistry

_WITHIN_S = 60.0


@pytest.fixture
def config(kafka: Kafka, registry: SchemaRegistry, simulator: Simulator, prefix: str) -> Iterator[Config]:
    """Give settings with which everything is provisioned."""
    with provisioned(make_config(kafka.bootstrap_servers, registry.url, prefix, simulator.base_url, 1)) as config:
        yield config


class _Replicas:
    """Replicas with some streams on, each with an instance id of its own."""

    def __init__(self, folder: Path, config: Config, streams: str) -> None:
        self._folder = folder
        self._config = override(config, x={"streams": streams}, pipeline=TAKE_OVER)
        self._wanted = {f"{stream}/{number}" for stream, number in STREAM_PARTITIONS if stream in streams.split(",")}
        self._exits = ExitStack()
        self.up: dict[str, ConnectorProcess] = {}

    def start(self, name: str, **pipeline: int) -> None:
        """Start one, with these settings of the pipeline."""
        config = override(self._config, kafka={"group_instance_id": name}, pipeline=pipeline)
        self.up[name] = self._exits.enter_context(ConnectorProcess(self._folder, ["run"], config))
        self.up[name].probe()

    def stop(self, name: str) -> None:
        """Stop one in order."""
        process = self.up.pop(name)
        process.signal(signal.SIGTERM)
        assert process.wait() == 0

    def await_event(self, name: str, event: str) -> dict[str, Any]:
        """Wait until one logs this event, and return the first."""

        def logged() -> list[dict[str, Any]]:
            lines = [json.loads(line) for line in self.up[name].stderr.splitlines() if line.startswith("{")]
            return [line for line in lines if line["event"] == event]

        wait_until(lambda: bool(logged()), f"{name} logs {event}", _WITHIN_S)
        return logged()[0]

    def await_balance(self) -> None:
        """Wait until every stream partition that is on has one owner, and no replica has two more than another."""
        wait_until(lambda: self._is_balanced(self.owned()), lambda: f"balance: {self.owned()}", _WITHIN_S)

    def owned(self) -> dict[str, list[str]]:
        """Return what each replica works."""
        return {
            name: [place for place, status in _partitions(process).items() if status["state"] == "running"]
            for name, process in self.up.items()
        }

    def _is_balanced(self, owned: dict[str, list[str]]) -> bool:
        counts = [len(places) for places in owned.values()]
        return (
            sorted(self._wanted) == sorted(place for places in owned.values() for place in places)
            and max(counts) - min(counts) <= 1
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()


def _partitions(process: ConnectorProcess) -> dict[str, dict[str, Any]]:
    try:
        partitions: dict[str, dict[str, Any]] = process.probe().status()["partitions"]
    except httpx.HTTPError:
        return {}
    return partitions


@pytest.mark.parametrize(
    "streams", ["tweet,user", *(pytest.param(each, marks=pytest.mark.long) for each in ("tweet", "user,like,label"))]
)
def test_replicas_share_what_there_is_to_do_evenly(config: Config, tmp_path: Path, streams: str) -> None:
    """With one to four replicas: after scaling up, a rolling restart, and scaling down.

    The first one waits for a member whose session has not ended, and says so within 5 s.
    """
    with _Replicas(tmp_path, config, streams) as replicas:
        replicas.start("z", session_timeout_ms=20_000)
        replicas.await_balance()
        replicas.stop("z")
        for name in "abcd":
            replicas.start(name)
            if name == "a":
                waiting = replicas.await_event(name, "waiting_for_group")
                assert waiting["waited_s"] in {4, 5}
                assert waiting["reason"].startswith("the group waits for its earlier members; ")
            replicas.await_balance()
        for name in "abcd":
            replicas.stop(name)
            replicas.start(name)
        replicas.await_balance()
        for name in "dbc":
            replicas.stop(name)
            replicas.await_balance()
