"""The demo: the real service between a simulated X and a small broker, some trouble on the way, and a verdict.

Owns the order of things and what goes wrong when. The service is the one that `connector run` runs; nothing here
helps it along.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Event

from pydantic import SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from connector.app import Service, stopping_on_signals
from connector.demo.broker import running_broker
from connector.demo.landing import Watcher, read_back
from connector.demo.registry import DemoRegistry
from connector.demo.verdict import Verdict, expect, judge
from connector.demo.view import View, make_view
from connector.demo.worker import Worker
from connector.errors import DependencyUnavailableError
from connector.events.catalog import STREAMS
from connector.kafka.cluster import Cluster
from connector.kafka.ledger import Mode
from connector.kafka.registry import RegistryClient
from connector.operations.provision import provision
from connector.settings import HttpSettings, KafkaSettings, RunSettings, SchemaRegistrySettings, XAccessSettings
from connector.simulator.config import SimulatorConfig
from connector.simulator.faults import Broken, Drop, Duplicate, Fault, UnknownType
from connector.simulator.server import Simulator

_SEED = 1
_EVENTS_PER_S = 80.0
_REFRESH_S = 0.2
_CONNECT_LIMIT_S = 60.0
_DRAIN_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that X does when the fraction `at` of the demo's time has passed; no two are of one kind."""

    at: float
    fault: Fault
    text: str


TROUBLES = (
    Trouble(0.2, Drop(stream="tweet", partition=1), "X drops the connection of tweet/1"),
    Trouble(0.4, Duplicate(stream="tweet", partition=2, lines=10), "X delivers 10 events of tweet/2 once more"),
    Trouble(0.6, UnknownType(stream="user", partition=3), "X sends an event of an unknown type on user/3"),
    Trouble(0.8, Broken(stream="tweet", partition=4), "X sends a broken line on tweet/4"),
)


class DemoSettings(RunSettings):
    """The settings of the demo: what it is given, and nothing from the environment."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the base class's signature
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments only."""
        return (init_settings,)


def run_demo(seconds: float) -> int:
    """Run the demo for `seconds`, or until SIGTERM or SIGINT; return 0 when every event arrived exactly once, else 1.

    Raises `DependencyUnavailableError` when the broker does not start, or the service does not connect.
    """
    try:
        return _run(seconds)
    except BrokenPipeError:  # the reader is gone, as after `| head`; the interpreter must not write at its end either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(seconds: float) -> int:
    with ExitStack() as stack:
        stop = stack.enter_context(stopping_on_signals())
        view = make_view()
        view.say("Starting a simulated X, a broker, a registry and the connector on this machine.")
        x = stack.enter_context(Simulator(SimulatorConfig(seed=_SEED)))
        kafka = stack.enter_context(running_broker())
        registry = stack.enter_context(DemoRegistry())
        view.say(f"X {x.base_url}, Kafka {kafka}, registry {registry.url}")
        settings = _settings(x, kafka, registry)
        _provision(settings)
        happened = _perform(x, settings, view, stop, seconds)
        landed, gaps = read_back(settings)
    did_not_happen = [trouble for trouble in happened if not x.fired[trouble.fault.kind]]
    return _conclude(judge(x.record(), landed, gaps), did_not_happen, view)


def _settings(x: Simulator, kafka: str, registry: DemoRegistry) -> DemoSettings:
    return DemoSettings(
        x=XAccessSettings(base_url=x.base_url, bearer_token=SecretStr(x.config.token), streams=tuple(STREAMS)),
        kafka=KafkaSettings(bootstrap_servers=kafka, replication_factor=1, min_insync_replicas=1),
        schema_registry=SchemaRegistrySettings(url=registry.url),
        http=HttpSettings(host="127.0.0.1", port=0),
    )


def _provision(settings: DemoSettings) -> None:
    with RegistryClient(settings.schema_registry) as registry:
        provision(settings.kafka, Cluster(settings.kafka), registry, dry_run=False)


def _perform(x: Simulator, settings: DemoSettings, view: View, stop: Event, seconds: float) -> Sequence[Trouble]:
    """Let X emit for `seconds` and the service work until all has landed; return the troubles that were made."""
    watcher, service = Watcher(settings), Service(settings)
    with view, Worker("reader", watcher.run) as reading, Worker("service", service.run) as serving:
        stage = _Stage(x, service, watcher, view, stop, (reading, serving))
        stage.connect()
        stage.play(seconds)
        stage.drain()
        return stage.happened


@dataclass(frozen=True, slots=True)
class _Stage:
    """What is going on while the service runs."""

    x: Simulator
    service: Service
    watcher: Watcher
    view: View
    stop: Event
    workers: Sequence[Worker]
    happened: list[Trouble] = field(default_factory=list)

    def connect(self) -> None:
        """Wait until the service reads every stream partition. Raises `DependencyUnavailableError`."""
        deadline = time.monotonic() + _CONNECT_LIMIT_S
        while not self._is_connected() and not self.stop.is_set():
            if time.monotonic() > deadline:
                raise DependencyUnavailableError(f"the connector is not connected to X after {_CONNECT_LIMIT_S:g} s")
            self._pause()

    def play(self, seconds: float) -> None:
        """Let X emit, and make each trouble as its time comes."""
        began = time.monotonic()
        due = deque(TROUBLES)
        self.x.set_rate(_EVENTS_PER_S)
        while (elapsed_s := time.monotonic() - began) < seconds and not self.stop.is_set():
            while due and elapsed_s >= due[0].at * seconds:
                self._make(due.popleft())
            self._pause()

    def drain(self) -> None:
        """Let X fall silent, and wait until all it emitted has landed, at most for a while."""
        self.x.stop_emitting()
        expected = expect(self.x.record()).keys()
        deadline = time.monotonic() + _DRAIN_LIMIT_S
        while (self.x.faults.armed or not expected <= self.watcher.ids) and time.monotonic() < deadline:
            self._pause()

    def _is_connected(self) -> bool:
        return all(status.mode == Mode.LIVE for status in self.service.statuses.values())

    def _make(self, trouble: Trouble) -> None:
        self.x.inject(trouble.fault)
        self.happened.append(trouble)
        self.view.say(trouble.text)

    def _pause(self) -> None:
        """Show what has landed, and wait; not for `stop`, which a signal may set in the middle of just that."""
        for worker in self.workers:
            worker.check()
        self.view.show(self.watcher.rows.values())
        time.sleep(_REFRESH_S)


def _conclude(verdict: Verdict, did_not_happen: Sequence[Trouble], view: View) -> int:
    view.say("", *verdict.lines(), "")
    for trouble in did_not_happen:
        view.say(f"did not happen: {trouble.text}")
    if not verdict.is_clean or did_not_happen:
        view.say("This breaks what the connector promises.")
        return 1
    if verdict.emitted:
        view.say("Every event arrived exactly once; the lines that were not events are dead letters.")
    else:
        view.say("Stopped before X had emitted anything.")
    return 0
