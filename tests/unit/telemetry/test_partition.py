"""What happens to a stream partition is logged and counted at once."""

from collections import Counter
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from connector.coverage.gap import Gap, GapCause, Suspicion
from connector.coverage.messages import EndReason, Verdict
from connector.coverage.plan import Live, Plan, Replay
from connector.coverage.recovery import Refetch
from connector.events.catalog import StreamPartition
from connector.events.identity import ID_BYTES
from connector.events.times import US_PER_S
from connector.kafka.ledger import Mode, first_entry
from connector.kafka.restore import OffsetEntry, Restored
from connector.quoting import keep_secret
from connector.telemetry.delays import Arrival
from connector.telemetry.drift import MOST_NAMES
from connector.telemetry.gauges import NAMESPACE
from connector.telemetry.metrics import RestartCause
from connector.telemetry.partition import PartitionTelemetry
from connector.telemetry.status import PartitionStatus
from connector.x.errors import FailureReason
from tests.unit.telemetry.partition_bench import Bench


@pytest.mark.parametrize(("offset_s", "warnings"), [(5, 0), (-5, 0), (6, 1), (-6, 1)])
def test_clock_that_is_off_is_warned_about(offset_s: int, warnings: int) -> None:
    """In either direction."""
    with capture_logs() as logs:
        Bench().telemetry.connected(Live(0), offset_s * US_PER_S)
    assert [log["event"] for log in logs].count("clock_offset") == warnings


def _reset_row(writer_id: str) -> Restored:
    """Return a ledger that an operator has just reset: coverage had ended 90 s before."""
    last = replace(
        first_entry(StreamPartition("user", 3), writer_id, 100 * US_PER_S), mode=Mode.RESET, ids=b"i" * ID_BYTES
    )
    first = replace(last, covered_until_before_us=10 * US_PER_S)
    return Restored([OffsetEntry(8, first), OffsetEntry(9, replace(last, oldest_offset=8))], 0, 11)


def test_gap_of_a_reset_is_counted_once_by_who_restores_it_before_anything_is_committed() -> None:
    """A life later, or after another assignment, it is known; another reset is not."""
    with capture_logs() as logs:
        bench = Bench()
        bench.telemetry.restored(_reset_row("a"), 2, 100 * US_PER_S, 0.1)
        bench.telemetry.restored(_reset_row("a"), 2, 100 * US_PER_S, 0.1)
        assigned_again = PartitionTelemetry(StreamPartition("user", 3), bench.metrics, bench.status)
        assigned_again.restored(_reset_row("a"), 2, 100 * US_PER_S, 0.1)
    assert bench.count("gap_seconds", state="lost", cause="ledger-reset") == 90
    assert bench.count("gaps", state="lost", cause="ledger-reset") == 1
    events = [(log["event"], log["log_level"]) for log in logs if log["event"] != "partition_restored"]
    assert events == [("ledger_was_reset", "warning"), ("gap_recorded", "error")]
    bench.telemetry.restored(_reset_row("b"), 2, 100 * US_PER_S, 0.1)
    assert bench.count("gap_seconds", state="lost", cause="ledger-reset") == 180


def test_gap_of_a_reset_is_not_counted_once_something_is_committed_behind_it(bench: Bench) -> None:
    """Another process has counted it, or this one before a restart."""
    reset = _reset_row("a")
    newest = replace(reset.placed[-1].entry, mode=Mode.LIVE, entry=1, writer_id="c", ids=b"")
    bench.telemetry.restored(Restored([*reset.placed, OffsetEntry(11, newest)], 0, 13), 2, 100 * US_PER_S, 0.1)
    assert bench.count("gaps", state="lost", cause="ledger-reset") == 0


def test_bytes_are_counted_though_nothing_is_committed(bench: Bench) -> None:
    """As when Kafka is away."""
    bench.telemetry.read(100, 7)
    bench.telemetry.read(11, 8)
    assert bench.count("received_bytes") == 111
    assert bench.status.last_byte_us == 8


def test_dead_letters_of_a_transaction_are_one_warning_a_reason(bench: Bench) -> None:
    """Not one a line."""
    with capture_logs() as logs:
        bench = Bench()
        bench.committed(dead_lettered=Counter({"not-json": 900, "too-long": 1}))
    assert [(log["reason"], log["count"]) for log in logs] == [("not-json", 900), ("too-long", 1)]
    assert bench.count("lines_dead_lettered", reason="not-json") == 900


def test_tail_is_counted_only_where_there_was_one(bench: Bench) -> None:
    """An end between two lines cuts nothing off."""
    bench.telemetry.disconnected(EndReason.CLOSED, 0)
    bench.telemetry.disconnected(EndReason.NETWORK, 5)
    assert bench.count("truncated_tails") == 1
    assert (bench.count("disconnects", reason="closed"), bench.count("disconnects", reason="network")) == (1, 1)


