"""One request to a compliance stream and the body that answers it: the only place where streams meet httpx."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Self

import httpcore
import httpx

from connector.coverage.plan import Plan, Replay
from connector.events.catalog import STREAMS, StreamPartition
from connector.events.times import format_us
from connector.quoting import LEAST_IN_DATA, Secrets
from connector.settings import XSettings
from connector.x.auth import Token, exchange_over
from connector.x.backoff import Curve
from connector.x.clock import wall_us
from connector.x.errors import ConnectFailedError, Failure, FailureReason, PlanRefusedError, RateLimit
from connector.x.failures import HTTP_FAILURES, network_failure, not_a_stream, refusal
from connector.x.head import Head, read_head
from connector.x.response import decoder_of, is_delimited, read_beginning
from connector.x.transport import SOCKETS, Wire
from connector.x.way import Way, base_url_of

_LITTLE_BYTES = 16 * 1024
"""After a smaller read, wait for more to arrive: waking up for an event costs more than the event."""
_UNGRANTABLE = {"backfill_minutes": "99"}


class Connection:
    """An accepted request. `chunks` is for one thread; `close` may be called from any."""

    def __init__(
        self, response: httpx.Response, head: Head, wire: Wire, secrets: Secrets, gather: Callable[[], object]
    ) -> None:
        """`gather` waits for more to arrive."""
        self._response = response
        self._decoder = decoder_of(head)
        self._wire = wire
        self._gather = gather
        self._is_delimited = is_delimited(response)
        self.date_us = head.date_us
        """X's time of the answer, or None if its `Date` is missing or garbage."""
        self.rate_limit: RateLimit | None = head.rate_limit
        self.secrets = secrets
        """Secrets of the request, which must not be published if X repeats them."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the body's bytes as they arrive, decompressed.

        Ends when X ends the body properly. Raises `ConnectFailedError` for every other end, and if a proper one cannot
        be distinguished from a cut.
        """
        try:
            for chunk in self._response.iter_raw():
                size_bytes = 0
                for piece in self._decoder.decode(chunk):
                    size_bytes += len(piece)
                    yield piece
                if size_bytes < _LITTLE_BYTES:
                    self._gather()
            self._decoder.flush()
        except HTTP_FAILURES as error:
            raise ConnectFailedError(network_failure(error)) from error
        if not self._is_delimited:
            raise ConnectFailedError(
                Failure(Curve.NETWORK, FailureReason.NETWORK, "the body ended, and nothing shows that it is complete")
            )

    def close(self) -> None:
        """End the connection at once, even during a read in another thread."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()


class XClient:
    """Opens connections to X.

    No connection is kept, so each one looks up X's address afresh.
    """

    def __init__(
        self,
        settings: XSettings,
        on_answer: Callable[[str, int, RateLimit | None], None] = lambda *_: None,
        *,
        network: httpcore.NetworkBackend = SOCKETS,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`on_answer` is called with stream, status code and rate limit of each answer to a request for a stream.

        Raises `SettingsError` if the base URL, the CA certificates or the proxy cannot be used.
        """
        self._on_answer = on_answer
        self._is_gzip = settings.gzip
        self._gather = partial(sleep, settings.gather_interval_ms / 1000)
        self._way = Way(settings, base_url_of(settings), network)
        self._attempt_time_s = settings.connect_timeout_s + settings.silence_timeout_s
        self._token = Token(settings, exchange_over(self._way.client))

    def open(self, partition: StreamPartition, plan: Plan, wire: Wire | None = None) -> Connection:
        """Ask X for `plan`; closing the `wire` also ends the wait for the answer.

        Raises `ConnectFailedError`; `PlanRefusedError` if X itself refuses the request.
        """
        wire = wire or Wire()
        with self._way.attempt(wire, self._attempt_time_s):
            return self._open(partition, plan, wire)

    def _open(self, partition: StreamPartition, plan: Plan, wire: Wire) -> Connection:
        # A truncated compressed body may go unnoticed; only its end shows that a replay is complete.
        is_gzip_asked = self._is_gzip and not isinstance(plan, Replay)
        response, head, secrets = self._get(partition, _parameters(plan), wire, is_gzip=is_gzip_asked)
        if head.is_stream(is_gzip_asked=is_gzip_asked):
            wire.unlimit()
            return Connection(response, head, wire, secrets, self._gather)
        if head.status == httpx.codes.UNAUTHORIZED:
            self._token.rejected()
        raise _error(response, head)

    def check_access(self, stream: str) -> None:
        """Ask X for `stream` in a way it cannot grant, so that no connection is made or disturbed.

        Raises `ConnectFailedError` unless X then refuses the request itself, and neither token nor access.
        """
        wire = Wire()
        with self._way.attempt(wire, self._attempt_time_s):
            response, head, _ = self._get(StreamPartition(stream, 1), _UNGRANTABLE, wire, is_gzip=False)
            if head.is_stream(is_gzip_asked=False):  # X ignores parameters: nothing is said of the request
                raise refusal(head, b"")
            error = _error(response, head)
            if not (isinstance(error, PlanRefusedError) and head.status == httpx.codes.BAD_REQUEST):
                raise error

    def _get(
        self, partition: StreamPartition, parameters: Mapping[str, str], wire: Wire, *, is_gzip: bool
    ) -> tuple[httpx.Response, Head, Secrets]:
        """Return the answer, its parsed head, and the secrets of the request."""
        token = self._token.value(wire)
        secrets = Secrets((*self._token.sent, *self._way.proxy_secrets), LEAST_IN_DATA)
        if STREAMS[partition.stream].partitions is not None:
            parameters = {"partition": str(partition.number), **parameters}
        try:
            request = self._way.client.build_request(
                "GET",
                STREAMS[partition.stream].path,
                params=parameters,
                headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "gzip" if is_gzip else "identity"},
                extensions={"wire": wire},
            )
            response = self._way.client.send(request, stream=True)
        except HTTP_FAILURES as error:
            raise ConnectFailedError(network_failure(error)) from error
        head = read_head(response.status_code, response.headers, wall_us())
        self._on_answer(partition.stream, head.status, head.rate_limit)
        return response, head, secrets

    def close(self) -> None:
        """Release what the client holds."""
        self._way.close()


def try_client(settings: XSettings) -> None:
    """Raise `SettingsError` if the settings and the environment do not give a client."""
    XClient(settings).close()


def _parameters(plan: Plan) -> dict[str, str]:
    if isinstance(plan, Replay):
        return {"start_time": _to_the_second(plan.start_us), "end_time": _to_the_second(plan.end_us)}
    return {"backfill_minutes": str(plan.backfill_minutes)} if plan.backfill_minutes else {}


def _to_the_second(instant_us: int) -> str:
    return format_us(instant_us)[:19] + "Z"


def _error(response: httpx.Response, head: Head) -> ConnectFailedError:
    """Return the error for an answer that is not a stream."""
    body = read_beginning(response, head)
    if head.status == httpx.codes.OK:
        return ConnectFailedError(not_a_stream(head, body))
    return refusal(head, body)
