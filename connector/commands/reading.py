"""Commands that print records of the topics: as they arrive, or all about one id."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from connector.commands.options import FromOption, Output, OutputOption, ToOption, instant_us, time_range
from connector.console import ConfigFile, configure, in_columns, say, say_foreign
from connector.events.batch import BATCH_TYPES
from connector.events.catalog import BY_NAME
from connector.events.times import format_us
from connector.settings import Settings
from connector.x.clock import wall_us

if TYPE_CHECKING:
    from connector.kafka.reading import AvroReader, ReadRecord, TopicReader
    from connector.operations.search import Found, Search

DEAD_LETTER = "dead-letter"
_HEAD = ("TIME", "PUBLISHED", "TYPE", "KEY", "FROM", "SEQUENCE", "TOPIC", "KAFKA PARTITION", "OFFSET")
_NO_PROOF = (
    "That shows nothing of times that are not covered: connector coverage and connector gaps say which these are."
)
_READABLE = (*BY_NAME, *(batch_type.name for batch_type in BATCH_TYPES), DEAD_LETTER)
_ID = re.compile("[0-9]{1,19}")


class _Span(NamedTuple):
    """Which part of the topics to print: `start` as for `TopicReader`, and whether to stop at the present end."""

    start: int
    end_us: int | None
    ends_now: bool


def tail(  # noqa: PLR0913 - one for each option
    events: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="EVENT",
            help="Event types, such as tweet.delete; default: all. Also batch.tweet, batch.user, dead-letter.",
            autocompletion=lambda: list(_READABLE),
        ),
    ] = None,
    *,
    config: ConfigFile = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the oldest record instead of the next one.")
    ] = False,
    to_end: Annotated[
        bool,
        typer.Option(
            "--to-end", help="Exit once everything committed so far has been printed; starts with the oldest."
        ),
    ] = False,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY", help="Only records with this key; reads only its Kafka partition."),
    ] = None,
    start: FromOption = None,
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="Exit once everything from before then is printed. Default: never."),
    ] = None,
    number: Annotated[int | None, typer.Option("-n", min=1, help="Exit after this many records.")] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="NAME",
            help="Keep the position in Kafka under this consumer group, and go on from it; for one tail at a time. "
            "A group for which another program has committed offsets is refused.",
        ),
    ] = None,
) -> None:
    """Print decoded events from Kafka, one JSON object per line.

    Runs until SIGINT, or until --to-end, --to or -n ends it. Times are Kafka's timestamps. If --to is in the past,
    reading starts at the oldest record, unless --from is given. With --group, a record is printed again only if tail
    was killed within 5 s of it; the other options say where to start on partitions that the group has not read. Exit
    codes: 0; 64 options contradict each other; 69 Kafka or the registry does not answer; 78 a setting, topic or
    permission is wrong or missing, or consumers share the group.
    """
    chosen = events or list(BY_NAME)
    if unknown := [name for name in chosen if name not in _READABLE]:
        raise typer.BadParameter(f"unknown event type {', '.join(unknown)}; known are {', '.join(_READABLE)}")
    span = _span(start, end, from_beginning=from_beginning, to_end=to_end)
    _check_group(group, {"--key": key, "--from": start, "--to": end})
    from connector.kafka.kept_position import KeptPosition, Resumption
    from connector.kafka.partitioner import partition_of
    from connector.kafka.reading import AvroReader, TopicReader
    from connector.kafka.registry import RegistryClient
    from connector.kafka.topics import TopicNames
    from connector.stopping import stopping_on_signals

    settings = configure(Settings, config)
    names = TopicNames(settings.kafka.topic_prefix)
    topics = [names.dead_letter if name == DEAD_LETTER else names.records(name) for name in chosen]
    key_bytes = None if key is None else key.encode(errors="surrogateescape")
    choose = range if key_bytes is None else lambda count: [partition_of(key_bytes, count)]
    if group == names.group:
        raise typer.BadParameter(f"{group} is the connector's own group", param_hint="--group")
    with ExitStack() as stack:
        stop = stack.enter_context(stopping_on_signals())
        decoder = AvroReader(stack.enter_context(RegistryClient(settings.schema_registry)))
        position = None if group is None else stack.enter_context(KeptPosition(settings.kafka, group))
        resumption = Resumption({}, ()) if position is None else position.resume(topics)
        say(*resumption.moved, err=True)
        reader = stack.enter_context(
            TopicReader(
                settings.kafka, topics, span.start, choose=choose, end_us=span.end_us, offsets=resumption.offsets
            )
        )

        def should_stop() -> bool:
            if position is not None:  # asked between two records: all that was reached is printed
                position.keep_now_and_then(reader.reached)
            return stop.is_set()

        records = _records(reader, span, should_stop)
        chosen_records = (record for record in records if key_bytes in {None, record.key})
        for text in islice(lines(chosen_records, decoder, names.dead_letter), number):
            say(text)
        if position is not None:
            position.keep(reader.reached)


def _check_group(group: str | None, others: Mapping[str, str | None]) -> None:
    """Refuse options with which the group would skip records that were not printed. Raises `typer.BadParameter`."""
    if group is None:
        return
    if not group.strip():
        raise typer.BadParameter("the name of a group is empty", param_hint="--group")
    if given := [name for name, value in others.items() if value is not None]:
        raise typer.BadParameter(
            f"cannot be combined with {given[0]}: the group would skip what is not printed", param_hint="--group"
        )


def lines(records: "Iterable[ReadRecord]", decoder: "AvroReader", dead_letters: str) -> Iterator[str]:
    """Yield each record as it is printed; report those that the connector did not write."""
    from connector.kafka.reading import ForeignRecordError, foreign_records_refused

    for record in records:
        try:
            with foreign_records_refused(record):
                text = json.dumps(_line(record, decoder, is_dead_letter=record.topic == dead_letters))
        except ForeignRecordError as error:
            say_foreign([str(error)])
        else:
            yield text


def _span(start: str | None, end: str | None, *, from_beginning: bool, to_end: bool) -> _Span:
    """Return what part of the topics to print. Raises `typer.BadParameter`."""
    from connector.kafka.reading import BEGINNING, NOW

    now_us = wall_us()
    start_us = None if start is None else instant_us(start, now_us, "--from")
    end_us = None if end is None else instant_us(end, now_us, "--to")
    if end_us is not None and to_end:
        raise typer.BadParameter("conflicts with --to-end: both set the end", param_hint="--to")
    if start_us is not None and from_beginning:
        raise typer.BadParameter("conflicts with --from-beginning: both set the start", param_hint="--from")
    if start_us is not None and start_us > now_us:
        raise typer.BadParameter(f"{format_us(start_us)} is in the future", param_hint="--from")
    if start_us is not None and end_us is not None and start_us >= end_us:
        raise typer.BadParameter(f"{format_us(start_us)} is not before --to", param_hint="--from")
    ends_now = to_end or (end_us is not None and end_us <= now_us)
    if start_us is not None:
        return _Span(start_us, end_us, ends_now)
    return _Span(BEGINNING if from_beginning or ends_now else NOW, end_us, ends_now)


def _records(reader: "TopicReader", span: _Span, should_stop: Callable[[], bool]) -> "Iterator[ReadRecord]":
    """Yield the records of a span, those that come until its end included."""
    end_us = span.end_us
    if not span.ends_now:
        yield from _before(end_us, reader.follow(lambda: should_stop() or (end_us is not None and wall_us() >= end_us)))
    if span.ends_now or end_us is not None:
        yield from _before(end_us, reader.to_end(should_stop))


def _before(end_us: int | None, records: "Iterator[ReadRecord]") -> "Iterator[ReadRecord]":
    return (record for record in records if end_us is None or record.timestamp_us < end_us)


def _line(record: "ReadRecord", decoder: "AvroReader", *, is_dead_letter: bool) -> dict[str, Any]:
    """Return a record as it is printed. Raises as `AvroReader.decode_readable`."""
    line = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": format_us(record.timestamp_us),
        "key": _text(record.key),
    }
    if not is_dead_letter:
        return line | {"value": decoder.decode_readable(record)}
    headers = {name: _text(value) for name, value in record.headers.items()}
    return line | {"headers": headers, "value": _text(record.value)}


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")


def find(  # noqa: PLR0913 - one for each option
    id_text: Annotated[str, typer.Argument(metavar="ID", help="A Tweet id or a user id.")],
    *,
    config: ConfigFile = None,
    start: FromOption = None,
    end: ToOption = None,
    everywhere: Annotated[
        bool,
        typer.Option("--all", help="Read every topic in full: also finds the id as author, quoting Tweet or like."),
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print everything known about one Tweet or user: events by their time, and results of batch runs.

    TIME is X's: of an event when it happened, of a result when the job was created, of a dead letter when it was read.
    PUBLISHED is when Kafka appended the record. The range is by Kafka's timestamps, too; by default everything that is
    kept. Reads edits and dead letters in full, and of each other topic only the partition that has the id as a key.
    Exit codes: 0, also where nothing is found; 64 invalid id or range; 69 Kafka or the registry does not answer; 78
    a setting, topic or permission is wrong or missing.
    """
    if _ID.fullmatch(id_text) is None:
        raise typer.BadParameter(f"{id_text}: an id has 1 to 19 digits", param_hint="ID")
    asked = None if start is None and end is None else time_range(start or "1970-01-01", end, default_us=0)
    from connector.kafka.reading import BEGINNING
    from connector.operations.search import search, unsearched

    found = search(
        configure(Settings, config),
        id_text,
        BEGINNING if asked is None else asked.start_us,
        None if asked is None else asked.end_us,
        everywhere=everywhere,
    )
    say_foreign(found.foreign)
    if output is Output.JSON:
        say(json.dumps(_as_json(id_text, found, unsearched(everywhere=everywhere))))
        return
    if found.found:
        say(*in_columns([_HEAD, *map(_as_row, found.found)]))
    else:
        say(f"Nothing found for {id_text}. Searched back to:")
        say(*(f"  {topic:<44} {_oldest(oldest_us)}" for topic, oldest_us in found.oldest_us.items()))
        say(_NO_PROOF)
    if not everywhere:
        say("Not searched without --all:", *(f"  {each}" for each in unsearched(everywhere=False)), err=True)


def _as_row(found: "Found") -> tuple[str, ...]:
    sequence = "" if found.sequence is None else str(found.sequence)
    place = found.topic, str(found.partition), str(found.offset)
    return format_us(found.at_us), format_us(found.published_us), found.name, found.key, found.origin, sequence, *place


def _as_json(id_text: str, found: "Search", not_searched: list[str]) -> dict[str, Any]:
    return {
        "id": id_text,
        "found": [
            {
                "at": format_us(each.at_us),
                "published_at": format_us(each.published_us),
                "event_type": each.name,
                "key": each.key,
                "origin": each.origin,
                "sequence": each.sequence,
                "topic": each.topic,
                "partition": each.partition,
                "offset": each.offset,
                "record": each.record,
            }
            for each in found.found
        ],
        "not_searched": not_searched,
        "oldest_read": {
            topic: None if oldest_us is None else format_us(oldest_us) for topic, oldest_us in found.oldest_us.items()
        },
    }


def _oldest(oldest_us: int | None) -> str:
    return "none" if oldest_us is None else format_us(oldest_us)
