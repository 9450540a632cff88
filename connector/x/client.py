"""One request to a compliance stream and the body that answers it: the only place where streams meet httpx."""

import platform
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from connector import __version__
from connector.coverage.plan import Plan, Replay
from connector.errors import SettingsError
from connector.events.catalog import STREAMS, StreamPartition
from connector.events.times import US_PER_S, format_us
from connector.settings import XSettings, variable_name
from connector.x.auth import Token, exchange_over
from connector.x.backoff import Curve
from connector.x.clock import wall_us
from connector.x.errors import (
    ConnectFailedError,
    Failure,
    PlanRefusedError,
    RateLimit,
    Secrets,
    http_failure,
    network_failure,
    read_rate_limit,
    without,
)
from connector.x.response import read_body
from connector.x.transport import Wire

USER_AGENT = f"x-compliance-connector/{__version__} python/{platform.python_version()} httpx/{httpx.__version__}"
_DELIMITERS = {"content-length", "transfer-encoding"}
_LITTLE_BYTES = 16 * 1024
_GATHER_S = 0.02
"""After so little was read, more is left to come for so long: waking up for an event costs more than the event."""
_NO_HEADERS: Mapping[str, str] = {}
_UNGRANTABLE = {"backfill_minutes": "99"}


class Connection:
    """An accepted request. `chunks` is for one thread; `close` may be called from any."""

    def __init__(self, response: httpx.Response, wire: Wire, secrets: Secrets) -> None:
        self._response = response
        self._secrets = secrets
        self._wire = wire
        self._is_delimited = not _DELIMITERS.isdisjoint(response.headers)
        self.date_us = _date_us(response)
        self.rate_limit: RateLimit | None = read_rate_limit(response.headers, self.date_us / US_PER_S)

    def chunks(self) -> Iterator[bytes]:
        """Yield the body's bytes as they arrive, decompressed.

        Ends when X ends the body properly. Raises `ConnectFailedError` for every other end, and where a proper one
        cannot be told from a cut.
        """
        try:
            for chunk in self._response.iter_bytes():
                yield chunk
                if len(chunk) < _LITTLE_BYTES:
                    time.sleep(_GATHER_S)
        except (httpx.HTTPError, OSError) as error:
            raise ConnectFailedError(network_failure(error, self._secrets)) from error
        if not self._is_delimited:
            raise ConnectFailedError(
                Failure(Curve.NETWORK, "network", "the body ended, and nothing says that it is whole")
            )

    def close(self) -> None:
        """End the connection at once, also under a read that waits in another thread."""
        self._wire.close()

    def quoted(self, text: str) -> str:
        """Return words of X's without the token, should X have repeated it."""
        return without(self._secrets, text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()


class XClient:
    """Opens connections to X.

    Redirects are not followed, so the token goes nowhere else; proxies come from the environment; no connection is
    kept, so each one looks up X's address afresh.
    """

    def __init__(
        self, settings: XSettings, on_answer: Callable[[str, int, RateLimit | None], None] = lambda *_: None
    ) -> None:
        """`on_answer` is told the stream, status code and rate limit of each answer to a request for a stream.

        Raises `SettingsError` where the CA certificates cannot be used.
        """
        self._on_answer = on_answer
        self._client = httpx.Client(
            base_url=settings.base_url,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip" if settings.gzip else "identity"},
            timeout=httpx.Timeout(settings.silence_timeout_s, connect=settings.connect_timeout_s),
            verify=_trust(settings.ca_file),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )
        self._answer_time_s = settings.silence_timeout_s
        self._token = Token(settings, exchange_over(self._client, self._answer_time_s))

    def open(self, partition: StreamPartition, plan: Plan, wire: Wire | None = None) -> Connection:
        """Ask X for `plan`; who holds the `wire` can end the wait for the answer, too.

        Raises `ConnectFailedError`; `PlanRefusedError` where X does not accept the request.
        """
        wire = wire or Wire()
        # A compressed body may be cut where no one notices; of a replay the end is all that says it is whole.
        headers = {"Accept-Encoding": "identity"} if isinstance(plan, Replay) else {}
        response, secrets = self._get(partition, _parameters(plan), wire, headers)
        if response.status_code == httpx.codes.OK:
            return Connection(response, wire, secrets)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self._token.rejected()
        if response.status_code in {httpx.codes.BAD_REQUEST, httpx.codes.FORBIDDEN}:
            raise PlanRefusedError(_failure(response, secrets))
        raise ConnectFailedError(_failure(response, secrets))

    def check_access(self, stream: str) -> None:
        """Ask X for `stream` in a way it cannot grant, so that no connection is made or disturbed.

        Raises `ConnectFailedError` unless X then objects to the request itself: to neither token nor access.
        """
        response, secrets = self._get(StreamPartition(stream, 1), _UNGRANTABLE, Wire())
        if response.status_code == httpx.codes.BAD_REQUEST:
            response.close()
        else:
            raise ConnectFailedError(_failure(response, secrets))

    def _get(
        self,
        partition: StreamPartition,
        parameters: Mapping[str, str],
        wire: Wire,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> tuple[httpx.Response, Secrets]:
        """Return the answer, and what of the request no one may quote."""
        token = self._token.value()
        if STREAMS[partition.stream].partitions is not None:
            parameters = {"partition": str(partition.number), **parameters}
        try:
            request = self._client.build_request(
                "GET",
                STREAMS[partition.stream].path,
                params=parameters,
                headers={"Authorization": f"Bearer {token}", **headers},
                extensions=wire.extensions(self._answer_time_s),
            )
            response = self._client.send(request, stream=True)
        except (httpx.HTTPError, OSError) as error:
            raise ConnectFailedError(network_failure(error, (token,))) from error
        limit = read_rate_limit(response.headers, _date_us(response) / US_PER_S)
        self._on_answer(partition.stream, response.status_code, limit)
        return response, (token,)

    def close(self) -> None:
        """Release what the client holds."""
        self._client.close()


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    """Return the CA certificates given for X, or else those of the HTTP library or of `SSL_CERT_FILE`."""
    try:
        return ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context()
    except OSError as error:
        name = f"{variable_name(('x', 'ca_file'))}: {ca_file}" if ca_file else "SSL_CERT_FILE"
        raise SettingsError([f"{name}: cannot be used: {error.strerror or error}"]) from None


def _parameters(plan: Plan) -> dict[str, str]:
    if isinstance(plan, Replay):
        return {"start_time": _to_the_second(plan.start_us), "end_time": _to_the_second(plan.end_us)}
    return {"backfill_minutes": str(plan.backfill_minutes)} if plan.backfill_minutes else {}


def _to_the_second(instant_us: int) -> str:
    return format_us(instant_us)[:19] + "Z"


def _date_us(response: httpx.Response) -> int:
    """Return X's time of the answer, or the wall clock where X does not say."""
    try:
        return int(parsedate_to_datetime(response.headers["date"]).timestamp()) * US_PER_S
    except (KeyError, ValueError, OverflowError):
        return wall_us()


def _failure(response: httpx.Response, secrets: Secrets) -> Failure:
    try:
        body = read_body(response)
    except (httpx.HTTPError, OSError):
        body = b""
    date_us = _date_us(response)
    failure = http_failure(response.status_code, response.headers, body, date_us / US_PER_S, secrets)
    return replace(failure, date_us=date_us)
