"""Rows: what X says within a stream."""

import json
from collections.abc import Callable
from typing import Literal

from connector.simulator.faults import (
    Ending,
    StreamError,
)
from tests.connections.row import (
    NETWORK_S,
    PROBLEMS,
    TOO_MANY_BODY,
    TOO_MANY_S,
    WHERE,
    Row,
    ended,
    event,
    good,
    problem,
)
from tests.connections.x import BEFORE, Bare, Simulated, X
from tests.rig.peer import Peer, chunk, in_lines, streaming

DISCONNECT_TYPES = (
    "OperationalDisconnect",
    "UpstreamOperationalDisconnect",
    "ForceDisconnect",
    "UpstreamUncleanDisconnect",
    "SlowReader",
    "InternalError",
    "ClientApplicationStateDegraded",
    "InvalidRules",
)
CONNECTION_ISSUES = ("TooManyConnections", "ProvisioningSubscription", "RuleConfigurationIssue", "RulesInvalidIssue")
PROBLEM_TYPES = (
    "invalid-request",
    "resource-not-found",
    "not-authorized-for-resource",
    "not-authorized-for-field",
    "field-unauthorized",
    "field-hydration-failure",
    "resource-unavailable",
    "disallowed-resource",
    "internal-error",
    "operational-disconnect",
    "streaming-connection",
)
"""X API v2, OpenAPI description: schemas `Problem`, `ConnectionExceptionProblem`, `OperationalDisconnectProblem`."""

_SAID = ("lines_control_total", ended("system-message"))


def _saying(
    body: object, *, after_lines: int = BEFORE, ending: Ending = "open", terminator: Literal["\r\n", "\n"] = "\r\n"
) -> Callable[[], X]:
    fault = StreamError(body=json.dumps(body), after_lines=after_lines, ending=ending, terminator=terminator, **WHERE)
    return lambda: Simulated(fault)


def _disconnect(kind: str) -> dict[str, object]:
    about = {"title": "operational-disconnect", "disconnect_type": kind, "type": f"{PROBLEMS}/operational-disconnect"}
    return {"errors": [{**about, "detail": "This stream has been disconnected."}]}


def _issue(kind: str) -> dict[str, object]:
    return {**TOO_MANY_BODY, "connection_issue": kind}


def _with_events() -> X:
    message = json.dumps(_disconnect("OperationalDisconnect")).encode()
    return Bare(Peer(streaming(chunk(in_lines(event(1), message, event(2)))), good(3)), events=3)


MESSAGES = (
    *(
        Row(
            kind,
            f"`disconnect_type` `{kind}`",
            "close the connection, which X does not always do, and connect again",
            _saying(_disconnect(kind)),
            (0.0,),
            _SAID,
        )
        for kind in DISCONNECT_TYPES
    ),
    Row(
        "message-first",
        "a message before anything else has come",
        "it proves nothing: the delays grow",
        _saying(_disconnect("OperationalDisconnect"), after_lines=0, ending="close"),
        (NETWORK_S,),
        _SAID,
    ),
    Row(
        "message-with-events",
        "a message in one piece with events before and after it",
        "publish them; the connection has delivered, so connect at once",
        _with_events,
        (0.0,),
        _SAID,
    ),
    Row(
        "message-and-close",
        "a message that ends with a bare `\\n`, and then the end of the body",
        "connect again",
        _saying(_disconnect("ForceDisconnect"), ending="close", terminator="\n"),
        (0.0,),
        _SAID,
    ),
    *(
        Row(
            kind,
            f"`connection_issue` `{kind}`",
            "close and wait a few seconds, doubling: X still counts a dead connection of ours"
            if kind == "TooManyConnections"
            else "close the connection and connect again",
            _saying(_issue(kind)),
            (TOO_MANY_S if kind == "TooManyConnections" else 0.0,),
            _SAID,
        )
        for kind in CONNECTION_ISSUES
    ),
    *(
        Row(
            f"problem-{kind}",
            f"a problem of type `{kind}`, within `errors`",
            "close the connection and connect again",
            _saying({"errors": [problem(kind, 200)]}),
            (0.0,),
            _SAID,
        )
        for kind in PROBLEM_TYPES
    ),
    Row(
        "message-unknown",
        "a message of a kind that is not known",
        "the same",
        _saying({"errors": ["as X words it"]}),
        (0.0,),
        _SAID,
    ),
)
