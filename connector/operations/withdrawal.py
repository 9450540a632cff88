"""Withdraws a gap that proved false: writes its newest record again with the reason, and never erases it.

It is written only at the end of the gap topic as read: what a batch run or another operator wrote meanwhile is read
first.
"""

import os
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from connector.app import look_up
from connector.batch.gaps import GapTopic, RecordedGap
from connector.coverage.gap import GapState
from connector.coverage.reconciliation import withdrawn
from connector.errors import ConnectorError, WriterLostError
from connector.events.avro import AvroEncoder
from connector.events.catalog import StreamPartition
from connector.events.schemas import GAP
from connector.events.times import format_us
from connector.kafka.clients import producer_config
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames
from connector.kafka.transaction import MisplacedError, Part, Record, TransactionalWriter
from connector.quoting import without_secrets
from connector.settings import Settings
from connector.x.clock import wall_us

LONGEST_REASON = 500
"""Characters."""
_MOST_SHOWN = 20
_ATTEMPTS = 10


class WithdrawalError(ConnectorError):
    """There is no such gap, it is withdrawn already, or the reason is invalid."""

    exit_code = os.EX_USAGE


def check_reason(reason: str) -> str:
    """Return the reason without surrounding blanks. Raises `WithdrawalError` unless it is a readable line."""
    text = reason.strip()
    if not text:
        raise WithdrawalError("--reason is empty: state what shows that nothing is missing")
    if len(text) > LONGEST_REASON:
        raise WithdrawalError(f"--reason has {len(text)} characters, more than {LONGEST_REASON}")
    if not text.isprintable():
        raise WithdrawalError("--reason has control characters or invisible ones: give a line of text")
    if without_secrets(text) != text:
        raise WithdrawalError("--reason contains a secret of the settings")
    return text


class Withdrawal:
    """A withdrawal of the gap `gap_id`: first looked up, then carried out. Raises as Kafka and the registry do."""

    def __init__(self, settings: Settings, gap_id: str, reason: str) -> None:
        """Raise `WithdrawalError` if the reason is invalid."""
        self._settings = settings
        self._gap_id = gap_id
        self._reason = check_reason(reason)

    def look_up(self) -> Mapping[str, Any]:
        """Return the gap, by its newest record. Raises `WithdrawalError` unless it can be withdrawn."""
        with RegistryClient(self._settings.schema_registry) as registry:
            return find(GapTopic(self._settings.kafka, registry).read().gaps, self._gap_id).gap

    def carry_out(self) -> Mapping[str, Any]:
        """Write the gap, in its present state, as withdrawn, and return it.

        Raises `WithdrawalError` if it can no longer be withdrawn, and `WriterLostError` also if the topic was written
        to in each of several attempts.
        """
        kafka = self._settings.kafka
        names, provisioned = TopicNames(kafka.topic_prefix), look_up(self._settings)
        encoder = AvroEncoder(GAP, provisioned.schema_ids[names.gap])
        properties = producer_config(kafka, names.transactional_id(f"withdraw-{uuid.uuid4().hex}"))
        with RegistryClient(self._settings.schema_registry) as registry:
            topic = GapTopic(kafka, registry)
            for _ in range(_ATTEMPTS):
                writer = TransactionalWriter(properties)  # ends what the previous one left open
                gaps = topic.read()
                found = find(gaps.gaps, self._gap_id)
                gap = withdrawn(found.gap, self._reason, wall_us() // 1000)
                record = Record(names.gap, self._gap_id.encode(), encoder.encode(gap), None, found.partition)
                label = StreamPartition("gap", found.partition + 1)
                with suppress(MisplacedError):
                    writer.commit([Part(label, [], record, gaps.ends[found.partition])])
                    return gap
        raise WriterLostError(f"others keep writing to {names.gap}: try again")


def find(gaps: Iterable[RecordedGap], gap_id: str) -> RecordedGap:
    """Return the gap of this id. Raises `WithdrawalError` unless there is one that is not withdrawn."""
    known = {each.gap["gap_id"]: each for each in gaps}
    if gap_id not in known:
        ids = sorted(each for each, found in known.items() if found.gap["state"] != GapState.WITHDRAWN)
        more = [f"  and {len(ids) - _MOST_SHOWN} more: connector gaps"] if len(ids) > _MOST_SHOWN else []
        there = ["there are:", *(f"  {each}" for each in ids[:_MOST_SHOWN]), *more] if ids else ["there is none"]
        raise WithdrawalError(f"there is no gap {gap_id!r} that can be withdrawn; {there[0]}", *there[1:])
    found = known[gap_id]
    if found.gap["state"] == GapState.WITHDRAWN:
        at = format_us((found.gap["withdrawn_at"] or 0) * 1000)
        raise WithdrawalError(f"gap {gap_id} was withdrawn at {at}: {found.gap['withdrawn_because']}")
    return found
