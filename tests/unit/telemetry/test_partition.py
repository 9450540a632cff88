"""What happens to a stream partition is logged, counted and shown at once."""

from collections import Counter
from dataclasses import fields, replace
from functools import partial
from typing import Any

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
from connector.source.connect_limiter import WaitReason
from connector.telemetry import partition as partition_module
from connector.telemetry.delays import Arrival
from connector.telemetry.drift import MOST_NAMES
from connector.telemetry.gauges import NAMESPACE
from connector.telemetry.metrics import Metrics, RestartCause
from connector.telemetry.partition import Committed, PartitionTelemetry
from connector.telemetry.status import PartitionStatus, State
from connector.x.errors import FailureReason

_RESTORED = Restored([OffsetEntry(7, first_entry(StreamPartition("user", 3), "w", US_PER_S))], 0, 9)
_WHERE = {"stream": "user", "partition": "3"}


class _Bench:
    """The telemetry of one partition and what they leave behind."""

    def __init__(self) -> None:
        self.metrics, self.status = Metrics(), PartitionStatus()
        self.telemetry = PartitionTelemetry(StreamPartition("user", 3), self.metrics, self.status)

    def count(self, name: str, **labels: str) -> float | None:
        """Return a counter's value."""
        return self.metrics.registry.get_sample_value(f"{NAMESPACE}_{name}_total", {**_WHERE, **labels})

    def committed(self, **figures: Any) -> None:  # noqa: ANN401 - the figures of a transaction
        """Report a transaction."""
        nothing: dict[str, Any] = {field.name: 0 for field in fields(Committed)}
        empty = {"published": Counter(), "dead_lettered": Counter(), "arrivals": (), "mode": "live"}
        self.telemetry.committed(Committed(**{**nothing, **empty, **figures}))


@pytest.fixture
def bench() -> _Bench:
    """Give a partition to which nothing has happened yet."""
    return _Bench()


def test_rejected_token_is_a_warning_as_the_docs_say() -> None:
    """Attempts go on, and nothing is lost yet: an alert calls a person, not the level."""
    with capture_logs() as logs:
        _Bench().telemetry.connect_failed(FailureReason.HTTP_401, "X rejects the token", 60.0)
    assert [(log["event"], log["log_level"]) for log in logs] == [("connect_failed", "warning")]


def test_life_of_a_partition_is_shown_state_by_state(bench: _Bench) -> None:
    """And logged at INFO, each with stream and partition."""
    states = []
    with capture_logs() as logs:
        bench = _Bench()
        for report in (
            bench.telemetry.assigned,
            lambda: bench.telemetry.is_new(0, 4),
            lambda: bench.telemetry.restored(_RESTORED, 2, 5 * US_PER_S, 0.1),
            lambda: bench.telemetry.waiting(6.0),
            lambda: bench.telemetry.restored(_RESTORED, 2, 6 * US_PER_S, 0.1),
            bench.telemetry.released,
        ):
            report()
            states.append(bench.status.state)
    restoring, running = State.RESTORING, State.RUNNING
    assert states == [restoring, restoring, running, State.WAITING, running, State.NOT_OWNED]
    assert {(log["log_level"], log["stream"], log["partition"]) for log in logs} == {("info", "user", 3)}
    assert bench.status.covered_until_us == 6 * US_PER_S


def test_failed_connect_is_shown_with_its_time_and_the_next_attempt_until_that_is_made(bench: _Bench) -> None:
    """What X said stays, for a later look."""
    bench.telemetry.connect_failed("http-401", "rejected", 60.0)
    assert bench.count("connect_failures", reason="http-401") == 1
    shown = bench.status.as_json()
    assert shown["last_error"] == "rejected"
    assert shown["next_attempt"] is not None
    bench.telemetry.connected(Live(0), 0)
    assert bench.count("connects") == 1
    shown = bench.status.as_json()
    assert (shown["last_error"], shown["next_attempt"]) == ("rejected", None)
    assert shown["last_error_at"] is not None


