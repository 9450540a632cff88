"""What the status shows of a stream partition: its state, its connection and plan, its errors, coverage and gaps."""

from functools import partial

import pytest
from structlog.testing import capture_logs

from connector.coverage.gap import Gap, GapCause
from connector.coverage.messages import EndReason
from connector.coverage.plan import Live, Replay
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.kafka.ledger import first_entry
from connector.kafka.restore import OffsetEntry, Restored
from connector.quoting import keep_secret
from connector.source.connect_limiter import WaitReason
from connector.telemetry.status import State
from tests.unit.telemetry.partition_bench import Bench

_RESTORED = Restored([OffsetEntry(7, first_entry(StreamPartition("user", 3), "w", US_PER_S))], 0, 9)


def test_life_of_a_partition_is_shown_state_by_state(bench: Bench) -> None:
    """And logged at INFO, each with stream and partition."""
    states = []
    with capture_logs() as logs:
        bench = Bench()
        for report in (
            bench.telemetry.assigned,
            lambda: bench.telemetry.found_new(0, 4),
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


def test_failed_connect_is_shown_with_its_time_and_the_next_attempt_until_that_is_made(bench: Bench) -> None:
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


@pytest.mark.parametrize("reason", WaitReason)
def test_wait_for_a_permit_is_counted_in_seconds_and_shown_until_it_ends(bench: Bench, reason: WaitReason) -> None:
    """A counter sees what happens between two scrapes."""
    for _ in range(3):
        bench.telemetry.waiting_to_connect(reason, 30.0, 1.0)
    shown = bench.status.as_json()
    assert (shown["waits_for"], shown["next_attempt"] is not None) == (reason.value, True)
    assert bench.count("connect_wait_seconds", reason=reason.value) == 3
    bench.telemetry.connected(Live(0), 0)
    assert (bench.status.waits_for, bench.status.next_attempt_us) == (None, None)


def test_wait_ends_with_a_failed_attempt_too(bench: Bench) -> None:
    """The next one comes after a back-off, not for want of a permit."""
    bench.telemetry.waiting_to_connect(WaitReason.CONNECT_BUDGET, None, 1.0)
    assert bench.status.next_attempt_us is None
    bench.telemetry.connect_failed("network", "down", 5.0)
    assert (bench.status.waits_for, bench.status.next_attempt_us is not None) == (None, True)


def test_wait_whose_reason_is_over_counts_for_none(bench: Bench) -> None:
    """The permit comes with the next try."""
    bench.telemetry.waiting_to_connect(None, None, 1.0)
    assert [bench.count("connect_wait_seconds", reason=reason.value) for reason in WaitReason] == [0] * len(WaitReason)
    assert bench.status.waits_for is None


def test_status_as_json_shows_instants_as_text(bench: Bench) -> None:
    """Or null, and absurd ones as numbers."""
    bench.status.covered_until_us = 1_656_373_781 * US_PER_S
    bench.status.next_attempt_us = 10**23
    shown = bench.status.as_json()
    assert shown["covered_until"] == "2022-06-27T23:49:41.000000Z"
    assert shown["next_attempt"] == str(10**23)
    assert shown["last_byte"] is None
    assert shown["state"] == "not-owned"


def test_plan_of_the_connection_is_shown_while_it_lasts(bench: Bench) -> None:
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


def test_end_of_a_connection_is_shown_with_its_reason_and_time(bench: Bench) -> None:
    """Attempts that X grants and cuts leave no error."""
    bench.telemetry.disconnected(EndReason.NETWORK, 5)
    shown = bench.status.as_json()
    assert (shown["last_end"], shown["last_error"]) == ("network", None)
    assert shown["last_end_at"] is not None


def test_partition_that_waits_or_stopped_reads_nothing(bench: Bench) -> None:
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


def test_unexpected_exception_is_shown_without_secrets(bench: Bench) -> None:
    """A library may quote what it was given."""
    keep_secret("a kind", "hush-hush")
    bench.telemetry.failed(RuntimeError("no hush-hush"))
    assert bench.status.last_error == "RuntimeError: no [secret]"


@pytest.mark.slow
def test_next_life_is_shown_as_the_next_attempt(bench: Bench) -> None:
    """As the next connect is."""
    bench.telemetry.waiting(6.0)
    assert bench.status.next_attempt_us is not None


def test_watermark_is_shown_once_prepared_and_coverage_once_committed(bench: Bench) -> None:
    """They are apart while Kafka does not answer."""
    bench.telemetry.prepared(9)
    bench.committed(covered_until_us=8, known_ids=4)
    assert (bench.status.watermark_us, bench.status.covered_until_us) == (9, 8)
    assert bench.status.known_ids == 4


def test_gap_is_shown_until_the_partition_is_released(bench: Bench) -> None:
    """How many there are, and the latest with its bounds, state and cause."""
    bench.telemetry.gap_recorded(Gap(0, 1, GapCause.REPLAY_REFUSED))
    bench.telemetry.gap_recorded(Gap(0, 90 * US_PER_S, GapCause.OUTAGE_TOO_LONG))
    assert (bench.status.gaps_recorded, bench.status.last_gap) == (
        2,
        "1970-01-01T00:00:00.000000Z to 1970-01-01T00:01:30.000000Z: lost, outage-too-long",
    )
