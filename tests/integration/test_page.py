"""The page at / in a real browser, and `connector status`, of a service that is well and of one that is not."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.coverage.gap import Gap, GapCause
from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.kafka.ledger import Mode
from connector.operations.coverage_html import render
from connector.simulator.faults import Broken
from connector.simulator.server import Simulator
from connector.telemetry import record_watch
from tests.rig import local_http
from tests.rig.browser import Browser
from tests.rig.ledger_damage import LedgerDamage
from tests.rig.own_topics import OwnTopics
from tests.rig.process import LOOPBACK, free_port, wait_until
from tests.rig.proxy import TcpProxy
from tests.rig.sample_report import REPORT
from tests.rig.service import (
    Config,
    ConnectorProcess,
    Probe,
    delete_topics,
    live_connections,
    make_config,
    override,
    provision_topics,
    running,
)
from tests.rig.session import SchemaRegistry
from tests.rig.strangers import Stranger, attack

_CORRUPT = StreamPartition("user", 2)
_HOUR_US = 3_600 * 10**6
_TIMEOUT_S = 60.0
_NARROW, _WIDE = 400, 1280
_SLOW = 200
_MOST_BYTES = 400 * 1024
_SCREENSHOT_WIDTH, _SCREENSHOT_HEIGHT = 1000, 1250
_SCREENSHOT = Path(__file__).parents[2] / "docs/images/page.png"


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the service look at its topics each second."""
    monkeypatch.setattr(record_watch, "LOOK_S", 1.0)
    monkeypatch.setattr(record_watch, "COVERAGE_LOOK_S", 1.0)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser."""
    with Browser() as browser:
        yield browser


def _status(folder: Path, config: Config, exit_code: int, *options: str) -> tuple[dict[str, Any], str]:
    """Run `connector status` in both forms; return the JSON, and the table."""
    outputs = []
    for form in ("json", "table"):
        with ConnectorProcess(folder, ["status", "--output", form, *options], config) as command:
            assert command.wait() == exit_code, command.stderr
            outputs.append(command.stdout)
    return json.loads(outputs[0]), outputs[1]


def _page(probe: Probe) -> str:
    return local_http.get(probe.url).raise_for_status().text


def test_service_that_is_well_says_so_in_every_place(
    committed: Config, simulator: Simulator, browser: Browser, tmp_path: Path
) -> None:
    """In the browser, which finds nothing to complain about, and in the command, amid clients that mean ill."""
    with running(committed) as probe:
        probe.await_connected(simulator)
        wait_until(lambda: "complete to within 4 minutes" in _page(probe), "the page says so", _TIMEOUT_S)
        browser.open(probe.url, _WIDE)
        assert "All 10 stream partitions are owned" in browser.text
        assert browser.problems == []

        found, table = _status(tmp_path, committed, 0, "--url", probe.url)
        assert found["is_well"]
        assert found["members"] == [socket.gethostname()]
        assert {each["owner"] for each in found["partitions"]} == set(found["members"])
        assert {(each["mode"], each["state"], each["open_gaps"]) for each in found["partitions"]} == {
            ("live", "running", 0)
        }
        assert found["connects_left"][probe.url]
        assert "all 10 are owned and up to date; 1 replica in the group" in table

        with ConnectorProcess(tmp_path, ["status", "--watch"], committed) as watching:
            wait_until(lambda: watching.stdout.count("all 10 are owned") > 1, "it looks again and again", _TIMEOUT_S)
            watching.signal(signal.SIGINT)
            assert watching.wait() == 130
            assert "\x1b" not in watching.stdout

        port = int(probe.url.rpartition(":")[2])
        heads = (b"GET / HTTP/1.1\r\nX: ", b"GET /metrics HTTP/1.1\r\nX: ")
        whole = [head.removesuffix(b"X: ") + b"\r\n" for head in heads]
        slow = [Stranger(port, heads[n % 2], b"x") for n in range(_SLOW // 2)]
        deaf = [Stranger(port, whole[n % 2], whole[n % 2], 1) for n in range(_SLOW // 2)]
        with attack([*slow, *deaf]):
            simulator.emit(3_000)
            probe.await_sequences(simulator)
            assert len(_page(probe)) < _MOST_BYTES
            assert probe.is_live

    found, table = _status(tmp_path, committed, 1)
    assert {each["trouble"] for each in found["partitions"]} == {"NO OWNER"}
    assert "10 of 10 need attention; 0 replicas in the group" in table


def test_gap_corruption_and_dead_letter_are_seen_by_everyone(
    committed: Config, simulator: Simulator, browser: Browser, tmp_path: Path
) -> None:
    """In words, in the picture, by name for who does not see it, at 400 pixels, in the dark, and in the command.

    With SCREENSHOT=1 the picture in the docs is made again.
    """
    topics, now_us = OwnTopics.of(committed), time.time_ns() // 1000
    gap = Gap(now_us - 5 * _HOUR_US, now_us - 3 * _HOUR_US, GapCause.OUTAGE_TOO_LONG)
    _begin_days_ago(committed, topics, now_us)
    topics.write([topics.gaps.gap(gap, now_us - 3 * _HOUR_US)])
    kafka = committed["kafka"]
    LedgerDamage(kafka["bootstrap_servers"], kafka["topic_prefix"]).garble(_CORRUPT.ledger_partition)
    with running(committed) as probe:
        wait_until(lambda: len(live_connections(simulator)) == len(STREAM_PARTITIONS) - 1, "the others are connected")
        simulator.inject(Broken())
        simulator.emit(500)
        wanted = ("stopped: corrupt", "lost: 1", "not-json", "outage-too-long")
        wait_until(lambda: all(text in _page(probe) for text in wanted), "the page says it all", _TIMEOUT_S)

        browser.open(probe.url, _NARROW, dark=True)
        _check_page(browser)
        assert browser.run("document.documentElement.scrollWidth") <= _NARROW
        dark = browser.run("getComputedStyle(document.body).backgroundColor")
        browser.open(probe.url, _WIDE)
        _check_page(browser)
        assert browser.run("getComputedStyle(document.body).backgroundColor") != dark
        if os.environ.get("SCREENSHOT"):
            _keep_screenshot(browser, probe, kafka["topic_prefix"])

        with ConnectorProcess(tmp_path, ["coverage", "--output", "html"], committed) as command:
            command.wait()
            report = tmp_path / "report.html"
            report.write_text(command.stdout, encoding="utf-8")
        browser.open(report.as_uri(), _NARROW)
        assert browser.problems == []
        assert "outage-too-long: " in browser.text
        assert "connector coverage --from " in browser.text

        found, table = _status(tmp_path, committed, 1, "--url", probe.url, "--url", f"http://{LOOPBACK}:9")
        by_name = {each["partition"]: each for each in found["partitions"]}
        assert by_name[str(_CORRUPT)]["trouble"] == "STOPPED: corrupt"
        assert "cannot be read" in by_name[str(_CORRUPT)]["last_error"]
        assert by_name["tweet/1"]["open_gaps"] == 1
        assert [each["trouble"] for each in found["partitions"]].count(None) == len(STREAM_PARTITIONS) - 1
        assert len(found["unreachable"]) == 1
        assert "1 of 10 need attention" in table
        assert "not reached: http://127.0.0.1:9: " in table


def _begin_days_ago(config: Config, topics: OwnTopics, now_us: int) -> None:
    """Have the coverage topic begin with records of three days ago, and another state of each stream partition now."""
    delete_topics(config["kafka"]["bootstrap_servers"], topics.names.coverage)
    provision_topics(config)
    for at_us in (now_us - 72 * _HOUR_US, now_us - 60 * 10**6):
        topics.write([each.coverage(at_us, 0, Mode.LIVE, at_us) for each in topics.builders.values()])


def _keep_screenshot(browser: Browser, probe: Probe, prefix: str) -> None:
    """Renew the picture in the docs, with the names that a reader knows in place of this machine's."""
    browser.open(probe.url, _SCREENSHOT_WIDTH)
    for name, known in ((socket.gethostname(), "connector-0"), (prefix, "x.compliance")):
        browser.run(f"document.body.innerHTML = document.body.innerHTML.replaceAll('{name}', '{known}')")
    _SCREENSHOT.parent.mkdir(exist_ok=True)
    _SCREENSHOT.write_bytes(browser.screenshot(_SCREENSHOT_HEIGHT))