@pytest.mark.slow
def test_what_needs_a_human_is_an_error() -> None:
    """A gap, a suspected gap, a ledger that cannot be trusted, and an unexpected exception."""
    with capture_logs() as logs:
        bench = Bench()
        bench.telemetry.gap_recorded(Gap(0, 90 * US_PER_S, GapCause.REPLAY_REFUSED))
        bench.telemetry.gap_recorded(Gap(0, 7 * US_PER_S, GapCause.REPLAY_UNCONFIRMED))
        bench.telemetry.corrupt("bad")
        bench.telemetry.failed(RuntimeError("r"))
        bench.telemetry.restarting(RestartCause.FENCED, "f")
        bench.telemetry.system_message("SlowReader", "slow")
    levels = [(log["event"], log["log_level"]) for log in logs]
    assert levels == [
        ("gap_recorded", "error"),
        ("gap_suspected", "error"),
        ("ledger_corrupt", "error"),
        ("unexpected_error", "error"),
        ("partition_restarting", "warning"),
        ("system_message", "warning"),
    ]
    assert bench.count("gap_seconds", state="lost", cause="replay-refused") == 90
    assert bench.count("gap_seconds", state="suspected", cause="replay-unconfirmed") == 7
    assert bench.count("unexpected_errors") == bench.count("system_messages") == 1
    assert bench.count("partition_restarts", cause="fenced") == 1
    assert bench.status.last_error == "SlowReader: slow"


def test_repeated_secret_is_counted_by_the_line_and_logged_once_in_a_while() -> None:
    """It may come with every line."""
    with capture_logs() as logs:
        bench = Bench()
        bench.telemetry.secrets_hidden(2)
        bench.telemetry.secrets_hidden(3)
    assert [(log["event"], log["log_level"], log["lines"]) for log in logs] == [("secret_repeated", "error", 2)]
    assert bench.count("lines_with_secret") == 5


def test_refetch_is_counted_and_logged_with_its_bounds() -> None:
    """Odd, but nothing is lost: the range is asked for once more."""
    with capture_logs() as logs:
        bench = Bench()
        bench.telemetry.range_refetched(Refetch(0, 60 * US_PER_S, Suspicion.REPLAY_INCOMPLETE))
    assert [(log["event"], log["suspicion"], log["start"], log["end"], log["log_level"]) for log in logs] == [
        (
            "range_refetched",
            "replay-incomplete",
            "1970-01-01T00:00:00.000000Z",
            "1970-01-01T00:01:00.000000Z",
            "warning",
        )
    ]
    counts = {suspicion.value: bench.count("refetches", suspicion=suspicion.value) for suspicion in Suspicion}
    assert {suspicion for suspicion, count in counts.items() if count} == {"replay-incomplete"}


@pytest.mark.parametrize("cause", GapCause)
def test_gap_is_logged_and_counted_by_what_it_means(cause: GapCause) -> None:
    """A suspected gap has an event of its own, for each cause."""
    with capture_logs() as logs:
        bench = Bench()
        bench.telemetry.gap_recorded(gap := Gap(0, US_PER_S, cause))
    event = {"lost": "gap_recorded", "suspected": "gap_suspected"}[gap.state.value]
    assert [(log["event"], log["cause"]) for log in logs] == [(event, cause.value)]
    assert bench.count("gaps", state=gap.state.value, cause=cause.value) == 1


@pytest.mark.parametrize(("plan", "kind"), [(Live(3), "backfill"), (Replay(0, 900 * US_PER_S), "replay")])
def test_refused_plan_is_counted_by_what_follows(plan: Plan, kind: str) -> None:
    """Asked again the first time, believed the second."""
    with capture_logs() as logs:
        bench = Bench()
        bench.telemetry.plan_refused(plan, "not in the contract", is_believed=False)
        bench.telemetry.plan_refused(plan, "not in the contract", is_believed=True)
    assert [(log["event"], log["log_level"], log["is_believed"]) for log in logs] == [
        ("plan_refused", "warning", False),
        ("plan_refused", "warning", True),
    ]
    counts = [bench.count("plans_refused", plan=kind, outcome=outcome) for outcome in ("retried", "believed")]
    assert counts == [1, 1]


@pytest.mark.parametrize("reason", FailureReason)
def test_answer_that_x_does_not_give_has_an_event_of_its_own(reason: FailureReason) -> None:
    """And every failure is counted by its reason. Nothing is lost yet: an alert calls a person, not the level."""
    with capture_logs() as logs:
        bench = Bench()
        bench.telemetry.connect_failed(reason.value, "<html>", 5.0)
    is_foreign = reason.value in {"not-a-stream", "foreign-answer"}
    assert [(log["event"], log["log_level"], log["reason"], log["next_attempt_s"]) for log in logs] == [
        ("foreign_answer" if is_foreign else "connect_failed", "warning", reason.value, 5.0)
    ]
    assert bench.count("connect_failures", reason=reason.value) == 1


