"""What may reach a terminal: text of anyone, with all that a terminal would obey made visible.

Pure. Every command's output, the console log and the demo go through `visible`, a line at a time: a line break within
a line is someone else's, and would begin a line that looks like ours.
"""

from collections.abc import Iterator
from traceback import TracebackException

from connector.quoting import without_secrets

_FRAME = '  File "'
"""How the lines begin that Python makes of a frame; they end within it, too."""


def visible(text: str) -> str:
    r"""Return `text` on one line, with the escape of each character that is not printable: `\x1b`, `\n`, `\u202e`.

    Those are control characters, line and paragraph ends, marks that reverse the writing, characters without width,
    and every space but the plain one.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def traceback_lines(error: BaseException) -> Iterator[str]:
    """Yield the lines of a traceback, without local variables; what an exception says takes one, whatever it says."""
    for part in TracebackException.from_exception(error, compact=True).format():
        text = part.strip("\n")
        hidden = without_secrets(text)
        yield from map(visible, hidden.split("\n") if hidden.startswith(_FRAME) else [hidden])


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
