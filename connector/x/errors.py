"""What went wrong on the way to X or with its answer, classified in one place.

X's error bodies come in three shapes (X API v2, "Response codes & errors"): a problem, a list of errors, a bare
code and message. Whatever others say may repeat what we sent, so all of it goes through `without`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httpx
import msgspec

from connector.errors import ConnectorError
from connector.x.backoff import Curve

RATE_LIMIT_CODE = 88
TOO_MANY_CONNECTIONS = "TooManyConnections"
MIN_RATE_LIMIT_WAIT_S = 60.0
MAX_RATE_LIMIT_WAIT_S = 16 * 60.0
"""X's windows last 15 minutes; a reset further away is no time to wait for."""
_DETAIL_LIMIT = 300
_HIDDEN = "[secret]"
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)
Secrets = tuple[str, ...]
"""What was sent with a request and must not be shown."""

_ADVICE = {
    400: ("http-400", "X does not accept the request's parameters; the contract may not include them"),
    401: ("http-401", "X rejects the token: check that it is valid and belongs to an App in a Project"),
    403: ("http-403", "X refuses access: check that the App's contract includes this stream"),
    404: ("http-404", "X does not know this endpoint: check x.base_url"),
}


REASONS = (
    "network",
    "silent",
    "rate-limited",
    "too-many-connections",
    "http-400",
    "http-401",
    "http-403",
    "http-404",
    "http-5xx",
    "http-other",
    "no-token",
)
"""Every `Failure.reason`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no connection; `reason` is from a small closed set, `detail` is for people.

    `rate_limit` is what X's answer says of it; `is_sent` is False where the request cannot have reached X.
    """

    curve: Curve
    reason: str
    detail: str
    at_least_s: float = 0.0
    rate_limit: "RateLimit | None" = None
    is_sent: bool = True
    date_us: int | None = None


class ConnectFailedError(ConnectorError):
    """An attempt to connect to X did not succeed: wait as `failure` says, then try again."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure
        self.exit_code = os.EX_CONFIG if failure.curve is Curve.CONFIGURATION else os.EX_UNAVAILABLE


class PlanRefusedError(ConnectFailedError):
    """X refused the request as it was; asking for less may be granted."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What X says is left of an endpoint's connects; `reset_s` and `said_at_s` are UNIX seconds in X's time."""

    limit: int
    remaining: int
    reset_s: int
    said_at_s: float


def read_rate_limit(headers: Mapping[str, str], said_at_s: float) -> RateLimit | None:
    """Return X's rate-limit headers, or None when they are not all there and sane."""
    try:
        limit, remaining, reset_s = (int(headers[f"x-rate-limit-{name}"]) for name in ("limit", "remaining", "reset"))
    except (KeyError, ValueError):
        return None
    return RateLimit(limit, remaining, reset_s, said_at_s) if limit > 0 and remaining >= 0 else None


def without(secrets: Secrets, text: str) -> str:
    """Return `text` with each secret in it hidden, as it is or percent-decoded."""
    for secret in dict.fromkeys((*secrets, *map(unquote, secrets))):
        text = text.replace(secret, _HIDDEN)
    return text


def network_failure(error: httpx.HTTPError | OSError, secrets: Secrets) -> Failure:
    """Classify an exception of the HTTP library."""
    reason = "silent" if isinstance(error, httpx.ReadTimeout) else "network"
    detail = without(secrets, f"{type(error).__name__}: {error}")[:_DETAIL_LIMIT]
    return Failure(Curve.NETWORK, reason, detail, is_sent=not isinstance(error, _UNSENT))


def http_failure(status: int, headers: Mapping[str, str], body: bytes, now_s: float, secrets: Secrets) -> Failure:
    """Classify an answer that is not 200; `now_s` is X's time in UNIX seconds."""
    problem = _problem(body)
    said = without(secrets, _said(problem))[:_DETAIL_LIMIT]
    limit = read_rate_limit(headers, now_s)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _too_many(limit, problem, said, now_s)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Failure(Curve.HTTP, "http-5xx", f"HTTP {status}: {said}", rate_limit=limit)
    reason, advice = _ADVICE.get(status, ("http-other", "X gives an unexpected answer"))
    detail = f"HTTP {status}: {advice}; X says: {said or 'nothing'}"
    return Failure(Curve.CONFIGURATION, reason, detail, rate_limit=limit)


def _too_many(limit: RateLimit | None, problem: Mapping[str, Any], said: str, now_s: float) -> Failure:
    is_spent = problem.get("code") == RATE_LIMIT_CODE or (limit is not None and limit.remaining == 0)
    if problem.get("connection_issue") == TOO_MANY_CONNECTIONS and not is_spent:
        return Failure(Curve.TOO_MANY_CONNECTIONS, "too-many-connections", said, rate_limit=limit)
    until_reset_s = limit.reset_s - now_s if limit is not None and is_spent else 0.0
    at_least_s = min(max(MIN_RATE_LIMIT_WAIT_S, until_reset_s), MAX_RATE_LIMIT_WAIT_S)
    return Failure(Curve.RATE_LIMIT, "rate-limited", said, at_least_s, limit)


def _problem(body: bytes) -> Mapping[str, Any]:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    if isinstance(answer, dict):
        errors = answer.get("errors")
        if isinstance(errors, list) and errors and isinstance(errors[0], dict):
            return {**answer, **errors[0]}
        return answer
    return {}


def _said(problem: Mapping[str, Any]) -> str:
    words = (problem.get(name) for name in ("detail", "message", "title"))
    return next((word for word in words if isinstance(word, str)), "")
