"""How far back an audit can miss anything: no further than each topic is kept."""

from connector.events.catalog import EVENT_TYPES
from connector.operations.verification import retention_us
from connector.settings import KafkaSettings, SchemaRegistrySettings, Settings, XSettings

_DAY_US = 24 * 3600 * 1_000_000


def test_each_kind_of_record_is_missed_as_long_as_its_topic_keeps_it() -> None:
    """Gaps are kept forever."""
    kafka = KafkaSettings.model_validate(
        {
            "bootstrap_servers": "127.0.0.1:1",
            "retention": {"events_days": 12, "profile_days": 2, "dead_letter_days": 9, "coverage_days": 7},
        }
    )
    settings = Settings(x=XSettings(), kafka=kafka, schema_registry=SchemaRegistrySettings(url="http://127.0.0.1:1"))
    kept = retention_us(settings)
    chosen = ("tweet.delete", "user.delete", "user.profile-modification", "dead-letter", "coverage")
    assert [kept[kind] // _DAY_US for kind in chosen] == [12, 12, 2, 9, 7]
    assert "gap" not in kept
    assert len(kept) == len(EVENT_TYPES) + 3
