"""The tables: a row for each measurement, ratios taken within a round."""

from collections.abc import Mapping

import pytest

from benchmarks.latency import Latency
from benchmarks.report import Comparison, Machine, Results, Round, as_table
from benchmarks.scale import CatchUp, Restore
from benchmarks.sweep import Sweep, as_sweep_table
from benchmarks.watch import ITSELF, Pace

_MACHINE = Machine("Processor", 2, "3.11")
_LATENCY = Latency(
    rate=6000,
    events=10,
    received_to_committed_ms={"p50": 150.4, "p99": 250.0, "p99.9": 300.0},
    cpu_cores=0.2,
    kafka_cpu_cores=0.41,
    bytes_a_record=81.7,
    rss_bytes=(0, 0),
    ids_known=0,
)


def _pace(events_per_s: float, cpu_us: float) -> Pace:
    return Pace(events_per_s, {ITSELF: cpu_us}, 0.0)


def _round(connector: Pace, scripts: Mapping[str, Pace]) -> Round:
    compared = Comparison(connector, scripts)
    return Round(compared, compared, compared, connector, 1e6, 1e6, {"encode": 1.0})


def _table(*rounds: Round) -> dict[str, str]:
    """Return the table's values by figure."""
    text = as_table(
        Results(
            machine=_MACHINE,
            seconds=1.0,
            events_a_round=10,
            rounds=rounds,
            latencies=[_LATENCY],
            replicas={1: 1.0},
            memory_bytes={0: 0, 1: 1},
            restores=[Restore(45_000, 0.07), Restore(450_000, 0.225), Restore(9_000_000, 4.5, partitions=10)],
            catch_up=CatchUp(3600, 4_000_000, 80.0, verify_s=60.0),
        )
    )
    return dict(line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| "))


def test_table_has_the_median_of_the_ratios_of_each_round() -> None:
    """Of each script; a slow minute slows both sides of a ratio."""
    fast, slow, odd = ((_pace(rate, 10), _pace(rate / 2, 40), _pace(rate / 4, 20)) for rate in (100_000, 1_000, 60))
    table = _table(*(_round(one, {"xdk": another, "plain": third}) for one, another, third in (fast, slow, odd)))
    for chunks in ("1 event a chunk", "20 events a chunk", "on one core, 20 a chunk"):
        assert table[f"connector against xdk script, {chunks}"] == "2.00 by events/s, 4.00 by events for the same CPU"
        assert table[f"connector against plain script, {chunks}"] == "4.00 by events/s, 2.00 by events for the same CPU"
        assert table[f"plain script, {chunks}"].startswith("250 events/s, 20.0 µs CPU/event")


def test_table_leaves_out_a_script_that_was_not_measured() -> None:
    """The other one is compared all the same."""
    table = _table(_round(_pace(1, 1), {"plain": _pace(1, 1)}))
    assert "connector against plain script, 1 event a chunk" in table
    assert not [figure for figure in table if "xdk" in figure]


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        ("CPU at 6,000 events/s", "20% of one core"),
        ("Kafka's CPU at 6,000 events/s", "41% of one core"),
        ("bytes on disk a record at 6,000 events/s", "82"),
        ("restore of 45,000 ids", "0.07 s"),
        ("restore of 450,000 ids", "0.23 s, 0.50 s a million"),
        ("restore of 9,000,000 ids, of 10 stream partitions at once", "4.50 s, 0.50 s a million"),
        ("ledger verify of 4,000,000 events", "60.00 s, 15.00 s a million"),
    ],
)
def test_table_tells_the_cost_of_a_steady_rate_and_of_reading_back(figure: str, value: str) -> None:
    """CPU of the connector and of Kafka, disk, and the time per million where the count is large."""
    assert _table(_round(_pace(1, 1), {}))[figure] == value


def test_sweep_table_has_a_row_for_each_setting() -> None:
    """Under what it was measured on, and at which rate."""
    title, _, head, _, row = as_sweep_table(Sweep(_MACHINE, 6000, 30.0, {"compression none": _LATENCY})).splitlines()
    assert title.endswith("Python 3.11; 6,000 events/s for 30 s each")
    assert head == "| setting | CPU of the connector | CPU of Kafka | p50 | p99 | bytes a record |"
    assert row == "| compression none | 20% of one core | 41% of one core | 150 ms | 250 ms | 82 |"
