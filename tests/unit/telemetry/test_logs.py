"""Logs: one renderer for everybody's, on stderr, and nothing in them that is secret."""

import json
import logging
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog

from connector.settings import LogSettings
from connector.telemetry.logs import OncePerInterval, configure_logs

Level = Literal["debug", "info", "warning", "error"]


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    root, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in ("httpx", "httpcore")}
    handlers, level, config = list(root.handlers), root.level, structlog.get_config()
    yield
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
    ours, theirs = _lines(capsys)
    assert ours.pop("time").endswith("Z")
    assert ours == {"event": "connected", "level": "info", "stream": "tweet", "plan": "live"}
    assert theirs.pop("time").endswith("Z")
    assert theirs == {"event": "broker 1 is away", "level": "warning", "facility": "FAIL"}


@pytest.mark.parametrize("form", ["console", None])
def test_console_logs_are_readable_and_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: Literal["console"] | None
) -> None:
    """Also by default, on a terminal."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: form is None, raising=False)
    _configure(form)
    structlog.get_logger().warning("gap_recorded", cause="c")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "gap_recorded" in captured.err
    assert not captured.err.startswith("{")


def test_default_without_a_terminal_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """As in a container."""
    _configure(None)
    structlog.get_logger().info("e")
    assert _lines(capsys)[0]["event"] == "e"


def test_level_holds_for_ours_and_others(capsys: pytest.CaptureFixture[str]) -> None:
    """And the HTTP library's line for each request is none at all."""
    _configure(level="warning")
    structlog.get_logger().info("quiet")
    logging.getLogger("any").info("quiet")
    structlog.get_logger().warning("heard")
    assert [line["event"] for line in _lines(capsys)] == ["heard"]
    _configure(level="info")
    logging.getLogger("httpx").info("GET https://api.x.com")
    assert _lines(capsys) == []


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


def test_repeated_message_is_shown_once_an_interval_with_the_count_of_the_rest() -> None:
    """A broker that is away makes librdkafka say the same by the hundred, with other numbers each time."""
    now_s = 0.0
    once = OncePerInterval(10.0, lambda: now_s)

    def shown(text: str) -> str | None:
        record = logging.LogRecord("librdkafka", logging.ERROR, "", 0, text, (), None)
        return record.getMessage() if once.filter(record) else None

    assert shown("FAIL broker:9092 (after 1ms)") == "FAIL broker:9092 (after 1ms)"
    assert shown("FAIL broker:9092 (after 2ms)") is None
    assert shown("FAIL broker:9092 (after 3ms)") is None
    assert shown("another") == "another"
    now_s = 10.0
    assert shown("FAIL broker:9092 (after 4ms)") == "FAIL broker:9092 (after 4ms) (2 more like this before)"
    now_s = 20.0
    assert shown("FAIL broker:9092 (after 5ms)") == "FAIL broker:9092 (after 5ms)"
