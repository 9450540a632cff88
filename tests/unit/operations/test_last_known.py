"""Which entries of a refused ledger are believed: the newest of the row that the first one begins."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from connector.events.avro import AvroEncoder
from connector.events.catalog import StreamPartition
from connector.events.schemas import LEDGER
from connector.kafka.digests import entry_digest
from connector.kafka.ledger import GAP_RECORD, LedgerEntry, Mode, RecordSet, first_entry
from connector.kafka.reading import ReadRecord
from connector.operations.last_known import Place, newest_that_fits

_PARTITION = StreamPartition("tweet", 2)
_AVRO = AvroEncoder(LEDGER, 1)
_FIRST = replace(first_entry(_PARTITION, "w", 1000), records={})
_GAP = {GAP_RECORD: RecordSet(1, b"\1" * 32)}


def _place(entry: LedgerEntry, offset: int) -> Place:
    return Place(entry, ReadRecord("l", 0, offset, 0, b"", _AVRO.encode(entry.as_record()), {}))


def _row(*changes: dict[str, Any]) -> list[Place]:
    """Return entries of which each follows the one before, but for its changes."""
    row = [_place(_FIRST, 0)]
    for offset, change in enumerate(changes, 1):
        before = row[-1]
        following = replace(
            before.entry,
            entry=before.entry.entry + 1,
            covered_until_before_us=before.entry.covered_until_us,
            covered_until_us=before.entry.covered_until_us + 100,
            mode=Mode.LIVE,
            previous=entry_digest(before.record.value),
        )
        row.append(_place(replace(following, **change), offset))
    return row


@pytest.mark.parametrize(
    ("changes", "newest"),
    [
        pytest.param([{}, {}], 2, id="a row"),
        pytest.param([{}, {"entry": 7}], 1, id="a number is left out"),
        pytest.param([{}, {"sequence": 9}], 1, id="a sequence from nowhere"),
        pytest.param([{}, {"previous": b"x" * 32}], 1, id="written after another entry"),
        pytest.param([{}, {"previous": None}], 1, id="written after nothing"),
        pytest.param([{}, {"mode": Mode.RESET, "entry": 0, "records": _GAP}], 2, id="a reset with its gap"),
        pytest.param([{}, {"mode": Mode.RESET, "entry": 0}], 1, id="a reset that leaves out its gap"),
        pytest.param([{"sequence": 9}, {}], 0, id="what follows a forgery is one"),
    ],
)
def test_newest_entry_of_the_row_is_believed(changes: Sequence[dict[str, Any]], newest: int) -> None:
    """What cannot come after it counts for nothing."""
    found, is_confirmed = newest_that_fits(_row(*changes))
    assert found is not None
    assert (found.record.offset, is_confirmed) == (newest, newest > 0)


def test_only_entry_is_believed_and_unconfirmed() -> None:
    """More has to be read, if there is more."""
    only = _place(_FIRST, 0)
    assert newest_that_fits([only]) == (only, False)
    assert newest_that_fits([]) == (None, False)
