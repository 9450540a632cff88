"""Logs: one renderer for all of them, on stderr, and no secret in them."""

import json
import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog

from connector.settings import LogSettings
from connector.telemetry.logs import (
    LIBRARY_INTERVAL_S,
    WARNING_INTERVAL_S,
    LibrdkafkaLimit,
    WarningLimit,
    configure_logs,
)
from connector.telemetry.repeats import Repeats
from tests.rig.log_events import log_events

Level = Literal["debug", "info", "warning", "error"]


class _Terminal(StringIO):
    """A terminal that keeps what it gets."""

    def isatty(self) -> bool:
        """Be one."""
        return True


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    root, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in ("httpx", "httpcore")}
    handlers, level, config = list(root.handlers), root.level, structlog.get_config()
    hook, filters = threading.excepthook, list(logging.getLogger("librdkafka").filters)
    yield
    threading.excepthook = hook
    logging.getLogger("librdkafka").filters[:] = filters
    logging.getLogger("librdkafka").disabled = False
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**config)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def _configure(form: Literal["json", "console"] | None = "json", level: Level = "info") -> None:
    configure_logs(LogSettings(format=form, level=level))


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_json_logs_are_one_object_a_line_for_ours_and_others(capsys: pytest.CaptureFixture[str]) -> None:
    """With the same names for time, level and event."""
    _configure()
    structlog.get_logger().bind(stream="tweet").info("connected", plan="live")
    logging.getLogger("librdkafka").warning("broker %s is away", 1, extra={"facility": "FAIL"})
    ours, theirs = lines = _lines(capsys)
    assert [list(line)[:3] for line in lines] == [["time", "level", "event"]] * 2
    assert ours.pop("time").endswith("Z")
    assert ours == {"event": "connected", "level": "info", "stream": "tweet", "plan": "live"}
    assert theirs.pop("time").endswith("Z")
    assert theirs == {"event": "broker 1 is away", "level": "warning", "logger": "librdkafka", "facility": "FAIL"}


