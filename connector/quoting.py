r"""Makes text from outside safe to show: bounded, on one line, and without a secret of ours.

An answer may repeat parts of its request, and a library may quote its arguments. So each secret is registered here
before it leaves the process, and every text from outside passes `shown` before it is logged, raised or published.
"""

import base64
import html
import json
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from urllib.parse import quote, unquote

QUOTE_LIMIT = 300
"""Most characters of quoted text in a log, an error or the status."""
LEAST_IN_DATA = 12
"""A shorter secret may occur in ordinary text, and hiding it there would alter the text."""

_LOOKED_AT = 8 * 1024
"""How many characters are read to show `QUOTE_LIMIT`: what is hidden may be longer than what stays."""
_HIDDEN = "[secret]"
_LEAST_KEPT = 4
"""A shorter secret occurs in too many words: hiding it would leave nothing readable."""
_MOST_KEPT = 8
"""How many of one kind are kept: a rotated one may still be in answers in flight."""
_LEAST_CUT, _BEGINNING = 24, (16, 32)
"""A secret of at least this length is recognised by its beginning, since a quote may end within it."""
_PERCENT = re.compile("%[0-9A-F]{2}")
_ESCAPED = re.compile(r"\\u00(?!22|5[cC])([2-7][0-9a-fA-F])")
"""ASCII characters that JSON may escape but need not."""
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class Secrets:
    r"""Secrets in every form in which they are sent or may come back, whole or truncated.

    That is: as they are, percent-encoded, percent-decoded, in JSON, in HTML, and as Python shows bytes. Forms of fewer
    than `least` characters do not count.
    """

    def __init__(self, values: Iterable[str], least: int = 1) -> None:
        forms = {form for value in values for form in _forms(value) if len(form) >= least}
        self._forms = [(form.translate(_LOWER), _beginning(form.translate(_LOWER))) for form in forms]
        self._exact = tuple({_beginning(form).encode(errors="replace") for form in forms})

    def are_in(self, data: bytes) -> bool:
        """Return whether one is in `data`, case-sensitively."""
        if rb"\u00" in data:
            data += _unescaped(data.decode("latin-1")).encode("latin-1")
        return any(beginning in data for beginning in self._exact)

    def hide(self, text: str) -> str:
        """Return `text` with `[secret]` in place of each, whatever the case of its letters."""
        hidden = self._hide(text)
        if r"\u00" in hidden:
            plain = _unescaped(hidden)
            if (again := self._hide(plain)) != plain:
                return again
        return hidden

    def hide_in(self, data: bytes) -> bytes:
        """Return the same for bytes of any encoding."""
        return self.hide(data.decode(errors="surrogateescape")).encode(errors="surrogateescape")

    def _hide(self, text: str) -> str:
        return "".join(_without(text, sorted(self._spans(text.translate(_LOWER)))))

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield the start and end of each form in a lower-case text, whole or truncated."""
        for form, beginning in self._forms:
            start = text.find(form)
            while start >= 0:
                yield start, start + len(form)
                start = text.find(form, start + len(form))
            start = text.find(beginning)
            while start >= 0:
                length = _length_in_common(form, text[start : start + len(form)], len(beginning))
                yield start, start + length
                start = text.find(beginning, start + length)


_lock = threading.Lock()
_kept: dict[str, deque[str]] = {}
_secrets = Secrets(())


def keep_secret(kind: str, *values: str) -> None:
    """Hide these secrets from now on in all text that is shown, until newer ones of their `kind` replace them."""
    global _secrets  # noqa: PLW0603 - what this process must not show lives as long as the process
    with _lock:
        kept = _kept.setdefault(kind, deque(maxlen=_MOST_KEPT))
        if new := [value for value in values if value not in kept and len(value) >= _LEAST_KEPT]:
            kept.extend(new)
            _secrets = Secrets(value for values in _kept.values() for value in values)


def forget_secrets() -> None:
    """Forget all secrets, as in a new process."""
    global _secrets  # noqa: PLW0603 - see `keep_secret`
    with _lock:
        _kept.clear()
        _secrets = Secrets(())


def basic_credentials(name: str, password: str) -> str:
    """Return a pair as in the header of HTTP Basic authentication (RFC 7617)."""
    return base64.b64encode(f"{name}:{password}".encode(errors="surrogateescape")).decode()


def shown(text: str | bytes, limit: int = QUOTE_LIMIT) -> str:
    """Return the beginning of `text` on one line, without secrets and control characters."""
    beginning = text[:_LOOKED_AT]
    words = beginning.decode(errors="replace") if isinstance(beginning, bytes) else beginning
    hidden = without_secrets(words)  # before the cut, which could leave a part of a secret
    printable = "".join(letter if letter.isprintable() else " " for letter in hidden)
    return " ".join(printable.split())[:limit]


def without_secrets(text: str) -> str:
    """Return `text` with `[secret]` in place of each registered secret."""
    return _secrets.hide(text)


def _unescaped(text: str) -> str:
    r"""Return JSON with each `\u00XX` of an ASCII character written as that character, which means the same."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def _forms(value: str) -> Iterator[str]:
    encoded = (quote(value, safe=safe, errors="replace") for safe in ("", "!'()*"))
    for form in {value, unquote(value), *encoded}:
        in_json = json.dumps(form, ensure_ascii=False)[1:-1]
        yield from (
            form,
            _PERCENT.sub(lambda found: found[0].lower(), form),
            in_json,
            in_json.replace("/", r"\/"),
            json.dumps(form)[1:-1],
            html.escape(form),
            repr(form.encode(errors="replace"))[2:-1],
        )


def _beginning(form: str) -> str:
    """Return the beginning of a form that is enough to recognise it."""
    least, most = _BEGINNING
    return form if len(form) < _LEAST_CUT else form[: min(max(least, len(form) // 2), most)]


def _without(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[str]:
    """Yield `text` in pieces, with a placeholder for each run of spans, which are in order."""
    end = 0
    for start, its_end in spans:
        if start > end or not end:
            yield text[end:start]
            yield _HIDDEN
        end = max(end, its_end)
    yield text[end:]


def _length_in_common(form: str, text: str, known: int) -> int:
    """Return the length of the common beginning of two texts, which is at least `known`."""
    if form == text:
        return len(form)
    low, high = known, min(len(form), len(text))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if form[:middle] == text[:middle] else (low, middle - 1)
    return low
