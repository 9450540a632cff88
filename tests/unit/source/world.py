"""One reader in a scripted world: X, the clocks, the limiter and the committer, all in the thread of the test.

The channel commits whatever is put at once, through the real state of the stream partition. What the reader does is
recorded as the steps of `lifecycle`, and each move from step to step must be one of those that are drawn in the docs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any, Self, cast

from connector.coverage.messages import EndReason, KeepAlive, LinesRead, Message, Verdict
from connector.coverage.plan import Plan, Replay
from connector.coverage.recovery import MINUTE_US, NOTHING_LEARNED, Recovery
from connector.events.catalog import StreamPartition
from connector.events.decode import LongLine
from connector.events.times import US_PER_S
from connector.kafka.ledger import first_entry
from connector.kafka.restore import OffsetEntry
from connector.partition.state import PartitionState
from connector.quoting import Secrets
from connector.settings import XSettings
from connector.source.channel import Channel
from connector.source.connect_limiter import ConnectLimiter, Permit, WaitReason
from connector.source.reader import Reader
from connector.source.stall import StallWatch
from connector.x.backoff import Backoff, Curve
from connector.x.client import Connection
from connector.x.clock import XClock
from connector.x.errors import ConnectFailedError, Failure, PlanRefusedError, RateLimit
from connector.x.transport import Wire
from tests.fakes.partition import PARTITION, WINDOW_US, WRITER, builder, line
from tests.fakes.x import NOW_US, FakeTime
from tests.unit.source.lifecycle import MOVES, Step

Piece = bytes | Failure | Exception | Callable[[], None]
Answer = ConnectFailedError | Exception | Sequence[Piece]
DOWN = ConnectFailedError(Failure(Curve.NETWORK, "network", "down"))
AT_US = NOW_US + US_PER_S
OPERATIONAL = b'{"errors":[{"title":"t","disconnect_type":"OperationalDisconnect","detail":"d"}]}\r\n'
NETWORK_S, HTTP_S, CONFIGURATION_S = 0.25, 5.0, 60.0
"""The first delay after a failure of each kind."""
HOUR_S = 3600.0
TOKEN = "AAAA-token-of-the-app/%2Bx"
"""What goes out with each request."""
REFUSED = PlanRefusedError(Failure(Curve.CONFIGURATION, "http-400", "refused"))
TOO_MANY = b'{"title":"t","type":"x","connection_issue":"TooManyConnections","detail":"d"}\r\n'
_SETTINGS = XSettings(line_limit_bytes=1024)
CUT = Failure(Curve.NETWORK, "network", "cut off")


def event(number: int = 1, at_us: int = NOW_US) -> bytes:
    """Return the line of an event, with its end."""
    return line(number, at_us) + b"\r\n"


def old_event(number: int = 1) -> bytes:
    """Return an event of the first slice that a world asks for that was away for an hour."""
    return event(number, NOW_US - 50 * MINUTE_US)


def boom() -> None:
    """Fail as nothing is expected to."""
    raise RuntimeError("boom")


class ScriptedConnection:
    """Brings pieces of a body, does something in between, and fails instead of ending properly."""

    def __init__(
        self,
        date_us: int | None,
        pieces: Sequence[Piece],
        is_closed: Callable[[], bool],
        rate_limit: RateLimit | None = None,
    ) -> None:
        self.date_us = date_us
        self.rate_limit = rate_limit
        self.secrets = Secrets([TOKEN], 12)
        self._pieces = pieces
        self._is_closed = is_closed
        self.has_left = False

    def chunks(self) -> Iterator[bytes]:
        """Play the pieces; a closed socket brings nothing more. Raises `ConnectFailedError`."""
        for piece in self._pieces:
            if isinstance(piece, Failure):
                raise ConnectFailedError(piece)
            if isinstance(piece, Exception):
                raise piece
            if not isinstance(piece, bytes):
                piece()
            elif self._is_closed():
                raise ConnectFailedError(CUT)
            else:
                yield piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.has_left = True


class _RecordedWatch(StallWatch):
    """A watch whose ticks can be made to come late."""

    def __init__(self, monotonic: Callable[[], int]) -> None:
        super().__init__(monotonic)
        self.acts: list[Callable[[], None]] = []
        """What each connection had done at each tick."""

    @contextmanager
    def each_tick(self, act: Callable[[], None]) -> Iterator[None]:
        """Record the act."""
        self.acts.append(act)
        with super().each_tick(act):
            yield


class CommittedAtOnce(Channel):
    """A channel whose committer is infinitely fast; it records what is put."""

    def __init__(
        self, state: PartitionState, before_lines: Callable[[], None], on_message: Callable[[Message], None]
    ) -> None:
        super().__init__(64 * 1024 * 1024, state.progress)
        self._state = state
        self._before_lines = before_lines
        self._on_message = on_message
        self._offset = 0
        self.is_hung_up = False

    def begin(self, close: Callable[[], None]) -> None:
        """Record that nothing speaks against the new connection."""
        self.is_hung_up = False

        def hang_up() -> None:
            self.is_hung_up = True
            close()

        super().begin(hang_up)

    def put(self, message: Message, size_bytes: int = 0) -> None:
        """Apply and commit the message."""
        if isinstance(message, LinesRead):
            self._before_lines()
        super().put(message, size_bytes)
        for taken in self.take():
            if (reason := self._state.apply(taken)) is not None:
                self.hang_up(reason)
        if self._state.has_begun:
            self._offset += 2
            self._state.committed(self._state.prepare(NOW_US), self._offset)
        self.settle(self._state.progress)
        self._on_message(message)


class Limiter:
    """The real limiter, whose budget is never spent; it has no permit the first `busy` times."""

    def __init__(self, on_acquire: Callable[[], None]) -> None:
        self._now_us = 0
        self.real = ConnectLimiter(1, lambda: self._now_us)
        self.busy = 0
        self.asked: list[tuple[Plan, int]] = []
        """Each plan, and how far coverage reached."""
        self.granted = self.released = 0
        self._on_acquire = on_acquire

    def acquire(self, partition: StreamPartition, plan: Plan, covered_until_us: int, timeout_s: float) -> Permit | None:
        """Return a permit, or None while busy; between two attempts a partition's share of the budget comes in."""
        del timeout_s
        self._now_us += MINUTE_US
        self._on_acquire()
        self.asked.append((plan, covered_until_us))
        if len(self.asked) <= self.busy:
            return None
        permit = self.real.acquire(partition, plan, covered_until_us, 0.0)
        self.granted += permit is not None
        return permit

    def wait_reason(self, _: StreamPartition) -> WaitReason:
        """Return what a busy limiter says."""
        return WaitReason.CONNECT_BUDGET

    def wait_s(self, _: StreamPartition) -> float:
        """Return what a busy limiter says."""
        return 7.0

    def release(self, partition: StreamPartition) -> None:
        """Give up the place."""
        self.released += 1
        self.real.release(partition)

    @property
    def is_free(self) -> bool:
        """Whether the one catch-up that may go is not going."""
        return self.real.acquire(StreamPartition("user", 1), Replay(0, 1), 0, 0.0) is not None


