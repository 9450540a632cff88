"""What all batch compliance calls share: the connection to X, the token, and the classification of answers.

Facts: X API v2, "Compliance" (OpenAPI 2.168) and its integration guide; X replaced the back end in September 2026.
"""

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Self

import httpcore
import httpx

from connector.errors import ConnectorError
from connector.quoting import LEAST_IN_DATA, Secrets, shown
from connector.settings import XSettings
from connector.x.auth import Token, exchange_over
from connector.x.clock import wall_us
from connector.x.errors import ConnectFailedError
from connector.x.failures import MIN_RATE_LIMIT_WAIT_S, HttpFailure
from connector.x.head import MAX_WAIT_S, Head, read_head
from connector.x.problem import read_problem
from connector.x.transport import SOCKETS, Wire
from connector.x.way import Way, base_url_of, transfer_origins_of

_MOST_TRANSFER_SECRETS = 32
_OPERATOR_MUST_ACT = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}


class JobType(StrEnum):
    """What the ids of a job identify."""

    TWEETS = "tweets"
    USERS = "users"


class JobStatus(StrEnum):
    """The status of a job, as documented by X; others may come."""

    CREATED = "created"
    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"
    FAILED = "failed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Transfer:
    """Where ids are uploaded or results downloaded, until `expires_us` (None: unknown). The URL is a secret."""

    url: str = field(repr=False)
    expires_us: int | None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as X describes it: `status` may be none of `JobStatus`; instants are microseconds in X's time."""

    id: str
    type: str
    status: str
    name: str | None
    created_us: int | None
    upload: Transfer | None
    download: Transfer | None


class CallFailedError(ConnectorError):
    """A call failed: `status` is that of X's answer, or what its body amounts to; None if there is none.

    `at_least_s` is how long X asks to wait.
    """

    def __init__(self, detail: str, status: int | None = None, at_least_s: float = 0.0) -> None:
        super().__init__(detail)
        self.status = status
        self.at_least_s = at_least_s
        self.exit_code = os.EX_CONFIG if status in _OPERATOR_MUST_ACT else os.EX_UNAVAILABLE


class BatchApi:
    """Access to X's batch endpoints, for one thread at a time.

    `on_answer` is called with the method and status of each answer; `date_us` is the latest time by X's clock.
    """

    def __init__(
        self,
        settings: XSettings,
        on_answer: Callable[[str, int], None] = lambda *_: None,
        network: httpcore.NetworkBackend = SOCKETS,
    ) -> None:
        """Raise `SettingsError` if a URL, the CA certificates or the proxy cannot be used."""
        self.settings = settings
        self.url = base_url_of(settings)
        self.transfer_origins = transfer_origins_of(settings)
        self.network = network
        self.way = Way(settings, self.url, network)
        self.attempt_time_s = settings.connect_timeout_s + settings.silence_timeout_s
        self.date_us: int | None = None
        self.transfer_secrets: deque[str] = deque(maxlen=_MOST_TRANSFER_SECRETS)
        self._on_answer = on_answer
        self._token = Token(settings, exchange_over(self.way.client))

    @property
    def sent_secrets(self) -> Secrets:
        """The secrets sent to X, transfer URLs included, which must not be published if a result line repeats them."""
        return Secrets((*self._token.sent, *self.way.proxy_secrets, *self.transfer_secrets), LEAST_IN_DATA)

    def bearer(self, wire: Wire) -> dict[str, str]:
        """Return the header with the current token. Raises `CallFailedError`."""
        try:
            return {"Authorization": f"Bearer {self._token.value(wire)}"}
        except ConnectFailedError as error:
            status = HTTPStatus.UNAUTHORIZED if error.exit_code == os.EX_CONFIG else None
            raise CallFailedError(shown(error.failure.detail), status, error.failure.at_least_s) from None

    def read_head(self, response: httpx.Response, method: str) -> Head:
        """Return the parsed head of an answer; the next call after a 401 has another token, if there is one.

        A host that was not sent the token is not X: its answer is no evidence of X's time or about the token.
        """
        head = read_head(response.status_code, response.headers, wall_us())
        if "authorization" in response.request.headers:
            self.date_us = head.date_us or self.date_us
            if head.status == HTTPStatus.UNAUTHORIZED:
                self._token.rejected()
        self._on_answer(method, head.status)
        return head

    def close(self) -> None:
        """Close all connections."""
        self.way.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def refused(head: Head, body: bytes) -> CallFailedError:
    """Return the error for an unsuccessful answer, with X's message if it has one."""
    problem = read_problem(body)
    words = shown(body if problem is None else problem.said) or "X gives no reason"
    at_least_s = head.retry_after_s
    if head.status == HTTPStatus.TOO_MANY_REQUESTS:
        limit = head.rate_limit
        until_reset_s = limit.reset_s - limit.said_at_s if limit is not None else 0.0
        at_least_s = min(max(MIN_RATE_LIMIT_WAIT_S, until_reset_s, at_least_s), MAX_WAIT_S)
    return CallFailedError(f"HTTP {head.status}: {words}", head.status, at_least_s)


def unanswered(error: HttpFailure) -> CallFailedError:
    """Return the error for a call without an answer, or with one that breaks off.

    To be raised `from None`: the HTTP library's message may hold parts of the request that the other end repeated.
    """
    return CallFailedError(shown(f"{type(error).__name__}: {error}"))
