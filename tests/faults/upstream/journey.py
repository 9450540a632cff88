"""A stage on which time travels: X's clock is set forward, and the connector's clocks with it, so no test waits.

The service runs in a thread; its way to X can be cut. Every instant is microseconds since 1970 in X's time.
"""

import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from unittest import mock

from connector.events.catalog import STREAM_PARTITIONS, STREAMS
from connector.simulator.faults import Drop
from connector.simulator.record import Emitted
from connector.simulator.server import Simulator
from connector.simulator.world import LoggedRequest
from connector.source import connect_limiter
from connector.x import clock
from tests.faults.stage import Stage
from tests.faults.truth import findings, is_in_gap
from tests.rig.audit import History, Place, check_coverage
from tests.rig.oracle import expect_event
from tests.rig.process import free_port, wait_until
from tests.rig.proxy import TcpProxy
from tests.rig.service import Probe, live_connections, override, running

US_PER_S = 1_000_000
_NS_PER_US = 1000
_PATIENCE_S = 60.0
_LONG_PATIENCE_S = 120.0
BOUND_S = 15 * 60.0
"""Coverage is never older, while X is reachable and grants connections, but for what catching up needs."""
_FOLLOWED_WITHIN_S = 1.0
_POLL_S = 0.02
_LOOK_AGAIN_S = 0.01
"""A reader looks this often whether it may connect: more often than time is set forward."""
_STRIDE_S = 20.0
"""How far time is set forward at once when something is waited for that only time brings."""


class Travelling:
    """Stands in for the module `time`: goes along with X's clock, but for how far off the wall clock is set."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._now_ns = simulator.clock.now_ns
        self._monotonic_minus_now_ns = time.monotonic_ns() - self._now_ns()
        self._lock = threading.Lock()
        self.wall_is_off_s = 0.0

    def time_ns(self) -> int:
        """Return the wall clock."""
        return self._now_ns() + round(self.wall_is_off_s * 1e9)

    def monotonic_ns(self) -> int:
        """Return the monotonic clock."""
        with self._lock:
            return self._now_ns() + self._monotonic_minus_now_ns

    def suspend(self, seconds: float, rate: float) -> None:
        """Let X go on for so long while the machine sleeps: its monotonic clock stands still, as Linux's does."""
        with self._lock:
            asleep_ns = self._now_ns()
            self._simulator.advance(seconds, emitting=True, rate=rate)
            self._monotonic_minus_now_ns -= self._now_ns() - asleep_ns


@dataclass(frozen=True)
class Expected:
    """What is forgiven: lines that X delivered in another order, and lines that lie in a recorded gap.

    A wall clock that was behind X's time says nothing of coverage, and where X says that it brought what it did not,
    coverage is true only in the end.
    """

    is_ordered: bool = True
    is_deceived: bool = False
    is_wall_behind: bool = False
    gap_causes: Mapping[str, int] = field(default_factory=dict)
    """How many gaps there must be, by cause; each has the state that goes with it."""
    gaps_of: Mapping[Place, Collection[str]] | None = None
    """The causes of the gaps of each stream partition, where their number is X's choice."""
    repeated: Mapping[Place, int] = field(default_factory=dict)
    """How many events of a stream partition are published again, since X delivers them after the window."""

    def forgives(self, finding: str) -> bool:
        """Tell whether a finding is to be expected."""
        is_order = finding.endswith("out of order") and not self.is_ordered
        is_deceit = finding.startswith("coverage") and "covers" in finding and self.is_deceived
        is_repeat = any(finding.startswith(f"{place}: {count} repeated") for place, count in self.repeated.items())
        return finding.startswith("gap ") or is_order or is_deceit or is_repeat


_NOTHING = Expected()
_LOST = {"outage-too-long", "replay-refused", "replay-interrupted", "backfill-refused", "connect-too-slow"}
"""The causes of gaps that are lost; X contradicted itself in any other, which is suspected only."""


