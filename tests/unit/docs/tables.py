"""The generated blocks of `docs/`: tables that restate the catalog, the schemas, the settings and the id vectors.

`python -m tests.unit.docs.tables` writes them and `docs/asyncapi.yaml`; the tests assert that nothing would change.
"""

import json
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from connector.configuration import describe_settings
from connector.events.batch import BATCH_TYPES, BY_JOB_TYPE
from connector.events.catalog import EVENT_TYPES, STREAMS, EventType
from connector.events.schemas import BATCH_RUN, COVERAGE, GAP, AvroSchema, batch_schema, event_schema
from connector.settings import (
    FORM,
    KafkaSettings,
    RetentionSettings,
    RunSettings,
    XSettings,
    variable_name,
)
from connector.simulator.manual import FAMILIES
from tests.connections.rows import TABLES
from tests.rig.log_events import log_events
from tests.rig.metric_table import REASONS, alerts, metric_rows, uses
from tests.unit.docs import asyncapi, decisions, dependencies, simulator, x_connection

ROOT = Path(__file__).parents[3]
PAGES = tuple(
    ROOT / name
    for name in (
        "docs/access.md",
        "docs/contract.md",
        "docs/dependencies.md",
        "docs/events.md",
        "docs/logs.md",
        "docs/metrics.md",
        "docs/runbook.md",
        "docs/settings.md",
        "docs/simulator.md",
        "docs/x-connection.md",
        "docs/adr/README.md",
        "README.md",
    )
)
VECTORS: dict[str, list[dict[str, str]]] = json.loads(
    (ROOT / "tests/unit/events/event_id_vectors.json").read_text(encoding="utf-8")
)
PREFIX: str = KafkaSettings.model_fields["topic_prefix"].default

_BOUNDS = (
    (annotated_types.Ge, "ge", "≥"),
    (annotated_types.Gt, "gt", ">"),
    (annotated_types.Le, "le", "≤"),
    (annotated_types.Lt, "lt", "<"),
)
_BLOCK = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def avro_fields(schema: AvroSchema) -> list[dict[str, Any]]:
    """Return the fields of `schema` as its `.avsc` declares them."""
    fields: list[dict[str, Any]] = json.loads(schema.text)["fields"]
    return fields


def own_fields(event_type: EventType) -> list[dict[str, Any]]:
    """Return the fields that `event_type` has beside the common ones."""
    names = {field.name for field in event_type.fields}
    return [field for field in avro_fields(event_schema(event_type)) if field["name"] in names]


def type_name(avro_type: Any) -> str:  # noqa: ANN401 - an Avro type is text, a list or an object
    """Return how the docs call an Avro type: `string or null`, `array of string`, `timestamp-millis`."""
    if isinstance(avro_type, list):
        return " or ".join([*(type_name(branch) for branch in avro_type if branch != "null"), "null"])
    match avro_type:
        case str():
            return avro_type
        case {"type": "array", "items": {"fields": fields}}:
            return "array of records: " + ", ".join(f"`{field['name']}` {type_name(field['type'])}" for field in fields)
        case {"type": "array", "items": items}:
            return f"array of {items}"
    return str(avro_type["logicalType"])