class Observed:
    """What a reader reports, in order: the name of the call and its values."""

    def __init__(self, on_step: Callable[[Step], None]) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self._on_step = on_step

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """Return the values of each call of one name."""
        return [values for each, values in self.calls if each == name]

    def connected(self, plan: Plan, clock_offset_us: int) -> None:
        """Record it."""
        self._on_step(Step.CONNECTED)
        self.calls.append(("connected", (plan, clock_offset_us)))

    def connect_failed(self, reason: str, detail: str, delay_s: float) -> None:
        """Record it."""
        self.calls.append(("connect_failed", (reason, detail, delay_s)))

    def plan_refused(self, plan: Plan, detail: str, *, is_believed: bool) -> None:
        """Record it."""
        self.calls.append(("plan_refused", (plan, detail, is_believed)))

    def waiting_to_connect(self, reason: WaitReason | None, at_least_s: float | None, waited_s: float) -> None:
        """Record it."""
        self.calls.append(("waiting_to_connect", (reason, at_least_s, waited_s)))

    def postponed(self, delay_s: float) -> None:
        """Record it."""
        self._on_step(Step.BACKING_OFF)
        self.calls.append(("postponed", (delay_s,)))

    def disconnected(self, reason: EndReason, tail_bytes: int) -> None:
        """Record it."""
        self.calls.append(("disconnected", (reason, tail_bytes)))

    def slice_ended(self, verdict: Verdict) -> None:
        """Record it."""
        self.calls.append(("slice_ended", (verdict,)))

    def system_message(self, problem: str, detail: str) -> None:
        """Record it."""
        self.calls.append(("system_message", (problem, detail)))

    def secrets_hidden(self, lines: int) -> None:
        """Record it."""
        self.calls.append(("secrets_hidden", (lines,)))

    def read(self, size_bytes: int, at_us: int) -> None:
        """Record it."""
        self.calls.append(("read", (size_bytes, at_us)))

    def failed(self, error: Exception) -> None:
        """Record it."""
        self.calls.append(("failed", (str(error),)))