class Journey(Stage):
    """A stage with the service in a thread, in a `with`; `streams` are those that are on."""

    def __init__(  # noqa: PLR0913 - what a journey is made of
        self,
        bootstrap_servers: str,
        registry_url: str,
        folder: Path,
        seed: int,
        *,
        streams: str,
        simulated: Mapping[str, Any],
    ) -> None:
        names = tuple(streams.split(","))
        super().__init__(
            bootstrap_servers, registry_url, folder, seed, **{"streams": names, "keep_alive_s": 20.0, **simulated}
        )
        self.is_clock_ahead = True
        self.places = [(place.stream, place.number) for place in STREAM_PARTITIONS if place.stream in names]
        self.travelling = Travelling(self.simulator)
        self._streams = streams
        self._probes: list[Probe] = []

    def __enter__(self) -> Self:
        super().__enter__()
        _, _, address = self.simulator.base_url.rpartition("/")
        self.way = self._exits.enter_context(TcpProxy(free_port(), address))
        self._config = override(self._config, x={"base_url": f"http://{self.way.address}", "streams": self._streams})
        self._exits.enter_context(mock.patch.object(clock, "time", self.travelling))
        self._exits.enter_context(mock.patch.object(connect_limiter, "LOOK_AGAIN_S", _LOOK_AGAIN_S))
        return self

    @contextmanager
    def running(self, **sections: Mapping[str, Any]) -> Iterator[Probe]:
        """Run the service, connected to every stream partition at the beginning; `sections` override settings."""
        with running(override(self._config, **sections)) as probe:
            self._probes.append(probe)
            yield probe
            self._probes.remove(probe)

    @property
    def probe(self) -> Probe:
        """What the running service says."""
        return self._probes[-1]

    @property
    def now_us(self) -> int:
        """X's time."""
        return self.simulator.clock.now_ns() // _NS_PER_US

    def set_wall_off(self, seconds: float, kind: str) -> None:
        """Set the wall clock off by so much, and see that the connector's own wall clock is: that kind of fault."""
        self.travelling.wall_is_off_s = seconds
        assert abs(clock.wall_us() - self.now_us - seconds * US_PER_S) < US_PER_S
        self.note(kind)

    def covered_us(self) -> dict[Place, int]:
        """Return how far each stream partition is covered, by what the service says."""
        statuses = self.probe.status()["partitions"]
        covered = {place: statuses[f"{place[0]}/{place[1]}"]["covered_until"] for place in self.places}
        return {place: to_us(text) if text else 0 for place, text in covered.items()}

    def await_live(self) -> None:
        """Wait until X counts a live connection of every stream partition, and the service says the same."""

        def are_live() -> bool:
            statuses = self.probe.status()["partitions"]
            modes = {statuses[f"{stream}/{number}"]["mode"] for stream, number in self.places}
            return modes == {"live"} and len(live_connections(self.simulator)) == len(self.places)

        wait_until(are_live, "every stream partition is live", _PATIENCE_S)

    def await_cut_off(self) -> None:
        """Wait until X counts no connection any more."""
        wait_until(
            lambda: all(connection.ended is not None for connection in self.simulator.connections),
            "X has noticed that all connections are gone",
            _PATIENCE_S,
        )

    def settle(self, within_s: float = BOUND_S) -> None:
        """Let time pass, with an event here and there, until all that X emitted so far is covered.

        It must be within `within_s` seconds of X's time.
        """
        self.await_live()
        until_us = self.now_us

        def are_covered() -> bool:
            self.stride()
            return min(self.covered_us().values()) > until_us

        wait_until(are_covered, lambda: f"all is covered: {self._how_far(until_us)}", _PATIENCE_S)
        took_s = (self.now_us - until_us) / US_PER_S
        assert took_s <= within_s, f"all was covered only after {took_s:.0f} s of X's time: {self._how_far(until_us)}"

    def stride(self, seconds: float = _STRIDE_S) -> None:
        """Let time pass, with one event of each stream partition at its end, no faster than the connector follows.

        What is read when X's clock is ahead of its emission counts as emitted late, and is no more than asked for.
        """
        self.simulator.advance(seconds)
        emitted_us = self.now_us
        self.emit_on(self.places, 1)
        deadline_s = time.monotonic() + _FOLLOWED_WITHIN_S
        time.sleep(_POLL_S)
        while time.monotonic() < deadline_s and not self._has_followed(emitted_us):
            time.sleep(_POLL_S)

    def return_to_live(self, within_s: float, stride_s: float = _STRIDE_S) -> None:
        """Let time pass, with an event here and there, until all are live: within `within_s` seconds of X's time."""
        began_us = self.now_us
        probe = self.probe

        def are_live() -> bool:
            statuses = probe.status()["partitions"]
            if {statuses[f"{stream}/{number}"]["mode"] for stream, number in self.places} == {"live"}:
                return True
            self.stride(stride_s)
            return False

        wait_until(are_live, lambda: f"all are live again: {self._how_far(self.now_us)}", _LONG_PATIENCE_S)
        took_s = (self.now_us - began_us) / US_PER_S
        assert took_s <= within_s, f"all were live only after {took_s:.0f} s of X's time"

    def _has_followed(self, emitted_us: int) -> bool:
        """Return whether each stream partition has read an event since then, or catches up, or must wait to connect.

        A wait goes by real seconds, so that one may be over by X's time and not by the reader's.
        """
        statuses = self.probe.status()["partitions"]
        return all(_has_followed(statuses[f"{stream}/{number}"], emitted_us) for stream, number in self.places)

    def ages_s(self) -> dict[Place, float]:
        """Return how old the coverage of each stream partition is, in X's time."""
        now_us = self.now_us
        return {place: (now_us - covered_us) / US_PER_S for place, covered_us in self.covered_us().items()}

    def _how_far(self, until_us: int) -> str:
        """Tell how far each stream partition is covered, of an instant to reach, and what the service says of it."""
        statuses = self.probe.status()["partitions"]
        return "; ".join(
            f"{place[0]}/{place[1]} {(covered_us - until_us) / US_PER_S:+.3f} s: {statuses[f'{place[0]}/{place[1]}']}"
            for place, covered_us in self.covered_us().items()
        )

    def let_x_emit(self, seconds: float, events: int = 200) -> None:
        """Let time pass, with that many events spread over it and over all stream partitions."""
        self.simulator.advance(seconds, emitting=True, rate=events / seconds)

    def let_x_emit_everywhere(self, seconds: float, events: int) -> None:
        """Let time pass in strides, with that many events of each stream partition at the end of each."""
        for _ in range(round(seconds / _STRIDE_S)):
            self.simulator.advance(_STRIDE_S)
            self.emit_on(self.places, events)

    def cut(self) -> dict[Place, int]:
        """Put X out of reach; return how far each stream partition was covered by then."""
        self.way.go_away()
        self.await_cut_off()
        wait_until(self._is_disconnected, "the service has noticed that X is gone", _PATIENCE_S)
        return self.covered_us()

    def _is_disconnected(self) -> bool:
        statuses = self.probe.status()["partitions"]
        return {statuses[f"{stream}/{number}"]["mode"] for stream, number in self.places} == {"disconnected"}

    def await_sequences(self) -> None:
        """Wait until all that X emitted is committed."""
        self.probe.await_sequences(self.simulator)

    def cut_off(self, seconds: float) -> None:
        """Keep X out of reach for so long, while it goes on emitting."""
        self.cut()
        self.let_x_emit(seconds)
        self.way.come_back()

    def drop_connections_only(self) -> None:
        """Let X drop the connections; the faults that are armed stay so."""
        for stream, number in self.places:
            self.simulator.inject(Drop(stream=stream, partition=number))

    def asked_since(self, at_us: int, place: Place) -> list[LoggedRequest]:
        """Return the requests for a stream partition that came at or after an instant."""
        stream, number = place
        return [
            request
            for request in self.simulator.requests
            if request.path == STREAMS[stream].path
            and request.query.get("partition", "1") == str(number)
            and request.at // _NS_PER_US >= at_us
        ]

    def verify(self, expected: Expected = _NOTHING) -> History:
        """Hold the whole history against what X emitted: each event is there once or lies in a recorded gap.

        Coverage is never ahead of the truth nor of the wall clock.
        """
        history = self.read()
        emitted, lost = _told_apart(history, _due(history, self.simulator.record()))
        reordered = frozenset[Emitted]() if expected.is_ordered else self.simulator.faults.reordered
        all_findings = findings(history, emitted, is_clock_ahead=True, reordered=reordered)
        found = [finding for finding in all_findings if not expected.forgives(finding)]
        if not expected.is_wall_behind:
            found += check_coverage(history)
        causes = Counter(gap["cause"] for gap in history.gaps)
        found += [f"state of {gap}" for gap in history.gaps if (gap["state"] == "lost") != (gap["cause"] in _LOST)]
        if expected.gaps_of is not None:
            causes_of = {place: {gap["cause"] for gap in history.gaps if _place(gap) == place} for place in self.places}
            if causes_of != {place: set(expected.gaps_of.get(place, ())) for place in self.places}:
                found.append(f"gaps {causes_of}, should be {expected.gaps_of}: {history.gaps}")
        elif causes != expected.gap_causes:
            found.append(f"gaps {dict(causes)}, should be {dict(expected.gap_causes)}: {history.gaps}")
        if found:
            raise AssertionError("\n".join(found))
        print(f"emitted: {len(emitted)}, lost in {len(history.gaps)} gaps: {len(lost)}")  # noqa: T201 - shown by pytest
        return history


