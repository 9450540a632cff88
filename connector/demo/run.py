"""The demo: the real service between a simulated X and a small broker, some trouble on the way, and a verdict.

Owns what is started, and the result of the verdict. The service is that of `connector run`, and the batch runs are
those of `connector batch run`; nothing here helps them along.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from threading import Event

from pydantic import SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from connector.app import Service
from connector.demo.accounts import Accounts
from connector.demo.broker import running_broker
from connector.demo.landing import Watcher, read_back
from connector.demo.registry import DemoRegistry
from connector.demo.stage import Stage
from connector.demo.verdict import Verdict, judge
from connector.demo.view import View, make_view
from connector.demo.worker import Worker
from connector.events.catalog import STREAMS
from connector.kafka.cluster import Cluster
from connector.kafka.registry import RegistryClient
from connector.operations.provision import provision
from connector.settings import HttpSettings, KafkaSettings, RunSettings, SchemaRegistrySettings, XAccessSettings
from connector.simulator.config import SimulatorConfig
from connector.simulator.server import Simulator
from connector.stopping import stopping_on_signals

_SEED = 1
NEXT = (
    "What to try next (in a checkout, connector is .venv/bin/python -m connector):",
    "  DEMO_SECONDS=120 connector demo   the same for longer",
    "  docker compose up                 Apache Kafka, a registry, and a reader of deletes, with no token",
    "  connector simulate                the simulated X alone, to point a connector at",
    "  connector config example          all settings, to run it against your Kafka and X: see README.md",
)
"""What to try after the demo."""


class DemoSettings(RunSettings):
    """The settings of the demo: only arguments, nothing from the environment."""

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
    """Run the demo for `seconds`, or until SIGTERM or SIGINT; return 0 when every event is accounted for, else 1.

    Every event must arrive exactly once, except in a time range that X loses near the end, unless the demo ends before:
    batch runs make up for a part of it, and gaps name the rest.

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
        x = stack.enter_context(Simulator(SimulatorConfig(seed=_SEED, batch_job_s=0.0)))
        kafka = stack.enter_context(running_broker())
        registry = stack.enter_context(DemoRegistry())
        view.say(f"X {x.base_url}, Kafka {kafka}, registry {registry.url}")
        settings = _settings(x, kafka, registry)
        _provision(settings)
        stage = _perform(x, settings, view, stop, seconds)
        found = read_back(settings)
    verdict = judge(x.record(), found.landed, Accounts(found.gaps, stage.runs, found.results))
    return _conclude(verdict, list(stage.did_not_happen(verdict)), view)


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


def _perform(x: Simulator, settings: DemoSettings, view: View, stop: Event, seconds: float) -> Stage:
    """Let X emit for `seconds` and the service run until everything possible has arrived; return what has happened."""
    watcher, service = Watcher(settings), Service(settings)

    def serve(stop: Event) -> None:
        service.run(stop, lambda port: view.say(f"Page http://{settings.http.host}:{port}/, until the demo ends"))

    with view, Worker("reader", watcher.run) as reading, Worker("service", serve) as serving:
        stage = Stage(x, settings, service, watcher, view, stop, (reading, serving))
        stage.perform(seconds)
        return stage


def _conclude(verdict: Verdict, did_not_happen: Sequence[str], view: View) -> int:
    view.say("", *verdict.lines(), "")
    for text in did_not_happen:
        view.say(f"did not happen: {text}")
    if not verdict.is_clean or did_not_happen:
        view.say("This breaks what the connector promises.")
        return 1
    view.say(*verdict.closing(), "", *NEXT)
    return 0
