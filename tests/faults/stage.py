"""A scenario's stage: X as the truth, replicas as processes that share one prefix, and the verdict in the end.

stage.start("a", Fault(Point.BEFORE_COMMIT, 3)).await_end()
stage.start("a")
stage.conclude()
"""

import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Any, Self

import httpx

from connector.events.catalog import StreamPartition
from connector.simulator.config import SimulatorConfig
from connector.simulator.faults import Drop, Duplicate
from connector.simulator.server import Simulator
from tests.faults.truth import findings, without
from tests.rig.audit import History, Place, read_history
from tests.rig.fault_points import GROUP_VARIABLE, Deed, Fault
from tests.rig.process import wait_until
from tests.rig.service import (
    STREAM_PARTITIONS,
    TAKE_OVER,
    Config,
    ConnectorProcess,
    Probe,
    make_config,
    override,
    provision_topics,
)
from tests.rig.verdict import read_verdict

PARTITIONS = 2
_RATE = 150.0
_STRIKE_TIMEOUT_S = 60.0
_SETTLE_TIMEOUT_S = 90.0
_STOP_LIMIT_S = 10.0
_TROUBLES_OF_ONE = ("partition_restarting", "drain_incomplete")
_TROUBLES = (*_TROUBLES_OF_ONE, "producer_replaced", "partitions_lost", "group_error", "partition_released")


class Replica:
    """One connector process on a stage, and the faults that it must cause in itself."""

    def __init__(self, name: str, process: ConnectorProcess, fault: Fault | None, marker: Path) -> None:
        self.name = name
        self.process = process
        self.fault = fault
        self._marker = marker
        self._probe: Probe | None = None

    @property
    def probe(self) -> Probe:
        """Its HTTP side."""
        if self._probe is None:
            self._probe = self.process.probe()
        return self._probe

    @property
    def is_struck(self) -> bool:
        """Tell whether its fault happened."""
        return self._marker.exists()

    def await_strike(self) -> None:
        """Wait until its fault has happened; a process that kills itself is gone then."""
        assert self.fault is not None
        wait_until(lambda: self.is_struck or not self.process.is_running, f"{self.fault} fires", _STRIKE_TIMEOUT_S)
        assert self.is_struck, f"{self.fault} did not fire; the process ended:\n{self.process.stderr[-4000:]}"
        if self.fault.deed is Deed.KILL:
            assert self.process.wait() == -signal.SIGKILL

    def kill(self) -> None:
        """End it on the spot."""
        self.process.signal(signal.SIGKILL)
        self.process.wait()

    def leave(self) -> None:
        """Ask it to stop, and see that it does so cleanly and in time."""
        began = time.monotonic()
        self.process.signal(signal.SIGTERM)
        assert self.process.wait() == 0, self.process.stderr[-4000:]
        assert time.monotonic() - began < _STOP_LIMIT_S

    def statuses(self) -> dict[str, dict[str, Any]]:
        """Return what it says of each stream partition; nothing when it does not answer."""
        try:
            statuses: dict[str, dict[str, Any]] = self.probe.status()["partitions"]
        except httpx.HTTPError:
            return {}
        return statuses

    def running(self) -> set[str]:
        """Return the stream partitions that it works."""
        return {name for name, status in self.statuses().items() if status["state"] == "running"}

    def restarted(self) -> dict[str, set[Place]]:
        """Return which stream partitions began again from their ledgers, by cause."""
        found: dict[str, set[Place]] = defaultdict(set)
        for entry in self.process.logged("partition_restarting"):
            found[entry["cause"]].add((entry["stream"], entry["partition"]))
        return dict(found)

    def __str__(self) -> str:
        """Return what it said of its troubles, for a scenario that fails."""
        troubles = (entry for kind in _TROUBLES for entry in self.process.logged(kind))
        return "\n".join([f"{self.name}:", *(f"  {entry}" for entry in sorted(troubles, key=itemgetter("time")))])

    def replaced(self) -> list[str]:
        """Return why producers were replaced, one after the other."""
        return [entry["cause"] for entry in self.process.logged("producer_replaced")]


