"""Which transactional id each producer gets."""

from typing import Any

import pytest

from connector.errors import WriterLostError
from connector.kafka.transaction import WriterFactory


def test_id_whose_transaction_cannot_be_ended_gives_way_to_another() -> None:
    """A process that wrote to a partition which accepts no more writes would wait for it with all the others."""
    blocked = {"mine"}
    made: list[str] = []

    def make(properties: Any) -> Any:  # noqa: ANN401 - plays a writer of which only its making counts
        made.append(properties["transactional.id"])
        if made[-1] in blocked:
            raise WriterLostError("init_transactions: CONCURRENT_TRANSACTIONS")

    ids = iter(["other", "third", "fourth"])
    factory = WriterFactory("mine", lambda its_id: {"transactional.id": its_id}, lambda: next(ids), make)
    factory.make()
    factory.make()
    assert made == ["mine", "other", "other"]
    blocked |= {"other", "third"}
    with pytest.raises(WriterLostError, match="CONCURRENT_TRANSACTIONS"):
        factory.make()
    factory.make()
    assert made[3:] == ["other", "third", "other", "fourth"]
