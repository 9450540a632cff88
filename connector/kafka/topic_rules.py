"""What a topic must be like to be written to: each problem is a sentence that says how to correct it.

Pure. Holds what would break a promise, and no more: `provision` never changes a topic that exists. Must not know how a
topic is looked up.
"""

from collections.abc import Callable, Collection, Iterator, Mapping

from connector.errors import DependencyUnavailableError
from connector.events.batch import BATCH_TYPES
from connector.events.catalog import EVENT_TYPES
from connector.kafka.cluster import TopicState
from connector.kafka.topics import (
    BATCH_LEDGER_PARTITIONS,
    LEDGER_PARTITIONS,
    MESSAGE_MAX_BYTES,
    TopicNames,
    ledger_bytes_needed,
    owner_partitions,
)
from connector.settings import KafkaSettings

Rule = Callable[[TopicState], Iterator[str]]
"""Says what is wrong with a topic, and how to correct it."""

_REPLICATED = 3
_ELECTED_CLEAN = {"unclean.leader.election.enable": "false"}
_KEPT = {"cleanup.policy": "delete"} | _ELECTED_CLEAN
"""Compaction removes what is not the newest of its key, and an unclean election what was acknowledged."""
_KEPT_FOR_EVER = {"retention.ms": "-1"}
_NEWEST_BY_KEY = {"cleanup.policy": "compact"}
"""By age a record would go that is still the newest of its key, which is all that is read."""


def events_of(names: TopicNames, streams: Collection[str]) -> list[str]:
    """Return the event topics of `streams`."""
    return [names.event(event_type) for event_type in EVENT_TYPES if event_type.stream in streams]


def rules_of_streams(settings: KafkaSettings, streams: Collection[str], window_minutes: int) -> dict[str, Rule]:
    """Return what each topic of `streams`, and each of the connector's own, is held against.

    The ledger must hold the ids of `window_minutes`.
    """
    names = TopicNames(settings.topic_prefix)
    return {
        **dict.fromkeys(events_of(names, streams), _keyed(settings.partitions)),
        names.coverage: _records,
        names.gap: _gap,
        names.dead_letter: _records,
        names.ledger: _ledger(window_minutes),
        names.schema_id: _schema_id,
        **{names.owner(stream): _owner(stream) for stream in streams},
    }


def rules_of_batch(settings: KafkaSettings) -> dict[str, Rule]:
    """Return what each topic that a batch run publishes to is held against."""
    names = TopicNames(settings.topic_prefix)
    return {
        **{names.batch(each.job_type): _keyed(settings.partitions) for each in BATCH_TYPES},
        names.gap: _gap,
        names.dead_letter: _records,
        names.batch_run: _newest_by_key,
        names.batch_ledger: _batch_ledger,
    }


def rules_of_holdings(settings: KafkaSettings) -> dict[str, Rule]:
    """Return the rules for the topic of holdings, which others write to."""
    return {TopicNames(settings.topic_prefix).holdings: _holdings}


def counted(what: str, total: int, others: Mapping[str, int]) -> str:
    """Return a summary such as `37 topics: 35 as expected, 2 differ`; `others` are counts of those that are not."""
    told = [f"{count} {word}" for word, count in others.items() if count]
    as_expected = total - sum(others.values())
    return f"{total} {what}: {', '.join([f'{as_expected} as expected', *told]) if told else 'all as expected'}"


def partitions_differ(actual: int, wanted: int) -> str:
    """Return what to say of a topic whose keys are spread over another number of partitions."""
    return (
        f"has {actual} partitions and should have {wanted}, kafka.partitions: with another number keys move to other "
        "partitions. If that is wanted, give all event topics the same number and set kafka.partitions to it"
    )


def max_message_bytes(state: TopicState) -> int:
    """Return the largest record that a topic and our producer take."""
    return min(_number(state, "max.message.bytes", MESSAGE_MAX_BYTES), MESSAGE_MAX_BYTES)