@pytest.mark.parametrize(("offset_s", "warnings"), [(5, 0), (-5, 0), (6, 1), (-6, 1)])
def test_clock_that_is_off_is_warned_about(offset_s: int, warnings: int) -> None:
    """In either direction."""
    with capture_logs() as logs:
        _Bench().telemetry.connected(Live(0), offset_s * US_PER_S)
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
        bench = _Bench()
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


def test_gap_of_a_reset_is_not_counted_once_something_is_committed_behind_it(bench: _Bench) -> None:
    """Another process has counted it, or this one before a restart."""
    reset = _reset_row("a")
    newest = replace(reset.placed[-1].entry, mode=Mode.LIVE, entry=1, writer_id="c", ids=b"")
    bench.telemetry.restored(Restored([*reset.placed, OffsetEntry(11, newest)], 0, 13), 2, 100 * US_PER_S, 0.1)
    assert bench.count("gaps", state="lost", cause="ledger-reset") == 0


def test_bytes_are_counted_though_nothing_is_committed(bench: _Bench) -> None:
    """As when Kafka is away."""
    bench.telemetry.read(100, 7)
    bench.telemetry.read(11, 8)
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
    bench.telemetry.disconnected(EndReason.CLOSED, 0)
    bench.telemetry.disconnected(EndReason.NETWORK, 5)
    assert bench.count("truncated_tails") == 1
    assert (bench.count("disconnects", reason="closed"), bench.count("disconnects", reason="network")) == (1, 1)


def test_what_needs_a_human_is_an_error() -> None:
    """A gap, a suspected gap, a ledger that cannot be trusted, and an unexpected exception."""
    with capture_logs() as logs:
        bench = _Bench()
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
        bench = _Bench()
        bench.telemetry.secrets_hidden(2)
        bench.telemetry.secrets_hidden(3)
    assert [(log["event"], log["log_level"], log["lines"]) for log in logs] == [("secret_repeated", "error", 2)]
    assert bench.count("lines_with_secret") == 5


def test_refetch_is_counted_and_logged_with_its_bounds() -> None:
    """Odd, but nothing is lost: the range is asked for once more."""
    with capture_logs() as logs:
        bench = _Bench()
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
        bench = _Bench()
        bench.telemetry.gap_recorded(gap := Gap(0, US_PER_S, cause))
    event = {"lost": "gap_recorded", "suspected": "gap_suspected"}[gap.state.value]
    assert [(log["event"], log["cause"]) for log in logs] == [(event, cause.value)]
    assert bench.count("gaps", state=gap.state.value, cause=cause.value) == 1


@pytest.mark.parametrize(("plan", "kind"), [(Live(3), "backfill"), (Replay(0, 900 * US_PER_S), "replay")])
def test_refused_plan_is_counted_by_what_follows(plan: Plan, kind: str) -> None:
    """Asked again the first time, believed the second."""
    with capture_logs() as logs:
        bench = _Bench()
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
    """And every failure is counted by its reason."""
    with capture_logs() as logs:
        bench = _Bench()
        bench.telemetry.connect_failed(reason.value, "<html>", 5.0)
    is_foreign = reason.value in {"not-a-stream", "foreign-answer"}
    assert [(log["event"], log["reason"], log["next_attempt_s"]) for log in logs] == [
        ("foreign_answer" if is_foreign else "connect_failed", reason.value, 5.0)
    ]
    assert bench.count("connect_failures", reason=reason.value) == 1


@pytest.mark.parametrize("reason", WaitReason)
def test_wait_for_a_permit_is_counted_in_seconds_and_shown_until_it_ends(bench: _Bench, reason: WaitReason) -> None:
    """A counter sees what happens between two scrapes."""
    for _ in range(3):
        bench.telemetry.waiting_to_connect(reason, 30.0, 1.0)
    shown = bench.status.as_json()
    assert (shown["waits_for"], shown["next_attempt"] is not None) == (reason.value, True)
    assert bench.count("connect_wait_seconds", reason=reason.value) == 3
    bench.telemetry.connected(Live(0), 0)
    assert (bench.status.waits_for, bench.status.next_attempt_us) == (None, None)