def _check_page(browser: Browser) -> None:
    """Check what is read, what is heard, and what is drawn; and that nothing was blocked, loaded or broken."""
    assert browser.problems == []
    assert "1 of 10 stream partitions need attention. user/2: stopped: corrupt." in browser.text
    assert "outage-too-long: " in browser.text
    assert "not-json: " in browser.text
    names = {node.name for node in browser.nodes() if node.role == "image"}
    assert any("lost, outage-too-long" in name for name in names)
    assert {"Last 24 hours", "Last 7 days"} <= {node.name for node in browser.nodes() if node.role == "group"}
    drawn = browser.run("[...document.querySelectorAll('rect.band.lost[role=img]')].map(e => e.getBBox().width)")
    assert len(drawn) == 2
    assert min(drawn) > 1
    complete = browser.run("[...document.querySelectorAll('rect.band.covered')].map(e => e.getBBox().width)")
    assert sum(complete) > 10 * browser.run("document.querySelector('svg.picture').getBBox().width")
    assert browser.run("getComputedStyle(document.querySelector('rect.lost')).fill").startswith("url(")
    assert browser.run("document.scripts.length") == 0
    assert browser.run("performance.getEntriesByType('resource').length") == 0


@pytest.mark.parametrize("width", [_NARROW, _WIDE])
def test_coverage_report_is_a_file_that_any_browser_shows(browser: Browser, tmp_path: Path, width: int) -> None:
    """From the disk, without a word of complaint, and with a name for each band."""
    file = tmp_path / "report.html"
    file.write_text(render(REPORT), encoding="utf-8")
    browser.open(file.as_uri(), width)
    assert browser.problems == []
    assert "Complete but for gaps." in browser.text
    assert browser.run("document.documentElement.scrollWidth") <= width
    names = [node.name.partition(": ")[2] for node in browser.nodes() if node.role == "image"]
    assert names == ["complete", "partly-reconciled, outage-too-long", "complete"]


