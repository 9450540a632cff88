"""Owns everything of the simulated X except its ports: clock, events, faults, connections, requests.

The library's calls are here; HTTP is elsewhere.
"""

import threading
from collections import Counter, deque

import msgspec

from connector.events.catalog import StreamPartition
from connector.simulator.access import RateLimiter, Tokens
from connector.simulator.batch.jobs import Jobs
from connector.simulator.batch.population import Population
from connector.simulator.batch.urls import SECRET_PARAMETERS
from connector.simulator.board import FaultBoard
from connector.simulator.clock import NANOS, SimulatedClock
from connector.simulator.config import SimulatorConfig
from connector.simulator.connections import Connection, Connections
from connector.simulator.emission import Emission
from connector.simulator.faults import BaseFault, EmissionFault
from connector.simulator.http import HttpRequest, Origin
from connector.simulator.record import Emitted

_REQUESTS_REMEMBERED = 100_000


class LoggedRequest(msgspec.Struct, frozen=True):
    """A request, `at` simulated ns, the port it came to, and the status it got: 0 when it was cut without an answer.

    Header names are lower case. The query lacks the secret of a transfer URL.
    """

    at: int
    origin: Origin
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    status: int

    @property
    def has_authorization(self) -> bool:
        """Whether it came with a header `Authorization`."""
        return "authorization" in self.headers


class Status(msgspec.Struct, frozen=True):
    """The simulator at a glance; `now` is the simulated time in seconds since 1970, `emitted` counts lines."""

    now: float
    rate: float
    emitted: dict[str, int]
    armed: dict[str, int]
    fired: dict[str, int]
    connected: list[Connection]
    endings: dict[str, int]
    answers: dict[str, int]


class World:
    """A simulated X without a port."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.origins: dict[Origin, str] = {}
        self.clock = SimulatedClock(config.clock_behind_s)
        self.faults = FaultBoard()
        self.emission = Emission(config, self.clock, self.faults)
        self.tokens = Tokens(config)
        self.limiter = RateLimiter(config.rate_limit)
        self.registry = Connections(config.replay_limit)
        self.population = Population(self.emission.logs)
        self.jobs = Jobs(config, self.clock, self.faults)
        self.batch_limiter = RateLimiter(config.batch_rate_limit)
        self._requests_lock = threading.Lock()
        self._requests: deque[LoggedRequest] = deque(maxlen=_REQUESTS_REMEMBERED)

    def emit(self, count: int, partition: StreamPartition | None = None) -> None:
        """Emit `count` events now, on one stream partition or spread over all in the realistic mix."""
        self.emission.emit(count, partition)

    def emit_line(self, stream: str, partition: int, line: bytes, kind: str) -> None:
        """Emit exactly this line, given without its ending; the record calls it `kind`."""
        self.emission.emit_line(StreamPartition(stream, partition), line, kind)

    def set_rate(self, rate: float) -> None:
        """Emit `rate` events a second over all stream partitions from now on."""
        self.emission.set_rate(rate)

    def stop_emitting(self) -> None:
        """Stop emitting; once this returns, the record grows only by explicit requests."""
        self.emission.stop()

    def record(self) -> list[Emitted]:
        """Return every emitted line: stream partition by stream partition, each in the order of emission."""
        return self.emission.record()

    def advance(self, seconds: float, *, emitting: bool = False, rate: float | None = None) -> None:
        """Set the clock forward, with nothing emitted meanwhile, or events evenly at `rate` (None: the current)."""
        if emitting:
            self.emission.advance(seconds, self.emission.rate if rate is None else rate)
        else:
            self.clock.advance(seconds)

    def inject(self, fault: BaseFault) -> None:
        """Arm a fault: an emission fault acts at once or steadily, any other on the next match."""
        if not isinstance(fault, EmissionFault):
            self.faults.arm(fault)
        elif fault.every_s is None:
            self.emission.emit_fault(fault)
        else:
            self.faults.arm_steady(fault, fault.every_s, self.clock.now_ns())

    def release(self) -> None:
        """End every current stall, hold and endless line."""
        self.faults.release()

    @property
    def fired(self) -> Counter[str]:
        """The number of fired faults by kind."""
        return self.faults.fired

    @property
    def connections(self) -> list[Connection]:
        """All stream connections, ended or not, in the order they were opened."""
        return self.registry.snapshot()

    @property
    def requests(self) -> list[LoggedRequest]:
        """All requests but those under `/control/`, in the order they were answered."""
        with self._requests_lock:
            return list(self._requests)

    def log_request(self, request: HttpRequest, status: int) -> None:
        """Record a request and its answer."""
        logged = LoggedRequest(
            at=self.clock.now_ns(),
            origin=request.origin,
            method=request.method,
            path=request.path,
            query={name: value for name, value in request.query.items() if name not in SECRET_PARAMETERS},
            headers=request.headers,
            status=status,
        )
        with self._requests_lock:
            self._requests.append(logged)

    def status(self) -> Status:
        """Return the simulator at a glance."""
        return Status(
            now=self.clock.now_ns() / NANOS,
            rate=self.emission.rate,
            emitted={str(partition): log.end for partition, log in self.emission.logs.items()},
            armed=self.faults.armed,
            fired=self.faults.fired,
            connected=[connection for connection in self.connections if connection.ended is None],
            endings=self.registry.endings(),
            answers=Counter(str(request.status) for request in self.requests),
        )
