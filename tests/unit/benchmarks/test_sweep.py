"""The connector accepts every setting that a sweep compares."""

import pytest

from benchmarks.sweep import GRID
from connector.settings import RunSettings
from tests.rig.service import make_config, override


@pytest.mark.parametrize("name", GRID)
def test_settings_of_the_sweep_are_accepted(name: str) -> None:
    """Each is named for what it changes; a sweep of minutes must not end at its last setting."""
    config = make_config("broker:9092", "http://registry", "sweep", "https://x")
    settings = RunSettings.model_validate(override(config, **GRID[name]))
    assert name in {
        f"compression {settings.kafka.compression}",
        f"compression {settings.kafka.compression}, level {settings.kafka.properties.get('compression.level')}",
        f"commit every {settings.pipeline.commit_interval_ms} ms",
        f"gather for {settings.x.gather_interval_ms} ms",
    }
