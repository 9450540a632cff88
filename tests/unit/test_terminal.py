"""Text of anyone on its way to a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.terminal import traceback_lines, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("as X words it, café 日本", "as X words it, café 日本"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("a\r\nok: forged", r"a\r\nok: forged"),
        ("\x9b31m\x85\x7f", r"\x9b31m\x85\x7f"),
        ("\u202eko\u2066\u200f", r"\u202eko\u2066\u200f"),
        ("o\u200bk\u200d\ufeff\u2060", r"o\u200bk\u200d\ufeff\u2060"),
        ("\u2028\u2029\t\xa0", r"\u2028\u2029\t\xa0"),
        ("\udcff\U000e0041", r"\udcff\U000e0041"),
    ],
    ids=["plain", "escape", "line ends", "C1", "reversed", "no width", "separators", "no character"],
)
def test_what_a_terminal_would_obey_becomes_an_escape_that_is_seen(text: str, shown: str) -> None:
    """And everything else stays as it is, in any script."""
    assert visible(text) == shown


@pytest.mark.slow
@given(text=st.text() | st.text(st.characters(categories=["C", "Z"])))
def test_any_text_is_one_line_that_no_terminal_obeys(text: str) -> None:
    """Also where it has been through before."""
    shown = visible(text)
    assert not [letter for letter in shown if unicodedata.category(letter)[0] in "CZ" and letter != " "]
    assert visible(shown) == shown
    shown.encode()


def _look_up(message: str) -> None:
    raise LookupError(message)


def _raise(message: str) -> None:
    try:
        _look_up(message)
    except LookupError as error:
        raise RuntimeError(message) from error


def test_what_an_exception_says_takes_one_line_of_a_traceback() -> None:
    """The frames are where they were, and the cause before it."""
    message = 'x\n  File "forged"\x1b[2J'
    with pytest.raises(RuntimeError) as caught:
        _raise(message)
    lines = list(traceback_lines(caught.value))
    assert [line for line in lines if "Error: " in line] == [
        r'LookupError: x\n  File "forged"\x1b[2J',
        r'RuntimeError: x\n  File "forged"\x1b[2J',
    ]
    assert sum(line.startswith(f'  File "{__file__}"') for line in lines) == 4
    assert all(map(str.isprintable, lines))
