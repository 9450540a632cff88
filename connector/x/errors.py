"""Failures of requests to X, by what the caller must do. Classified in `failures`."""

import os
from dataclasses import dataclass
from enum import StrEnum

from connector.errors import ConnectorError
from connector.x.backoff import Curve

TOO_MANY_CONNECTIONS = "TooManyConnections"


class FailureReason(StrEnum):
    """Why an attempt to connect failed, for logs and metrics."""

    NETWORK = "network"
    SILENT = "silent"
    NOT_A_STREAM = "not-a-stream"
    FOREIGN_ANSWER = "foreign-answer"
    RATE_LIMITED = "rate-limited"
    TOO_MANY_CONNECTIONS = "too-many-connections"
    HTTP_400 = "http-400"
    HTTP_401 = "http-401"
    HTTP_403 = "http-403"
    HTTP_404 = "http-404"
    HTTP_408 = "http-408"
    HTTP_5XX = "http-5xx"
    HTTP_OTHER = "http-other"
    NO_TOKEN = "no-token"  # noqa: S105 - the name of a reason


@dataclass(frozen=True, slots=True)
class RateLimit:
    """X's figures of an endpoint's connects until `reset_s`, UNIX seconds, at most a window after `said_at_s`.

    `said_at_s` is the answer's `Date`; the wall clock if there is none, or if the reset fits only that.
    """

    limit: int
    remaining: int
    reset_s: int
    said_at_s: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no connection; `reason` is a `FailureReason` if an attempt failed, `detail` is for people.

    `rate_limit` and `date_us` are from X's answer; `is_sent` is False if the request cannot have reached X.
    """

    curve: Curve
    reason: str
    detail: str
    at_least_s: float = 0.0
    rate_limit: RateLimit | None = None
    is_sent: bool = True
    date_us: int | None = None


class ConnectFailedError(ConnectorError):
    """An attempt to connect to X did not succeed: wait as in `failure`, then repeat the request."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure
        self.exit_code = os.EX_CONFIG if failure.curve is Curve.CONFIGURATION else os.EX_UNAVAILABLE


class PlanRefusedError(ConnectFailedError):
    """X itself refused the request as it was; asking for less may be granted."""
