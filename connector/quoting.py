"""Words of others as they may be shown: bounded, on one line, and without a secret of ours.

An answer may repeat what was sent with its request, and a library may quote what it was given. So each secret is kept
here before it leaves the process, and every text that comes from outside passes `shown` before it is logged, raised or
published.
"""

import base64
import json
import re
import threading
from collections.abc import Iterable, Iterator
from itertools import takewhile
from urllib.parse import quote, unquote

QUOTE_LIMIT = 300
"""The most characters of anyone's words in a log, an error or the status."""

_HIDDEN = "[secret]"
_LEAST_BEGINNING = 12
"""What is cut off may end within a secret. So many characters of one, and half of it, are never there by chance."""
_MOST_KEPT = 1000
"""Rotated secrets are kept, too, and a process may run for years."""
_NEVER = r"(?!)"
_PERCENT = re.compile("%[0-9A-F]{2}")


class Secrets:
    """Secrets in every form in which they leave us or may come back, whole or cut off after half of them.

    That is: as they are, percent-encoded, percent-decoded, and within JSON.
    """

    def __init__(self, values: Iterable[str]) -> None:
        self._forms = {form for value in values for form in _forms(value)} - {""}
        beginnings = sorted({_beginning(form) for form in self._forms}, key=len, reverse=True)
        self._beginnings = tuple(beginning.encode(errors="replace") for beginning in beginnings)
        self._pattern = re.compile("|".join(map(re.escape, beginnings)) or _NEVER, re.IGNORECASE | re.ASCII)

    def are_in(self, data: bytes) -> bool:
        """Return whether one is in `data`, exactly as it left us."""
        return any(beginning in data for beginning in self._beginnings)

    def hide(self, text: str) -> str:
        """Return `text` with `[secret]` in place of each, whatever the case of its letters."""
        return "".join(self._pieces(text))

    def hide_in(self, data: bytes) -> bytes:
        """Return the same of bytes, whatever they are."""
        return self.hide(data.decode(errors="surrogateescape")).encode(errors="surrogateescape")

    def _pieces(self, text: str) -> Iterator[str]:
        end = 0
        for found in self._pattern.finditer(text):
            if (start := found.start()) >= end:
                yield text[end:start]
                yield _HIDDEN
                alike = (_length_in_common(form, text[start : start + len(form)]) for form in self._forms)
                end = start + max(len(found[0]), *alike)
        yield text[end:]


_lock = threading.Lock()
_kept: dict[str, None] = {}
_secrets = Secrets(())


def keep_secret(*values: str) -> None:
    """Have these hidden from now on wherever words of others are shown."""
    global _secrets  # noqa: PLW0603 - what this process must not show lives as long as the process
    with _lock:
        if all(value in _kept for value in values):
            return
        _kept.update(dict.fromkeys(values))
        while len(_kept) > _MOST_KEPT:
            del _kept[next(iter(_kept))]
        _secrets = Secrets(_kept)


def forget_secrets() -> None:
    """Forget what was kept, as a new process has."""
    global _secrets  # noqa: PLW0603 - see `keep_secret`
    with _lock:
        _kept.clear()
        _secrets = Secrets(())


def basic_credentials(name: str, password: str) -> str:
    """Return a pair as a header with HTTP Basic authentication holds it (RFC 7617)."""
    return base64.b64encode(f"{name}:{password}".encode()).decode()


def shown(text: str | bytes, limit: int = QUOTE_LIMIT) -> str:
    """Return the beginning of `text` on one line, without secrets and control characters."""
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    hidden = without_secrets(words)  # before the cut, which could leave a part of a secret
    printable = "".join(letter if letter.isprintable() else " " for letter in hidden)
    return " ".join(printable.split())[:limit]


def without_secrets(text: str) -> str:
    """Return `text` with `[secret]` in place of each secret that was kept."""
    return _secrets.hide(text)


def _forms(value: str) -> Iterator[str]:
    for form in (value, unquote(value), quote(value, safe="", errors="replace")):
        escaped = json.dumps(form, ensure_ascii=False)[1:-1]
        yield from (form, _PERCENT.sub(lambda found: found[0].lower(), form), escaped, escaped.replace("/", r"\/"))


def _beginning(form: str) -> str:
    """Return what of a form is enough to know it by."""
    return form[: max(_LEAST_BEGINNING, len(form) // 2)]


def _length_in_common(one: str, other: str) -> int:
    pairs = zip(one.lower(), other.lower(), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
