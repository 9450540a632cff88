"""The real command line of the next minor version, as far as its records go; run in place of `connector`.

Its ledger entries, coverage and gap records have a field more at their end, which says `later`.
"""

import json
from importlib.resources import files
from typing import Any

import fastavro

from connector.events import schemas

FIELD = {"name": "added_later", "type": ["string", "null"], "default": "later"}


def grown(stem: str) -> schemas.AvroSchema:
    """Return the schema of the next version."""
    declared: dict[str, Any] = json.loads(files("connector").joinpath("schemas", f"{stem}.avsc").read_text("utf-8"))
    declared["fields"].append(FIELD)
    parsed = fastavro.parse_schema(declared)
    assert isinstance(parsed, dict)
    return schemas.AvroSchema(parsed["name"], json.dumps(declared), parsed)


if __name__ == "__main__":
    for name, stem in {"LEDGER": "LedgerEntry", "COVERAGE": "Coverage", "GAP": "Gap"}.items():
        setattr(schemas, name, grown(stem))

    from connector import cli

    cli.main()
