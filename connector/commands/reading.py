"""Commands that print what is on the event topics."""

import json
from typing import Annotated

import typer

from connector.console import ConfigFile, configure, say, say_foreign
from connector.events.batch import BATCH_TYPES
from connector.events.catalog import BY_NAME
from connector.settings import Settings


def tail(
    events: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="EVENT", help="Event types, such as tweet.delete; default: all. Also batch.tweet, batch.user."
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
) -> None:
    """Print decoded events from Kafka, one JSON object per line.

    Runs until SIGINT, or with --to-end until everything committed so far has been printed.
    """
    from connector.app import stopping_on_signals
    from connector.kafka.reading import (
        BEGINNING,
        NOW,
        AvroReader,
        ForeignRecordError,
        TopicReader,
        foreign_records_refused,
    )
    from connector.kafka.registry import RegistryClient
    from connector.kafka.topics import TopicNames

    known = [*BY_NAME, *(batch_type.name for batch_type in BATCH_TYPES)]
    chosen = events or list(BY_NAME)
    if unknown := [name for name in chosen if name not in known]:
        raise typer.BadParameter(f"unknown event type {', '.join(unknown)}; known are {', '.join(known)}")
    settings = configure(Settings, config)
    topics = [TopicNames(settings.kafka.topic_prefix).records(name) for name in chosen]
    with (
        stopping_on_signals() as stop,
        RegistryClient(settings.schema_registry) as registry,
        TopicReader(settings.kafka, topics, BEGINNING if from_beginning or to_end else NOW) as reader,
    ):
        decoder = AvroReader(registry)
        for record in reader.to_end(stop.is_set) if to_end else reader.follow(stop.is_set):
            line = {
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "key": record.key.decode(errors="backslashreplace"),
            }
            try:
                with foreign_records_refused(record):
                    text = json.dumps({**line, "value": decoder.decode_readable(record)})
            except ForeignRecordError as error:
                say_foreign([str(error)])
            else:
                say(text)
