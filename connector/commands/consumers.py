"""The command that shows the backlog of consumer groups, and how much of X's 24 hours is left."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from connector.commands.options import Output, OutputOption, group_names
from connector.commands.watching import WatchOption
from connector.commands.watching import watch as refresh
from connector.console import ConfigFile, Screen, configure, in_columns, say, say_foreign
from connector.events.times import format_to_the_second
from connector.settings import Settings, variable_name

if TYPE_CHECKING:
    from connector.operations.consumers import Consumers
    from connector.telemetry.group_states import WatchedGroup

_HEAD = ("GROUP", "STATE", "UNPROCESSED", "OLDEST EVENT", "LEFT OF 24 h", "TOPICS BEHIND", "MEMBERS")


def consumers(
    *,
    group: Annotated[
        list[str] | None, typer.Argument(metavar="GROUP", help="Groups to show. Default: kafka.watched_groups.")
    ] = None,
    config: ConfigFile = None,
    watch: WatchOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the events that consumer groups have not processed, their age, and what is left of X's 24 hours.

    A single look cannot tell that a group is stalled or was reset: --watch and the service can. Exit codes: 0 every
    group is ok, and its oldest unprocessed event is younger than 12 hours; 1 some group is not; 64 no group is named;
    69 Kafka or the registry does not answer; 78 a setting, topic or permission is wrong or missing.
    """
    from connector.operations.consumers import ConsumersReader

    settings = configure(Settings, config)
    groups = chosen_groups(group or (), settings)
    if watch:
        reader = ConsumersReader(settings, groups)  # one for all: it knows earlier looks, and opens itself again
        refresh(lambda: reader, lambda found: _lines(found, output), Screen())
    else:
        with ConsumersReader(settings, groups) as reader:
            found = reader.read()
        show(found, output)


def show(found: "Consumers", output: Output) -> None:
    """Print groups. Raises `typer.Exit` unless all are well."""
    say(*_lines(found, output))
    say_foreign(found.foreign)
    if not found.is_well:
        raise typer.Exit(1)


def chosen_groups(given: Sequence[str], settings: Settings) -> Sequence[str]:
    """Return the groups to look at, each once. Raises `typer.BadParameter`."""
    groups = group_names(given, "GROUP") or settings.kafka.watched_groups
    if not groups:
        name = variable_name(("kafka", "watched_groups"))
        raise typer.BadParameter(f"name a group, or set {name}", param_hint="GROUP")
    return groups


def _lines(found: "Consumers", output: Output) -> Iterator[str]:
    """Yield what is printed."""
    if output is Output.JSON:
        yield json.dumps(found.as_json())
    else:
        yield from _table(found)


def _table(found: "Consumers") -> Iterator[str]:
    from connector.pages.words import counted, duration
    from connector.telemetry.group_states import IN_WORDS, GroupState, age_us

    troubled, count = sum(not group.is_well(found.at_us) for group in found.groups), len(found.groups)
    yield f"consumer groups: {f'{troubled} of {count} need attention' if troubled else f'all {count} are well'}"
    yield f"at {format_to_the_second(found.at_us)}"
    rows: list[tuple[str, ...]] = [_HEAD]
    for group in found.groups:
        members = "none" if group.members is None else str(group.members)
        rows.append((group.group, group.state.value, *_left(group, found.at_us), members))
    yield from in_columns(rows)
    for group in found.groups:
        if group.state is not GroupState.OK:
            yield f"{group.group}: {group.state.value}: {IN_WORDS[group.state]}"
        for topic in group.behind:
            records = _at_most(topic.records, is_exact=topic.is_exact)
            oldest = duration(age_us(topic.oldest_event_us, found.at_us))
            yield f"{group.group}: {topic.topic}: {records}, oldest {oldest} ago"
        if group.not_read and group.topics:
            yield f"{group.group}: {counted(len(group.not_read), 'topic')} not read: {', '.join(group.not_read)}"


def _left(group: "WatchedGroup", at_us: int) -> tuple[str, ...]:
    """Return what is unprocessed, how old it is, what is left of the time, and on how many topics it is."""
    from connector.pages.words import duration

    if not group.is_known:
        return "not known", "not known", "not known", "not known"
    records, topics = _at_most(group.records, is_exact=group.is_exact), f"{len(group.behind)} of {len(group.topics)}"
    left_us = group.left_us(at_us)
    if left_us is None:
        return records, "none", "all", topics
    return records, f"{duration(group.age_us(at_us))} ago", "OVER" if left_us < 0 else duration(left_us), topics


def _at_most(records: int, *, is_exact: bool) -> str:
    return f"{records:,}" if is_exact else f"at most {records:,}"
