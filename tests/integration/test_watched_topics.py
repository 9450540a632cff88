"""Batch runs and gaps in the metrics of the running service, from what is on their topics."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from connector.batch.records import RunStatus
from connector.coverage.gap import Gap, GapCause
from connector.events.catalog import StreamPartition
from connector.kafka.transaction import Record
from connector.simulator.server import Simulator
from connector.telemetry import record_watch
from tests.rig.own_topics import OwnTopics, done_run
from tests.rig.process import wait_until
from tests.rig.service import Config, Probe, make_config, provisioned, running
from tests.rig.session import Kafka, SchemaRegistry

_HOUR_US = 3600 * 10**6
_TIMEOUT_S = 20.0
_NAMES = ("batch_last_run_failed", "batch_last_done_timestamp_seconds", "batch_last_done_ids")
_GAP_AGE = "gap_unreconciled_age_seconds"
_DONE = done_run(1_000_000_000, 2_000_000_000)
_FAILED = replace(_DONE, run_id="second", status=RunStatus.FAILED, started_us=3_000_000_000)


@pytest.fixture
def topics(
    kafka: Kafka, registry: SchemaRegistry, simulator: Simulator, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[OwnTopics, Config]]:
    """Give topics of an installation whose service looks at them each second."""
    monkeypatch.setattr(record_watch, "LOOK_S", 1.0)
    with provisioned(make_config(kafka.bootstrap_servers, registry.url, prefix, simulator.base_url, 1)) as config:
        yield OwnTopics.of(config), config


def _shown(probe: Probe, *names: str) -> dict[tuple[str, ...], float]:
    """Return the samples of these metrics that are not 0, by name and label values, in the order of the labels."""
    return {
        (name, *sample.labels.values()): sample.value
        for sample in probe.metrics().samples
        for name in names
        if sample.name == f"compliance_connector_{name}" and sample.value
    }


def _shows(probe: Probe, *names: str) -> bool:
    """Return whether there is a sample of any of these metrics."""
    known = {f"compliance_connector_{name}" for name in names}
    return any(sample.name in known for sample in probe.metrics().samples)


def test_service_shows_runs_and_gaps_as_they_are_on_the_topics(topics: tuple[OwnTopics, Config]) -> None:
    """Of a key the newest record, whatever others wrote, and none removes a gap; what cannot be read is absent."""
    bus, config = topics
    gap = bus.gaps.gap(Gap(0, 1_000_000, GapCause.OUTAGE_TOO_LONG), time.time_ns() // 1000 - 5 * _HOUR_US)
    foreign = [Record(topic, b"key", b"not ours") for topic in (bus.names.batch_run, bus.names.gap)]
    running_first = replace(_DONE, status=RunStatus.RUNNING, finished_us=None)
    bus.write([*foreign, bus.runs.run(running_first), bus.runs.run(_DONE), gap])
    with running(config) as probe:
        done = {
            ("batch_last_done_timestamp_seconds", "tweets"): 2000.0,
            ("batch_last_done_ids", "clean", "tweets"): 4.0,
            ("batch_last_done_ids", "unclear", "tweets"): 2.0,
            ("batch_last_done_ids", "rejected", "tweets"): 1.0,
            ("batch_last_done_ids", "delete", "tweets"): 2.0,
            ("batch_last_done_ids", "other", "tweets"): 1.0,
        }
        wait_until(lambda: _shown(probe, *_NAMES) == done, "the run that is done is shown", _TIMEOUT_S)
        wait_until(lambda: _shown(probe, _GAP_AGE) != {}, "the gap is shown", _TIMEOUT_S)
        assert 5 * 3600 <= probe.metric(_GAP_AGE, stream="tweet") < 5 * 3600 + 600
        assert probe.metric(_GAP_AGE, stream="user") == 0

        user = bus.builders[StreamPartition("user", 1)]
        later = user.gap(Gap(0, 1_000_000, GapCause.OUTAGE_TOO_LONG), time.time_ns() // 1000 - 2 * _HOUR_US)
        bus.write([bus.runs.run(_FAILED), Record(gap.topic, gap.key, b""), later])
        failed = {("batch_last_run_failed", "tweets"): 1.0}
        wait_until(lambda: _shown(probe, *_NAMES) == done | failed, "the run that failed is shown", _TIMEOUT_S)
        wait_until(lambda: probe.metric(_GAP_AGE, stream="user") >= 2 * 3600, "the other gap is shown", _TIMEOUT_S)
        assert probe.metric(_GAP_AGE, stream="tweet") >= 5 * 3600

        bus.delete(bus.names.batch_run)
        wait_until(lambda: not _shows(probe, *_NAMES), "what cannot be read is not shown", 4 * _TIMEOUT_S)
        assert probe.metric(_GAP_AGE, stream="tweet") >= 5 * 3600
        wait_until(lambda: probe.is_ready, "the streams do not depend on it", _TIMEOUT_S)


def test_service_starts_without_the_topic_of_batch_runs(topics: tuple[OwnTopics, Config]) -> None:
    """It was provisioned by a release that had none."""
    bus, config = topics
    bus.delete(bus.names.batch_run)
    with running(config) as probe:
        wait_until(lambda: probe.is_ready, "it is ready", 4 * _TIMEOUT_S)
        wait_until(lambda: _shows(probe, _GAP_AGE), "gaps are shown", _TIMEOUT_S)
        assert not _shows(probe, *_NAMES)