@pytest.mark.slow
def test_fields_follow_time_level_and_event_in_the_order_of_the_docs(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON and on a console, whatever the alphabet says: `connect_failed` is the example of docs/logs.md."""
    [row] = [event for event in log_events() if event.name == "connect_failed"]
    example = re.search(r"```json\n(.*)\n```", Path("docs/logs.md").read_text(encoding="utf-8"))
    assert example is not None
    given = json.loads(example[1])
    fields = {name: given[name] for name in row.fields}
    assert list(given) == ["time", "level", "event", *row.fields]
    for form in ("json", "console"):
        _configure(form)
        log = structlog.get_logger().bind(stream=fields["stream"], partition=fields["partition"])
        log.warning("connect_failed", **{name: fields[name] for name in row.fields[2:]})
    as_json, as_text = capsys.readouterr().err.splitlines()
    assert list(json.loads(as_json)) == list(given)
    assert re.match(r"\d{4}-\d\d-\d\dT[0-9:.]+Z \[warning +\] connect_failed ", as_text)
    assert re.findall(r"(\w+)=", as_text) == list(row.fields)


@pytest.mark.parametrize(
    ("is_terminal", "no_color", "is_coloured"),
    [(True, None, True), (True, "", True), (True, "1", False), (False, None, False)],
)
def test_console_logs_are_coloured_on_a_terminal_alone_and_not_where_colours_are_unwanted(
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_terminal: bool,
    no_color: str | None,
    is_coloured: bool,
) -> None:
    """`NO_COLOR` counts if it holds anything."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    with redirect_stderr(_Terminal() if is_terminal else StringIO()) as output:
        _configure("console")
        structlog.get_logger().warning("gap_recorded", cause="c")
    assert ("\x1b[" in output.getvalue()) is is_coloured


@pytest.mark.parametrize("form", ["console", None])
def test_console_logs_are_readable_and_on_stderr(
    capsys: pytest.CaptureFixture[str], form: Literal["console"] | None
) -> None:
    """Also by default, on a terminal."""
    with redirect_stderr(_Terminal() if form is None else StringIO()) as output:
        _configure(form)
        structlog.get_logger().warning("gap_recorded", cause="c")
    assert capsys.readouterr().out == ""
    assert "gap_recorded" in output.getvalue()
    assert not output.getvalue().startswith("{")


def test_default_without_a_terminal_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """As in a container."""
    _configure(None)
    structlog.get_logger().info("e")
    assert _lines(capsys)[0]["event"] == "e"


def test_level_holds_for_ours_and_others(capsys: pytest.CaptureFixture[str]) -> None:
    """And the HTTP library's line for each request is dropped."""
    _configure(level="warning")
    structlog.get_logger().info("quiet")
    logging.getLogger("any").info("quiet")
    structlog.get_logger().warning("heard")
    assert [line["event"] for line in _lines(capsys)] == ["heard"]
    _configure(level="info")
    logging.getLogger("httpx").info("GET https://api.x.com")
    assert _lines(capsys) == []


def test_hidden_events_are_left_out_whatever_their_level(capsys: pytest.CaptureFixture[str]) -> None:
    """A library's line of the same text is not one of them."""
    configure_logs(LogSettings(format="json"), hidden={"expected"})
    structlog.get_logger().error("expected", cause="c")
    structlog.get_logger().error("unexpected")
    logging.getLogger("any").error("expected")
    assert [line["event"] for line in _lines(capsys)] == ["unexpected", "expected"]


def _fail(secret: str) -> None:
    headers = {"Authorization": f"Bearer {secret}"}
    raise RuntimeError(f"{len(headers)} header")


@pytest.mark.parametrize("form", ["json", "console"])
def test_exception_is_logged_with_its_traceback_and_no_local_variable(
    capsys: pytest.CaptureFixture[str], form: Literal["json", "console"]
) -> None:
    """Where it happened, but not what the variables there held: a token, say. Ours and others' alike."""
    _configure(form)
    secret = "hush-token"
    try:
        _fail(secret)
    except RuntimeError as error:
        structlog.get_logger().error("unexpected_error", exc_info=error)
        logging.getLogger("any").exception("theirs")
    shown = capsys.readouterr().err
    assert shown.count("1 header") == 2
    assert "_fail" in shown
    assert secret not in shown
    if form == "json":
        assert [json.loads(line)["exception"][0]["exc_type"] for line in shown.splitlines()] == ["RuntimeError"] * 2


def test_anything_can_be_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """A value that JSON does not know does not break the line."""
    _configure()
    structlog.get_logger().info("e", value=object(), text="\ud800\n")
    [line] = _lines(capsys)
    assert line["text"] == "\ud800\n"


class _Clock:
    """A clock to be set."""

    now_s = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


def _librdkafka(clock: _Clock) -> Callable[[str, int], str | None]:
    """Return a function that logs as librdkafka does, and returns the line, with its level, if it is shown."""
    limit = LibrdkafkaLimit(Repeats(LIBRARY_INTERVAL_S, clock))

    def shown(text: str, level: int = logging.ERROR) -> str | None:
        record = logging.LogRecord("librdkafka", level, "", 0, text, (), None)
        return f"{record.levelname} {record.getMessage()}" if limit.filter(record) else None

    return shown


def test_repeated_message_of_librdkafka_is_shown_once_an_interval_with_the_count_of_the_rest() -> None:
    """A broker that is away makes librdkafka say the same by the hundred, with other numbers each time."""
    clock = _Clock()
    shown = _librdkafka(clock)
    assert shown("FAIL broker:9092 (after 1ms)", logging.INFO) == "INFO FAIL broker:9092 (after 1ms)"
    assert shown("FAIL broker:9092 (after 2ms)", logging.INFO) is None
    assert shown("FAIL broker:9092 (after 3ms)", logging.INFO) is None
    assert shown("another", logging.INFO) == "INFO another"
    clock.now_s = LIBRARY_INTERVAL_S
    expected = "INFO FAIL broker:9092 (after 4ms) (2 more like this before)"
    assert shown("FAIL broker:9092 (after 4ms)", logging.INFO) == expected
    clock.now_s = 2 * LIBRARY_INTERVAL_S
    assert shown("FAIL broker:9092 (after 5ms)", logging.INFO) == "INFO FAIL broker:9092 (after 5ms)"


@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR, logging.CRITICAL])
def test_librdkafka_says_nothing_worse_than_a_warning(level: int) -> None:
    """That it was fenced is critical to it, and expected by us."""
    assert _librdkafka(_Clock())("fenced", level) == "WARNING fenced"


def test_librdkafka_is_silent_where_only_errors_are_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    """Since its errors are warnings."""
    _configure(level="error")
    logging.getLogger("librdkafka").critical("fenced")
    assert _lines(capsys) == []


@pytest.mark.parametrize(
    ("level", "is_service", "is_shown"), [("info", True, True), ("info", False, False), ("debug", False, True)]
)
def test_librdkafka_is_silent_in_a_command(
    capsys: pytest.CaptureFixture[str], level: Level, *, is_service: bool, is_shown: bool
) -> None:
    """Unless every detail is wanted."""
    configure_logs(LogSettings(format="json", level=level), is_service=is_service)
    logging.getLogger("librdkafka").error("GETPID")
    assert bool(_lines(capsys)) == is_shown


