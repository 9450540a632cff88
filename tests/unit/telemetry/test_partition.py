"""PartitionTelemetry: each is logged, counted and shown at once."""

from collections import Counter
from dataclasses import fields
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from connector.coverage.plan import Live, Replay
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.kafka.ledger import first_entry
from connector.kafka.restore import OffsetEntry, Restored
from connector.kafka.statistics import ProducerStatistics
from connector.telemetry import telemetry as happenings_module
from connector.telemetry.delays import Arrival
from connector.telemetry.drift import MOST_NAMES
from connector.telemetry.gauges import NAMESPACE
from connector.telemetry.partition import PartitionTelemetry, Transaction
from connector.telemetry.metrics import Metrics
from connector.telemetry.status import PartitionStatus, State

_RESTORED = Restored([OffsetEntry(7, first_entry(StreamPartition("user", 3), "w", US_PER_S))], 0, 9)
_WHERE = {"stream": "user", "partition": "3"}


class _Bench:
    """The telemetry of one partition and what they leave behind."""

    def __init__(self) -> None:
        self.metrics, self.status = Metrics(), PartitionStatus()
        self.happen = PartitionTelemetry(StreamPartition("user", 3), self.metrics, self.status)

    def count(self, name: str, **labels: str) -> float | None:
        """Return a counter's value."""
        return self.metrics.registry.get_sample_value(f"{NAMESPACE}_{name}_total", {**_WHERE, **labels})

    def committed(self, **figures: Any) -> None:  # noqa: ANN401 - the figures of a transaction
        """Tell of a transaction."""
        nothing: dict[str, Any] = {field.name: 0 for field in fields(Transaction)}
        empty = {"published": Counter(), "dead_lettered": Counter(), "arrivals": (), "mode": "live"}
        self.happen.committed(Transaction(**{**nothing, **empty, **figures}))


@pytest.fixture
def bench() -> _Bench:
    """Give a partition to which nothing has happened yet."""
    return _Bench()


def test_life_of_a_partition_is_shown_state_by_state(bench: _Bench) -> None:
    """And logged at INFO, each with stream and partition."""
    states = []
    with capture_logs() as logs:
        bench = _Bench()
        for happen in (
            bench.happen.assigned,
            lambda: bench.happen.is_new(0, 4),
            lambda: bench.happen.restored(_RESTORED, 2, 5 * US_PER_S, 0.1),
            lambda: bench.happen.waiting(6.0),
            lambda: bench.happen.restored(_RESTORED, 2, 6 * US_PER_S, 0.1),
            bench.happen.released,
        ):
            happen()
            states.append(bench.status.state)
    restoring, running = State.RESTORING, State.RUNNING
    assert states == [restoring, restoring, running, State.WAITING, running, State.NOT_OWNED]
    assert {(log["log_level"], log["stream"], log["partition"]) for log in logs} == {("info", "user", 3)}
    assert bench.status.covered_until_us == 6 * US_PER_S


def test_failed_connect_is_shown_with_its_time_and_the_next_attempt_until_that_is_made(bench: _Bench) -> None:
    """What X said stays, for whoever comes later."""
    bench.happen.connect_failed("http-401", "rejected", 60.0)
    assert bench.count("connect_failures", reason="http-401") == 1
    shown = bench.status.as_json()
    assert shown["last_error"] == "rejected"
    assert shown["next_attempt"] is not None
    bench.happen.connected(Live(0), 0)
    assert bench.count("connects") == 1
    shown = bench.status.as_json()
    assert (shown["last_error"], shown["next_attempt"]) == ("rejected", None)
    assert shown["last_error_at"] is not None


@pytest.mark.parametrize(("offset_s", "warnings"), [(5, 0), (-5, 0), (6, 1), (-6, 1)])
def test_clock_that_is_off_is_warned_about(offset_s: int, warnings: int) -> None:
    """In either direction."""
    with capture_logs() as logs:
        _Bench().happen.connected(Live(0), offset_s * US_PER_S)
    assert [log["event"] for log in logs].count("clock_offset") == warnings


def test_bytes_are_counted_though_nothing_is_committed(bench: _Bench) -> None:
    """As when Kafka is away."""
    bench.happen.read(100, 7)
    bench.happen.read(11, 8)
    assert bench.count("received_bytes") == 111
    assert bench.status.last_byte_us == 8


def test_dead_letters_of_a_transaction_are_one_warning_a_reason(bench: _Bench) -> None:
    """Not one a line."""
    with capture_logs() as logs:
        bench = _Bench()
        bench.committed(dead_lettered=Counter({"not-json": 900, "too-long": 1}))
    assert [(log["reason"], log["count"]) for log in logs] == [("not-json", 900), ("too-long", 1)]
    assert bench.count("lines_dead_lettered", reason="not-json") == 900


