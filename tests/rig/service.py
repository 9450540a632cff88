"""The connector under test, as a thread of this process or as one of its own, and what it says of itself.

Knows settings, `Service` and the command; must not know what is right to find in Kafka.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from confluent_kafka.admin import AdminClient
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from connector.app import Service
from connector.kafka.cluster import Cluster
from connector.kafka.registry import RegistryClient
from connector.operations.provision import State, apply, plan
from connector.settings import RunSettings
from connector.simulator.server import Simulator
from tests.rig import local_http
from tests.rig.process import LOOPBACK, wait_until

Config = dict[str, dict[str, Any]]
"""Settings by section; a value may be a section itself."""

STREAMS = ("tweet", "user", "like", "label")
STREAM_PARTITIONS = (
    *(("tweet", number) for number in (1, 2, 3, 4)),
    *(("user", number) for number in (1, 2, 3, 4)),
    ("like", 1),
    ("label", 1),
)
"""In the order of the ledger's partitions."""

_NAMESPACE = "compliance_connector"
_REST_S = 1.0
_PATIENCE_S = 60.0
"""A busy machine is no failure."""
_SESSION_TIMEOUT_MS = 15_000
"""A process that gets no time for longer loses its partitions, and its connections with them."""
TAKE_OVER = {"session_timeout_ms": 6_000}
"""Settings of the section `pipeline` for replicas whose end the others are to notice soon: the least Kafka allows."""


def make_config(bootstrap_servers: str, registry_url: str, prefix: str, x_url: str, partitions: int = 6) -> Config:
    """Return settings for all four streams on the given servers."""
    return {
        "x": {"base_url": x_url, "bearer_token": "simulator-token", "streams": ",".join(STREAMS)},
        "kafka": {
            "bootstrap_servers": bootstrap_servers,
            "topic_prefix": prefix,
            "partitions": partitions,
            "replication_factor": 1,
            "min_insync_replicas": 1,
        },
        "schema_registry": {"url": registry_url},
        "http": {"host": LOOPBACK, "port": 0},
        "log": {"format": "json"},
        "pipeline": {"session_timeout_ms": _SESSION_TIMEOUT_MS, "start_deadline_s": 20},
    }


def override(config: Config, **sections: Mapping[str, Any]) -> Config:
    """Return `config` with some settings of some sections replaced."""
    return {name: {**content, **sections.get(name, {})} for name, content in config.items()}


def provision_topics(config: Config) -> None:
    """Make all topics and subjects as `connector provision` does, but look neither before nor after.

    Hundreds of tests begin so, and two thirds of the requests to the registry are for looking.
    """
    settings = RunSettings.model_validate(config)
    missing = plan(settings.kafka, State(topics={}, subjects={})).changes
    with RegistryClient(settings.schema_registry) as registry:
        apply(missing, Cluster(settings.kafka), registry)


@contextmanager
def provisioned(config: Config) -> Iterator[Config]:
    """Make all topics and subjects, and delete the topics in the end."""
    try:
        provision_topics(config)
        yield config
    finally:
        delete_topics(config["kafka"]["bootstrap_servers"], config["kafka"]["topic_prefix"])


def delete_topics(bootstrap_servers: str, prefix: str) -> None:
    """Delete all topics whose name begins with `prefix`, and wait until they are gone."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})

    def found() -> list[str]:
        return [topic for topic in admin.list_topics(timeout=10).topics if topic.startswith(prefix)]

    if topics := found():
        for deletion in admin.delete_topics(topics).values():
            deletion.result()
        wait_until(lambda: not found(), f"the topics {prefix} are gone")


@dataclass(frozen=True)
class Metrics:
    """One scrape."""

    samples: Sequence[Sample]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of a metric, named without namespace, that have these labels."""
        found = [
            sample.value
            for sample in self.samples
            if sample.name == f"{_NAMESPACE}_{name}" and labels.items() <= sample.labels.items()
        ]
        assert found, f"no metric {name} with {labels}"
        return sum(found)


