"""Owns X's rules for a stream request: token, budget, parameters, contract. Knows nothing of sockets or faults."""

import base64
import binascii
import re
import threading
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs, unquote

from connector.events.catalog import STREAMS, StreamPartition
from connector.simulator.answers import (
    INVALID_CREDENTIALS,
    INVALID_TOKEN,
    MISSING_GRANT_TYPE,
    Refusal,
    invalid_request,
    not_in_contract,
)
from connector.simulator.clock import NANOS
from connector.simulator.config import SimulatorConfig
from connector.simulator.faults import Mode
from connector.simulator.http import Headers, HttpRequest

STREAM_BY_PATH = {stream.path: stream for stream in STREAMS.values()}

_WINDOW_NS = 15 * 60 * NANOS
_REPLAY_REACH_NS = 24 * 3600 * NANOS
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
_MOST_BACKFILL_MINUTES = 5


@dataclass(frozen=True, slots=True)
class Replay:
    """An interval of simulated time, ns since 1970: from `start_ns`, included, to `end_ns`, excluded."""

    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """A stream request that X would grant, as far as its parameters go."""

    partition: StreamPartition
    backfill_minutes: int
    replay: Replay | None


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a request, by its path and query, granted or not."""

    partition: StreamPartition
    mode: Mode


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left of an endpoint's requests in this window, after the current request."""

    limit: int
    remaining: int
    reset_s: int
    is_spent: bool

    def headers(self) -> Headers:
        """Return X's headers for it."""
        return [
            ("x-rate-limit-limit", str(self.limit)),
            ("x-rate-limit-remaining", str(self.remaining)),
            ("x-rate-limit-reset", str(self.reset_s)),
        ]


class RateLimiter:
    """Counts the requests to each endpoint in fixed windows of 15 minutes of simulated time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._window = 0
        self._used: Counter[str] = Counter()

    def spend(self, endpoint: str, now_ns: int) -> Budget:
        """Count a request and return the budget after it; `is_spent` when the request was one too many."""
        window = now_ns // _WINDOW_NS
        with self._lock:
            if window != self._window:
                self._window = window
                self._used.clear()
            self._used[endpoint] += 1
            used = self._used[endpoint]
        reset_s = (window + 1) * _WINDOW_NS // NANOS
        return Budget(self._limit, max(self._limit - used, 0), reset_s, used > self._limit)


class Tokens:
    """The bearer token in force: the same until it is invalidated."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._config = config
        self._invalidated = 0

    @property
    def current(self) -> str:
        """The token that is accepted now."""
        return f"{self._config.token}-{self._invalidated + 1}" if self._invalidated else self._config.token

    def invalidate(self) -> None:
        """Replace the token by another, available from the token endpoint."""
        self._invalidated += 1

    def check(self, request: HttpRequest) -> Refusal | None:
        """Return the refusal of a request without the token in force."""
        return None if request.headers.get("authorization") == f"Bearer {self.current}" else INVALID_TOKEN

    def issue(self, request: HttpRequest) -> str | Refusal:
        """Return the token for a request with the API key and its secret as HTTP Basic."""
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        try:
            key, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return INVALID_CREDENTIALS
        expected = (self._config.api_key, self._config.api_key_secret)
        if scheme != "Basic" or (unquote(key), unquote(secret)) != expected:
            return INVALID_CREDENTIALS
        if parse_qs(request.body.decode("ascii", "replace")).get("grant_type") != ["client_credentials"]:
            return MISSING_GRANT_TYPE
        return self.current


def target_of(request: HttpRequest) -> Target | None:
    """Return the target of a request for a stream's path; None if it names no stream partition."""
    stream = STREAM_BY_PATH[request.path]
    partitions = {
        str(number): StreamPartition(stream.name, number) for number in range(1, (stream.partitions or 1) + 1)
    }
    partition = partitions.get(request.query.get("partition", "" if stream.partitions else "1"))
    is_replay = "start_time" in request.query or "end_time" in request.query
    return Target(partition, "replay" if is_replay else "live") if partition else None


def refuse_future_end(request: HttpRequest) -> Refusal:
    """Return the refusal of a replay that `admit` lets pass though its end is in the future."""
    return _invalid(request.query, "`end_time` must be in the past", "end_time")


def admit(request: HttpRequest, config: SimulatorConfig, now_ns: int) -> StreamRequest | Refusal:
    """Judge the parameters of a request for one of the streams' paths; nothing is counted or claimed.

    A replay may end in the future here: the caller decides whether to grant that.
    """
    stream = STREAM_BY_PATH[request.path]
    query = request.query
    known = {"backfill_minutes", "start_time", "end_time"} | ({"partition"} if stream.partitions else set())
    if unknown := sorted(query.keys() - known):
        name = unknown[0]
        return _invalid(query, f"The query parameter [{name}] is not one of [{','.join(sorted(known))}]", name)
    numbers = {str(number) for number in range(1, (stream.partitions or 1) + 1)}
    if query.get("partition", "" if stream.partitions else "1") not in numbers:
        return _invalid(query, f"The `partition` query parameter must be one of [{','.join(sorted(numbers))}]")
    if stream.name not in config.streams:
        return not_in_contract("this stream")
    partition = StreamPartition(stream.name, int(query.get("partition", "1")))
    if "backfill_minutes" in query:
        return _admit_backfill(query, config, partition)
    if "start_time" in query or "end_time" in query:
        return _admit_replay(query, config, partition, now_ns)
    return StreamRequest(partition, 0, None)


def _admit_backfill(
    query: dict[str, str], config: SimulatorConfig, partition: StreamPartition
) -> StreamRequest | Refusal:
    if config.backfill_refusal is not None:
        return not_in_contract("backfill", config.backfill_refusal)
    minutes = query["backfill_minutes"]
    if minutes not in {str(number) for number in range(1, _MOST_BACKFILL_MINUTES + 1)}:
        message = f"The `backfill_minutes` query parameter value [{minutes}] is not between 1 and 5"
        return _invalid(query, message, "backfill_minutes")
    if "start_time" in query or "end_time" in query:
        return _invalid(query, "`backfill_minutes` goes with neither `start_time` nor `end_time`", "backfill_minutes")
    return StreamRequest(partition, int(minutes), None)


def _admit_replay(
    query: dict[str, str], config: SimulatorConfig, partition: StreamPartition, now_ns: int
) -> StreamRequest | Refusal:
    if config.replay_refusal is not None:
        return not_in_contract("recovery", config.replay_refusal)
    times = []
    for name in ("start_time", "end_time"):
        time_ns = _parse_time(query.get(name, ""))
        if time_ns is None:
            return _invalid(query, f"The `{name}` query parameter is not a time YYYY-MM-DDTHH:mm:ssZ", name)
        times.append(time_ns)
    start_ns, end_ns = times
    if start_ns >= end_ns:
        return _invalid(query, "`start_time` must be before `end_time`", "start_time", "end_time")
    if start_ns < now_ns - _REPLAY_REACH_NS:
        return _invalid(query, "`start_time` must be within the last 24 hours", "start_time")
    return StreamRequest(partition, 0, Replay(start_ns, end_ns))


def _invalid(query: dict[str, str], message: str, *names: str) -> Refusal:
    return invalid_request({name: [query[name]] if name in query else [] for name in names or ("partition",)}, message)


def _parse_time(text: str) -> int | None:
    """Return ns since 1970, or None if it is not a time in X's format."""
    if not _TIME.fullmatch(text):
        return None
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000) * 1_000_000
    except ValueError:
        return None
