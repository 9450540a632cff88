"""Turns exceptions of the HTTP library and answers that are not a stream into failures. Pure."""

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx

from connector.quoting import shown
from connector.x.backoff import Curve
from connector.x.decoders import CorruptGzipError
from connector.x.errors import (
    TOO_MANY_CONNECTIONS,
    ConnectFailedError,
    Failure,
    FailureReason,
    PlanRefusedError,
)
from connector.x.head import MAX_WAIT_S, Head
from connector.x.problem import RATE_LIMIT_CODE, Problem, read_problem

MIN_RATE_LIMIT_WAIT_S = 60.0
HttpFailure = httpx.HTTPError | OSError | CorruptGzipError
HTTP_FAILURES = (httpx.HTTPError, OSError, CorruptGzipError)
"""What a request, or reading its body, may raise."""

_HEADER_LIMIT = 80
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)
_MAY_REFUSE_A_PLAN = {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN}
_TRANSIENT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY}
_RETRY_LATER = {*_TRANSIENT, HTTPStatus.TOO_MANY_REQUESTS}
_REASONS: Mapping[int, FailureReason] = {
    HTTPStatus.BAD_REQUEST: FailureReason.HTTP_400,
    HTTPStatus.UNAUTHORIZED: FailureReason.HTTP_401,
    HTTPStatus.FORBIDDEN: FailureReason.HTTP_403,
    HTTPStatus.NOT_FOUND: FailureReason.HTTP_404,
    HTTPStatus.REQUEST_TIMEOUT: FailureReason.HTTP_408,
}
_ADVICE = {
    FailureReason.HTTP_400: "X does not accept the request's parameters; the contract may not include them",
    FailureReason.HTTP_401: "X rejects the token: check that it is valid and belongs to an App in a Project",
    FailureReason.HTTP_403: "X refuses access: check that the App's contract includes this stream",
    FailureReason.HTTP_404: "X does not know this endpoint: check x.base_url",
    FailureReason.HTTP_OTHER: "X gives an unexpected answer",
}


def network_failure(error: HttpFailure) -> Failure:
    """Classify an exception of the HTTP library, or of a body that cannot be decoded."""
    reason = FailureReason.SILENT if isinstance(error, httpx.ReadTimeout) else FailureReason.NETWORK
    detail = shown(f"{type(error).__name__}: {error}")
    return Failure(Curve.NETWORK, reason, detail, is_sent=not isinstance(error, _UNSENT))


def not_a_stream(head: Head, body: bytes) -> Failure:
    """Return the failure for a 200 that is not a stream; `body` is the beginning of its body."""
    detail = f"HTTP {head.status} is not a stream of X's: {_described(head, body)}"
    return _failure(head, FailureReason.NOT_A_STREAM, Curve.HTTP, detail)


def refusal(head: Head, body: bytes) -> ConnectFailedError:
    """Return the error for an answer that is not 200: `PlanRefusedError` if X itself refuses the request."""
    problem = read_problem(body)
    words = shown(body if problem is None else problem.said)
    is_about_connections = problem is not None and TOO_MANY_CONNECTIONS in problem.issues
    if is_about_connections or head.status == HTTPStatus.TOO_MANY_REQUESTS:
        return ConnectFailedError(_too_many(head, problem, words or f"HTTP {head.status}: X gives no reason"))
    reason, curve = _judge(head.status, problem, has_body=bool(body))
    if reason is FailureReason.FOREIGN_ANSWER:
        detail = f", not in X's format: {_described(head, body)}"
    elif curve is Curve.CONFIGURATION:
        detail = f": {_ADVICE[reason]}{_redirect(head)}; X says: {words or 'nothing'}"
    else:
        detail = f": {words or 'X gives no reason'}"
    failure = _failure(head, reason, curve, f"HTTP {head.status}{detail}")
    refuses_the_plan = head.status in _MAY_REFUSE_A_PLAN and problem is not None and problem.refuses_the_request
    return PlanRefusedError(failure) if refuses_the_plan else ConnectFailedError(failure)


def _judge(status: int, problem: Problem | None, *, has_body: bool) -> tuple[FailureReason, Curve]:
    """Return the class of an answer, and whether it is temporary: only X's own answers call for a person."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return FailureReason.HTTP_5XX, Curve.HTTP
    reason = _REASONS.get(status, FailureReason.HTTP_OTHER)
    if status in _TRANSIENT:
        return reason, Curve.HTTP
    if status == HTTPStatus.UNAUTHORIZED or status < HTTPStatus.BAD_REQUEST:
        return reason, Curve.CONFIGURATION
    if problem is None:
        is_foreign = has_body or status in _MAY_REFUSE_A_PLAN
        return (FailureReason.FOREIGN_ANSWER, Curve.HTTP) if is_foreign else (reason, Curve.CONFIGURATION)
    is_final = problem.refuses_the_request or problem.refuses_the_credentials
    return reason, Curve.HTTP if status in _MAY_REFUSE_A_PLAN and not is_final else Curve.CONFIGURATION


def _too_many(head: Head, problem: Problem | None, words: str) -> Failure:
    issues, codes = (problem.issues, problem.codes) if problem is not None else (frozenset(), frozenset())
    is_spent = RATE_LIMIT_CODE in codes or head.is_spent
    if TOO_MANY_CONNECTIONS in issues and not is_spent:
        return _failure(head, FailureReason.TOO_MANY_CONNECTIONS, Curve.TOO_MANY_CONNECTIONS, words)
    limit = head.rate_limit if is_spent else None
    until_reset_s = limit.reset_s - limit.said_at_s if limit is not None else 0.0
    at_least_s = min(max(MIN_RATE_LIMIT_WAIT_S, until_reset_s), MAX_WAIT_S)
    return _failure(head, FailureReason.RATE_LIMITED, Curve.RATE_LIMIT, words, at_least_s)


def _failure(head: Head, reason: FailureReason, curve: Curve, detail: str, at_least_s: float = 0.0) -> Failure:
    """Return a failure with the times in the answer; `Retry-After` counts if waiting helps."""
    is_asked_to_wait = head.status in _RETRY_LATER or head.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    at_least_s = max(at_least_s, head.retry_after_s if is_asked_to_wait else 0.0)
    return Failure(curve, reason, detail, at_least_s, head.rate_limit, date_us=head.date_us)


def _described(head: Head, body: bytes) -> str:
    """Return a description of what came instead of X's answer: type, encoding, and beginning."""
    types, encodings = (
        shown(", ".join(values), _HEADER_LIMIT) or "none" for values in (head.content_types, head.encodings)
    )
    return f"Content-Type {types}, Content-Encoding {encodings}, begins: {shown(body) or 'nothing'}"


def _redirect(head: Head) -> str:
    """Return the host that a redirect points to; path or query may hold a secret."""
    if not head.location:
        return ""
    try:
        host = urlsplit(head.location).hostname
    except ValueError:
        host = None
    return f", a redirect to {shown(host, _HEADER_LIMIT)}" if host else ", a redirect without a host"