def test_start_that_fails_is_counted_logged_and_shown() -> None:
    """Before its state is restored, so there is nothing to give up."""
    with capture_logs() as logs:
        bench = Bench()
        bench.telemetry.start_failed("_TRANSPORT: no broker")
    assert [(log["event"], log["log_level"]) for log in logs] == [("partition_start_failed", "warning")]
    assert bench.count("start_failures") == 1
    assert bench.status.last_error == "_TRANSPORT: no broker"


@pytest.mark.parametrize("cause", RestartCause)
def test_restart_is_counted_by_its_cause_logged_and_shown(cause: RestartCause) -> None:
    """Of the stream partition alone: what the others have committed is theirs."""
    with capture_logs() as logs:
        bench = Bench()
        bench.telemetry.restarting(cause, "the next entry stands at 9")
    assert [(log["event"], log["log_level"], log["cause"], log["detail"]) for log in logs] == [
        ("partition_restarting", "warning", cause.value, "the next entry stands at 9")
    ]
    assert {(log["stream"], log["partition"]) for log in logs} == {("user", 3)}
    assert {each: bench.count("partition_restarts", cause=each.value) for each in RestartCause} == {
        each: each is cause for each in RestartCause
    }
    assert bench.status.last_error == "the next entry stands at 9"


def test_connection_with_a_backfill_is_counted_as_one(bench: Bench) -> None:
    """A replay and a plain live connection are none."""
    for plan in (Live(0), Live(3), Replay(0, 900 * US_PER_S)):
        bench.telemetry.connected(plan, 0)
    assert (bench.count("connects"), bench.count("backfills")) == (3, 1)


def test_replay_slice_is_counted_by_how_it_ended(bench: Bench) -> None:
    """By verdict."""
    for verdict in (Verdict.WHOLE, Verdict.INTERRUPTED, Verdict.WHOLE):
        bench.telemetry.slice_ended(verdict)
    counts = {verdict.value: bench.count("replay_slices", verdict=verdict.value) for verdict in Verdict}
    assert {verdict: count for verdict, count in counts.items() if count} == {"whole": 2, "interrupted": 1}


@pytest.mark.parametrize("step_s", [-600, -30, 30, 600])
def test_wall_clock_that_steps_under_a_connection_delays_nothing(bench: Bench, step_s: int) -> None:
    """Delays are by X's time and the monotonic clock, wherever the wall clock moves meanwhile."""
    at_us, received_us = 1_000_000 * US_PER_S, 77 * US_PER_S
    partition, wall_us = StreamPartition("user", 3), at_us + step_s * US_PER_S
    bench.telemetry = PartitionTelemetry(partition, bench.metrics, bench.status, lambda: wall_us)
    bench.telemetry.read(10, at_us)
    bench.committed(
        arrivals=[Arrival(at_us, received_us, [at_us - 3 * US_PER_S], is_live=True)],
        committed_at_us=received_us + 2 * US_PER_S,
    )
    delays = bench.metrics.delays[partition]
    assert delays.event_to_received.read().sum_s == pytest.approx(3.0)
    assert delays.received_to_committed.read().sum_s == pytest.approx(2.0)
    assert delays.event_to_committed.read().sum_s == pytest.approx(5.0)
    assert bench.status.last_event_us == at_us


def test_unknown_names_are_shown_without_secrets(bench: Bench) -> None:
    """X chooses them, and a short secret is not hidden in lines."""
    keep_secret("a kind", "hush-hush")
    with capture_logs() as logs:
        bench.telemetry.drifted({"no-hush-hush": 1}, {"hush-hush": 1})
    assert "hush" not in str(logs)
    assert "hush" not in str(list(bench.metrics.registry.collect()))


def test_unknown_names_are_counted_each_and_logged_once(bench: Bench) -> None:
    """Over all partitions of the stream; another stream has names of its own."""
    other = PartitionTelemetry(StreamPartition("user", 1), bench.metrics, PartitionStatus())
    with capture_logs() as logs:
        for telemetry in (bench.telemetry, other, bench.telemetry):
            telemetry.drifted({"user_merge": 2}, {"user.why": 3})
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


def test_unknown_names_beyond_the_first_few_are_counted_as_other(bench: Bench) -> None:
    """And not logged: labels and log lines stay few."""
    with capture_logs() as logs:
        bench.telemetry.drifted({}, {f"f{number}": 1 for number in range(MOST_NAMES + 5)})
    assert len(logs) == MOST_NAMES
    value = bench.metrics.registry.get_sample_value
    assert value(f"{NAMESPACE}_unknown_fields_total", {"stream": "user", "field": "other"}) == 5
