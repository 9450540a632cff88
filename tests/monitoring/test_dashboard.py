"""The dashboard, and that rules, dashboard and metrics know each other."""

import json
from itertools import combinations
from typing import Any

import pytest

from tests.rig.metric_table import (
    DASHBOARD,
    REASONS,
    MetricRow,
    metric_rows,
    panel_queries,
    panels,
    rule_queries,
    rules,
    uses,
)
from tests.rig.queries import OF_PROMETHEUS, filled_in, selectors

_DASHBOARD: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
_ANNOTATIONS = [(f"annotation {each['name']}", each["expr"]) for each in _DASHBOARD["annotations"]["list"]]
_DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_PANELS = [panel for panel in panels() if panel["type"] != "row"]
QUERIES = pytest.mark.parametrize(
    "query", [*rule_queries(), *panel_queries(), *_ANNOTATIONS], ids=lambda query: query[0]
)
PANELS = pytest.mark.parametrize("panel", _PANELS, ids=lambda panel: panel["title"])


def _samples(row: MetricRow) -> set[str]:
    """Return the names under which a scrape has the metric."""
    return {f"{row.name}_{suffix}" for suffix in ("bucket", "sum", "count")} if row.kind == "histogram" else {row.name}


@QUERIES
def test_query_asks_for_metrics_that_there_are(query: tuple[str, str]) -> None:
    """It is PromQL, and selects what the service shows, a rule records or Prometheus has."""
    known = {name for row in metric_rows() for name in _samples(row)} | {rule.get("record") for rule in rules()}
    asked = {selector.name for selector in selectors(filled_in(query[1]))}
    assert asked
    assert asked <= known | OF_PROMETHEUS


@pytest.mark.parametrize("row", metric_rows(), ids=lambda row: row.name)
def test_metric_is_used_or_has_a_reason(row: MetricRow) -> None:
    """An alert, a rule or a panel asks for it, or it is said why not; never both."""
    assert bool(uses(row.name)) != (row.name in REASONS)


def test_reasons_are_of_metrics_that_exist() -> None:
    """No reason is left of a metric that is gone."""
    assert set(REASONS) <= {row.name for row in metric_rows()}


@PANELS
def test_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    """A title, a sentence and a unit; queries that go to the data source that was chosen, over the interval shown."""
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == _DATA_SOURCE
    for target in panel["targets"]:
        assert target["expr"].count("[") == target["expr"].count("[$__r")
        assert 'namespace=~"$namespace", job=~"$job"' in target["expr"]


def test_coverage_of_each_stream_partition_is_on_top() -> None:
    """As a state timeline: what matters most is seen first."""
    first = min(_PANELS, key=lambda panel: panel["gridPos"]["y"])
    assert first["type"] == "state-timeline"
    assert "compliance_connector_covered_until_timestamp_seconds" in first["targets"][0]["expr"]


def test_panels_have_numbers_and_places_of_their_own() -> None:
    """None hides another."""
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    for one, other in combinations((panel["gridPos"] for panel in panels()), 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert is_beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(place["x"] + place["w"] <= 24 for place in (panel["gridPos"] for panel in panels()))


def test_variables_are_asked_of_the_data_source_that_was_chosen() -> None:
    """So that the dashboard works wherever it is imported."""
    chosen, *others = _DASHBOARD["templating"]["list"]
    assert (chosen["name"], chosen["type"], chosen["query"]) == ("datasource", "datasource", "prometheus")
    assert [other["datasource"] for other in others] == [_DATA_SOURCE] * len(others)
    assert {other["name"] for other in others} == {"namespace", "job", "stream"}
