"""What a record read back accounts for, and which records are foreign."""

from collections.abc import Mapping
from typing import Any

import pytest

from connector.errors import NotProvisionedError
from connector.events.catalog import StreamPartition
from connector.kafka.reading import ForeignRecordError, ReadRecord
from connector.operations.accounts import Account, account_of

_ID = bytes(range(16))
_EVENT = {"stream": "tweet", "stream_partition": 3, "event_id": _ID.hex(), "sequence": 7}
_LETTER = {"stream": b"user", "stream-partition": b"2", "event-id": _ID.hex().encode()}


def _record(headers: Mapping[str, bytes] | None = None) -> ReadRecord:
    return ReadRecord("t", 1, 42, 0, b"key", b"value", dict(headers or {}))


def _refuse(_: ReadRecord) -> dict[str, Any]:
    raise NotProvisionedError("schema id 9 is not in the registry")


def test_event_accounts_for_its_id_and_sequence() -> None:
    """As its fields say."""
    account = account_of(_record(), lambda _: _EVENT, is_dead_letter=False)
    assert account == Account(StreamPartition("tweet", 3), _ID, 7)


def test_dead_letter_accounts_for_its_id_alone() -> None:
    """As its headers say."""
    assert account_of(_record(_LETTER), _refuse, is_dead_letter=True) == Account(StreamPartition("user", 2), _ID, None)


@pytest.mark.parametrize("stream", [b"batch.tweet", b"batch.user"])
def test_dead_letter_of_a_batch_run_accounts_for_nothing(stream: bytes) -> None:
    """No ledger of a stream partition has it, and it is no stranger; an event is not taken for one."""
    letter = _record(_LETTER | {"stream": stream, "stream-partition": b"1", "run-id": b"r"})
    assert account_of(letter, _refuse, is_dead_letter=True) is None
    assert account_of(letter, lambda _: _EVENT, is_dead_letter=False) == Account(StreamPartition("tweet", 3), _ID, 7)


def test_mark_of_a_replayed_dead_letter_accounts_for_nothing() -> None:
    """The event that was published accounts for itself."""
    assert account_of(_record(_LETTER | {"reason": b"replayed"}), _refuse, is_dead_letter=True) is None


@pytest.mark.parametrize(
    "changes",
    [{"stream": "moon"}, {"stream_partition": 5}, {"event_id": "no hex"}, {"event_id": None}],
)
def test_event_that_cannot_be_ours_is_a_stranger(changes: dict[str, Any]) -> None:
    """Wherever it has its fields from."""
    with pytest.raises(ForeignRecordError, match="t partition 1 offset 42: "):
        account_of(_record(), lambda _: _EVENT | changes, is_dead_letter=False)


@pytest.mark.parametrize("missing", sorted(_LETTER))
def test_dead_letter_without_a_header_is_a_stranger(missing: str) -> None:
    """Another program wrote to the topic."""
    headers = {name: value for name, value in _LETTER.items() if name != missing}
    with pytest.raises(ForeignRecordError, match=missing):
        account_of(_record(headers), _refuse, is_dead_letter=True)


def test_event_of_an_unknown_schema_is_foreign() -> None:
    """The bytes look like the registry's, and are not."""
    with pytest.raises(ForeignRecordError, match="schema id 9 is not in the registry"):
        account_of(_record(), _refuse, is_dead_letter=False)