def test_wait_ends_with_a_failed_attempt_too(bench: _Bench) -> None:
    """The next one comes after a back-off, not for want of a permit."""
    bench.telemetry.waiting_to_connect(WaitReason.CONNECT_BUDGET, None, 1.0)
    assert bench.status.next_attempt_us is None
    bench.telemetry.connect_failed("network", "down", 5.0)
    assert (bench.status.waits_for, bench.status.next_attempt_us is not None) == (None, True)


def test_wait_whose_reason_is_over_counts_for_none(bench: _Bench) -> None:
    """The permit comes with the next try."""
    bench.telemetry.waiting_to_connect(None, None, 1.0)
    assert [bench.count("connect_wait_seconds", reason=reason.value) for reason in WaitReason] == [0] * len(WaitReason)
    assert bench.status.waits_for is None


def test_start_that_fails_is_counted_logged_and_shown() -> None:
    """Before its state is restored, so there is nothing to give up."""
    with capture_logs() as logs:
        bench = _Bench()
        bench.telemetry.start_failed("_TRANSPORT: no broker")
    assert [(log["event"], log["log_level"]) for log in logs] == [("partition_start_failed", "warning")]
    assert bench.count("start_failures") == 1
    assert bench.status.last_error == "_TRANSPORT: no broker"


@pytest.mark.parametrize("cause", RestartCause)
def test_restart_is_counted_by_its_cause_logged_and_shown(cause: RestartCause) -> None:
    """Of the stream partition alone: what the others have committed is theirs."""
    with capture_logs() as logs:
        bench = _Bench()
        bench.telemetry.restarting(cause, "the next entry stands at 9")
    assert [(log["event"], log["log_level"], log["cause"], log["detail"]) for log in logs] == [
        ("partition_restarting", "warning", cause.value, "the next entry stands at 9")
    ]
    assert {(log["stream"], log["partition"]) for log in logs} == {("user", 3)}
    assert {each: bench.count("partition_restarts", cause=each.value) for each in RestartCause} == {
        each: each is cause for each in RestartCause
    }
    assert bench.status.last_error == "the next entry stands at 9"


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
        bench.telemetry.connected(plan, 0)
    assert (bench.count("connects"), bench.count("backfills")) == (3, 1)


def test_plan_of_the_connection_is_shown_while_it_lasts(bench: _Bench) -> None:
    """In words."""
    shown = []
    for plan in (Live(0), Live(3), Replay(0, 900 * US_PER_S)):
        bench.telemetry.connected(plan, 0)
        shown.append(bench.status.plan)
    bench.telemetry.disconnected(EndReason.CLOSED, 0)
    assert [*shown, bench.status.plan] == [
        "live",
        "live, 3 min of backfill",
        "replay of 1970-01-01T00:00:00.000000Z to 1970-01-01T00:15:00.000000Z",
        None,
    ]


def test_replay_slice_is_counted_by_how_it_ended(bench: _Bench) -> None:
    """By verdict."""
    for verdict in (Verdict.WHOLE, Verdict.INTERRUPTED, Verdict.WHOLE):
        bench.telemetry.slice_ended(verdict)
    counts = {verdict.value: bench.count("replay_slices", verdict=verdict.value) for verdict in Verdict}
    assert {verdict: count for verdict, count in counts.items() if count} == {"whole": 2, "interrupted": 1}


def test_partition_that_waits_or_stopped_reads_nothing(bench: _Bench) -> None:
    """What it was doing is over; how far it is covered stays true."""
    telemetry = bench.telemetry
    for end in (partial(telemetry.waiting, 6.0), partial(telemetry.corrupt, "bad"), telemetry.released):
        bench.telemetry.restored(_RESTORED, 0, 5, 0.1)
        bench.telemetry.began_to_read(lambda: 77, lambda: True)
        bench.telemetry.connected(Live(0), 0)
        bench.committed(covered_until_us=9)
        assert (bench.status.mode, bench.status.channel_bytes()) == ("live", 77)
        assert bench.status.as_json()["has_own_producer"]
        end()
        assert (bench.status.mode, bench.status.plan, bench.status.channel_bytes()) == ("disconnected", None, 0)
        assert bench.status.covered_until_us == 9
        assert not bench.status.as_json()["has_own_producer"]


