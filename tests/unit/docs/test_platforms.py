"""docs/platforms.md: each block of settings is taken by our code and by librdkafka, and its figures are the code's."""

import json
import os
import re
from pathlib import Path

import pytest

from connector.configuration import describe_settings, load_settings
from connector.kafka.clients import try_properties
from connector.kafka.topics import MESSAGE_MAX_BYTES, topic_specs
from connector.settings import KafkaSettings, Settings, variable_name
from tests.rig.certificates import write_certificates
from tests.rig.documented import documented_values
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


def test_each_variable_of_a_block_has_a_value_of_the_chart() -> None:
    """In the table, which names settings and values that there are."""
    _, _, table = _PAGE.partition("| variable | value |\n")
    rows = [re.findall(r"`(.+?)`", line) for line in table.partition("\n\n")[0].splitlines()[1:]]
    named = {name for row in rows for name in row}
    variables = {name for name in named if name.startswith("CONNECTOR_")}
    assert {name for block in _BLOCKS for name in block} <= variables
    assert variables <= {variable_name(path) for path, _ in describe_settings(Settings)}
    assert named - variables <= {".".join(value.path) for value in documented_values()}


def test_topic_settings_of_the_page_are_those_that_provisioning_sets() -> None:
    """All of them, and no others."""
    _, _, table = _PAGE.partition("| setting | what provisioning sets |\n")
    named = set(re.findall(r"^\| `(.+?)` \|", table.partition("\n\n")[0], re.MULTILINE))
    specs = topic_specs(KafkaSettings(bootstrap_servers="kafka:9092"))
    assert named == {name for spec in specs for name in spec.config}
    shortest = min(int(spec.config["segment.ms"]) for spec in specs if "segment.ms" in spec.config)
    assert f"{shortest / 3_600_000:g} hours is the shortest" in _PAGE
