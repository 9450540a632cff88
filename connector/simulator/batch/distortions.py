"""Applies faults to a download: to its lines, and to its body. Knows nothing of sockets."""

import gzip
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from connector.simulator.answers import FOREIGN_PAGE
from connector.simulator.batch.answers import PROBLEM, Reply, problem
from connector.simulator.batch.faults import BatchDownload, BatchLines, Download, Lines
from connector.simulator.faults import Ending

Result = dict[str, Any]

_LONG = 70_000
_MISSING_BYTES = 100
_HTML = ("content-type", "text/html; charset=utf-8")
_BOM = b"\xef\xbb\xbf"
_NEEDS_NO_LINES: frozenset[Lines | Download] = frozenset(
    {"foreign-id", "garbage", "bom", "chunked", "gzip", "gzip-unlabelled", "html", "problem", "unframed"}
)


def _changed(result: Result) -> Result:
    action = "rehydrate" if result["action"] == "delete" else "delete"
    return result | {"action": action, "reason": "changed"}


def _without(result: Result, *names: str) -> Result:
    return {name: value for name, value in result.items() if name not in names}


_OTHERS = ("created_at", "redacted_at", "reason")
_OLD_REASONS = {"geo_scrubbed": "scrub_geo"}

_REWRITTEN: dict[Lines, Callable[[Result], object]] = {
    "changed": _changed,
    "deleted-at": lambda result: _without(result, "redacted_at") | {"deleted_at": result["redacted_at"]},
    "extra-members": lambda result: result | {"severity": 3, "labels": ["é\u2028", None, {"deep": True}]},
    "long": lambda result: result | {"note": "x" * _LONG},
    "missing-action": lambda result: _without(result, "action"),
    "missing-members": lambda result: _without(result, *_OTHERS),
    "null-action": lambda result: result | {"action": None},
    "null-members": lambda result: result | dict.fromkeys(_OTHERS),
    "number-id": lambda result: result | {"id": int(result["id"])},
    "old-reasons": lambda result: result | {"reason": _OLD_REASONS.get(result["reason"], "bounced")},
    "unknown-action": lambda result: result | {"action": "quarantine", "reason": "unheard_of"},
    "valid-as-invalid": lambda result: {"id": result["id"], "error": "invalid_id"},
}
"""What becomes of one line."""


def has_enough_lines(results: bytes, fault: BatchLines | BatchDownload) -> bool:
    """Return whether there is something for `fault` to act on."""
    if fault.how in _NEEDS_NO_LINES:
        return True
    if isinstance(fault, BatchDownload):
        return bool(results)
    return results.count(b'"action":') >= (2 if fault.how == "shuffled" else fault.lines)


def distort_lines(results: bytes, fault: BatchLines, rng: random.Random, unsent_id: str) -> bytes:
    """Return the lines as `fault` has them: `rng` draws which ones are wrong, `unsent_id` begins ids never sent."""
    lines = results.splitlines(keepends=True)
    with_action = [index for index, line in enumerate(lines) if b'"action":' in line]
    if fault.how == "shuffled":
        shuffled = rng.sample(lines, len(lines))
        return b"".join(shuffled if shuffled != lines else reversed(lines))
    added = _added(fault, unsent_id)
    if not added:
        chosen = sorted(rng.sample(with_action, fault.lines))
        added = _rewritten(lines, chosen, fault.how)
    for line in added:
        lines.insert(rng.randint(0, len(lines)), line)
    return b"".join(lines)


def _added(fault: BatchLines, unsent_id: str) -> list[bytes]:
    """Return the lines that `fault` adds, independent of the others."""
    if fault.how == "garbage":
        return [b"upstream connect error\n"] * fault.lines
    if fault.how == "foreign-id":
        foreign = {"action": "delete", "created_at": None, "redacted_at": None, "reason": "deleted"}
        return [_line({"id": str(int(unsent_id) + number)} | foreign) for number in range(fault.lines)]
    return []


def _rewritten(lines: list[bytes], chosen: list[int], how: Lines) -> list[bytes]:
    """Rewrite or remove the chosen lines in place, and return the lines that come in addition to them."""
    before = [lines[index] for index in chosen]
    match how:
        case "doubled":
            return before
        case "contradicted":
            return [_line(_changed(msgspec.json.decode(line))) for line in before]
        case "dropped":
            for index in reversed(chosen):
                del lines[index]
        case _:
            for index, line in zip(chosen, before, strict=True):
                lines[index] = _line(_REWRITTEN[how](msgspec.json.decode(line)))
    return []


def _line(result: object) -> bytes:
    return msgspec.json.encode(result) + b"\n"


def _cut(reply: Reply, ending: Ending) -> Reply:
    return replace(reply, body=reply.body[: len(reply.body) // 2], claimed=len(reply.body), ending=ending)


def _half_of_lines(body: bytes) -> int:
    """Return the length of those lines that end in the first half."""
    return body.rfind(b"\n", 0, len(body) // 2) + 1


def _without_half_of_last_line(body: bytes) -> bytes:
    last_line = body.rfind(b"\n", 0, -1) + 1
    return body[: (last_line + len(body)) // 2]


def _gzip(reply: Reply, *headers: tuple[str, str]) -> Reply:
    return replace(reply, body=gzip.compress(reply.body), headers=(*reply.headers, *headers))


def _without_end(reply: Reply) -> Reply:
    return replace(reply, body=reply.body[: len(reply.body) // 2])


_DISTORTED: dict[Download, Callable[[Reply], Reply]] = {
    "blank-lines": lambda reply: replace(reply, body=b"\n" + reply.body.replace(b"\n", b"\n \n")),
    "bom": lambda reply: replace(reply, body=_BOM + reply.body),
    "chunked": lambda reply: replace(reply, framing="chunked"),
    "crlf": lambda reply: replace(reply, body=reply.body.replace(b"\n", b"\r\n")),
    "cut": lambda reply: _cut(reply, "drop"),
    "empty": lambda reply: replace(reply, body=b""),
    "gzip": lambda reply: _gzip(reply, ("content-encoding", "gzip")),
    "gzip-cut": lambda reply: _without_end(_gzip(reply, ("content-encoding", "gzip"))),
    "gzip-unlabelled": _gzip,
    "html": lambda reply: replace(reply, body=FOREIGN_PAGE, headers=(_HTML,)),
    "last-line-cut": lambda reply: replace(reply, body=_without_half_of_last_line(reply.body)),
    "last-line-open": lambda reply: replace(reply, body=reply.body[:-1]),
    "long-length": lambda reply: replace(reply, claimed=len(reply.body) + _MISSING_BYTES),
    "no-end": lambda reply: replace(reply, framing="chunked", ending="drop"),
    "problem": lambda reply: replace(reply, body=problem(503, "The results are not there.").body, headers=(PROBLEM,)),
    "reset": lambda reply: _cut(reply, "reset"),
    "short-length": lambda reply: replace(reply, claimed=_half_of_lines(reply.body)),
    "unframed": lambda reply: replace(reply, framing="eof"),
    "unframed-cut": lambda reply: replace(reply, framing="eof", body=reply.body[: _half_of_lines(reply.body)]),
}
"""What becomes of a download as a body."""


def distort_download(reply: Reply, how: Download) -> Reply:
    """Return the download as a fault has it."""
    return _DISTORTED[how](reply)
