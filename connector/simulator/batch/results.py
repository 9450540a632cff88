"""Owns the answer of a job: the ids that arrived, joined with their results. Knows nothing of HTTP."""

import io
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from connector.simulator.batch.answers import rfc_3339
from connector.simulator.batch.jobs import EPOCH_MS
from connector.simulator.batch.population import Finding

_ID = re.compile(rb"[0-9]{1,19}")
_FIRST_SNOWFLAKE = 1 << 32


def result_lines(upload: bytes, findings: Mapping[str, Finding]) -> tuple[int, bytes]:
    """Return the number of non-empty lines, and one line for each id with a result.

    In the order of the ids, each once; an invalid id has a line with an error.
    """
    count = 0
    told: dict[bytes, bytes] = {}
    for line in io.BytesIO(upload):
        if not (given := line.strip()):
            continue
        count += 1
        if given not in told and (result := _result(given, findings)) is not None:
            told[given] = msgspec.json.encode(result)
    return count, b"".join(line + b"\n" for line in told.values())


def _result(given: bytes, findings: Mapping[str, Finding]) -> dict[str, Any] | None:
    if not _ID.fullmatch(given):
        return {"id": given.decode("utf-8", "replace"), "error": "invalid_id"}
    entity_id = given.decode("ascii")
    found = findings.get(entity_id)
    if found is None:
        return None
    return {
        "id": entity_id,
        "action": found.action,
        "created_at": _created_at(int(entity_id)),
        "redacted_at": found.at if found.action == "delete" else None,
        "reason": found.reason,
    }


def _created_at(number: int) -> str | None:
    """Return when an id was made, as it says itself; None for one that is older than such ids."""
    return rfc_3339(((number >> 22) + EPOCH_MS) * 1_000_000) if number >= _FIRST_SNOWFLAKE else None
