"""How far back an audit can miss anything: no further than all topics of a stream are kept."""

import pytest

from connector.operations.history import retention_us
from connector.settings import KafkaSettings, SchemaRegistrySettings, Settings, XSettings

_DAY_US = 24 * 3600 * 1_000_000


@pytest.mark.parametrize(("stream", "days"), [("tweet", 9), ("user", 2), ("like", 9)])
def test_what_is_kept_for_the_shortest_time_bounds_the_audit_of_a_stream(stream: str, days: int) -> None:
    """Profile changes are events of the users alone; dead letters come from any stream."""
    kafka = KafkaSettings.model_validate(
        {
            "bootstrap_servers": "127.0.0.1:1",
            "retention": {"events_days": 12, "profile_days": 2, "dead_letter_days": 9},
        }
    )
    settings = Settings(x=XSettings(), kafka=kafka, schema_registry=SchemaRegistrySettings(url="http://127.0.0.1:1"))
    assert retention_us(settings, stream) == days * _DAY_US
