"""docs/platforms.md: each block of settings is taken by our code and by librdkafka, and its figures are the code's."""

import json
import os
import re
from pathlib import Path

import pytest

from connector.configuration import load_settings
from connector.kafka.clients import try_properties
from connector.kafka.topics import MESSAGE_MAX_BYTES, topic_specs
from connector.settings import KafkaSettings, Settings
from tests.rig.certificates import write_certificates
from tests.unit.docs.tables import ROOT

_PAGE = (ROOT / "docs/platforms.md").read_text(encoding="utf-8")
_BLOCKS = [
    dict(line.split("=", 1) for line in block.splitlines())
    for block in re.findall(r"```properties\n(.*?)```", _PAGE, re.DOTALL)
]
_OTHERS = {"CONNECTOR_KAFKA__BOOTSTRAP_SERVERS": "kafka:9092", "CONNECTOR_SCHEMA_REGISTRY__URL": "http://registry:8080"}
_PROPERTIES = {"sasl.oauthbearer.client.id": "connector", "sasl.oauthbearer.client.secret": "hush-hush"}
"""What the file of properties holds by docs/deploy.md, but for what the block itself has."""


@pytest.mark.parametrize("block", _BLOCKS, ids=lambda block: next(iter(block.values())))
def test_block_is_taken_by_the_settings_and_by_librdkafka(
    block: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With files in place of those that are mounted."""
    for name in list(os.environ):
        if name.startswith("CONNECTOR_"):
            monkeypatch.delenv(name)
    write_certificates(tmp_path / "tls", [])
    secret, properties = tmp_path / "secret", tmp_path / "properties"
    secret.write_text("hush-hush")
    properties.write_text(json.dumps(_PROPERTIES))
    files = {"CA_FILE": tmp_path / "tls" / "ca.pem", "PROPERTIES_FILE": properties, "PASSWORD_FILE": secret}
    for name, value in (_OTHERS | block).items():
        mounted = [str(path) for end, path in files.items() if name.endswith(end)]
        monkeypatch.setenv(name, mounted[0] if mounted else value)
    settings = load_settings(Settings)
    try_properties(settings.kafka, settings.pipeline.session_timeout_ms)


def test_every_platform_has_a_block_or_a_reason() -> None:
    """There are blocks to load at all; each for a broker names its protocol."""
    assert len(_BLOCKS) == 7
    for block in _BLOCKS:
        if "CONNECTOR_KAFKA__BOOTSTRAP_SERVERS" in block:
            assert block["CONNECTOR_KAFKA__SECURITY_PROTOCOL"] == "SASL_SSL"


def test_figures_of_what_kafka_must_be_able_to_do_are_the_codes() -> None:
    """How many topics and partitions there are, and how large a record may be."""
    specs = topic_specs(KafkaSettings(bootstrap_servers="kafka:9092"))
    assert f"{len(specs)} topics with {sum(spec.partitions for spec in specs)} partitions" in _PAGE
    assert f"records of {MESSAGE_MAX_BYTES // 1024**2} MiB" in _PAGE
