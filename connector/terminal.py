"""Makes text safe for a terminal: control characters become visible.

Pure. Every command's output, the console log and the demo go through `visible`, a line at a time: a line break within a
line comes from outside, and could fake a line of ours.
"""

from collections.abc import Iterator
from traceback import TracebackException

from connector.quoting import without_secrets

_FRAME = '  File "'
"""The beginning of the lines that Python prints for a frame; their line breaks are Python's."""


def visible(text: str) -> str:
    r"""Return `text` on one line, with the escape of each character that is not printable: `\x1b`, `\n`, `\u202e`.

    Those are control characters, line and paragraph ends, marks that reverse the writing, characters without width,
    and every space but the plain one.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def traceback_lines(error: BaseException) -> Iterator[str]:
    """Yield the lines of a traceback, without local variables; the text of an exception always takes one line."""
    for part in TracebackException.from_exception(error, compact=True).format():
        text = part.strip("\n")
        hidden = without_secrets(text)
        yield from map(visible, hidden.split("\n") if hidden.startswith(_FRAME) else [hidden])


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