def test_unexpected_exception_is_shown_without_secrets(bench: _Bench) -> None:
    """A library may quote what it was given."""
    keep_secret("a kind", "hush-hush")
    bench.telemetry.failed(RuntimeError("no hush-hush"))
    assert bench.status.last_error == "RuntimeError: no [secret]"


def test_next_life_is_shown_as_the_next_attempt(bench: _Bench) -> None:
    """As the next connect is."""
    bench.telemetry.waiting(6.0)
    assert bench.status.next_attempt_us is not None


def test_watermark_is_shown_once_prepared_and_coverage_once_committed(bench: _Bench) -> None:
    """They are apart while Kafka does not answer."""
    bench.telemetry.prepared(9)
    bench.committed(covered_until_us=8, known_ids=4)
    assert (bench.status.watermark_us, bench.status.covered_until_us) == (9, 8)
    assert bench.status.known_ids == 4


def test_gap_is_shown_until_the_partition_is_released(bench: _Bench) -> None:
    """How many there are, and the latest with its bounds, state and cause."""
    bench.telemetry.gap_recorded(Gap(0, 1, GapCause.REPLAY_REFUSED))
    bench.telemetry.gap_recorded(Gap(0, 90 * US_PER_S, GapCause.OUTAGE_TOO_LONG))
    assert (bench.status.gaps_recorded, bench.status.last_gap) == (
        2,
        "1970-01-01T00:00:00.000000Z to 1970-01-01T00:01:30.000000Z: lost, outage-too-long",
    )


@pytest.mark.parametrize("step_s", [-600, -30, 30, 600])
def test_wall_clock_that_steps_under_a_connection_delays_nothing(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch, step_s: int
) -> None:
    """Delays are by X's time and the monotonic clock, wherever the wall clock moves meanwhile."""
    at_us, received_us = 1_000_000 * US_PER_S, 77 * US_PER_S
    monkeypatch.setattr(partition_module, "wall_us", lambda: at_us + step_s * US_PER_S)
    bench.telemetry.read(10, at_us)
    bench.committed(
        arrivals=[Arrival(at_us, received_us, [at_us - 3 * US_PER_S], is_live=True)],
        committed_at_us=received_us + 2 * US_PER_S,
    )
    delays = bench.metrics.delays[StreamPartition("user", 3)]
    assert delays.event_to_received.read().sum_s == pytest.approx(3.0)
    assert delays.received_to_committed.read().sum_s == pytest.approx(2.0)
    assert delays.event_to_committed.read().sum_s == pytest.approx(5.0)
    assert bench.status.last_event_us == at_us


def test_unknown_names_are_shown_without_secrets(bench: _Bench) -> None:
    """X chooses them, and a short secret is not hidden in lines."""
    keep_secret("a kind", "hush-hush")
    with capture_logs() as logs:
        bench.telemetry.drifted({"no-hush-hush": 1}, {"hush-hush": 1})
    assert "hush" not in str(logs)
    assert "hush" not in str(list(bench.metrics.registry.collect()))


def test_unknown_names_are_counted_each_and_logged_once(bench: _Bench) -> None:
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


def test_unknown_names_beyond_the_first_few_are_counted_as_other(bench: _Bench) -> None:
    """And not logged: labels and log lines stay few."""
    with capture_logs() as logs:
        bench.telemetry.drifted({}, {f"f{number}": 1 for number in range(MOST_NAMES + 5)})
    assert len(logs) == MOST_NAMES
    value = bench.metrics.registry.get_sample_value
    assert value(f"{NAMESPACE}_unknown_fields_total", {"stream": "user", "field": "other"}) == 5