class World:
    """X gives `answers` in turn; what comes after the last one ends the test."""

    def __init__(
        self, *, away_s: float = 0.0, recovery: Recovery = NOTHING_LEARNED, settings: XSettings = _SETTINGS
    ) -> None:
        self.time = FakeTime()
        self.path: list[Step] = []
        self.order: list[str] = []
        """What the reader did, one word each."""
        self.messages: list[Message] = []
        self.plans: list[Plan] = []
        self.delays_s: list[float] = []
        """How long the reader waited after each attempt."""
        self.connections: list[ScriptedConnection] = []
        self.x_ahead_s = 0.0
        self.answer_s = 0.0
        self.has_date = True
        self.rate_limit: RateLimit | None = None
        self.covered_until_us = self.time.now_us - int(away_s * US_PER_S)
        self.on_wait: Callable[[], None] = lambda: None
        self.on_acquire: Callable[[], None] = lambda: None
        self.on_open: Callable[[], None] = lambda: None
        self.on_lines: Callable[[], None] = lambda: None
        """What happens before lines are put, as the channel may be full."""
        entry = replace(first_entry(PARTITION, "w", self.covered_until_us), entry=1, recovery=recovery)
        self.state = PartitionState(PARTITION, builder(), WRITER, [OffsetEntry(0, entry)], window_us=WINDOW_US)
        self.channel = CommittedAtOnce(self.state, self._before_lines, self._on_message)
        self.watch = _RecordedWatch(self._monotonic_us)
        self.limiter = Limiter(self._acquiring)
        self.observed = Observed(self._step)
        self.clock = XClock(lambda: self.time.now_us, self._monotonic_us)
        self._answers: Sequence[Answer] = ()
        self._waited_s = 0.0
        self.reader = Reader(
            partition=PARTITION,
            open_connection=self._open,
            channel=self.channel,
            settings=settings,
            clock=self.clock,
            stall_watch=self.watch,
            limiter=cast("ConnectLimiter", self.limiter),
            observer=self.observed,
            backoff=Backoff(lambda: 0.0),
            wait=self._wait,
        )

    def run(self, *answers: Answer) -> None:
        """Let the reader run through `answers` to its end."""
        self._answers = answers
        self.reader.run()
        self._step(Step.STOPPED)
        assert self.moves <= {(move.at, move.to) for move in MOVES}, "a move that the docs do not have"

    @property
    def moves(self) -> set[tuple[Step, Step]]:
        """Which moves from step to step the reader has made."""
        return set(pairwise(self.path))

    def wait(self, seconds: float) -> Callable[[], None]:
        """Return a piece in which time passes, and the stall watch ticks meanwhile."""

        def piece() -> None:
            for _ in range(int(seconds * 2)):
                self.time.advance(0.5)
                self.watch.tick()

        return piece

    def date(self) -> int | None:
        """Return X's time as its answers have it."""
        x_now_us = self.time.now_us + int(self.x_ahead_s * US_PER_S)
        return x_now_us // US_PER_S * US_PER_S if self.has_date else None

    def put(self, kind: type[Message]) -> list[Any]:
        """Return the messages of one kind."""
        return [message for message in self.messages if isinstance(message, kind)]

    @property
    def lines(self) -> list[bytes | LongLine]:
        """All lines that were put."""
        return [line for read in self.put(LinesRead) for line in read.lines]

    def _monotonic_us(self) -> int:
        return self.time.monotonic_ns() // 1000

    def _step(self, step: Step) -> None:
        self.path.append(step)

    def _acquiring(self) -> None:
        self._step(Step.WAITING)
        self.order.append("acquire")
        self.on_acquire()

    def _wait(self, seconds: float) -> None:
        self._waited_s += seconds
        self.on_wait()

    def _open(self, _: StreamPartition, plan: Plan, wire: Wire) -> Connection:
        del wire
        self._step(Step.CONNECTING)
        self.order.append("open")
        if self.plans:
            self.delays_s.append(self._waited_s)
            self._waited_s = 0.0
        self.plans.append(plan)
        self.on_open()
        if len(self.plans) > len(self._answers):
            self.reader.stop()
            raise DOWN
        answer = self._answers[len(self.plans) - 1]
        if isinstance(answer, Exception):
            raise answer
        date_us = self.date()
        self.time.advance(self.answer_s)
        self.connections.append(ScriptedConnection(date_us, answer, lambda: self.channel.is_hung_up, self.rate_limit))
        return cast("Connection", self.connections[-1])

    def _before_lines(self) -> None:
        self.on_lines()

    def _on_message(self, message: Message) -> None:
        self.messages.append(message)
        self.order.append(type(message).__name__)
        has_data = isinstance(message, LinesRead) and any(
            b'"data"' in line for line in message.lines if isinstance(line, bytes)
        )
        if self.path[-1] is Step.CONNECTED and (has_data or isinstance(message, KeepAlive)):
            self._step(Step.REPLAYING if isinstance(self.plans[-1], Replay) else Step.STREAMING)
