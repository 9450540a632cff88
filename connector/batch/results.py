"""X's results for a shard: reads a download to its end, and classifies each line.

A download is believed only if complete. Must not know how it is fetched, nor which ids were sent: `accounting` joins
the two.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec

from connector.quoting import Secrets, shown

LINE_LIMIT_BYTES = 64 * 1024
_NO_SECRETS = Secrets(())
TEXT_LIMIT = 200
"""The most characters of an action, a reason or a time."""
_ID_LENGTH = 19
_MOST_EXACT = 2**53 - 1
"""A larger number may have been rounded on the way (RFC 8259, section 6)."""
_DIGITS = re.compile(rb"[0-9]{1,16}")
_LINE_END = b"\r\n"
_CHUNK_BYTES = 64 * 1024
_DIGEST_BYTES = 32
_UNREADABLE = (ValueError, msgspec.MsgspecError, RecursionError)


class NotWholeError(Exception):
    """A download is truncated or is not results; the text quotes the line that shows it."""

    def __init__(self, problem: str, line: bytes) -> None:
        super().__init__(f"{problem}: {shown(line)}")


class DeadReason(StrEnum):
    """Why a line is a dead result: a closed set, and public."""

    TOO_LONG = "too-long"
    UNREADABLE = "unreadable"
    MALFORMED_ID = "malformed-id"
    NOT_SENT = "not-sent"
    INVALID_RESULT = "invalid-result"
    CONTRADICTED = "contradicted"
    UNENCODABLE = "unencodable"


@dataclass(frozen=True, slots=True)
class DeadResult:
    """A line that was not understood, kept as bytes: `line` is its beginning if it is longer; `length` is in bytes."""

    reason: DeadReason
    detail: str
    line: bytes
    length: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What X asks the holder of an id to do. Times are X's text.

    `unknown_fields` is a sorted JSON object of the members that no other field holds.
    """

    id: str
    action: str
    reason: str | None
    created_at: str | None
    redacted_at: str | None
    unknown_fields: str | None


@dataclass(frozen=True, slots=True)
class Rejection:
    """X says that an id is invalid."""

    id: str


@dataclass(frozen=True, slots=True)
class Results:
    """The result lines of a whole download: their count, and a hexadecimal digest that does not depend on their order.

    `rows` can be read once. They are in byte order, each an id, a tab and a line; a line without a usable id is a tab
    and its `DeadResult` in JSON.
    """

    lines: int
    digest: str
    rows: Iterator[bytes] = field(repr=False)


Sort = Callable[[Iterable[bytes], Path], Generator[bytes, None, None]]
"""Sorts byte strings without `\\n` in byte order, with temporary files in a folder: `sorting.sorted_lines`."""


@contextmanager
def read_results(
    download: BinaryIO,
    spool: Path,
    sort: Sort,
    *,
    secrets: Secrets = _NO_SECRETS,
    line_limit_bytes: int = LINE_LIMIT_BYTES,
) -> Iterator[Results]:
    """Read a decoded `download` to its end, and yield its results, which can be read inside the context.

    `secrets` that X may have repeated are hidden in each line first. Temporary files in the folder
    `spool` are removed on exit. Raises `NotWholeError`, and what `download` and `sort` raise.
    """
    reading = _Reading(download, line_limit_bytes, secrets)
    with closing(sort(reading.rows(), spool)) as rows:
        first = list(islice(rows, 1))  # once there is a first row, or none, all have been read
        yield Results(reading.lines, reading.digest(), chain(first, rows))


def read_line(line: bytes, id_: str) -> Finding | Rejection | DeadResult:
    """Return the class of a line about `id_`. Never raises."""
    try:
        typed = _typed(line)
    except _UNREADABLE:
        return _read_any(line, id_)
    redacted_at = typed.deleted_at if typed.redacted_at is None else typed.redacted_at
    return Finding(id_, typed.action, typed.reason, typed.created_at, redacted_at, None)


def dead_result(reason: DeadReason, detail: str, line: bytes) -> DeadResult:
    """Return a whole line as a dead result; `detail` may quote X."""
    return DeadResult(reason, shown(detail), line, len(line))


