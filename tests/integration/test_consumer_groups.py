"""Consumer groups on real Kafka: one that works is never blamed, and each way to fall behind has its own state."""

import json
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from connector.events.catalog import EVENT_TYPES, StreamPartition
from connector.kafka.consumer_groups import MOST_RECORDS, GroupReader, Unprocessed
from connector.settings import Settings
from connector.simulator.config import SimulatorConfig
from connector.simulator.server import Simulator
from connector.telemetry import group_states, group_watch
from connector.telemetry.exposition import Exposition
from tests.rig import local_http
from tests.rig.consumers import member, process, worker
from tests.rig.process import wait_until
from tests.rig.service import (
    Config,
    ConnectorProcess,
    Metrics,
    Probe,
    make_config,
    override,
    provisioned,
    running,
)
from tests.rig.session import Kafka, SchemaRegistry

_HOURS_BEHIND = 20.5
_STALL_S = 2
_TIMEOUT_S = 30.0
_DELETES = "tweet.delete"
_STATE, _LAG, _AGE = "consumer_group_state", "consumer_group_lag_records", "consumer_group_oldest_event_age_seconds"


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the service look at groups twice a second, and take one that does not advance for two as stalled."""
    monkeypatch.setattr(group_watch, "LOOK_S", 0.5)
    monkeypatch.setattr(Exposition, "__init__", partialmethod(Exposition.__init__, interval_s=0.5))
    monkeypatch.setattr(group_states, "STALL_US", _STALL_S * 10**6)


@pytest.fixture
def late_x(seed: int) -> Iterator[Simulator]:
    """Give an X whose events are dated 20 and a half hours ago."""
    with Simulator(SimulatorConfig(seed=seed, clock_behind_s=_HOURS_BEHIND * 3600)) as simulator:
        yield simulator


@pytest.fixture
def config(kafka: Kafka, registry: SchemaRegistry, late_x: Simulator, prefix: str) -> Iterator[Config]:
    """Give the settings of an installation with two partitions for each topic."""
    with provisioned(make_config(kafka.bootstrap_servers, registry.url, prefix, late_x.base_url, 2)) as config:
        yield config


def _topics(config: Config, *names: str) -> list[str]:
    prefix = config["kafka"]["topic_prefix"]
    return [f"{prefix}.{name}" for name in names or [each.name for each in EVENT_TYPES]]


def _member(config: Config, group: str, *names: str, protocol: str = "classic") -> AbstractContextManager[Consumer]:
    """Return a consumer of these topics."""
    return member(config["kafka"]["bootstrap_servers"], group, _topics(config, *names), protocol)


def _states(metrics: Metrics) -> dict[str, str]:
    """Return the state of each group."""
    return {
        sample.labels["group"]: sample.labels["state"]
        for sample in metrics.samples
        if sample.name == f"compliance_connector_{_STATE}" and sample.value
    }


def _await_states(probe: Probe, wanted: dict[str, str]) -> None:
    wait_until(lambda: _states(probe.metrics()) == wanted, lambda: f"{wanted}: {_states(probe.metrics())}", _TIMEOUT_S)


def _consumers(folder: Path, config: Config, exit_code: int, *groups: str) -> dict[str, Any]:
    """Run `connector consumers`; return what it says of each group."""
    with ConnectorProcess(folder, ["consumers", *groups, "--output", "json"], config) as command:
        assert command.wait() == exit_code, command.stderr
        return {each["group"]: each for each in json.loads(command.stdout)["groups"]}


def _page(probe: Probe) -> str:
    return local_http.get(probe.url).raise_for_status().text


def test_groups_that_do_not_act_are_distinguished_in_every_place(
    config: Config, late_x: Simulator, tmp_path: Path
) -> None:
    """A member that hangs, a group without members, one that never was; a group that works is well beside them."""
    config = override(config, kafka={"watched_groups": "works,stuck,paused,never"})
    with running(config) as probe, ExitStack() as exits:
        probe.await_connected(late_x)
        late_x.emit(200)
        exits.enter_context(worker(config["kafka"]["bootstrap_servers"], "works", _topics(config)))
        stuck = exits.enter_context(_member(config, "stuck", _DELETES))
        with _member(config, "paused", _DELETES, protocol="consumer") as paused:
            process(paused, 1)
        process(stuck, 1)
        probe.await_sequences(late_x)
        wanted = {"works": "ok", "stuck": "stalled", "paused": "paused", "never": "gone"}
        _await_states(probe, wanted)
        wait_until(lambda: probe.metric(_LAG, group="works") == 0, "it has processed all", _TIMEOUT_S)

        metrics = probe.metrics()
        assert metrics.total("consumer_groups_watched") == 4
        assert metrics.total(_LAG, group="works") == metrics.total(_AGE, group="works") == 0
        [deletes] = _topics(config, _DELETES)
        emitted = metrics.total("events_published_total", type=_DELETES)
        for group in ("stuck", "paused"):
            assert metrics.total(_LAG, group=group) == metrics.total(_LAG, group=group, topic=deletes) == emitted - 1
            assert _HOURS_BEHIND * 3600 <= metrics.total(_AGE, group=group) < (_HOURS_BEHIND + 0.5) * 3600
        page = _page(probe)
        for text in (
            "stalled</strong>: it does not advance",
            "paused</strong>: it has no members",
            "gone</strong>: there",
        ):
            assert text in page
        assert "3 h 2" in page

        found = _consumers(tmp_path, config, 1)
        assert {group: each["state"] for group, each in found.items()} == wanted | {"stuck": "ok"}
        assert {group: each["is_well"] for group, each in found.items()} == dict.fromkeys(wanted, False) | {
            "works": True
        }
        assert found["stuck"]["unprocessed"] == emitted - 1
        assert 3 * 3600 < found["stuck"]["left_s"] <= 3.5 * 3600
        assert len(found["stuck"]["not_read"]) == len(EVENT_TYPES) - 1
        assert _consumers(tmp_path, config, 0, "works")["works"]["unprocessed"] == 0
        with ConnectorProcess(tmp_path, ["consumers", "stuck", "--watch"], config) as watching:
            wait_until(lambda: watching.stdout.count("1 of 1 need attention") > 1, "it looks again", _TIMEOUT_S)
            watching.signal(signal.SIGINT)
            assert watching.wait() == 130

        late_x.emit(50, StreamPartition("tweet", 1))
        probe.await_sequences(late_x)
        wait_until(lambda: probe.metric(_LAG, group="works") == 0, "it has processed what is new", _TIMEOUT_S)
        wait_until(lambda: probe.metric(_LAG, group="stuck") > emitted - 1, "the other has not", _TIMEOUT_S)
        assert _states(probe.metrics()) == wanted
    assert "kafka.watched_groups" not in page


def test_group_that_went_backwards_or_lost_events_is_distinguished(config: Config, late_x: Simulator) -> None:
    """A group that is done stays well on a topic that retention has emptied; one that was not done has lost events."""
    config = override(config, kafka={"watched_groups": ["rewound", "overtaken", "done"]})
    [deletes] = _topics(config, _DELETES)
    with running(config) as probe:
        probe.await_connected(late_x)
        late_x.emit(200)
        probe.await_sequences(late_x)
        count = int(probe.metric("events_published_total", type=_DELETES))
        with (
            _member(config, "rewound", _DELETES) as rewound,
            _member(config, "overtaken", _DELETES) as overtaken,
            _member(config, "done", _DELETES) as done,
        ):
            process(rewound, count)
            process(done, count)
            process(overtaken, 1)
            _await_states(probe, {"rewound": "ok", "done": "ok", "overtaken": "stalled"})

            starts = [TopicPartition(deletes, number, 0) for number in range(2)]
            rewound.commit(offsets=starts, asynchronous=False)
            _await_states(probe, {"rewound": "reset", "done": "ok", "overtaken": "stalled"})
            wait_until(lambda: probe.metric(_LAG, group="rewound") == count, "all is to be processed", _TIMEOUT_S)

            _delete_records(config, deletes)
            _await_states(probe, {"rewound": "overtaken", "done": "ok", "overtaken": "overtaken"})
            wait_until(lambda: probe.metric(_LAG) == 0, "nothing is left of it", _TIMEOUT_S)


def _delete_records(config: Config, topic: str) -> None:
    """Remove all that is on a topic, as retention does in time."""
    admin = AdminClient({"bootstrap.servers": config["kafka"]["bootstrap_servers"]})
    for deletion in admin.delete_records([TopicPartition(topic, number, -1) for number in range(2)]).values():
        deletion.result(_TIMEOUT_S)


def test_replica_that_does_not_watch_shows_nothing_and_says_who_does(config: Config) -> None:
    """One replica watches: the owner of the first stream partition."""
    config = override(config, x={"streams": "like"}, kafka={"watched_groups": "works"})
    with running(config) as one, running(config) as other:
        wait_until(lambda: sorted(_owned(each) for each in (one, other)) == [0, 1], "one owns like/1", _TIMEOUT_S)
        first, second = sorted((one, other), key=_owned, reverse=True)
        wait_until(lambda: _states(first.metrics()) == {"works": "gone"}, "it watches", _TIMEOUT_S)
        assert _states(second.metrics()) == {}
        assert "Another replica watches works" in _page(second)
        assert second.metric("consumer_groups_watched") == 1


def _owned(probe: Probe) -> int:
    return int(probe.metric("partition_owned", stream="like"))


def test_only_records_count_and_no_more_are_read_than_a_bound(kafka: Kafka, config: Config, prefix: str) -> None:
    """Neither markers nor what was aborted; behind the bound offsets are counted, and Kafka dates what is foreign."""
    [deletes] = _topics(config, _DELETES)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": f"{prefix}-writer"})
    producer.init_transactions(_TIMEOUT_S)

    def write(count: int, *, commit: bool = True) -> None:
        producer.begin_transaction()
        for _ in range(count):
            producer.produce(deletes, b"foreign", partition=0)
        if commit:
            producer.commit_transaction(_TIMEOUT_S)
        else:
            producer.flush(_TIMEOUT_S)
            producer.abort_transaction(_TIMEOUT_S)

    write(1)
    with _member(config, "one", _DELETES) as consumer:
        process(consumer, 1)
    foreign = list[str]()
    settings = Settings.model_validate(config)
    with GroupReader(settings, lambda topic, _: foreign.append(topic)) as reader:

        def look() -> Unprocessed:
            found = reader.read("one", lambda: False)
            assert found is not None
            assert found.members == 0
            return found.partitions[0]

        assert (look().records, look().is_exact, look().oldest_event_us) == (0, True, None)
        write(7, commit=False)
        assert (look().records, look().is_exact) == (0, True)
        write(3)
        assert (look().records, look().is_exact, len(foreign)) == (3, True, 3)
        write(MOST_RECORDS)
        write(20)
        # A commit is answered before its marker is written, and behind the bound markers count.
        wait_until(lambda: look() == look(), "looks agree")
        bound = look()
        assert not bound.is_exact
        assert MOST_RECORDS + 23 <= bound.records < MOST_RECORDS + 40
        assert len(foreign) == MOST_RECORDS
        assert bound.oldest_event_us is not None
        with _member(config, "one", _DELETES) as consumer:
            process(consumer, MOST_RECORDS + 23)
        assert (look().records, look().is_exact) == (0, True)
