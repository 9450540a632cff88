"""`docs/asyncapi.yaml` says what the connector does: every public topic, and nothing that the code does not say."""

import re
from typing import Any

import yaml

from connector.kafka.records import cloud_event
from connector.kafka.topics import topic_specs
from tests.unit.docs.asyncapi import NAMES, PATH, SETTINGS, text
from tests.unit.docs.tables import ROOT

DOCUMENT: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
_PRIVATE = {NAMES.ledger, NAMES.batch_ledger, NAMES.schema_id}


def _address(channel: dict[str, Any]) -> str:
    return str(channel["address"]).replace("{prefix}", NAMES.prefix)


def _is_public(topic: str) -> bool:
    return topic not in _PRIVATE and not topic.startswith(f"{NAMES.prefix}-owner-")


def test_document_is_what_the_code_makes_of_it() -> None:
    """`python -m tests.unit.docs.tables` would change nothing."""
    assert PATH.read_text(encoding="utf-8") == text()


def test_channels_are_the_public_topics() -> None:
    """All that are provisioned but those that the contract calls the connector's own affair."""
    topics = [spec.name for spec in topic_specs(SETTINGS) if _is_public(spec.name)]
    assert sorted(map(_address, DOCUMENT["channels"].values())) == sorted(topics)
    contract = (ROOT / "docs/contract.md").read_text(encoding="utf-8")
    assert all(f"`{topic}`" in contract for topic in topics)


def test_connector_sends_everything_but_holdings() -> None:
    """Each channel has one operation, with all its messages."""
    operations = DOCUMENT["operations"].values()
    channels = {operation["channel"]["$ref"].rpartition("/")[2]: operation for operation in operations}
    assert channels.keys() == DOCUMENT["channels"].keys()
    for name, operation in channels.items():
        assert operation["action"] == ("receive" if name == "holdings" else "send")
        assert len(operation["messages"]) == len(DOCUMENT["channels"][name]["messages"])


def test_payloads_are_the_schemas_of_the_subjects() -> None:
    """Each Avro topic has the one message whose payload is its schema, framed as the registry's clients frame it."""
    schemas = {topic: schema for topic, schema in NAMES.schemas().items() if _is_public(topic)}
    found = {}
    for channel in DOCUMENT["channels"].values():
        for reference in channel["messages"].values():
            message = DOCUMENT["components"]["messages"][reference["$ref"].rpartition("/")[2]]
            if message["contentType"] == "application/avro":
                assert message["bindings"]["kafka"]["schemaIdPayloadEncoding"] == "confluent"
                found[_address(channel)] = message["payload"]["schema"]
    assert found == {topic: yaml.safe_load(schema.text) for topic, schema in schemas.items()}


def test_headers_are_those_of_the_records() -> None:
    """All that a record has, by their names."""
    headers = DOCUMENT["components"]["schemas"]["cloudEvent"]["properties"]
    record = cloud_event("type", "source", "id", "time", "subject")
    assert headers.keys() == record.keys()
    assert {name: record[name] for name, schema in headers.items() if "const" in schema} == {
        "ce_specversion": "1.0",
        "content-type": "application/avro",
    }


def test_examples_hold_times_as_on_the_wire() -> None:
    """An example for each type of event, whole milliseconds since 1970 in it."""
    messages = DOCUMENT["components"]["messages"]
    examples = {name: message["examples"] for name, message in messages.items() if "examples" in message}
    assert len(examples) == 17
    for name, [example] in examples.items():
        assert example["payload"]["event_type"] == name
        assert re.fullmatch(r"17\d{11}", str(example["payload"]["event_at"]))
