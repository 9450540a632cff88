"""What `docs/asyncapi.yaml` says: the contract as an AsyncAPI document, from the catalog, the schemas and the topics.

The document describes the connector as the application: it sends what the contract promises to readers, and receives
what stores say they hold. Its private topics are not in it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from connector import __version__
from connector.batch.results import DeadReason
from connector.events.batch import BATCH_TYPES, BatchType
from connector.events.catalog import EVENT_TYPES, STREAM_PARTITIONS, EventType
from connector.events.decode import Reason
from connector.events.schemas import BATCH_RUN, COVERAGE, GAP, AvroSchema, batch_schema, event_schema
from connector.kafka.ledger import REPLAYED
from connector.kafka.topics import TopicNames, TopicSpec, topic_specs
from connector.settings import KafkaSettings

Node = dict[str, Any]

PATH = Path(__file__).parents[3] / "docs/asyncapi.yaml"
SETTINGS = KafkaSettings(bootstrap_servers="kafka:9092")
NAMES = TopicNames(SETTINGS.topic_prefix)

_BINDING = {"bindingVersion": "0.5.0"}
_AVRO = "application/vnd.apache.avro;version=1.9.0"
_ID = "[0-9]{1,19}"
_EXAMPLE = re.compile(r"^## (\S+)\n.*?^```json\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ABOUT = """\
The topics of the X compliance connector. The document is about the connector: `send` is what it publishes and you
read, `receive` is what you may write for it. The contract with all rules for readers is docs/contract.md; what each
event asks of you is in docs/events.md.

