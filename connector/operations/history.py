"""Reads recorded gaps for display."""

from operator import itemgetter
from typing import Any

from connector.coverage.gap import read_gap_record
from connector.kafka.reading import AvroReader, ForeignRecordError, TopicReader, foreign_records_refused
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames
from connector.settings import Settings


def read_gaps(settings: Settings) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the recorded gaps by start, times as RFC 3339 text; if a gap has several records, the latest.

    Also returns the problem of each record that the connector did not write.
    """
    names = TopicNames(settings.kafka.topic_prefix)
    with (
        RegistryClient(settings.schema_registry) as registry,
        TopicReader(settings.kafka, [names.gap]) as reader,
    ):
        decoder = AvroReader(registry)
        gaps, foreign = {}, []
        for record in reader.to_end():
            try:
                with foreign_records_refused(record):
                    read_gap_record(decoder.decode(record), record.key)
                    gap = decoder.decode_readable(record)
                    gaps[record.key] = (gap["gap_start"], gap["stream"], gap["stream_partition"]), gap
            except ForeignRecordError as error:
                foreign.append(str(error))
    return [gap for _, gap in sorted(gaps.values(), key=itemgetter(0))], foreign