def to_us(text: str) -> int:
    """Return microseconds since 1970 of an RFC 3339 time."""
    return round(datetime.fromisoformat(text).timestamp() * US_PER_S)


def _has_followed(status: Mapping[str, Any], emitted_us: int) -> bool:
    match status["mode"]:
        case "live":
            return status["last_event"] is not None and to_us(status["last_event"]) > emitted_us - 2 * US_PER_S
        case "disconnected":
            is_early = status["next_attempt"] is not None and to_us(status["next_attempt"]) > emitted_us
            return status["waits_for"] is not None or is_early
    return True


def lost_lines(history: History, emitted: Sequence[Emitted]) -> list[Emitted]:
    """Return the lines that lie in a recorded gap and did not arrive."""
    return _told_apart(history, _due(history, emitted))[1]


def _due(history: History, emitted: Sequence[Emitted]) -> list[Emitted]:
    """Return the lines that arrived or are said to be covered; what came just before the end may be neither."""
    known = {event.id for events in history.events.values() for event in events}
    until_us = {place: entries[-1]["covered_until"] for place, entries in history.ledger.items()}
    return [
        line
        for line in emitted
        if line.emitted_at // _NS_PER_US < until_us.get((line.stream, line.partition), 0)
        or _is_known(history.prefix, known, line)
    ]


def _place(gap: Mapping[str, Any]) -> Place:
    return gap["stream"], gap["stream_partition"]


def _told_apart(history: History, emitted: Sequence[Emitted]) -> tuple[list[Emitted], list[Emitted]]:
    """Return the lines that must be there, and those that lie in a recorded gap and are not."""
    known = {event.id for events in history.events.values() for event in events}
    lost = [line for line in emitted if is_in_gap(history, line) and not _is_known(history.prefix, known, line)]
    gone = {id(line) for line in lost}
    return [line for line in emitted if id(line) not in gone], lost


def _is_known(prefix: str, known: Collection[str], line: Emitted) -> bool:
    return line.kind != "event" or expect_event(prefix, line.stream, line.partition, line.line).id in known