def _number(state: TopicState, name: str, default: int) -> int:
    """Return a setting of a topic. Raises `DependencyUnavailableError` if Kafka says that it is no number."""
    try:
        return int(state.config.get(name, default))
    except ValueError:
        raise DependencyUnavailableError(f"Kafka says that {name} of a topic is {state.config[name]!r}") from None


def risk_of(state: TopicState) -> str | None:
    """Return what may be lost though the cluster keeps copies; a single copy is a choice, as in a demo."""
    if state.replication >= _REPLICATED and state.config.get("min.insync.replicas") == "1":
        return (
            f"min.insync.replicas is 1 with {state.replication} replicas: a record that only one broker holds counts "
            "as committed, and is lost with that broker; set it to 2 with Kafka's own tools"
        )
    return None


def _keyed(partitions: int) -> Rule:
    def rule(state: TopicState) -> Iterator[str]:
        # A key stays on its partition only while all such topics have the number of partitions they began with.
        yield from _loses(state, _KEPT)
        if state.partitions != partitions:
            yield partitions_differ(state.partitions, partitions)

    return rule


def _records(state: TopicState) -> Iterator[str]:
    yield from _loses(state, _KEPT)
    yield from _takes_too_little(state)


def _gap(state: TopicState) -> Iterator[str]:
    yield from _loses(state, _KEPT | _KEPT_FOR_EVER | {"retention.bytes": "-1"})
    yield from _takes_too_little(state)


def _ledger(window_minutes: int) -> Rule:
    def rule(state: TopicState) -> Iterator[str]:
        # A restore that finds a ledger shorter than it was would publish again what it held.
        if state.partitions != LEDGER_PARTITIONS:
            yield (
                f"has {state.partitions} partitions and must have exactly {LEDGER_PARTITIONS}: if no connector ever "
                "wrote to it, delete it and run: connector provision; else bring the old topic back"
            )
        yield from _loses(state, _KEPT | _KEPT_FOR_EVER)
        size, needed = _number(state, "retention.bytes", -1), ledger_bytes_needed(window_minutes)
        if 0 <= size < needed:
            yield (
                f"would lose ids that are still needed: retention.bytes is {size}; set it to {needed} at least, or to "
                f"-1, with Kafka's own tools, for a duplicate window of {window_minutes} minutes"
            )
        yield from _takes_too_little(state)

    return rule


def _schema_id(state: TopicState) -> Iterator[str]:
    yield from _loses(state, _NEWEST_BY_KEY)


def _owner(stream: str) -> Rule:
    def rule(state: TopicState) -> Iterator[str]:
        # Its partitions stand for those of the stream, and the group shares all that it has.
        wanted = owner_partitions(stream)
        if state.partitions != wanted:
            yield f"has {state.partitions} partitions and must have {wanted}; delete it, run: connector provision"

    return rule


def _newest_by_key(state: TopicState) -> Iterator[str]:
    yield from _loses(state, _NEWEST_BY_KEY | _ELECTED_CLEAN)
    yield from _takes_too_little(state)


def _holdings(state: TopicState) -> Iterator[str]:
    yield from _loses(state, _NEWEST_BY_KEY | _ELECTED_CLEAN)


def _batch_ledger(state: TopicState) -> Iterator[str]:
    if state.partitions != BATCH_LEDGER_PARTITIONS:
        yield (
            f"has {state.partitions} partitions and must have exactly {BATCH_LEDGER_PARTITIONS}: while no batch run is "
            "under way, delete it and run: connector provision"
        )
    yield from _newest_by_key(state)


def _loses(state: TopicState, wanted: Mapping[str, str]) -> Iterator[str]:
    for key, value in wanted.items():
        if (actual := state.config.get(key, value)) != value:
            yield f"would lose records: {key} is {actual}; set it to {value} with Kafka's own tools"


def _takes_too_little(state: TopicState) -> Iterator[str]:
    if max_message_bytes(state) < MESSAGE_MAX_BYTES:
        yield (
            f"accepts only records of up to {max_message_bytes(state)} bytes: "
            f"set its max.message.bytes to {MESSAGE_MAX_BYTES} with Kafka's own tools"
        )