def key_text(event_type: EventType) -> str:
    """Return how the docs write the record key of `event_type`."""
    return "`" + ":".join(event_type.key) + "`"


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = tuple(header)
    lines = [header, ("---",) * len(header), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _topics() -> str:
    return _table(
        ("topic", "X's stream", "X's type", "key", "record"),
        (
            (f"`{PREFIX}.{kind.name}`", kind.stream, f"`{kind.x_type}`", key_text(kind), f"`{event_schema(kind).name}`")
            for kind in EVENT_TYPES
        ),
    )


def _batch_topics() -> str:
    return _table(
        ("topic", "ids", "key", "record"),
        (
            (f"`{PREFIX}.{kind.name}`", f"`{kind.job_type}`", f"`{kind.id_field}`", f"`{batch_schema(kind).name}`")
            for kind in BATCH_TYPES
        ),
    )


def _answers() -> str:
    return _table(
        ("run", "answers for"),
        (
            (
                f"`{each.job_type}`",
                ", ".join(f"`{event_type.name}`" for event_type in EVENT_TYPES if event_type.name in each.answers),
            )
            for each in BATCH_TYPES
        ),
    )


def _event(event_type: EventType) -> str:
    path = {field.name: ".".join(field.path) for field in event_type.fields}
    topic = f"Topic `{PREFIX}.{event_type.name}`, key {key_text(event_type)}, X's type `{event_type.x_type}`.\n\n"
    return topic + _table(
        ("field", "type", "in X's body", "meaning"),
        (
            (f"`{field['name']}`", type_name(field["type"]), f"`{path[field['name']]}`", field["doc"])
            for field in own_fields(event_type)
        ),
    )


def _record(schema: AvroSchema) -> str:
    return _table(
        ("field", "type", "meaning"),
        ((f"`{field['name']}`", type_name(field["type"]), field["doc"]) for field in avro_fields(schema)),
    )


def _retention() -> str:
    return _table(
        ("setting", "default", "what"),
        (
            (f"`{variable_name(('kafka', 'retention', *path))}`", f"{field.default}", field.description or "")
            for path, field in describe_settings(RetentionSettings)
        ),
    )


def _settings() -> str:
    sections: dict[str, list[tuple[str, ...]]] = {}
    for path, field in describe_settings(RunSettings):
        default = "**required**" if field.is_required() else _default_text(field.default)
        limits = _limits_text(field)
        row = (f"`{variable_name(path)}`", f"`{'.'.join(path)}`", default, limits, field.description or "")
        sections.setdefault(path[0], []).append(row)
    return "\n".join(
        f"## {section}\n\n{_table(('variable', 'in YAML', 'default', 'limits', 'meaning'), rows)}"
        for section, rows in sections.items()
    )


def _limits_text(field: FieldInfo) -> str:
    """Return what a value may be, by itself: its bounds, the words there are, or its form."""
    annotations = (field.annotation, *get_args(field.annotation))
    words = [word for each in annotations if get_origin(each) is Literal for word in get_args(each)]
    bounds = [
        f"{sign} {getattr(limit, name)}"
        for limit in field.metadata
        for kind, name, sign in _BOUNDS
        if isinstance(limit, kind)
    ]
    extra = field.json_schema_extra
    form = str(extra[FORM]) if isinstance(extra, dict) and FORM in extra else ""
    return ", ".join([*bounds, *(f"`{word}`" for word in words), *([form] if form else [])])


def _default_text(default: object) -> str:
    if default is None or default is PydanticUndefined or default == ():
        return ""
    if isinstance(default, float):
        default = int(default) if default.is_integer() else default
    text = ",".join(default) if isinstance(default, tuple) else json.dumps(default).strip('"')
    return f"`{text}`"


def _reader() -> str:
    contract = (ROOT / "docs/contract.md").read_text(encoding="utf-8")
    match = re.search(r"```python\n.*?```\n", contract, re.DOTALL)
    return match[0] if match else ""


def _streams() -> str:
    default = XSettings.model_fields["streams"].default
    return _table(
        ("stream", "X's endpoint", "connections", "read by default", "events"),
        (
            (
                f"`{stream.name}`",
                f"`GET {stream.path}`",
                f"{stream.partitions or 1}",
                "yes" if stream.name in default else "no",
                ", ".join(f"`{kind.x_type}`" for kind in EVENT_TYPES if kind.stream == stream.name),
            )
            for stream in STREAMS.values()
        ),
    )


def _vectors() -> str:
    events = "\n".join(
        f"`{vector['name']}`: stream `{vector['stream']}`, type `{vector['x_type']}`, id `{vector['event_id']}`\n\n"
        f"```json\n{vector['body']}\n```\n"
        for vector in VECTORS["events"]
    )
    dead_letters = "\n".join(
        f"`{vector['name']}`: a dead letter of stream `{vector['stream']}`, id `{vector['event_id']}`\n\n"
        f"```text\n{vector['line']}\n```\n"
        for vector in VECTORS["dead_letters"]
    )
    return f"{events}\n{dead_letters}"


def _canonical_example() -> str:
    return f"```json\n{VECTORS['events'][0]['canonical']}\n```\n"


def _logs() -> str:
    return _table(
        ("event", "level", "what has happened", "fields"),
        (
            (f"`{event.name}`", event.level, event.meaning, ", ".join(f"`{name}`" for name in event.fields))
            for event in log_events()
        ),
    )


def _metrics() -> str:
    return _table(
        ("metric", "type", "labels", "unit", "meaning", "used by"),
        (
            (
                f"`{row.name}`",
                row.kind,
                ", ".join(f"`{label}`" for label in row.labels),
                row.unit,
                row.meaning,
                ", ".join(uses(row.name)) or REASONS.get(row.name, ""),
            )
            for row in metric_rows()
        ),
    )


def _metric_labels() -> str:
    return _table(
        ("metric", "label", "values"),
        (
            (f"`{row.name}`", f"`{label}`", ", ".join(f"`{value}`" for value in values))
            for row in metric_rows()
            for label, values in row.values.items()
        ),
    )


def _alerts() -> str:
    return _table(
        ("alert", "severity", "fires after"),
        (
            (f"[{rule['alert']}](#{rule['alert'].lower()})", rule["labels"]["severity"], rule.get("for", "at once"))
            for rule in alerts()
        ),
    )


def _x_rows(name: str) -> str:
    return _table(("X", "the connector", "next attempt", "counted"), x_connection.rows(name))


def _simulator_faults(family: str) -> str:
    return f"{simulator.common(family)}\n\n{_table(simulator.FAULTS, simulator.faults(family))}"


BLOCKS: dict[str, Callable[[], str]] = {
    "topics": _topics,
    "coverage": partial(_record, COVERAGE),
    "gap": partial(_record, GAP),
    "batch-topics": _batch_topics,
    "batch-result": partial(_record, batch_schema(BY_JOB_TYPE["tweets"])),
    "batch-run": partial(_record, BATCH_RUN),
    "answers": _answers,
    "retention": _retention,
    "streams": _streams,
    "settings": _settings,
    "logs": _logs,
    "metrics": _metrics,
    "metric-labels": _metric_labels,
    "alerts": _alerts,
    "reader": _reader,
    "canonical-example": _canonical_example,
    "vectors": _vectors,
    "decisions": lambda: _table(("no.", "decision", "status"), decisions.decision_rows()),
    "dependencies": lambda: _table(("dependency", "what for", "imported by", "licence"), dependencies.reason_rows()),
    "third-party": lambda: _table(("package", "licence", "needed by"), dependencies.third_party_rows()),
    "x-states": lambda: _table(("state", "the reader of a stream partition"), x_connection.states()),
    "x-picture": x_connection.picture,
    "x-delays": lambda: _table(("after", "first delay", "then", "at most"), x_connection.delays()),
    "x-budget": lambda: _table(("what", "value"), x_connection.budget()),
    **{name: partial(_x_rows, name) for name in TABLES},
    "simulator-settings": lambda: _table(simulator.SETTINGS, simulator.settings()),
    "simulator-endpoints": lambda: _table(simulator.ENDPOINTS, simulator.endpoints()),
    **{f"simulator-{family}": partial(_simulator_faults, family) for family in FAMILIES},
    **{event_type.name: partial(_event, event_type) for event_type in EVENT_TYPES},
}
"""What fills the block of each name."""


def block_names(text: str) -> list[str]:
    """Return the names of the generated blocks in `text`, in order."""
    return [match[2] for match in _BLOCK.finditer(text)]


def generated(text: str) -> str:
    """Return `text` with every generated block filled again."""
    return _BLOCK.sub(lambda match: f"{match[1]}{BLOCKS[match[2]]()}{match[3]}", text)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(generated(page.read_text(encoding="utf-8")), encoding="utf-8")
    asyncapi.PATH.write_text(asyncapi.text(), encoding="utf-8")