def _warnings(clock: _Clock) -> Callable[..., dict[str, Any] | None]:
    """Return a function that logs a happening, and returns the line if it is shown."""
    limit = WarningLimit(Repeats(WARNING_INTERVAL_S, clock))

    def shown(level: str = "warning", **event: Any) -> dict[str, Any] | None:  # noqa: ANN401 - any field
        try:
            return dict(limit(None, level, {"event": "connect_failed", **event}))
        except structlog.DropEvent:
            return None

    return shown


def test_repeated_warning_is_shown_once_an_interval_with_the_count_of_the_rest() -> None:
    """Whatever its numbers are."""
    clock = _Clock()
    shown = _warnings(clock)
    assert shown(reason="network", next_attempt_s=0.25) is not None
    for attempt in range(500):
        clock.now_s += WARNING_INTERVAL_S / 501
        assert shown(reason="network", next_attempt_s=attempt) is None
    clock.now_s = WARNING_INTERVAL_S
    line = shown(reason="network", next_attempt_s=16.0)
    assert line == {"event": "connect_failed", "reason": "network", "next_attempt_s": 16.0, "repeated": 500}
    clock.now_s = 2 * WARNING_INTERVAL_S
    assert "repeated" not in (shown(reason="network") or {"repeated": 0})


def test_other_warnings_are_not_held_back() -> None:
    """Another reason, another stream partition."""
    shown = _warnings(_Clock())
    for event in (
        {"reason": "network", "partition": 1},
        {"reason": "network", "partition": 2},
        {"reason": "silent", "partition": 1},
    ):
        assert shown(**event) is not None
        assert shown(**event) is None


@pytest.mark.parametrize("level", ["info", "error"])
def test_only_warnings_are_held_back(level: str) -> None:
    """What is lost is said each time, and so is the course of life."""
    shown = _warnings(_Clock())
    assert [shown(level, cause="c") for _ in range(3)] == [{"event": "connect_failed", "cause": "c"}] * 3


def test_repeats_forget_the_oldest_of_too_many() -> None:
    """X's words are endless, our memory is not."""
    repeats = Repeats(10.0, _Clock())
    texts = ["x" * size for size in range(1, 1002)]
    assert {repeats.held_back_before(text) for text in texts} == {0}
    assert repeats.held_back_before(texts[-1]) is None
    assert repeats.held_back_before(texts[0]) == 0


def test_warnings_limited_by_the_configuration_are_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    """For each stream partition."""
    _configure()
    for _ in range(3):
        for partition in (1, 2):
            structlog.get_logger().bind(partition=partition).warning("connect_failed", detail="d")
    assert [line["partition"] for line in _lines(capsys)] == [1, 2]


def test_what_python_says_by_itself_goes_through_the_same_renderer(capsys: pytest.CaptureFixture[str]) -> None:
    """Its warnings, and the end of a thread."""
    _configure()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
    thread = threading.Thread(target=_fail, args=["s"], name="worker")
    thread.start()
    thread.join()
    warned, died = _lines(capsys)
    assert (warned["logger"], warned["level"], "old ways" in warned["event"]) == ("py.warnings", "warning", True)
    assert (died["event"], died["level"], died["thread"]) == ("thread_failed", "error", "worker")
    assert died["exception"][0]["exc_type"] == "RuntimeError"


_HOSTILE = "x\x1b[2J\x07\x9b1m\u202e\u200b\r\n[info     ] stopped"
_SEEN = r"x\x1b[2J\x07\x9b1m\u202e\u200b\r\n[info     ] stopped"


def test_nothing_that_is_logged_reaches_a_terminal_as_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a library's message, nor a name or a value of ours, be it a text, a list or an exception."""
    _configure("console")
    logging.getLogger("librdkafka").warning("%s", _HOSTILE, extra={"facility": "\x1b[2J"})
    structlog.get_logger().warning("odd", detail=_HOSTILE, short="\x1b[2J", names=[_HOSTILE], **{_HOSTILE: 1})
    structlog.get_logger().error("failed", exc_info=RuntimeError(_HOSTILE))
    lines = capsys.readouterr().err.removesuffix("\n").split("\n")
    assert all(map(str.isprintable, lines))
    theirs, ours, failed, exception = lines
    assert f"Z [warning  ] {_SEEN} " in theirs
    assert [f"detail='{_SEEN}'" in ours, r"short='\x1b[2J'" in ours, f"names=['{_SEEN}']" in ours] == [True] * 3
    assert f"{_SEEN}=1" in ours
    assert "Z [error    ] failed" in failed
    assert exception == f"RuntimeError: {_SEEN}"


def test_nothing_that_is_logged_as_json_is_more_than_plain_characters(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has escapes of its own, and a terminal may be at its end, too."""
    _configure("json")
    structlog.get_logger().error(_HOSTILE, exc_info=RuntimeError(_HOSTILE), **{_HOSTILE: _HOSTILE})
    line = capsys.readouterr().err.removesuffix("\n")
    assert (line.isprintable(), line.isascii()) == (True, True)
