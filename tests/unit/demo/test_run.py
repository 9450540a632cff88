"""The demo is not led astray by what the shell happens to hold."""

import pytest
from pydantic import SecretStr

from connector.demo.run import TROUBLES, DemoSettings
from connector.settings import KafkaSettings, SchemaRegistrySettings, XAccessSettings


def test_settings_from_the_environment_do_not_reach_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even those that cannot be read."""
    monkeypatch.setenv("CONNECTOR_HTTP__PORT", "9999")
    monkeypatch.setenv("CONNECTOR_PIPELINE", "{")
    monkeypatch.setenv("CONNECTOR_KAFKA__SECURITY_PROTOCOL", "SASL_SSL")
    settings = DemoSettings(
        x=XAccessSettings(bearer_token=SecretStr("t")),
        kafka=KafkaSettings(bootstrap_servers="localhost:1"),
        schema_registry=SchemaRegistrySettings(url="http://localhost:1"),
    )
    assert (settings.http.port, settings.kafka.security_protocol) == (8080, "PLAINTEXT")


def test_troubles_come_in_the_order_of_their_time_and_each_kind_once() -> None:
    """How often a kind fired tells whether the trouble happened."""
    moments = [trouble.at for trouble in TROUBLES]
    assert moments == sorted(moments)
    assert len({trouble.fault.kind for trouble in TROUBLES}) == len(TROUBLES)
