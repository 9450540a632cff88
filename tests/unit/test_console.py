"""What commands show in place, on a terminal and elsewhere."""

import io

import pytest

from connector.console import Screen, in_columns


class _Terminal(io.StringIO):
    """Takes what is written to a terminal."""

    def isatty(self) -> bool:
        """Be one."""
        return True


def test_screen_shows_lines_below_each_other_where_there_is_no_terminal() -> None:
    """With nothing in them that a terminal would obey."""
    output = io.StringIO()
    screen = Screen(output)
    screen.show(["a", "b\x1b[2J"])
    screen.show(["c"])
    assert output.getvalue() == "a\nb\\x1b[2J\nc\n"


def test_screen_shows_lines_in_place_of_those_before_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut to its size, so that it knows where they began."""
    monkeypatch.setenv("COLUMNS", "5")
    monkeypatch.setenv("LINES", "3")
    output = _Terminal()
    screen = Screen(output)
    screen.show(["123456", "b", "c"])
    screen.show(["d"])
    assert output.getvalue() == "\x1b[J1234\nb\n\x1b[2F\x1b[Jd\n"


def test_error_is_shown_in_place_of_the_lines_on_a_terminal_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Elsewhere stdout holds nothing but the lines that were asked for."""
    terminal, file = _Terminal(), io.StringIO()
    for output in (terminal, file):
        screen = Screen(output)
        screen.show(["a"])
        screen.show_error("away\x1b")
    assert terminal.getvalue() == "\x1b[Ja\n\x1b[1F\x1b[Jaway\\x1b\n"
    assert (file.getvalue(), capsys.readouterr().err) == ("a\n", "away\\x1b\n")


def test_columns_are_as_wide_as_what_is_in_them_but_for_what_is_too_long() -> None:
    """The last one is not filled up; one cell that is too long moves only the rest of its row."""
    rows = [("A", "B", "C"), ("12345", "x", ""), ("1", "yy", "z")]
    assert list(in_columns(rows, most=3)) == ["A    B   C", "12345  x", "1    yy  z"]