class Probe:
    """What a running connector says of itself over HTTP."""

    def __init__(self, port: int) -> None:
        self.url = f"http://{LOOPBACK}:{port}"

    def status(self) -> dict[str, Any]:
        """Return /status."""
        answer: dict[str, Any] = self._get("/status").raise_for_status().json()
        return answer

    def partition(self, stream: str, number: int) -> dict[str, Any]:
        """Return what /status says of a stream partition."""
        found: dict[str, Any] = self.status()["partitions"][f"{stream}/{number}"]
        return found

    @property
    def is_ready(self) -> bool:
        """Tell what /readyz answers."""
        return self._get("/readyz").status_code == httpx.codes.OK

    @property
    def is_live(self) -> bool:
        """Tell what /livez answers."""
        return self._get("/livez").status_code == httpx.codes.OK

    def metrics(self) -> "Metrics":
        """Return /metrics as of now, once the numbers are no older than the call."""
        called_at, scrapes = time.time(), list[Metrics]()

        def are_new() -> bool:
            scrapes.append(self._scrape())
            return scrapes[-1].total("scrape_timestamp_seconds") >= called_at

        wait_until(are_new, "the numbers are rewritten")
        return scrapes[-1]

    def metric(self, name: str, **labels: str) -> float:
        """Return a total of /metrics as of now."""
        return self.metrics().total(name, **labels)

    def _get(self, path: str) -> httpx.Response:
        return local_http.get(f"{self.url}{path}")

    def _scrape(self) -> "Metrics":
        text = self._get("/metrics").raise_for_status().text
        return Metrics([sample for family in text_string_to_metric_families(text) for sample in family.samples])

    def await_connected(self, simulator: Simulator, partitions: int = len(STREAM_PARTITIONS)) -> None:
        """Wait until the connector is ready and X counts that many live connections."""
        wait_until(
            lambda: self.is_ready and len(live_connections(simulator)) == partitions,
            f"{partitions} stream partitions are connected",
            _PATIENCE_S,
        )

    def await_rest(self) -> None:
        """Wait until no transaction is under way: Kafka 4.3 may never end one in which its only broker is killed."""
        committed = self.metric("transactions_committed_total")

        def rests() -> bool:
            nonlocal committed
            time.sleep(_REST_S)
            before, committed = committed, self.metric("transactions_committed_total")
            return committed == before

        wait_until(rests, f"nothing is committed for {_REST_S:g} s")

    def await_sequences(self, simulator: Simulator, timeout_s: float = _PATIENCE_S) -> None:
        """Wait until every stream partition has committed as many events as the simulator emitted well-formed ones."""
        emitted = Counter(f"{line.stream}/{line.partition}" for line in simulator.record() if line.kind == "event")

        def are_committed() -> bool:
            partitions = self.status()["partitions"]
            return all((partitions[name]["sequence"] or 0) >= count for name, count in emitted.items())

        wait_until(are_committed, f"all events are committed: {dict(emitted)}", timeout_s)


def live_connections(simulator: Simulator) -> list[tuple[str, int]]:
    """Return the stream partitions that have a live connection now."""
    return [
        (connection.stream, connection.partition)
        for connection in simulator.connections
        if connection.ended is None and connection.mode == "live"
    ]


@contextmanager
def running(config: Config) -> Iterator[Probe]:
    """Run the service in a thread, stop it at the end, and raise what it raised."""
    stop, listening, ports = threading.Event(), threading.Event(), list[int]()
    errors: list[BaseException] = []

    def note_port(port: int) -> None:
        ports.append(port)
        listening.set()

    def run() -> None:
        try:
            Service(RunSettings.model_validate(config)).run(stop, note_port)
        except BaseException as error:  # noqa: BLE001 - handed on to the test
            errors.append(error)
        finally:
            listening.set()

    thread = threading.Thread(target=run, name="service")
    thread.start()
    try:
        assert listening.wait(_PATIENCE_S)
        if ports:
            yield Probe(ports[0])
    finally:
        stop.set()
        thread.join()
        if errors:
            raise errors[0]


def environment(config: Mapping[str, Any], *path: str) -> dict[str, str]:
    """Return settings as the connector's environment variables."""
    variables: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, dict) and name != "properties":
            variables |= environment(value, *path, name)
        else:
            text = json.dumps(value) if isinstance(value, dict | bool) else str(value)
            variables["CONNECTOR_" + "__".join((*path, name)).upper()] = text
    return variables


class ConnectorProcess:
    """`connector ARGUMENTS` as a process, killed at the end of a `with`; then its output must hold no secret.

    `secrets` are the texts it must never print, beside every password and token of its settings. `module` is run in
    place of `connector`, with the environment `more`.
    """

    def __init__(  # noqa: PLR0913 - what a process is started with
        self,
        folder: Path,
        arguments: list[str],
        config: Config,
        secrets: Collection[str] = (),
        *,
        module: str = "connector",
        more: Mapping[str, str] | None = None,
    ) -> None:
        variables = environment(config)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")}
        self._secrets = [
            *secrets,
            *(text for name, text in variables.items() if name.endswith(("TOKEN", "PASSWORD", "SECRET", "API_KEY"))),
        ]
        self._output, self._errors = (folder / f"{os.urandom(4).hex()}.{name}" for name in ("stdout", "stderr"))
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                [sys.executable, "-m", module, *arguments],
                env=kept | variables | dict(more or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def stdout(self) -> str:
        """What it wrote to stdout so far."""
        return self._output.read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        """What it wrote to stderr so far."""
        return self._errors.read_text(encoding="utf-8")

    @property
    def is_running(self) -> bool:
        """Tell whether it has not ended."""
        return self._process.poll() is None

    def entries(self) -> list[dict[str, Any]]:
        """Return the log entries so far."""
        complete = self.stderr.split("\n")[:-1]
        return [json.loads(line) for line in complete if line.startswith("{")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log entries of that name so far."""
        return [entry for entry in self.entries() if entry["event"] == event]

    def probe(self) -> Probe:
        """Return the HTTP side of `run`, once it listens."""
        wait_until(lambda: bool(self.logged("starting")) or not self.is_running, "the connector listens", _PATIENCE_S)
        assert self.is_running, self.stderr
        return Probe(self.logged("starting")[0]["http_port"])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self, timeout_s: float = _PATIENCE_S) -> int:
        """Return the exit code, once it has ended; raises `TimeoutExpired`."""
        return self._process.wait(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        if error is not None:
            print(f"stdout:\n{self.stdout}\nstderr:\n{self.stderr}")  # noqa: T201 - pytest shows it with the failure
        assert [secret for secret in self._secrets if secret in self.stdout + self.stderr] == []
