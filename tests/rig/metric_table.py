"""Every metric as a scrape shows it, and who looks at it: an alert, a panel, or no one for a stated reason."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import Metric

from connector.events.batch import BY_JOB_TYPE
from connector.events.catalog import STREAM_PARTITIONS, STREAMS
from connector.kafka.statistics import ProducerStatistics
from connector.telemetry.batch_runs import DoneRun, LastRuns, Outcome
from connector.telemetry.group_states import GroupState, TopicLag, WatchedGroup
from connector.telemetry.metrics import Metrics
from connector.telemetry.open_gaps import RECONCILABLE
from connector.telemetry.status import Look, PartitionStatus, ServiceStatus, State, Statuses
from connector.x.errors import RateLimit

ROOT = Path(__file__).parents[2]
RULES = ROOT / "helm/monitoring/rules.yaml"
DASHBOARD = ROOT / "helm/monitoring/dashboard.json"

REASONS = {
    "compliance_connector_scrape_timestamp_seconds": "Tells how much older than the scrape its numbers are.",
    "compliance_connector_sequence": "For those who compare it with the records' `sequence`.",
    "compliance_connector_stream_enabled": "Says why a stream has no gauges: it is switched off.",
    "process_virtual_memory_bytes": "Comes with the library; resident memory is what a limit counts.",
    "python_info": "Says which Python runs; nothing depends on it.",
}
"""Why a metric is there although no alert and no panel uses it."""

_PLACES = ("stream", "partition")
_OF_GAUGES = ("mode", "outcome", "state", "type")
"""The labels of gauges whose values the page lists."""
_SUFFIXES = {"counter": "_total", "info": "_info"}


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric, named as in a query; a histogram without its suffixes. `values` are those of its own labels."""

    name: str
    kind: str
    labels: tuple[str, ...]
    unit: str
    meaning: str
    values: Mapping[str, Sequence[str]]


def metric_rows() -> list[MetricRow]:
    """Return all metrics of a process that has everything to show, in the order of a scrape."""
    return [_row(family) for family in _full().registry.collect()]


def _full() -> Metrics:
    """Return the metrics of a process that owns all stream partitions and knows all there is to know of them."""
    statuses = Statuses(STREAM_PARTITIONS)
    for status in statuses.values():
        _fill(status)
    service = ServiceStatus(statuses, 1, None, 0)
    service.rate_limits, service.producer = dict.fromkeys(STREAMS, RateLimit(1, 1, 1, 0.0)), ProducerStatistics()
    done = DoneRun(1, dict.fromkeys(Outcome, 0))
    service.last_runs = dict.fromkeys(BY_JOB_TYPE, LastRuns(has_failed=False, done=done))
    service.oldest_gaps = dict.fromkeys(RECONCILABLE)
    topics = (TopicLag("topic", 0, is_exact=True, oldest_event_us=None),)
    service.watched_groups = ("group",)
    service.groups = Look(0, (WatchedGroup("group", GroupState.OK, 1, topics, ()),))
    metrics = Metrics()
    metrics.watch(service)
    return metrics


def _fill(status: PartitionStatus) -> None:
    status.state = State.RUNNING
    status.covered_until_us = status.watermark_us = status.last_byte_us = status.last_event_us = status.sequence = 1


def _row(family: Metric) -> MetricRow:
    name = family.name + _SUFFIXES.get(family.type, "")
    labels = {label: None for sample in family.samples for label in sample.labels if label != "le"}
    values = {
        label: list(dict.fromkeys(sample.labels[label] for sample in family.samples if label in sample.labels))
        for label in labels
        if (label not in _PLACES and family.type == "counter") or label in _OF_GAUGES
    }
    kind = "gauge" if family.type == "info" else family.type
    return MetricRow(name, kind, tuple(labels), _unit(name), family.documentation, values)


def _unit(name: str) -> str:
    if "_timestamp_seconds" in name or name == "process_start_time_seconds":
        return "Unix time, s"
    units = {"_seconds": "s", "_seconds_total": "s", "_bytes": "bytes", "_bytes_total": "bytes"}
    return next((unit for suffix, unit in units.items() if name.endswith(suffix)), "")


def uses(name: str) -> list[str]:
    """Return the alerts, recording rules and panels whose queries name the metric, in the order of the files."""
    pattern = re.compile(rf"\b{name}(_bucket|_sum|_count)?\b")
    return list(dict.fromkeys(user for user, query in [*rule_queries(), *panel_queries()] if pattern.search(query)))


def rules() -> list[dict[str, Any]]:
    """Return all rules, in the order of the file."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """Return the rules that alert."""
    return [rule for rule in rules() if "alert" in rule]


def panels() -> list[dict[str, Any]]:
    """Return all panels of the dashboard, the headings of its rows among them."""
    content: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return content


def rule_queries() -> Iterator[tuple[str, str]]:
    """Give the queries of all rules, each with what it is of."""
    for rule in rules():
        yield f"alert {rule['alert']}" if "alert" in rule else f"rule {rule['record']}", str(rule["expr"])


def panel_queries() -> Iterator[tuple[str, str]]:
    """Give the queries of all panels, each with what it is of."""
    for panel in panels():
        for target in panel.get("targets", []):
            yield f"panel {panel['title']}", target["expr"]