def test_status_without_kafka_ends_with_69(registry: SchemaRegistry, tmp_path: Path) -> None:
    """And says which Kafka does not answer."""
    config = make_config(f"{LOOPBACK}:9", registry.url, "nowhere", f"http://{LOOPBACK}:9")
    with ConnectorProcess(tmp_path, ["status"], config) as command:
        assert command.wait() == 69
        assert command.stderr == f"connector: Kafka at {LOOPBACK}:9 does not answer: connection refused\n"


def test_watch_that_starts_without_kafka_shows_the_status_once_it_answers(committed: Config, tmp_path: Path) -> None:
    """Each look that fails is one line on stderr, and stdout has nothing but statuses."""
    port = free_port()
    away = override(committed, kafka={"bootstrap_servers": f"{LOOPBACK}:{port}"})
    with ConnectorProcess(tmp_path, ["status", "--watch"], away) as watching:
        wait_until(lambda: watching.stderr.endswith("\n"), "a look has failed", _TIMEOUT_S)
        with TcpProxy(port, committed["kafka"]["bootstrap_servers"]):
            wait_until(lambda: "need attention" in watching.stdout, "a look has succeeded", _TIMEOUT_S)
            watching.signal(signal.SIGINT)
            assert watching.wait() == 130
        assert watching.stdout.startswith("stream partitions: ")
        told = f"Z: Kafka at {LOOPBACK}:{port} does not answer: connection refused"
        assert {line[len("2026-01-31T12:00:00") :] for line in watching.stderr.splitlines()} == {told}
