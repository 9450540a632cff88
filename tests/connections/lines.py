"""Rows: what is on the lines that is not an event as we know it."""

from collections.abc import Callable

from connector.events.times import format_us
from connector.x.clock import wall_us
from tests.connections.row import NETWORK_S, Row, ended, event, good
from tests.connections.x import Bare, X
from tests.fakes.bodies import line_of
from tests.rig.peer import (
    LAST_CHUNK,
    Peer,
    chunk,
    cutting,
    in_lines,
    streaming,
)

_TWEET = {"id": "1", "author_id": "7"}


def _with_lines(*lines: bytes) -> Callable[[], X]:
    """Return an X that sends lines, and then an event."""
    return lambda: Bare(Peer(streaming(chunk(in_lines(*lines, event(1))))), events=1)


def _nothing_but(line: bytes) -> Callable[[], X]:
    """Return an X that three times sends a line and closes."""
    return lambda: Bare(Peer(*[cutting(chunk(in_lines(line)), LAST_CHUNK)] * 3, good(1)), events=1)


def _dead(reason: str) -> str:
    return f'lines_dead_lettered_total{{reason="{reason}"}}'


LINES = (
    Row(
        "unknown-type",
        "an event of a type that the connector does not know",
        "send it to the dead-letter topic; log the type once",
        _with_lines(line_of("archived", {"event_at": "2026-01-01T00:00:00Z", "tweet": _TWEET})),
        (),
        (_dead("unknown-type"), "unknown_types_total"),
    ),
    Row(
        "unknown-field",
        "a member that the connector does not know",
        "publish the event with it in `unknown_fields`; log the member once",
        lambda: Bare(
            Peer(
                streaming(
                    chunk(
                        in_lines(
                            line_of(
                                "delete", {"event_at": format_us(wall_us()), "tweet": _TWEET, "why": "as X words it"}
                            ),
                            event(2),
                        )
                    )
                )
            ),
            events=2,
        ),
        (),
        ('unknown_fields_total{field="why"}',),
    ),
    Row(
        "secret-repeated",
        "a line that holds the token, or the proxy's credentials, of 12 characters at least",
        "publish it with `[secret]` in that place; log an error",
        lambda: Bare(
            Peer(
                streaming(
                    chunk(
                        in_lines(
                            line_of(
                                "delete",
                                {"event_at": format_us(wall_us()), "tweet": _TWEET, "you": "Bearer simulator-token"},
                            ),
                            event(2),
                        )
                    )
                )
            ),
            events=2,
        ),
        (),
        ("lines_with_secret_total", 'unknown_fields_total{field="you"}'),
    ),
    Row(
        "invalid-body",
        "a body that does not fit its type",
        "send it to the dead-letter topic",
        _with_lines(line_of("delete", {"event_at": "2026-01-01T00:00:00Z"})),
        (),
        (_dead("invalid-body"),),
    ),
    Row(
        "not-json",
        "a line that is not JSON",
        "the same",
        _with_lines(b"<html>"),
        (),
        (_dead("not-json"),),
    ),
    Row(
        "too-long",
        "a line longer than `CONNECTOR_X__LINE_LIMIT_BYTES`",
        "send its beginning to the dead-letter topic",
        _with_lines(b"x" * 2000),
        (),
        (_dead("too-long"),),
        settings={"line_limit_bytes": 1024},
    ),
    *(
        Row(
            f"nothing-but-{name}",
            f"a live connection that brings nothing but {what}",
            "send it to the dead-letter topic, once; a line without `data` proves nothing, so the delays grow",
            _nothing_but(line),
            (NETWORK_S, 2 * NETWORK_S, 3 * NETWORK_S),
            (*[ended("closed")] * 3, _dead(reason)),
        )
        for name, what, line, reason in (
            ("error", "an error of another shape", b'{"error":{"message":"over capacity"}}', "unknown-type"),
            ("page", "a web page, with no `Content-Type`", b"<html>", "not-json"),
        )
    ),
)