class _Reading:
    """The lines of a download, counted and digested as they are read.

    The digest is a sum of hashes: order does not change it, a repeated line does.
    """

    def __init__(self, download: BinaryIO, limit_bytes: int, secrets: Secrets) -> None:
        self._secrets = secrets
        self.lines = 0
        self._sum = 0
        self._download = download
        self._limit = limit_bytes

    def digest(self) -> str:
        """Return the digest of the lines read so far."""
        return (self._sum % (1 << 8 * _DIGEST_BYTES)).to_bytes(_DIGEST_BYTES).hex()

    def rows(self) -> Iterator[bytes]:
        """Yield the row of each line that is not blank. Raises `NotWholeError`."""
        read_bytes = self._limit + len(BOM_UTF8 + _LINE_END)
        part = self._download.readline(read_bytes).removeprefix(BOM_UTF8)
        while part:
            line = part.strip()
            if len(line) > self._limit or not part.endswith(b"\n"):
                yield self._long_row(part)
            elif line:
                self._count(blake2b(line, digest_size=_DIGEST_BYTES))
                yield self._row(self._secrets.hide_in(line) if self._secrets.are_in(line) else line)
            part = self._download.readline(read_bytes)

    def _row(self, line: bytes) -> bytes:
        try:
            id_ = _text_id(line).id
        except _UNREADABLE:
            return self._odd_row(line)
        if len(id_) <= _ID_LENGTH and id_.isdigit() and id_.isascii():
            return b"%b\t%b" % (id_.encode(), line)
        return self._dead_row(DeadReason.MALFORMED_ID, "id: expected 1 to 19 digits", line)

    def _odd_row(self, line: bytes) -> bytes:
        """Return the row of a line whose id is not text."""
        try:
            id_ = bytes(_any_id(line).id)
        except RecursionError:
            return self._dead_row(DeadReason.UNREADABLE, "nested too deep", line)
        except _UNREADABLE:
            raise self._not_results(line) from None
        if _DIGITS.fullmatch(id_) and int(id_) <= _MOST_EXACT:
            return b"%b\t%b" % (id_, line)
        return self._dead_row(DeadReason.MALFORMED_ID, "id: expected text, or a whole number below 2^53", line)

    def _long_row(self, part: bytes) -> bytes:
        """Return the row of a line that begins with `part`; the rest is read in bounded memory."""
        rest, length, hash_ = part.lstrip(), 0, blake2b(digest_size=_DIGEST_BYTES)
        head = rest[: self._limit]
        while not rest.endswith(b"\n"):
            part = self._download.readline(_CHUNK_BYTES)
            if not part:
                raise NotWholeError("the download ends in the middle of a line", head)
            hash_.update(rest[: -len(_LINE_END)])
            length += len(rest[: -len(_LINE_END)])
            rest = rest[-len(_LINE_END) :] + part  # as the line end may be cut in two
        rest = rest.rstrip(_LINE_END)
        hash_.update(rest)
        self._count(hash_)
        head = self._secrets.hide_in(head)
        return self._dead_row(DeadReason.TOO_LONG, f"{length + len(rest)} bytes", head, length + len(rest))

    def _dead_row(self, reason: DeadReason, detail: str, line: bytes, length: int | None = None) -> bytes:
        if not line.startswith(b"{"):
            raise self._not_results(line)
        return b"\t" + msgspec.json.encode(DeadResult(reason, detail, line, length or len(line)))

    def _count(self, hash_: blake2b) -> None:
        self.lines += 1
        self._sum += int.from_bytes(hash_.digest())

    def _not_results(self, line: bytes) -> NotWholeError:
        return NotWholeError(f"line {self.lines} of the download is not a JSON object with an id", line)


class _TextId(msgspec.Struct, gc=False):
    id: str


class _AnyId(msgspec.Struct, gc=False):
    id: msgspec.Raw


_Text = Annotated[str, msgspec.Meta(max_length=TEXT_LIMIT)]
_Action = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_LIMIT)]


class _Typed(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A line of exactly the documented shape, as most are: decoded in one step."""

    id: str
    action: _Action
    reason: _Text | None = None
    created_at: _Text | None = None
    redacted_at: _Text | None = None
    deleted_at: _Text | None = None


_text_id = msgspec.json.Decoder(_TextId).decode
_any_id = msgspec.json.Decoder(_AnyId).decode
_typed = msgspec.json.Decoder(_Typed).decode

dead_row: Callable[[bytes], DeadResult] = msgspec.json.Decoder(DeadResult).decode
"""Returns the dead result of a row without an id."""


def _read_any(line: bytes, id_: str) -> Finding | Rejection | DeadResult:
    try:
        members = msgspec.json.decode(line, type=dict[str, Any])
        if members.get("action") is None and members.get("error") == "invalid_id":
            return Rejection(id_)
        return _finding(members, id_)
    except RecursionError:
        return dead_result(DeadReason.UNREADABLE, "nested too deep", line)
    except _InvalidResultError as error:
        return dead_result(DeadReason.INVALID_RESULT, str(error), line)
    except _UNREADABLE as error:
        return dead_result(DeadReason.UNREADABLE, str(error), line)


def _finding(members: dict[str, Any], id_: str) -> Finding:
    """Return the finding; an invalid time is kept among the unknown members, so that no delete is lost over it."""
    del members["id"]
    if members.get("error", ...) is None:
        del members["error"]
    action, reason = _take_text(members, "action"), _take_text(members, "reason")
    if not action or "action" in members:
        raise _InvalidResultError(f"action: expected text of 1 to {TEXT_LIMIT} characters")
    if "reason" in members:
        raise _InvalidResultError(f"reason: expected text of at most {TEXT_LIMIT} characters")
    created_at, redacted_at, deleted_at = (
        _take_text(members, name) for name in ("created_at", "redacted_at", "deleted_at")
    )
    unknown = msgspec.json.encode(members, order="sorted").decode() if members else None
    return Finding(id_, action, reason, created_at, deleted_at if redacted_at is None else redacted_at, unknown)


def _take_text(members: dict[str, Any], name: str) -> str | None:
    """Remove a member that is null or text of bounded length, and return it; anything else stays."""
    value = members.get(name)
    if value is None or (isinstance(value, str) and len(value) <= TEXT_LIMIT):
        members.pop(name, None)
        return value
    return None


class _InvalidResultError(ValueError):
    """An action or a reason is invalid."""
