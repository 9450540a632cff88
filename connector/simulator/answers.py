"""Owns X's answers other than streams, in X's wording. Knows nothing of when they are given."""

import json
from dataclasses import dataclass
from http import HTTPStatus

JSON = ("content-type", "application/json; charset=utf-8")
PHRASES = {int(known): known.phrase for known in HTTPStatus}
PROBLEMS = "https://api.twitter.com/2/problems"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status other than 200, its JSON body and its own headers; `kind` names what was wrong."""

    kind: str
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def _refusal(kind: str, status: int, body: object) -> Refusal:
    return Refusal(kind, status, json.dumps(body).encode())


INVALID_TOKEN = _refusal("token", 401, {"errors": [{"message": "Invalid or expired token", "code": 89}]})
INVALID_CREDENTIALS = _refusal(
    "credentials", 403, {"errors": [{"code": 99, "message": "Unable to verify your credentials"}]}
)
MISSING_GRANT_TYPE = _refusal(
    "grant-type", 403, {"errors": [{"code": 170, "message": "Missing required parameter: grant_type"}]}
)
RATE_LIMIT_EXCEEDED = _refusal("rate-limit", 429, {"errors": [{"code": 88, "message": "Rate limit exceeded"}]})
TOO_MANY_CONNECTIONS_BODY = {
    "title": "ConnectionException",
    "detail": "This stream is currently at the maximum allowed connection limit.",
    "connection_issue": "TooManyConnections",
    "type": f"{PROBLEMS}/streaming-connection",
}
TOO_MANY_CONNECTIONS = _refusal("connections", 429, TOO_MANY_CONNECTIONS_BODY)
NOT_FOUND = _refusal(
    "path",
    404,
    {"title": "Not Found", "detail": "There is nothing here.", "type": "about:blank", "status": 404},
)
_OPERATIONAL_DISCONNECT = {
    "title": "operational-disconnect",
    "disconnect_type": "UpstreamOperationalDisconnect",
    "detail": "This stream has been disconnected upstream for operational reasons.",
    "type": f"{PROBLEMS}/operational-disconnect",
}


def invalid_request(parameters: dict[str, list[str]], message: str) -> Refusal:
    """Return the 400 for parameters that are missing (no values) or wrong (the values given)."""
    return _refusal(
        "parameters",
        400,
        {
            "errors": [{"parameters": parameters, "message": message}],
            "title": "Invalid Request",
            "detail": "One or more parameters to your request was invalid.",
            "type": f"{PROBLEMS}/invalid-request",
        },
    )


def not_in_contract(what: str, status: int = 403) -> Refusal:
    """Return the refusal under a contract that does not include `what`."""
    return _refusal(
        "contract",
        status,
        {
            "title": "Client Forbidden",
            "detail": f"Your contract does not include {what}.",
            "reason": "client-not-enrolled",
            "type": f"{PROBLEMS}/client-forbidden",
            "status": status,
        },
    )


def plain(status: int) -> Refusal:
    """Return X's plain answer with this status."""
    match status:
        case 400:
            return invalid_request({}, "The request was invalid")
        case 401:
            return INVALID_TOKEN
        case 403:
            return not_in_contract("this stream")
        case 404:
            return NOT_FOUND
        case 429:
            return RATE_LIMIT_EXCEEDED
        case _:
            phrase = PHRASES.get(status, HTTPStatus.SERVICE_UNAVAILABLE.phrase)
            body = {"title": phrase, "detail": phrase, "type": "about:blank"}
            return _refusal("server", status, {**body, "status": status})


FOREIGN_PAGE = b"""<!DOCTYPE html>
<html>
<head><title>Something went wrong</title></head>
<body>
<h1>Something went wrong</h1>
<p>This page does not come from X.</p>
</body>
</html>
"""


def stream_error(*, wrapped: bool) -> bytes:
    """Return a system message as it comes down a stream, without line ending."""
    body = {"errors": [_OPERATIONAL_DISCONNECT]} if wrapped else TOO_MANY_CONNECTIONS_BODY
    return json.dumps(body, separators=(",", ":")).encode()