A value of the content type `application/avro` is Avro in the Confluent wire format: a zero byte, the schema id as 4
bytes (big-endian), then the Avro body of the payload described here. Read with `isolation.level=read_committed`."""
_PREFIX = "What all topics begin with: CONNECTOR_KAFKA__TOPIC_PREFIX."


def document() -> Node:
    """Return the document."""
    channels = dict(_channels())
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "X compliance connector",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/avro",
        "servers": {"kafka": _server()},
        "channels": channels,
        "operations": {
            f"{action}.{name}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{name}"},
                "messages": [{"$ref": f"#/channels/{name}/messages/{message}"} for message in channel["messages"]],
            }
            for name, channel in channels.items()
            for action in ("receive" if name == "holdings" else "send",)
        },
        "components": {
            "parameters": {"prefix": {"description": _PREFIX, "default": SETTINGS.topic_prefix}},
            "schemas": {"cloudEvent": _cloud_event()},
            "messages": dict(_messages()),
        },
    }


def text() -> str:
    """Return the document as it is written."""
    return yaml.dump(document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes every value where it belongs, and text of several lines as such."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - none is wanted
        return True

    def represent_text(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Dumper.add_representer(str, _Dumper.represent_text)


def _server() -> Node:
    return {
        "host": "{brokers}",
        "protocol": "kafka",
        "description": "Your Kafka, and the registry that CONNECTOR_SCHEMA_REGISTRY__URL names.",
        "variables": {
            "brokers": {
                "description": "Brokers to begin with, separated by commas.",
                "default": "kafka:9092",
                "examples": ["kafka-1:9092,kafka-2:9092"],
            }
        },
        "bindings": {
            "kafka": {
                "schemaRegistryUrl": "http://registry:8080/apis/ccompat/v7",
                "schemaRegistryVendor": "confluent",
                **_BINDING,
            }
        },
    }


def _channels() -> Iterator[tuple[str, Node]]:
    """Yield the channel of each public topic by its name, in the order of provisioning."""
    specs = {spec.name: spec for spec in topic_specs(SETTINGS)}
    for event_type in EVENT_TYPES:
        yield _channel(specs[NAMES.event(event_type)], event_type.name, _summary(event_schema(event_type)))
    for batch_type in BATCH_TYPES:
        yield _channel(specs[NAMES.records(batch_type.name)], batch_type.name, _summary(batch_schema(batch_type)))
    for topic, summary, messages in (
        (NAMES.coverage, _summary(COVERAGE), ["coverage"]),
        (NAMES.gap, _summary(GAP), ["gap"]),
        (NAMES.dead_letter, "Lines from X that could not be published.", ["dead-letter", "dead-result", "replayed"]),
        (NAMES.batch_run, _summary(BATCH_RUN), ["batch"]),
        (NAMES.holdings, "The ids that your stores hold, which you may write.", ["holdings"]),
    ):
        yield _channel(specs[topic], topic.removeprefix(f"{NAMES.prefix}-"), summary, messages)


def _channel(spec: TopicSpec, name: str, summary: str, messages: Iterable[str] = ()) -> tuple[str, Node]:
    configuration: Node = {"cleanup.policy": spec.config["cleanup.policy"].split(",")}
    for key in ("retention.ms", "max.message.bytes"):
        if key in spec.config:
            configuration[key] = int(spec.config[key])
    return name, {
        "address": f"{{prefix}}{spec.name.removeprefix(NAMES.prefix)}",
        "summary": summary,
        "parameters": {"prefix": {"$ref": "#/components/parameters/prefix"}},
        "messages": {message: {"$ref": f"#/components/messages/{message}"} for message in messages or (name,)},
        "bindings": {"kafka": {"partitions": spec.partitions, "topicConfiguration": configuration, **_BINDING}},
    }


def _messages() -> Iterator[tuple[str, Node]]:
    examples = _examples()
    for event_type in EVENT_TYPES:
        yield (
            event_type.name,
            _avro_message(event_schema(event_type), _event_key(event_type))
            | {"headers": _event_headers(event_type), "examples": [{"payload": examples[event_type.name]}]},
        )
    for batch_type in BATCH_TYPES:
        key = {"type": "string", "description": f"`{batch_type.id_field}`", "pattern": f"^{_ID}$"}
        yield (
            batch_type.name,
            _avro_message(batch_schema(batch_type), key) | {"headers": _batch_headers(batch_type)},
        )
    yield "coverage", _avro_message(COVERAGE, {"type": "string", "enum": [str(each) for each in STREAM_PARTITIONS]})
    yield "gap", _avro_message(GAP, {"type": "string", "description": "`gap_id`"})
    yield "batch", _avro_message(BATCH_RUN, {"type": "string", "description": "`run_id`"})
    yield from _dead_letters()
    yield (
        "holdings",
        {
            "title": "Holding",
            "summary": "An id that a store holds; null says that it does so no longer.",
            "contentType": "application/octet-stream",
            "payload": {"description": "Anything, or null."},
            "bindings": {"kafka": {"key": {"type": "string", "pattern": f"^(tweet|user):{_ID}$"}, **_BINDING}},
        },
    )


def _avro_message(schema: AvroSchema, key: Node) -> Node:
    return {
        "name": schema.name,
        "title": schema.name.rpartition(".")[2],
        "summary": _summary(schema),
        "contentType": "application/avro",
        "payload": {"schemaFormat": _AVRO, "schema": json.loads(schema.text)},
        "bindings": {
            "kafka": {
                "key": key,
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "schemaLookupStrategy": "TopicNameStrategy",
                **_BINDING,
            }
        },
    }


def _event_key(event_type: EventType) -> Node:
    pattern = ":".join(_ID for _ in event_type.key)
    return {"type": "string", "description": f"`{':'.join(event_type.key)}`", "pattern": f"^{pattern}$"}


def _event_headers(event_type: EventType) -> Node:
    sources = [each.source for each in STREAM_PARTITIONS if each.stream == event_type.stream]
    return _headers_of(f"x.compliance.{event_type.name}", sources)


def _batch_headers(batch_type: BatchType) -> Node:
    return _headers_of(f"x.compliance.{batch_type.name}", [batch_type.source])


def _headers_of(ce_type: str, ce_sources: list[str]) -> Node:
    return {
        "type": "object",
        "allOf": [{"$ref": "#/components/schemas/cloudEvent"}],
        "properties": {"ce_type": {"const": ce_type}, "ce_source": {"enum": ce_sources}},
    }


def _cloud_event() -> Node:
    return {
        "type": "object",
        "description": "CloudEvents 1.0, Kafka binding, binary mode. None with CONNECTOR_KAFKA__HEADERS=false.",
        "properties": {
            "ce_specversion": {"const": "1.0"},
            "ce_id": {"type": "string", "description": "`event_id`", "pattern": "^[0-9a-f]{32}$"},
            "ce_source": {"type": "string"},
            "ce_type": {"type": "string"},
            "ce_time": {"type": "string", "description": "`event_at` as X wrote it; of a batch result, `checked_at`."},
            "ce_subject": {"type": "string", "description": "The record key."},
            "content-type": {
                "const": "application/avro",
                "description": "The value is the 5 bytes of the Confluent wire format, then Avro.",
            },
        },
    }


def _dead_letters() -> Iterator[tuple[str, Node]]:
    line = {"type": "string", "format": "binary"}
    about = {"detail": "The same for people.", "length": "True length of the line in bytes."}
    run = {"run-id": "The run that asked.", "job-id": "X's job that answered."}
    replay = {"replayed-at": "RFC 3339 in UTC.", "sequence": "That of the event."}
    for name, title, summary, payload, reasons, more in (
        ("dead-letter", "Dead letter", "A line from X that cannot become an event.", line, Reason, about),
        (
            "dead-result",
            "Dead result",
            "A line of X's batch results that no run understands.",
            line,
            DeadReason,
            about | run,
        ),
        (
            "replayed",
            "Replayed",
            "Marks a dead letter as published: it is an event now.",
            {"const": ""},
            [REPLAYED],
            replay,
        ),
    ):
        yield (
            name,
            {
                "title": title,
                "summary": summary,
                "contentType": "application/octet-stream",
                "headers": _letter_headers([*reasons], more),
                "payload": payload,
                "bindings": {"kafka": {"key": {"type": "string", "pattern": "^[0-9a-f]{32}$"}, **_BINDING}},
            },
        )


def _letter_headers(reasons: Iterable[str], more: Mapping[str, str]) -> Node:
    meanings = {
        "event-id": "The record key.",
        "stream": "X's stream, or `batch.tweet` or `batch.user`.",
        "stream-partition": "X's partition of the stream, or 1.",
        "received-at": "When the line was read, RFC 3339 in UTC.",
        **more,
    }
    return {
        "type": "object",
        "required": ["reason", *meanings],
        "properties": {
            "reason": {"type": "string", "description": "An open set.", "examples": [str(each) for each in reasons]},
            **{name: {"type": "string", "description": meaning} for name, meaning in meanings.items()},
        },
    }


def _summary(schema: AvroSchema) -> str:
    return str(json.loads(schema.text)["doc"])


def _examples() -> dict[str, Node]:
    """Return the record that `docs/events.md` shows of each type, its times in milliseconds as on the wire."""
    page = (PATH.parent / "events.md").read_text(encoding="utf-8")
    return {name: _on_the_wire(json.loads(example)) for name, example in _EXAMPLE.findall(page)}


def _on_the_wire(example: Node) -> Node:
    epoch, unit = datetime.fromisoformat("1970-01-01T00:00:00Z"), timedelta(milliseconds=1)
    times = {name: (datetime.fromisoformat(example[name]) - epoch) // unit for name in ("event_at", "received_at")}
    return example | times
