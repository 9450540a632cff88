"""What the demo shows, without a demo."""

import io
import re

import pytest
from rich.console import Console

from connector.demo.landing import Row
from connector.demo.view import LinesView, TableView, make_view

_ROWS = (
    Row("p.tweet.delete", 1234, "77", 'tweet/1 #9 {"author_id": "[red]5[/red]"}'),
    Row("p.user.delete"),
    Row("p-dead-letter", 1, "abc", "not-json: b'{'"),
)


class _Terminal(io.StringIO):
    """A terminal that keeps what it gets."""

    def isatty(self) -> bool:
        """Be one."""
        return True


def _terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=80, height=24, highlight=False, _environ={})


def _text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_stdout_that_is_no_terminal_gets_lines() -> None:
    """As under pytest."""
    assert isinstance(make_view(), LinesView)


@pytest.mark.parametrize(("term", "expected"), [("xterm", TableView), ("dumb", LinesView)])
def test_stdout_that_is_a_terminal_gets_a_table_if_it_can_draw_one(
    monkeypatch: pytest.MonkeyPatch, term: str, expected: type
) -> None:
    """A dumb terminal gets lines."""
    monkeypatch.setenv("TERM", term)
    assert isinstance(make_view(_Terminal()), expected)


def test_table_shows_every_topic_with_its_count_key_and_sample() -> None:
    """Content is shown as it is, never taken for markup."""
    console = _terminal()
    with TableView(console) as view:
        view.show(_ROWS, "")
    text = _text(console)
    assert [word in text for word in (".tweet.delete", "1,234", "77", "[red]5[/red]", "-dead-letter")] == [True] * 5


def test_table_of_all_topics_fits_a_small_terminal() -> None:
    """18 rows, a head and the time left on 24 lines of 80 columns, however long the content is."""
    console = _terminal()
    rows = [Row(f"p.user.profile-modification{number}", 10**6, "9" * 40, "x" * 200) for number in range(18)]
    with TableView(console) as view:
        view.show(rows, "7 s left")
        assert view._live.get_renderable()  # noqa: SLF001 - what is drawn
        lines = console.render_lines(view._live.get_renderable())  # noqa: SLF001 - what is drawn
    assert len(lines) == 20
    assert "7 s left" in "".join(segment.text for segment in lines[-1])


def test_lines_show_the_first_record_of_a_topic_once(capsys: pytest.CaptureFixture[str]) -> None:
    """And every topic's count at the end."""
    with LinesView() as view:
        view.show(_ROWS, "")
        view.show(_ROWS, "")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert sum(line[:2] == ["p.tweet.delete", "77"] for line in lines) == 1
    assert lines[-3:] == [["p.tweet.delete", "1,234"], ["p.user.delete", "0"], ["p-dead-letter", "1"]]


def test_lines_show_the_number_of_records_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """At once, and then again only when the time has come; with the time left."""
    now = [100.0]
    view = LinesView(monotonic_s=lambda: now[0])
    for now[0], progress in ((100.0, "30 s left"), (101.0, "29"), (102.9, "27"), (103.1, "finishing")):
        view.show(_ROWS, progress)
    lines = [line for line in capsys.readouterr().out.splitlines() if "records" in line]
    assert lines == [
        "   0 s  1,235 records on 2 of 3 topics; 30 s left",
        "   3 s  1,235 records on 2 of 3 topics; finishing",
    ]


def test_lines_of_a_failed_demo_end_without_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """The error is the last thing to be read."""
    view = LinesView()
    with pytest.raises(LookupError), view:
        raise LookupError
    assert capsys.readouterr().out == ""


_HOSTILE = "x\x1b[2J\x9b1m\u202e\u200b\r\nforged"
_SEEN = r"x\x1b[2J\x9b1m\u202e\u200b\r\nforged"


def test_table_and_what_is_said_above_it_cannot_be_redrawn_by_a_record() -> None:
    """By a key, a value or a topic of someone else's; each stays on its line."""
    console = Console(file=io.StringIO(), force_terminal=True, width=200, height=24, highlight=False, _environ={})
    with TableView(console) as view:
        view.say(_HOSTILE)
        view.show([Row(f"p.{_HOSTILE}", 1, r"k", _HOSTILE), Row("p.t", 1, "\x1b[2J", "s")], "")
    text = _text(console)
    assert text.count(_SEEN) >= 3
    assert r" \x1b[2J " in text
    assert not re.search("\x1b\\[2J|[\x9b\u202e\u200b]|\r\n", text)


def test_lines_cannot_be_broken_by_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    """By a key or a value of someone else's, or in the verdict."""
    with LinesView() as view:
        view.say(_HOSTILE)
        view.show([Row("p.t", 1, _HOSTILE, _HOSTILE)], "")
    lines = capsys.readouterr().out.removesuffix("\n").split("\n")
    assert all(map(str.isprintable, lines))
    assert lines[:2] == [_SEEN, f"       p.t  {_SEEN}  {_SEEN}"]
