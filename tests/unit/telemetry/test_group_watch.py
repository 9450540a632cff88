"""Consumer groups as they are watched: by one replica, shown while they can be looked at, and never more than that."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from structlog.testing import capture_logs

from connector.errors import DependencyUnavailableError, NotProvisionedError
from connector.events.catalog import STREAM_PARTITIONS
from connector.kafka.consumer_groups import GroupLook, Unprocessed
from connector.telemetry.gauges import GroupCollector
from connector.telemetry.group_states import GroupState
from connector.telemetry.group_watch import GroupWatch
from connector.telemetry.metrics import Metrics
from connector.telemetry.service import ServiceTelemetry
from connector.telemetry.status import ServiceStatus, State, Statuses

_NOW = 1_800_000_000_000_000
_HOUR_US = 3_600 * 10**6
_AWAY = DependencyUnavailableError("Kafka does not answer")
_HIDDEN = NotProvisionedError("no right to describe the group a: grant Describe on it")


def _look(group: str, committed: int = 5, begin: int = 0) -> GroupLook:
    """Return a group that has left two records of a topic, the older one of which is three hours old."""
    left = Unprocessed("t", 0, committed, begin, committed, 2, is_exact=True, oldest_event_us=_NOW - 3 * _HOUR_US)
    return GroupLook(group, 1, is_manual=False, partitions=(left,), not_read=())


class _Kafka:
    """Gives what each look finds, in turn, then sets `stop`; an error is raised. A function is called before."""

    def __init__(self, *finds: GroupLook | Exception | Callable[[], None]) -> None:
        self._finds = list(finds)
        self.stop = threading.Event()
        self.openings = 0

    def open(self) -> AbstractContextManager["_Kafka"]:
        """Begin to look."""
        self.openings += 1
        return nullcontext(self)

    def read(self, group: str, should_stop: Callable[[], bool]) -> GroupLook | None:
        """Return what is next."""
        found = self._finds.pop(0) if self._finds else None
        if callable(found):
            found()
            return None if should_stop() else self.read(group, should_stop)
        if found is None:
            self.stop.set()
            return None
        if isinstance(found, Exception):
            raise found
        assert found.group == group
        return found


class _Bench:
    """A replica that owns the first stream partition and watches groups."""

    def __init__(self, *groups: str) -> None:
        self.status = ServiceStatus(Statuses(STREAM_PARTITIONS[:2]), 1, None, 0)
        self.status.watched_groups = groups
        self.own(is_owner=True)
        self.telemetry = ServiceTelemetry(Metrics(), self.status)

    def own(self, *, is_owner: bool) -> None:
        """Have the replica own the first stream partition, or not."""
        status = self.status.partitions.renew(STREAM_PARTITIONS[0])
        status.state = State.RUNNING if is_owner else State.NOT_OWNED

    def watch(self, kafka: _Kafka) -> list[dict[str, object]]:
        """Watch until `kafka` has nothing more to say; return what is logged."""
        watch = GroupWatch(kafka.open, self.status, self.telemetry, 0.0, lambda: _NOW)
        with capture_logs() as logs:
            watch.run(kafka.stop)
        return [dict(entry) for entry in logs]

    def samples(self) -> dict[tuple[str, ...], float]:
        """Return the samples that are not 0, by name without its prefix and label values."""
        families = GroupCollector(self.status, lambda: _NOW).collect()
        return {
            (sample.name.removeprefix("compliance_connector_consumer_group"), *sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
            if sample.value
        }


def test_groups_are_shown_with_state_records_and_age() -> None:
    """Each of the states that there are has a sample."""
    bench = _Bench("a", "b")
    assert bench.watch(_Kafka(_look("a"), _look("b"))) == []
    assert bench.samples() == {
        ("s_watched",): 2.0,
        ("_state", "a", "ok"): 1.0,
        ("_state", "b", "ok"): 1.0,
        ("_lag_records", "a", "t"): 2.0,
        ("_lag_records", "b", "t"): 2.0,
        ("_oldest_event_age_seconds", "a", "t"): 3 * 3600.0,
        ("_oldest_event_age_seconds", "b", "t"): 3 * 3600.0,
    }
    states = [sample for family in GroupCollector(bench.status).collect() for sample in family.samples]
    assert {sample.labels["state"] for sample in states if "state" in sample.labels} == set(GroupState)


def test_replica_that_is_not_the_owner_neither_looks_nor_shows() -> None:
    """It only says how many groups the settings name; what it found as the owner vanishes at once."""
    bench = _Bench("a")
    bench.watch(_Kafka(_look("a")))
    bench.own(is_owner=False)
    assert bench.samples() == {("s_watched",): 1.0}
    kafka = _Kafka()
    threading.Timer(0.1, kafka.stop.set).start()
    bench.watch(kafka)
    assert (kafka.openings, bench.status.groups) == (0, None)


def test_replica_that_stops_to_be_the_owner_amid_a_look_shows_nothing_of_it() -> None:
    """The look is not finished."""
    bench = _Bench("a")
    kafka = _Kafka(lambda: bench.own(is_owner=False))
    threading.Timer(0.1, kafka.stop.set).start()
    bench.watch(kafka)
    assert (kafka.openings, bench.status.groups) == (1, None)


def test_group_that_may_not_be_looked_at_is_absent_and_logged_once() -> None:
    """The others are shown; it is again once it may be."""
    bench = _Bench("a", "b")
    logs = bench.watch(_Kafka(_HIDDEN, _look("b"), _HIDDEN, _look("b"), _look("a"), _look("b")))
    assert [(entry["event"], entry["groups"]) for entry in logs] == [
        ("groups_unreadable", ["a"]),
        ("groups_readable", ["a"]),
    ]
    assert logs[0]["detail"] == str(_HIDDEN)
    bench.watch(_Kafka(_HIDDEN, _look("b")))
    assert bench.status.groups is not None
    assert [group.group for group in bench.status.groups.found] == ["b"]


def test_nothing_is_shown_while_kafka_is_away_and_history_goes_on_afterwards() -> None:
    """A reset meanwhile is noticed; the client is made again."""
    bench = _Bench("a")
    kafka = _Kafka(_look("a"), _AWAY, _AWAY, _look("a", committed=4))
    logs = bench.watch(kafka)
    assert [entry["event"] for entry in logs] == ["groups_unreadable", "groups_readable", "group_reset"]
    assert (logs[2]["group"], logs[2]["topics"], logs[2]["partitions"]) == ("a", ["t"], 1)
    assert kafka.openings == 3
    gone = _Kafka(RuntimeError("unforeseen"))
    gone_logs = bench.watch(gone)
    assert gone_logs[0]["detail"] == "RuntimeError: unforeseen"
    assert bench.status.groups is None


def test_loss_to_retention_is_logged_once() -> None:
    """With the group and the topics."""
    logs = _Bench("a").watch(_Kafka(_look("a", begin=9), _look("a", begin=9)))
    assert [(entry["event"], entry["group"], entry["topics"]) for entry in logs] == [("group_overtaken", "a", ["t"])]
