"""The real command line of the next minor version, as far as its records go; run in place of `connector`.

Its ledger entries, coverage, gap and batch run records have a field more at their end, which says `later`.
"""

import json
from importlib.resources import files
from typing import Any

import fastavro

from connector.events import schemas

_GROWN = {
    "LEDGER": "LedgerEntry",
    "COVERAGE": "Coverage",
    "GAP": "Gap",
    "BATCH_LEDGER": "BatchLedgerEntry",
    "BATCH_RUN": "BatchRun",
}
_FIELD = {"name": "added_later", "type": ["string", "null"], "default": "later"}


def _grown(stem: str) -> schemas.AvroSchema:
    """Return the schema of the next version."""
    declared: dict[str, Any] = json.loads(files("connector").joinpath("schemas", f"{stem}.avsc").read_text("utf-8"))
    declared["fields"].append(_FIELD)
    parsed = fastavro.parse_schema(declared)
    assert isinstance(parsed, dict)
    return schemas.AvroSchema(parsed["name"], json.dumps(declared), parsed)


if __name__ == "__main__":
    for name, stem in _GROWN.items():
        setattr(schemas, name, _grown(stem))

    from connector import cli

    cli.main()