def test_tail_is_counted_only_where_there_was_one(bench: _Bench) -> None:
    """An end between two lines cuts nothing off."""
    bench.happen.disconnected("closed", 0)
    bench.happen.disconnected("network", 5)
    assert bench.count("truncated_tails") == 1
    assert (bench.count("disconnects", reason="closed"), bench.count("disconnects", reason="network")) == (1, 1)


def test_what_needs_a_human_is_an_error() -> None:
    """A gap, a ledger that cannot be trusted, and what nobody foresaw."""
    with capture_logs() as logs:
        bench = _Bench()
        bench.happen.lost(0, 90 * US_PER_S, "replay-refused")
        bench.happen.corrupt("bad")
        bench.happen.failed(RuntimeError("r"))
        bench.happen.producer_replaced("fenced", "f")
        bench.happen.system_message("SlowReader", "slow")
    levels = [(log["event"], log["log_level"]) for log in logs]
    assert levels == [
        ("gap_recorded", "error"),
        ("ledger_corrupt", "error"),
        ("unexpected_error", "error"),
        ("producer_replaced", "warning"),
        ("system_message", "warning"),
    ]
    assert bench.count("lost_seconds", cause="replay-refused") == 90
    assert bench.count("producers_replaced", cause="fenced") == 1
    assert bench.status.last_error == "SlowReader: slow"


def test_doubt_is_counted_and_warned_about() -> None:
    """Odd, but nothing is lost: the stretch is asked for once more."""
    with capture_logs() as logs:
        bench = _Bench()
        bench.happen.doubted("nothing-repeated")
    assert [(log["event"], log["doubt"], log["log_level"]) for log in logs] == [
        ("coverage_doubted", "nothing-repeated", "warning")
    ]
    assert bench.count("doubts", doubt="nothing-repeated") == 1
    assert bench.count("doubts", doubt="new-where-all-is-known") == 0


def test_connection_given_up_for_a_better_plan_counts_as_made_and_ended() -> None:
    """X counted it against the budget."""
    with capture_logs() as logs:
        bench = _Bench()
        bench.happen.replanned()
    assert (bench.count("connects"), bench.count("disconnects", reason="replanned")) == (1, 1)
    assert [(log["event"], log["log_level"]) for log in logs] == [("replanned", "info")]


def test_status_as_json_shows_instants_as_text(bench: _Bench) -> None:
    """Or null, and absurd ones as numbers."""
    bench.status.covered_until_us = 1_656_373_781 * US_PER_S
    bench.status.next_attempt_us = 10**23
    shown = bench.status.as_json()
    assert shown["covered_until"] == "2022-06-27T23:49:41.000000Z"
    assert shown["next_attempt"] == str(10**23)
    assert shown["last_byte"] is None
    assert shown["state"] == "not-owned"


def test_connection_with_a_backfill_is_counted_as_one(bench: _Bench) -> None:
    """A replay and a plain live connection are none."""
    for plan in (Live(0), Live(3), Replay(0, 900 * US_PER_S)):
        bench.happen.connected(plan, 0)
    assert (bench.count("connects"), bench.count("backfills")) == (3, 1)


def test_plan_of_the_connection_is_shown_while_it_lasts(bench: _Bench) -> None:
    """In words."""
    shown = []
    for plan in (Live(0), Live(3), Replay(0, 900 * US_PER_S)):
        bench.happen.connected(plan, 0)
        shown.append(bench.status.plan)
    bench.happen.disconnected("closed", 0)
    assert [*shown, bench.status.plan] == [
        "live",
        "live, 3 min of backfill",
        "replay of 1970-01-01T00:00:00.000000Z to 1970-01-01T00:15:00.000000Z",
        None,
    ]


def test_replay_slice_is_counted_by_how_it_ended(bench: _Bench) -> None:
    """Whole, or to come again."""
    for is_whole in (True, False, True):
        bench.happen.slice_ended(is_whole=is_whole)
    assert (bench.count("replay_slices", outcome="whole"), bench.count("replay_slices", outcome="interrupted")) == (
        2,
        1,
    )


def test_partition_that_waits_or_stopped_reads_nothing(bench: _Bench) -> None:
    """What it was doing is over; how far it is covered stays true."""
    happen = bench.happen
    for end in (partial(happen.waiting, 6.0), partial(happen.corrupt, "bad"), partial(happen.released)):
        bench.happen.restored(_RESTORED, 0, 5, 0.1)
        bench.happen.began_to_read(lambda: 77)
        bench.happen.connected(Live(0), 0)
        bench.committed(covered_until_us=9)
        assert (bench.status.mode, bench.status.inbox_bytes()) == ("live", 77)
        end()
        assert (bench.status.mode, bench.status.plan, bench.status.inbox_bytes()) == ("disconnected", None, 0)
        assert bench.status.covered_until_us == 9


def test_next_life_is_shown_as_the_next_attempt(bench: _Bench) -> None:
    """As the next connect is."""
    bench.happen.waiting(6.0)
    assert bench.status.next_attempt_us is not None