class Stage:
    """One prefix on some servers, in a `with`. Every choice comes from `seed`, which is printed."""

    def __init__(
        self,
        bootstrap_servers: str,
        registry_url: str,
        folder: Path,
        seed: int,
        replication: int = 1,
        **simulated: Any,  # noqa: ANN401 - settings of the simulator
    ) -> None:
        self.random = random.Random(seed)  # noqa: S311 - choices of a test, not secrets
        self.prefix = f"fault-{token_hex(6)}"
        self.bootstrap_servers = bootstrap_servers
        self.simulator = Simulator(
            SimulatorConfig(
                **{"seed": seed, "chunking": "random", "rate_limit": 1_000_000, "keep_alive_s": 6.0, **simulated}
            )
        )
        self.replicas: list[Replica] = []
        self.is_clock_ahead = False
        self._registry_url = registry_url
        self._folder = folder
        self._replication = replication
        self._exits = ExitStack()
        self._config: Config = {}
        self._noted = Counter[str]()
        print(f"seed: {seed}, topic prefix: {self.prefix}")  # noqa: T201 - pytest shows it with a failure

    def __enter__(self) -> Self:
        self._exits.enter_context(self.simulator)
        self._config = override(
            make_config(self.bootstrap_servers, self._registry_url, self.prefix, self.simulator.base_url, PARTITIONS),
            kafka={"replication_factor": self._replication, "min_insync_replicas": min(2, self._replication)},
            pipeline={"start_deadline_s": 60},
        )
        provision_topics(self._config)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.__exit__(kind, error, trace)

    def start(
        self,
        name: str,
        fault: Fault | None = None,
        *,
        is_static: bool = False,
        group: str | None = None,
        **sections: Mapping[str, Any],
    ) -> Replica:
        """Start a replica; `is_static` makes its name its group instance id, `sections` override settings.

        In a `group` of its own it owns every stream partition, whatever its neighbours own.
        """
        marker = self._folder / f"{name}-{token_hex(4)}.struck"
        kafka = {**sections.pop("kafka", {}), **({"group_instance_id": name} if is_static else {})}
        pipeline = {**TAKE_OVER, **sections.pop("pipeline", {})}
        process = self._exits.enter_context(
            ConnectorProcess(
                self._folder,
                ["run"],
                override(self._config, kafka=kafka, pipeline=pipeline, **sections),
                module="tests.rig.faulty_connector",
                more={
                    **(fault.environment(marker) if fault else {}),
                    **({GROUP_VARIABLE: group} if group else {}),
                },
            )
        )
        replica = Replica(name, process, fault, marker)
        self.replicas.append(replica)
        return replica

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run a command of the connector to its end; return its exit code and what it printed."""
        with ConnectorProcess(self._folder, list(arguments), self._config) as process:
            return process.wait(), process.stdout

    def unsound(self) -> dict[Place, list[str]]:
        """Return what `connector ledger verify` finds, by stream partition; nothing means that all is sound."""
        code, text = self.command("ledger", "verify")
        found = read_verdict(text)
        assert code == (os.EX_SOFTWARE if found else os.EX_OK), text
        return found

    def emit_steadily(self, rate: float = _RATE) -> None:
        """Let X emit from now on, and deliver some lines again and again."""
        self.simulator.set_rate(rate)
        for _ in range(100):
            self.simulator.inject(Duplicate(lines=5, after_lines=self.random.randrange(10, 100)))

    def emit_on(self, places: Iterable[Place], events: int = 20) -> None:
        """Let X emit some events now, on some stream partitions."""
        for place in places:
            self.simulator.emit(events, StreamPartition(*place))

    def let_time_pass(self, seconds: float) -> None:
        """Set X's clock forward; X emits some events meanwhile."""
        self.simulator.advance(seconds, emitting=True, rate=1.0)
        self.is_clock_ahead = True

    def drop_connections(self) -> None:
        """Let X notice that clients which do not read are gone, as it does after a while: all connections end."""
        self.simulator.faults.disarm()
        self.simulator.inject(Drop())

    @property
    def up(self) -> list[Replica]:
        """The replicas whose processes run."""
        return [replica for replica in self.replicas if replica.process.is_running]

    def await_owned(self, within_s: float = 60.0, *, partitions: int = len(STREAM_PARTITIONS)) -> float:
        """Wait until each of that many stream partitions is worked by one replica; return how long it took."""
        began = time.monotonic()

        def are_owned() -> bool:
            owners = Counter(name for replica in self.up for name in replica.running())
            return len(owners) == partitions and set(owners.values()) == {1}

        wait_until(are_owned, "every stream partition is owned", within_s)
        return time.monotonic() - began

    def await_caught_up(self, damaged: Collection[Place] = (), timeout_s: float = _SETTLE_TIMEOUT_S) -> None:
        """Wait until all that X has emitted by now is committed, but for what is damaged, by what the replicas say."""
        emitted = Counter(
            f"{line.stream}/{line.partition}"
            for line in self.simulator.record()
            if line.kind == "event" and (line.stream, line.partition) not in damaged
        )

        def missing() -> dict[str, int]:
            reached: Counter[str] = Counter()
            for replica in self.up:
                reached |= Counter({name: status["sequence"] or 0 for name, status in replica.statuses().items()})
            return {name: count - reached[name] for name, count in emitted.items() if reached[name] < count}

        try:
            wait_until(lambda: not missing(), "all events are committed", timeout_s)
        except Exception as error:
            raise AssertionError(f"{error}; missing: {missing()}") from error

    def note(self, kind: str) -> None:
        """Take note of a fault that has happened and that only the scenario can tell of."""
        self._noted[kind] += 1

    @property
    def fired(self) -> Counter[str]:
        """How often each kind of fault has happened: what was noted, what replicas did to themselves, what X did."""
        struck = Counter(replica.fault.kind for replica in self.replicas if replica.fault and replica.is_struck)
        by_x = Counter({f"X: {kind}": count for kind, count in self.simulator.fired.items()})
        return self._noted + struck + by_x

    def read(self) -> History:
        """Return all that is committed under the prefix."""
        return read_history(self.bootstrap_servers, self._registry_url, self.prefix, PARTITIONS)

    def _left_in_trouble(self) -> set[Place]:
        """Return the stream partitions whose last owner could not commit in the end, by what it said."""
        said = [
            (entry["time"], entry["event"], replica, (entry["stream"], entry["partition"]))
            for replica in self.replicas
            for event in ("partition_restored", *_TROUBLES_OF_ONE)
            for entry in replica.process.logged(event)
        ]
        last: dict[Place, tuple[Replica, str]] = {}
        for _, event, replica, place in sorted(said, key=itemgetter(0)):
            if event == "partition_restored" or last.get(place, (None, ""))[0] is replica:
                last[place] = replica, event
        return {place for place, (_, event) in last.items() if event != "partition_restored"}

    def conclude(self, damaged: Collection[Place] = ()) -> History:
        """Settle, stop all replicas, and hold the whole history against what X emitted, but for what was damaged."""
        self.simulator.stop_emitting()
        self.await_caught_up(damaged)
        for replica in self.up:
            replica.leave()
        history = without(self.read(), damaged)
        emitted = [line for line in self.simulator.record() if (line.stream, line.partition) not in damaged]
        troubled = self._left_in_trouble()
        if found := findings(history, emitted, is_clock_ahead=self.is_clock_ahead, left_in_trouble=troubled):
            raise AssertionError("\n".join([*found, *map(str, self.replicas)]))
        return history
