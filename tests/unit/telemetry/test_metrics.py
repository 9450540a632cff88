"""The scrape: every metric is there from the start, at zero, under the names that dashboards know."""

from dataclasses import fields
from itertools import product
from typing import TYPE_CHECKING

import pytest
from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from connector.coverage.gap import GapCause, GapState, Suspicion
from connector.coverage.messages import EndReason, Verdict
from connector.events.catalog import EVENT_TYPES, STREAM_PARTITIONS, STREAMS, StreamPartition
from connector.events.decode import Reason
from connector.events.times import US_PER_S
from connector.kafka.current_writer import ReplacementCause
from connector.kafka.ledger import Mode
from connector.kafka.statistics import ProducerStatistics
from connector.source.connect_limiter import WaitReason
from connector.telemetry.drift import OTHER
from connector.telemetry.gauges import NAMESPACE
from connector.telemetry.metrics import (
    HTTP_CODES,
    REFUSABLE,
    Metrics,
    RefusalOutcome,
    RestartCause,
)
from connector.telemetry.status import MODES, PartitionStatus, ServiceStatus, State, Statuses
from connector.x.errors import FailureReason

if TYPE_CHECKING:
    from collections.abc import Iterable

_PARTITION = StreamPartition("tweet", 1)


def _scraped(metrics: Metrics) -> dict[str, Metric]:
    families: Iterable[Metric] = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {family.name: family for family in families if family.name.startswith(NAMESPACE)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "label", "values"),
    [
        ("connects", None, ()),
        ("received_bytes", None, ()),
        ("truncated_tails", None, ()),
        ("lines_received", None, ()),
        ("lines_duplicate", None, ()),
        ("lines_control", None, ()),
        ("lines_with_secret", None, ()),
        ("transactions_committed", None, ()),
        ("connect_failures", "reason", FailureReason),
        ("disconnects", "reason", tuple(EndReason)),
        ("lines_dead_lettered", "reason", tuple(Reason)),
        ("partition_restarts", "cause", tuple(RestartCause)),
        ("refetches", "suspicion", tuple(Suspicion)),
        ("connect_wait_seconds", "reason", tuple(WaitReason)),
        ("system_messages", None, ()),
        ("start_failures", None, ()),
        ("unexpected_errors", None, ()),
        ("backfills", None, ()),
        ("replay_slices", "verdict", tuple(Verdict)),
    ],
)
def test_counter_starts_at_zero_with_every_label(name: str, label: str | None, values: tuple[str, ...]) -> None:
    """So that the first time is seen as an increase."""
    samples = _scraped(Metrics())[f"{NAMESPACE}_{name}"].samples
    totals = [sample for sample in samples if sample.name.endswith("_total")]
    expected = {
        (partition.stream, str(partition.number), value) for partition in STREAM_PARTITIONS for value in values or ("",)
    }
    found = {(each.labels["stream"], each.labels["partition"], each.labels.get(label or "", "")) for each in totals}
    assert found == expected
    assert {sample.value for sample in totals} == {0.0}


def _starts(name: str, *labels: str) -> set[tuple[str, ...]]:
    """Return the values of the labels at each stream partition; they start at zero, the same at each."""
    totals = [each for each in _scraped(Metrics())[f"{NAMESPACE}_{name}"].samples if each.name.endswith("_total")]
    assert {each.value for each in totals} == {0.0}
    found = {tuple(each.labels[label] for label in labels) for each in totals}
    assert len(totals) == len(found) * len(STREAM_PARTITIONS)
    return found


@pytest.mark.parametrize("name", ["gaps", "gap_seconds"])
def test_gaps_start_at_zero_for_every_cause_in_its_state(name: str) -> None:
    """A cause has one state, so that no label value is there in vain."""
    found = _starts(name, "state", "cause")
    assert {cause for _, cause in found} == set(GapCause)
    assert len(found) == len(GapCause)
    assert {state for state, cause in found if cause in set(Suspicion)} == {GapState.SUSPECTED}
    assert {state for state, cause in found if cause not in set(Suspicion)} == {GapState.LOST}


def test_refused_plans_start_at_zero_for_every_plan_and_outcome() -> None:
    """Each with each."""
    assert _starts("plans_refused", "plan", "outcome") == set(product(REFUSABLE, RefusalOutcome))


@pytest.mark.parametrize(
    ("name", "label", "values"),
    [
        ("http_responses", "code", (*HTTP_CODES, OTHER)),
        ("unknown_types", None, ()),
        ("unknown_fields", "field", (OTHER,)),
    ],
)
def test_figure_of_a_stream_starts_at_zero_with_every_label(
    name: str, label: str | None, values: tuple[str, ...]
) -> None:
    """As those of a stream partition do."""
    samples = _scraped(Metrics())[f"{NAMESPACE}_{name}"].samples
    found = {(each.labels["stream"], each.labels.get(label or "", "")): each.value for each in samples}
    assert found == {(stream, value): 0.0 for stream in STREAMS for value in values or ("",)}


