"""What a scrape shows of batch runs and gaps."""

from connector.telemetry.batch_runs import DoneRun, LastRuns, Outcome
from connector.telemetry.gauges import BatchCollector
from connector.telemetry.status import ServiceStatus, Statuses


def _samples(status: ServiceStatus, now_s: float = 5000.0) -> dict[tuple[str, ...], float]:
    """Return the samples, by name without its prefix and label values."""
    families = BatchCollector(status, lambda: now_s).collect()
    return {
        (sample.name.removeprefix("compliance_connector_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def _status() -> ServiceStatus:
    return ServiceStatus(Statuses(()), 1, None, 0)


def test_nothing_is_shown_of_topics_that_could_not_be_read() -> None:
    """Stale metrics are worse than none."""
    assert _samples(_status()) == {}


def test_topics_without_records_have_gaps_of_age_zero_and_no_runs() -> None:
    """No gap is known to be open, while of a type without a run there is nothing to say."""
    status = _status()
    status.last_runs, status.oldest_gaps = {}, {"tweet": None, "user": None}
    assert _samples(status) == {
        ("gap_unreconciled_age_seconds", "tweet"): 0.0,
        ("gap_unreconciled_age_seconds", "user"): 0.0,
    }


def test_age_of_a_gap_grows_between_two_looks() -> None:
    """By this host's clock, and never below 0: the record may be of a host whose clock is ahead."""
    status = _status()
    status.oldest_gaps = {"tweet": 1_000_000, "user": 9_000_000}
    for now_s, tweet_s in ((5000.0, 4000.0), (5030.0, 4030.0)):
        samples = _samples(status, now_s)
        assert samples["gap_unreconciled_age_seconds", "tweet"] == tweet_s
        assert samples["gap_unreconciled_age_seconds", "user"] == 0.0


def test_runs_are_shown_by_type() -> None:
    """A type without a run that is done has neither a time nor ids."""
    status = _status()
    done = DoneRun(1_500_000, {outcome: place for place, outcome in enumerate(Outcome)})
    status.last_runs = {
        "tweets": LastRuns(has_failed=False, done=done),
        "users": LastRuns(has_failed=True, done=None),
    }
    ids = {("batch_last_done_ids", "tweets", outcome.value): float(count) for outcome, count in done.ids.items()}
    assert _samples(status) == ids | {
        ("batch_last_run_failed", "tweets"): 0.0,
        ("batch_last_run_failed", "users"): 1.0,
        ("batch_last_done_timestamp_seconds", "tweets"): 1500.0,
    }
