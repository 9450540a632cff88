"""X's error bodies, and how they differ from those of intermediaries. Pure.

They come in three shapes (X API v2, "Response codes & errors"): a problem, a list of errors, a bare code and message.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

_T = TypeVar("_T")

RATE_LIMIT_CODE = 88
_CREDENTIAL_CODES = frozenset({89, 99})
_OF_THE_REQUEST = frozenset(
    {
        "invalid-request",
        "client-forbidden",
        "not-authorized-for-resource",
        "not-authorized-for-field",
        "field-unauthorized",
        "disallowed-resource",
        "unsupported-authentication",
        "about:blank",  # as X words a plain "Forbidden"; such a problem says what its status says (RFC 9457, 4.2.1)
    }
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem from X: the last path segments of its types, its codes, its `connection_issue`s, its message."""

    kinds: frozenset[str]
    codes: frozenset[int]
    issues: frozenset[str]
    names_parameters: bool
    said: str

    @property
    def refuses_the_request(self) -> bool:
        """Whether it is about the request or the contract, and not about the temporary state of a connection.

        Rests on X's own types and on `parameters`: an intermediary knows neither.
        """
        return not self.issues and (self.names_parameters or not self.kinds.isdisjoint(_OF_THE_REQUEST))

    @property
    def refuses_the_credentials(self) -> bool:
        """Whether it is about the token, or the key and its secret."""
        return not self.codes.isdisjoint(_CREDENTIAL_CODES)


def read_problem(body: bytes) -> Problem | None:
    """Return the problem in `body`, or None if it has none of X's formats."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(answer, dict) or not _has_a_shape_of_x(answer):
        return None
    listed = answer.get("errors")
    errors = [part for part in listed if isinstance(part, dict)] if isinstance(listed, list) else []
    parts = [*errors, answer]
    return Problem(
        kinds=frozenset(kind.rstrip("/").rpartition("/")[2] for kind in _each(parts, "type", str)),
        codes=frozenset(_each(parts, "code", int)),
        issues=frozenset(_each(parts, "connection_issue", str)),
        names_parameters=any("parameters" in part for part in errors),
        said=next((text for name in ("detail", "message", "title") for text in _each(parts, name, str)), ""),
    )


def _has_a_shape_of_x(answer: dict[str, Any]) -> bool:
    return (
        any(isinstance(answer.get(name), str) for name in ("type", "title"))
        or isinstance(answer.get("errors"), list)
        or (isinstance(answer.get("code"), int) and isinstance(answer.get("message"), str))
    )


def _each(parts: list[dict[str, Any]], name: str, kind: type[_T]) -> Iterator[_T]:
    return (part[name] for part in parts if isinstance(part.get(name), kind))
