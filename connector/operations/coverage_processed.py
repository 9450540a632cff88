"""Until when consumer groups have processed the range of a coverage report. Pure: readings in, a report out.

Instants are microseconds since 1970.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from connector.events.catalog import StreamPartition
from connector.kafka.backlog import Backlog
from connector.operations.coverage_report import PartitionCoverage, Processed, Verdict


def find_processed(
    partition: StreamPartition,
    backlog: Backlog,
    covered_until_us: int | None,
    covered_before: Callable[[int], int | None],
    gone: Mapping[str, bool],
) -> Processed:
    """Return until when a group has processed a stream partition whose coverage was `covered_until_us` before the look.

    `covered_before` returns how far coverage reached before the event of a sequence, None if that is not known.
    `gone` says of event types whether events of the range may be gone: then it is not known what was processed.
    """
    of_stream = f"{partition.stream}."
    overtaken = tuple(name for name in backlog.overtaken if name.startswith(of_stream) and gone.get(name))
    sequence = backlog.lowest.get(partition)
    until_us = covered_until_us if sequence is None else covered_before(sequence)
    return Processed(
        backlog.group,
        None if overtaken else until_us,
        tuple(name for name in backlog.unread if name.startswith(of_stream)),
        overtaken,
    )


def with_groups(found: PartitionCoverage, processed: Sequence[Processed], end_us: int) -> PartitionCoverage:
    """Return the coverage of a stream partition, `not yet` also if a group has not processed all before `end_us`."""
    is_processed = all(each.reaches(end_us) for each in processed)
    return replace(
        found,
        processed=tuple(processed),
        verdict=found.verdict if is_processed else Verdict.NOT_YET,
        is_unprocessed=not is_processed and found.verdict is not Verdict.NOT_YET,
    )
