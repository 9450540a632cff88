"""The Avro schemas: one for each event type and each type of batch result, and those of the connector's own topics.

Owns the loading of the `.avsc` files that travel inside the package. Must not know registries, subjects or schema ids.
"""

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from fastavro import parse_schema

from connector.events.batch import BatchType
from connector.events.catalog import EventType


@dataclass(frozen=True, slots=True)
class AvroSchema:
    """One record schema: its full name, its JSON text (compact, docs included) and what fastavro made of it."""

    name: str
    text: str
    parsed: dict[str, Any] = field(repr=False, compare=False)


@cache
def _load(stem: str) -> AvroSchema:
    source = files("connector").joinpath("schemas", f"{stem}.avsc").read_text(encoding="utf-8")
    declared = json.loads(source)
    parsed = parse_schema(declared)
    if not isinstance(parsed, dict):  # pragma: no cover - the schemas that are shipped are records
        raise TypeError(f"{stem}.avsc is not a record schema")
    text = json.dumps(declared, ensure_ascii=False, separators=(",", ":"))
    return AvroSchema(name=parsed["name"], text=text, parsed=parsed)


def event_schema(event_type: EventType) -> AvroSchema:
    """Return the schema of the records of `event_type`."""
    return _load(event_type.schema)


def batch_schema(batch_type: BatchType) -> AvroSchema:
    """Return the schema of the results of `batch_type`."""
    return _load(batch_type.schema)


COVERAGE = _load("Coverage")
GAP = _load("Gap")
LEDGER = _load("LedgerEntry")
BATCH_RUN = _load("BatchRun")
BATCH_LEDGER = _load("BatchLedgerEntry")
