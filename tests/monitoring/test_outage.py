"""An outage of 30 hours that ends in a gap, as a real Prometheus sees it: from the first page to the runbook's answer.

X and the connector begin 30 hours ago; the outage brings them to the present, in which Prometheus lives.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from connector.simulator import clock
from connector.telemetry import group_watch
from tests.faults.upstream.journey import US_PER_S, Journey, to_us
from tests.monitoring.shortened import shortened
from tests.monitoring.test_runbook import section
from tests.rig import local_http
from tests.rig.consumers import worker
from tests.rig.kafka import KafkaCluster
from tests.rig.metric_table import RULES, panel_queries, rule_queries, rules
from tests.rig.own_topics import OwnTopics, done_run
from tests.rig.pages import code_blocks, command_lines
from tests.rig.process import wait_until
from tests.rig.prometheus import Prometheus
from tests.rig.queries import OF_PROMETHEUS, filled_in, selectors, selects
from tests.rig.registry import Registry
from tests.rig.service import Config, ConnectorProcess, Probe, make_config

_AWAY_S = 30 * 3600.0
_REACH_S = 24 * 3600.0
_TIMES = 30
_JOB = "connector"
_OUTAGE = {"CompliancePartitionNotLive", "ComplianceCoverageOld", "ComplianceCoverageStandsStill"}
_GAP = {"ComplianceGapRecorded"}
_OF_EVENTS = "ComplianceDrift"
"""Fires as the seed has it: one simulated event in 200 carries an unknown field."""
_OF_PRODUCER = "compliance_connector_kafka_queue_messages"
_STREAMS = "like"
_PLACE = ("like", 1)
_GROUP = "reader"
_PATIENCE_S = 60.0
_WINDOW = "10m"
"""Longer than the test."""


class _Past:
    """Stands in for the module `time` where the simulator sets its clock."""

    @staticmethod
    def time_ns() -> int:
        """Return the wall clock of 30 hours ago."""
        return time.time_ns() - int(_AWAY_S * 1e9)

    @staticmethod
    def monotonic_ns() -> int:
        """Return the monotonic clock."""
        return time.monotonic_ns()


@dataclass(frozen=True)
class _Stage:
    """The outage after it is over: what watched it, and what can be asked."""

    prometheus: Prometheus
    probe: Probe
    config: Config
    covered_until_us: int
    back_at_us: int


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Iterator[_Stage]:
    """Play the outage; in the end all is caught up with, and the connector still runs."""
    with ExitStack() as stack:
        kafka, registry = stack.enter_context(KafkaCluster()), stack.enter_context(Registry())
        folder = tmp_path_factory.mktemp("outage")
        with mock.patch.object(clock, "time", _Past):
            journey = Journey(kafka.bootstrap_servers, registry.url, folder, seed, streams=_STREAMS, simulated={})
        stack.enter_context(journey)
        config = make_config(kafka.bootstrap_servers, registry.url, journey.prefix, journey.simulator.base_url)
        topics, now_us = OwnTopics.of(config), time.time_ns() // 1000
        topics.write([topics.runs.run(done_run(now_us, now_us))])  # else no metric of batch runs is there
        reader = worker(kafka.bootstrap_servers, _GROUP, [topics.names.records("like.delete")])
        stack.enter_context(reader)  # else no metric of consumer groups is there
        stack.enter_context(mock.patch.object(group_watch, "LOOK_S", 1.0))
        probe = stack.enter_context(journey.running(kafka={"watched_groups": _GROUP}))
        journey.emit_on(journey.places)
        journey.settle()
        covered_us = journey.cut()[_PLACE]
        journey.let_x_emit((time.time_ns() // 1000 - journey.now_us) / US_PER_S)
        target = probe.url.removeprefix("http://")
        content = shortened(yaml.safe_load(RULES.read_text(encoding="utf-8")), _TIMES)
        prometheus = stack.enter_context(Prometheus(target, _JOB, content))
        wait_until(lambda: _firing(prometheus) == _OUTAGE, "the outage pages", _PATIENCE_S)
        back_us = journey.now_us
        journey.way.come_back()
        journey.await_live()
        wait_until(lambda: _firing(prometheus) == _GAP, "the gap pages, and nothing else", _PATIENCE_S)
        yield _Stage(prometheus, probe, config, covered_us, back_us)


def _firing(prometheus: Prometheus) -> set[str]:
    return {alert["labels"]["alertname"] for alert in prometheus.alerts()} - {_OF_EVENTS}


def test_right_alerts_fired_and_no_other(stage: _Stage) -> None:
    """The outage paged while it lasted, the gap pages now, nothing else ever did; and no rule failed."""
    ever = stage.prometheus.query(f'max_over_time(ALERTS{{alertstate="firing",alertname!="{_OF_EVENTS}"}}[{_WINDOW}])')
    assert {labels["alertname"] for labels, _ in ever} == _OUTAGE | _GAP
    assert {(labels["stream"], labels["partition"]) for labels, _ in ever} == {("like", "1")}
    assert {labels["severity"] for labels, _ in ever} == {"page"}
    assert stage.prometheus.rule_errors() == []


def test_alert_says_what_was_lost(stage: _Stage) -> None:
    """With the stream partition, the cause, and how long it is."""
    [alert] = [alert for alert in stage.prometheus.alerts() if alert["labels"]["alertname"] in _GAP]
    assert alert["annotations"]["summary"] == "A gap was recorded in like/1, because of outage-too-long."
    assert re.match(r"About 6h \d+m \d+s of like/1 can no longer be", alert["annotations"]["description"])


def test_status_shows_the_gap(stage: _Stage) -> None:
    """From where coverage ended to what X still reaches."""
    status = stage.probe.partition(*_PLACE)
    assert status["gaps_recorded"] == 1
    start, end, state, cause = re.fullmatch(r"(\S+) to (\S+): (\S+), (\S+)", status["last_gap"]).groups()  # type: ignore[union-attr]
    assert (state, cause) == ("lost", "outage-too-long")
    assert to_us(start) == stage.covered_until_us
    assert 0 <= (to_us(end) - (stage.back_at_us - _REACH_S * US_PER_S)) / US_PER_S < 240


def test_runbook_leads_to_the_cause(stage: _Stage, tmp_path: Path) -> None:
    """Its command prints the gap, and its queries say that the network was away while the connector was not."""
    page = section("ComplianceGapRecorded")
    assert command_lines(page) == [["connector gaps"]]
    with ConnectorProcess(tmp_path, ["gaps"], stage.config) as run:
        assert run.wait() == 0
        assert re.search(r"\nlike/1 +\S+  \S+  lost  outage-too-long: .+\n +id: like/1/.+\n$", run.stdout)
    with ConnectorProcess(tmp_path, ["gaps", "--output=json"], stage.config) as run:
        assert run.wait() == 0
        [gap] = json.loads(run.stdout)
    assert to_us(gap["gap_start"]) == stage.covered_until_us // 1000 * 1000
    failures, members = code_blocks(page, "promql")
    [(labels, count)] = stage.prometheus.query(failures)
    assert (labels, count > 0) == ({"stream": "like", "partition": "1", "reason": "network"}, True)
    assert stage.prometheus.query(members) == [({"job": _JOB}, 1.0)]
    assert re.match(r"(Connect|Read|RemoteProtocol)Error: ", stage.probe.partition(*_PLACE)["last_error"])


def test_every_query_selects_something_of_a_real_scrape(stage: _Stage) -> None:
    """Each metric with each label value that rules and dashboard name is there."""
    wait_until(lambda: f"\n{_OF_PRODUCER} " in _scrape(stage.probe), "the producer reported")
    families = text_string_to_metric_families(_scrape(stage.probe))
    samples = [(sample.name, {**sample.labels, "job": _JOB}) for family in families for sample in family.samples]
    recorded = {rule.get("record") for rule in rules()}
    asked = [selector for _, query in [*rule_queries(), *panel_queries()] for selector in selectors(filled_in(query))]
    others = [selector for selector in asked if selector.name not in recorded | OF_PROMETHEUS]
    assert len(others) > 100
    assert [str(each) for each in others if not any(selects(each, *sample) for sample in samples)] == []


def _scrape(probe: Probe) -> str:
    return local_http.get(f"{probe.url}/metrics").raise_for_status().text


@pytest.mark.parametrize("query", list(panel_queries()), ids=lambda query: query[0])
def test_panel_shows_something(stage: _Stage, query: tuple[str, str]) -> None:
    """Prometheus answers its query, and with something."""
    wait_until(lambda: bool(stage.prometheus.query(filled_in(query[1], _WINDOW))), "there is an answer")
