"""The text of a scrape: written ahead, and none when it is old."""

from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from connector.telemetry.exposition import STALE_S, Exposition
from tests.rig.process import wait_until


class _Bench:
    """A registry, its text, and a clock."""

    def __init__(self, interval_s: float = 60.0) -> None:
        self.registry = CollectorRegistry()
        self.things = Counter("things", "Things.", registry=self.registry)
        self.now_s = 100.0
        self.errors: list[Exception] = []
        self.exposition = Exposition(self.registry, self.errors.append, lambda: self.now_s, interval_s)

    def shown(self) -> float:
        """Return the counter in the text."""
        text = self.exposition.text()
        assert text is not None
        return next(iter(text_string_to_metric_families(text.decode()))).samples[0].value


class _Broken(Collector):
    """Cannot be collected."""

    is_broken = False

    def collect(self) -> Iterable[Metric]:
        """Raise."""
        if self.is_broken:
            raise RuntimeError("broken")
        return ()


@pytest.fixture
def bench() -> _Bench:
    """Give a registry with one counter."""
    return _Bench()


def test_text_is_that_of_the_latest_writing(bench: _Bench) -> None:
    """What happens later shows at the next."""
    bench.exposition.write()
    bench.things.inc()
    assert bench.shown() == 0
    bench.exposition.write()
    assert bench.shown() == 1


def test_text_that_is_too_old_or_not_written_yet_is_none(bench: _Bench) -> None:
    """Better no numbers than false ones."""
    assert bench.exposition.text() is None
    bench.exposition.write()
    bench.now_s += STALE_S
    assert bench.exposition.text() is not None
    bench.now_s += 0.1
    assert bench.exposition.text() is None


def test_trouble_is_reported_and_the_text_before_stays(bench: _Bench) -> None:
    """Until that is too old."""
    broken = _Broken()
    bench.registry.register(broken)
    bench.exposition.write()
    broken.is_broken = True
    bench.things.inc()
    bench.exposition.write()
    assert [str(error) for error in bench.errors] == ["broken"]
    assert bench.shown() == 0


def test_text_is_there_at_once_and_then_written_again_and_again() -> None:
    """By a thread, for as long as the `with` lasts."""
    bench = _Bench(interval_s=0.01)
    with bench.exposition:
        assert bench.shown() == 0
        bench.things.inc()
        wait_until(lambda: bench.shown() == 1, "the text is written again")