@pytest.mark.parametrize(
    ("name", "label", "values"),
    [
        ("producers_replaced", "cause", tuple(ReplacementCause)),
        ("kafka_transmit_retries", None, ()),
        ("kafka_transmit_errors", None, ()),
        ("clock_steps", None, ()),
    ],
)
def test_figure_of_the_process_starts_at_zero_with_every_label(
    name: str, label: str | None, values: tuple[str, ...]
) -> None:
    """As those of a stream partition do, and without its labels: a process has one producer."""
    samples = _scraped(Metrics())[f"{NAMESPACE}_{name}"].samples
    expected: list[dict[str, str]] = [{label: value} for value in values] if label else [{}]
    assert [each.labels for each in samples] == expected
    assert {each.value for each in samples} == {0.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "event_received_delay_seconds",
        "received_committed_delay_seconds",
        "event_committed_delay_seconds",
        "transaction_duration_seconds",
    ],
)
def test_histogram_starts_at_zero_for_every_stream_partition(name: str) -> None:
    """With all its buckets; they are no counters of their own age."""
    samples = _scraped(Metrics())[f"{NAMESPACE}_{name}"].samples
    assert {each.value for each in samples} == {0.0}
    counts = [each for each in samples if each.name.endswith("_count")]
    infinite = [each for each in samples if each.labels.get("le") == "+Inf"]
    assert len(counts) == len(infinite) == len(STREAM_PARTITIONS)
    assert {each.name.removeprefix(f"{NAMESPACE}_{name}_") for each in samples} == {"bucket", "sum", "count"}


def test_published_events_start_at_zero_for_every_type() -> None:
    """By stream and type, whatever the partition."""
    samples = _scraped(Metrics())[f"{NAMESPACE}_events_published"].samples
    found = {(each.labels["stream"], each.labels["type"]) for each in samples if each.name.endswith("_total")}
    assert found == {(event_type.stream, event_type.name) for event_type in EVENT_TYPES}


def _watching(status: PartitionStatus | None = None) -> Metrics:
    """Return the metrics of a process that may be given one stream partition, of which `status` tells."""
    metrics, statuses = Metrics(), Statuses([_PARTITION])
    if status is not None:
        shown = statuses.renew(_PARTITION)
        for field in fields(status):
            setattr(shown, field.name, getattr(status, field.name))
    metrics.watch(ServiceStatus(statuses, 1000, None, 0))
    return metrics


def test_every_metric_has_a_help_text() -> None:
    """For the reader of a query."""
    assert all(family.documentation for family in _scraped(_watching()).values())


@pytest.mark.parametrize(
    ("state", "owned", "corrupt", "changed"),
    [(State.NOT_OWNED, 0, 0, 0), (State.RESTORING, 1, 0, 0), (State.RUNNING, 1, 0, 0), (State.WAITING, 1, 0, 0),
     (State.CORRUPT, 1, 1, 0), (State.TOPICS_CHANGED, 1, 0, 1)],
)  # fmt: skip
def test_status_of_a_partition_is_shown_at_each_scrape(state: State, owned: int, corrupt: int, changed: int) -> None:
    """As it stands then; instants in seconds."""
    scraped = _scraped(_watching(PartitionStatus(state, covered_until_us=12 * US_PER_S + 500_000, sequence=7)))
    values = {
        name: [sample.value for sample in scraped[f"{NAMESPACE}_{name}"].samples]
        for name in (
            "partition_owned",
            "partition_corrupt",
            "partition_topics_changed",
            "covered_until_timestamp_seconds",
            "sequence",
        )
    }
    assert values == {
        "partition_owned": [owned],
        "partition_corrupt": [corrupt],
        "partition_topics_changed": [changed],
        "covered_until_timestamp_seconds": [12.5] * owned,
        "sequence": [7] * owned,
    }


def test_what_is_not_known_yet_has_no_sample() -> None:
    """Zero would be an instant in 1970."""
    scraped = _scraped(_watching(PartitionStatus(State.RESTORING)))
    for name in ("covered_until_timestamp_seconds", "last_byte_timestamp_seconds", "sequence"):
        assert scraped[f"{NAMESPACE}_{name}"].samples == []


def test_partition_that_is_not_owned_has_no_values() -> None:
    """They are its owner's to show; what this process knew of it may be long ago."""
    status = PartitionStatus(covered_until_us=1, sequence=2, last_byte_us=3)
    shown = {name: family.samples for name, family in _scraped(_watching(status)).items()}
    where = {"stream": _PARTITION.stream, "partition": str(_PARTITION.number)}
    gauges = {
        name.removeprefix(f"{NAMESPACE}_"): {each.value for each in samples}
        for name, samples in shown.items()
        if [each for each in samples if where.items() <= each.labels.items() and each.name == name]
    }
    zero = ("partition_owned", "partition_corrupt", "partition_topics_changed", "partition_mode")
    assert gauges == {name: {0} for name in zero}


@pytest.mark.parametrize("mode", MODES)
def test_mode_of_an_owned_partition_is_one_of_a_closed_set(mode: str) -> None:
    """One is 1, the others are 0."""
    family = _scraped(_watching(PartitionStatus(State.RUNNING, mode)))[f"{NAMESPACE}_partition_mode"]
    assert {each.labels["mode"]: each.value for each in family.samples} == {each: each == mode for each in MODES}


_OF_PRODUCER = ("kafka_queue_messages", "kafka_queue_bytes", "kafka_broker_round_trip_seconds")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reported", "shown"), [(None, [[], [], []]), (ProducerStatistics(3, 700, 0.25), [[3], [700], [0.25]])]
)
def test_producer_is_shown_as_it_reported_last(reported: ProducerStatistics | None, shown: list[list[float]]) -> None:
    """Once for the process, and not at all before it has reported."""
    metrics = Metrics()
    metrics.watch(ServiceStatus(Statuses(STREAM_PARTITIONS), 1000, None, 0, producer=reported))
    samples = [_scraped(metrics)[f"{NAMESPACE}_{name}"].samples for name in _OF_PRODUCER]
    assert [[each.value for each in found] for found in samples] == shown
    assert all(each.labels == {} for found in samples for each in found)


def test_modes_are_those_of_the_ledger() -> None:
    """But for the one that only an offline command writes."""
    assert set(MODES) == set(Mode) - {Mode.RESET}
