"""Owns what the scenarios share: servers that may be hurt, seeds, a stage for each, and which of them are played.

With `ROUNDS` the plays are dealt from a deck of all scenarios; without it each is played once but for the long ones.
A scenario names the kinds of fault that it plays by the mark `fires`, or by a parameter `kind`; a play in which one
of them did not fire fails, and how often each fired stands at the end of the run.
"""

import os
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import SEED
from tests.faults.deck import deal
from tests.faults.stage import Stage
from tests.rig import session
from tests.rig.kafka import KafkaCluster
from tests.rig.process import free_port
from tests.rig.proxy import KafkaProxy
from tests.rig.registry import Registry
from tests.rig.session import REGISTRY_VARIABLE, SchemaRegistry, share

registry = session.registry
_ROUNDS = os.environ.get("ROUNDS") or "0"
_DEALT, _FIRED = "kinds dealt", "kinds fired"


@dataclass(frozen=True)
class Servers:
    """One broker; who comes through the proxy finds it at `proxy_port` only."""

    kafka: KafkaCluster
    proxy_port: int


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks, refuse what is no number of rounds, and start the registry of all workers."""
    config.addinivalue_line("markers", "long: played only when ROUNDS is given")
    config.addinivalue_line("markers", "fires(*kinds): the kinds of fault that must fire in each play")
    if not _ROUNDS.isdecimal():
        raise pytest.UsageError(f"ROUNDS is {_ROUNDS!r}, should be a whole number")
    share(config, REGISTRY_VARIABLE, lambda servers: servers.enter_context(Registry()).url)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make as many plays of each scenario as could be dealt."""
    if "play" in metafunc.fixturenames:
        metafunc.parametrize("play", range(max(1, int(_ROUNDS))), ids="play{}".format)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the plays that are dealt, in that order; without rounds, those that are not long."""
    scenarios = [item for item in items if isinstance(item, pytest.Function) and "play" in item.fixturenames]
    if nameless := [item.nodeid for item in scenarios if not _kinds(item)]:
        raise pytest.UsageError(f"scenarios that name no kind of fault: {', '.join(nameless)}")
    if int(_ROUNDS):
        plays = {(_scenario(item), _play(item)): item for item in scenarios}
        dealt = [plays[play] for play in deal({scenario for scenario, _ in plays}, int(_ROUNDS), SEED) if play in plays]
    else:
        dealt = [item for item in scenarios if not item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=set(scenarios).difference(dealt))
    items[:] = [*(item for item in items if item not in scenarios), *dealt]


def _play(item: pytest.Function) -> int:
    play: int = item.callspec.params["play"]  # type: ignore[assignment] # as it was parametrized
    return play


def _scenario(item: pytest.Function) -> str:
    """Return what all plays of a scenario have in common."""
    return item.nodeid.replace(f"[play{_play(item)}", "[play", 1)


def _kinds(item: pytest.Function) -> set[str]:
    marked = {str(kind) for mark in item.iter_markers("fires") for kind in mark.args}
    return marked | {str(value) for name, value in item.callspec.params.items() if name == "kind"}


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Fail a play in which a kind of fault did not fire, and report those that did."""
    stages: list[Stage] = pyfuncitem.funcargs["stages"]  # type: ignore[assignment] # the fixture's value
    kinds = _kinds(pyfuncitem)
    pyfuncitem.user_properties.append((_DEALT, sorted(kinds)))
    result = yield
    fired = sum((stage.fired for stage in stages), Counter[str]())
    pyfuncitem.user_properties.append((_FIRED, dict(fired)))
    assert not kinds - fired.keys(), f"did not fire: {', '.join(sorted(kinds - fired.keys()))}"
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in how many plays each kind of fault had to fire, and how often it did."""
    reports = [report for status in ("passed", "failed") for report in terminalreporter.stats.get(status, [])]
    properties = [each for report in reports if report.when == "call" for each in report.user_properties]
    dealt = Counter(kind for name, kinds in properties if name == _DEALT for kind in kinds)
    fired = sum((Counter(counts) for name, counts in properties if name == _FIRED), Counter[str]())
    if dealt:
        terminalreporter.section(f"kinds of fault, seed {SEED}")
        terminalreporter.line(f"{'plays':>7} {'fired':>7}")
    for kind in sorted(dealt | fired):
        terminalreporter.line(f"{dealt[kind]:>7} {fired[kind]:>7}  {kind}")


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Start one broker, to which nothing happens."""
    proxy_port = free_port()
    with KafkaCluster(proxy_port=proxy_port) as kafka:
        yield Servers(kafka, proxy_port)


@pytest.fixture
def proxy(servers: Servers) -> Iterator[KafkaProxy]:
    """Put a proxy in front of the broker."""
    with KafkaProxy(servers.proxy_port, servers.kafka.addresses["PROXIED"]) as proxy:
        yield proxy


@pytest.fixture
def trio() -> Iterator[KafkaCluster]:
    """Start three brokers."""
    with KafkaCluster(3) as kafka:
        yield kafka


@pytest.fixture
def scenario_seed(request: pytest.FixtureRequest, play: int) -> int:
    """Give the scenario's own seed: the same for the same session's seed, scenario and play."""
    return zlib.crc32(f"{SEED} {_scenario(request.node)} {play}".encode())


@pytest.fixture
def stages() -> list[Stage]:
    """Give the list of all stages that a play has made, so that it is known what happened on them."""
    return []


@pytest.fixture
def make_stage(
    tmp_path: Path, scenario_seed: int, registry: SchemaRegistry, stages: list[Stage]
) -> Iterator[Callable[..., Stage]]:
    """Give a maker of stages on given bootstrap servers, with settings of the simulator."""
    with ExitStack() as stack:

        def make(bootstrap_servers: str, replication: int = 1, **simulated: object) -> Stage:
            stages.append(Stage(bootstrap_servers, registry.url, tmp_path, scenario_seed, replication, **simulated))
            return stack.enter_context(stages[-1])

        yield make


@pytest.fixture
def stage(servers: Servers, make_stage: Callable[..., Stage]) -> Stage:
    """Give a stage on the one broker."""
    return make_stage(servers.kafka.bootstrap_servers)