def test_watermark_is_shown_from_the_draft_and_coverage_from_the_commit(bench: _Bench) -> None:
    """They are apart while Kafka does not answer."""
    bench.happen.drafted(9)
    bench.committed(covered_until_us=8, known_ids=4)
    assert (bench.status.watermark_us, bench.status.covered_until_us) == (9, 8)
    assert bench.status.duplicate_memory_ids == 4


def test_gap_is_shown_until_the_partition_is_let_go(bench: _Bench) -> None:
    """How many there are, and the latest with its bounds and cause."""
    bench.happen.lost(0, 1, "replay-refused")
    bench.happen.lost(0, 90 * US_PER_S, "outage-too-long")
    assert (bench.status.gaps_recorded, bench.status.last_gap) == (
        2,
        "1970-01-01T00:00:00.000000Z to 1970-01-01T00:01:30.000000Z: outage-too-long",
    )


def test_producer_s_counts_go_on_over_its_successors(bench: _Bench) -> None:
    """Each begins at zero; a new one shows by a lower count, or was said to come."""
    for retries in (2, 5, 1, 1):
        bench.happen.told(ProducerStatistics(transmit_retries=retries, transmit_errors=1))
    shown = [bench.status.producer]
    bench.happen.producer_replaced("slow-commit", "a commit took 1.2 s")
    assert [*shown, bench.status.producer] == [ProducerStatistics(transmit_retries=1, transmit_errors=1), None]
    bench.happen.told(ProducerStatistics(transmit_retries=1))
    assert (bench.count("kafka_transmit_retries"), bench.count("kafka_transmit_errors")) == (7, 1)


@pytest.mark.parametrize(
    ("x_ahead_s", "date_s", "expected_s"),
    [
        pytest.param(-0.4, -3.0, 3.0, id="clocks agree but for the second that X cuts off"),
        pytest.param(60.0, 57.0, 3.5, id="X is a minute ahead and some of a second"),
        pytest.param(-60.0, -63.0, 3.5, id="X is a minute behind, but for some of a second"),
    ],
)
def test_delays_are_told_by_x_s_clock(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch, x_ahead_s: float, date_s: float, expected_s: float
) -> None:
    """Receipts are told by the earlier of two clocks, commits by the time since; ours may be set meanwhile."""
    wall_us, monotonic_us = 1_000_000 * US_PER_S, 77 * US_PER_S
    monkeypatch.setattr(happenings_module, "wall_us", lambda: wall_us)
    monkeypatch.setattr(happenings_module, "monotonic_us", lambda: monotonic_us)
    bench.happen.connected(Live(0), int(x_ahead_s * US_PER_S))
    at_us = wall_us + int(min(0.0, x_ahead_s) * US_PER_S)
    bench.happen.read(10, at_us)
    wall_us += 3600 * US_PER_S
    monotonic_us += 2 * US_PER_S
    date_us = 1_000_000 * US_PER_S + int(date_s * US_PER_S)
    bench.committed(arrivals=[Arrival(at_us, [date_us], is_live=True)])
    delays = bench.metrics.delays[StreamPartition("user", 3)]
    assert delays.event_to_received.read().sum_s == pytest.approx(expected_s)
    assert delays.received_to_committed.read().sum_s == pytest.approx(2.0)
    assert delays.event_to_committed.read().sum_s == pytest.approx(expected_s + 2.0)
    assert bench.status.last_event_us == at_us


def test_unknown_names_are_counted_each_and_logged_once(bench: _Bench) -> None:
    """Over all partitions of the stream; another stream has names of its own."""
    other = PartitionTelemetry(StreamPartition("user", 1), bench.metrics, PartitionStatus())
    with capture_logs() as logs:
        for happen in (bench.happen, other, bench.happen):
            happen.drifted({"user_merge": 2}, {"user.why": 3})
        PartitionTelemetry(StreamPartition("like", 1), bench.metrics, PartitionStatus()).drifted({}, {"user.why": 1})
    assert [(log["event"], log["stream"]) for log in logs] == [
        ("unknown_type", "user"),
        ("unknown_field", "user"),
        ("unknown_field", "like"),
    ]
    value = bench.metrics.registry.get_sample_value
    assert value(f"{NAMESPACE}_unknown_types_total", {"stream": "user"}) == 6
    assert value(f"{NAMESPACE}_unknown_fields_total", {"stream": "user", "field": "user.why"}) == 9
    assert value(f"{NAMESPACE}_unknown_fields_total", {"stream": "like", "field": "user.why"}) == 1


def test_unknown_names_beyond_the_first_few_are_counted_as_other(bench: _Bench) -> None:
    """And not logged: whatever X sends, labels and log lines stay few."""
    with capture_logs() as logs:
        bench.happen.drifted({}, {f"f{number}": 1 for number in range(MOST_NAMES + 5)})
    assert len(logs) == MOST_NAMES
    value = bench.metrics.registry.get_sample_value
    assert value(f"{NAMESPACE}_unknown_fields_total", {"stream": "user", "field": "other"}) == 5
