"""The check at start: complete or refused, with everything that is wrong and how to correct it."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from connector.demo.registry import DemoRegistry
from connector.errors import DependencyUnavailableError, NotProvisionedError, UnfitTopicsError
from connector.events.catalog import STREAMS
from connector.kafka.registry import RegistryClient
from connector.kafka.schema_ids import SchemaIds
from connector.kafka.topics import ledger_bytes_needed, subject
from connector.kafka.verify import TopicLimits, changed_partitions, confirm_schema_ids, verify, verify_topics
from connector.settings import PipelineSettings, RetentionSettings, SchemaRegistrySettings
from tests.unit.kafka.topics_in_memory import (
    BATCH,
    HOLDINGS,
    NAMES,
    SETTINGS,
    SPECS,
    TOPICS,
    FakeCluster,
    silent_registry,
    with_config,
)

_OTHERS = BATCH | {HOLDINGS}
_OWN = {"p-coverage", "p-gap", "p-dead-letter", "p-ledger", "p-schema-id"}


class _Recorded(SchemaIds):
    """Recorded ids in memory."""

    def __init__(self, ids: Mapping[bytes, int] | None = None, url: str = "http://registry") -> None:
        super().__init__(SETTINGS, SchemaRegistrySettings(url=url))
        self.ids = dict(ids or {})

    def read(self) -> dict[bytes, int]:
        return self.ids


_RECORDED = _Recorded()


def test_verify_of_everything_in_place_returns_what_writers_need(registry: RegistryClient) -> None:
    """Ids and record limits, by topic."""
    result = verify(SETTINGS, list(STREAMS), FakeCluster(TOPICS), registry, _RECORDED)
    assert result.schema_ids == {
        topic: registry.find(subject(topic), schema)
        for topic, schema in NAMES.schemas().items()
        if topic not in _OTHERS
    }
    assert result.max_message_bytes == {spec.name: 2 * 1024**2 for spec in SPECS if spec.name not in _OTHERS}


def test_verify_neither_needs_nor_checks_the_topics_of_batch_compliance(registry: RegistryClient) -> None:
    """An installation that was provisioned before there were any goes on, and so does one where they are unfit."""
    before = {name: state for name, state in TOPICS.items() if name not in _OTHERS}
    unfit = {name: replace(TOPICS[name], partitions=77, config={"max.message.bytes": "1"}) for name in _OTHERS}
    for topics in (before, before | unfit):
        result = verify(SETTINGS, list(STREAMS), FakeCluster(topics), registry, _RECORDED)
        assert result.max_message_bytes.keys() == before.keys()
        assert changed_partitions(SETTINGS, list(STREAMS), FakeCluster(topics)) == {}


def test_verify_of_some_streams_asks_for_their_topics_and_our_own(registry: RegistryClient) -> None:
    """A stream that is off needs no topics."""
    topics = {
        name: state for name, state in TOPICS.items() if name.startswith("p.like.") or name in {*_OWN, "p-owner-like"}
    }
    result = verify(SETTINGS, ["like"], FakeCluster(topics), registry, _RECORDED)
    assert result.max_message_bytes.keys() == {"p.like.delete", "p-owner-like"} | _OWN
    assert result.schema_ids.keys() == {"p.like.delete", "p-coverage", "p-gap", "p-ledger"}


def test_verify_of_nothing_names_everything_and_the_command(empty_registry: RegistryClient) -> None:
    """One error holds all of it."""
    with pytest.raises(NotProvisionedError) as caught:
        verify(SETTINGS, ["like"], FakeCluster({}), empty_registry, _RECORDED)
    assert type(caught.value) is NotProvisionedError
    assert str(caught.value).split("\n") == [
        "7 topics: 0 as expected, 7 missing; 4 subjects: 0 as expected, 4 missing",
        "topic p.like.delete is missing",
        "topic p-coverage is missing",
        "topic p-gap is missing",
        "topic p-dead-letter is missing",
        "topic p-ledger is missing",
        "topic p-schema-id is missing",
        "topic p-owner-like is missing",
        "subject p.like.delete-value does not have the schema x.compliance.v1.LikeDelete",
        "subject p-coverage-value does not have the schema x.compliance.v1.Coverage",
        "subject p-gap-value does not have the schema x.compliance.v1.Gap",
        "subject p-ledger-value does not have the schema x.compliance.v1.LedgerEntry",
        "Create what is missing with: connector provision",
    ]


def test_verify_of_what_differs_and_what_is_missing_counts_both_and_says_that_waiting_is_no_use(
    registry: RegistryClient,
) -> None:
    """A summary, a line for each problem, and an error of the class that ends a start at once."""
    topics = with_config("p.like.delete", cleanup_policy="compact", unclean_leader_election_enable="true")
    del topics["p-coverage"]
    with pytest.raises(UnfitTopicsError) as caught:
        verify(SETTINGS, ["like"], FakeCluster(topics), registry, _RECORDED)
    assert [line.split(":")[0] for line in caught.value.lines] == [
        "7 topics",
        "topic p.like.delete would lose records",
        "topic p.like.delete would lose records",
        "topic p-coverage is missing",
        "Create what is missing with",
    ]
    assert caught.value.lines[0] == "7 topics: 5 as expected, 1 missing, 1 differ; 4 subjects: all as expected"


@pytest.mark.parametrize("partitions", [1, 9, 11])
def test_verify_of_a_ledger_without_ten_partitions_is_refused(registry: RegistryClient, partitions: int) -> None:
    """Fewer would leave stream partitions unread, more would never be read."""
    topics = TOPICS | {"p-ledger": replace(TOPICS["p-ledger"], partitions=partitions)}
    with pytest.raises(NotProvisionedError, match=f"p-ledger has {partitions} partitions and must have exactly 10"):
        verify(SETTINGS, ["tweet"], FakeCluster(topics), registry, _RECORDED)


@pytest.mark.parametrize("topic", ["p-ledger", "p-gap"])
@pytest.mark.parametrize(("key", "value"), [("retention.ms", "604800000"), ("cleanup.policy", "compact,delete")])
def test_verify_of_state_that_would_be_deleted_is_refused(
    registry: RegistryClient, topic: str, key: str, value: str
) -> None:
    """A ledger that forgets looks like a new one later, when it is too late."""
    topics = with_config(topic, **{key.replace(".", "_"): value})
    with pytest.raises(NotProvisionedError, match=f"topic {topic} would lose records: {key} is {value}"):
        verify(SETTINGS, ["tweet"], FakeCluster(topics), registry, _RECORDED)


def test_verify_of_an_event_topic_with_a_lower_limit_returns_the_limit(registry: RegistryClient) -> None:
    """A record over it is dead-lettered before it is produced; a higher limit does not raise the producer's."""
    low = verify(
        SETTINGS,
        ["tweet"],
        FakeCluster(with_config("p.tweet.delete", max_message_bytes="1048588")),
        registry,
        _RECORDED,
    )
    assert low.max_message_bytes["p.tweet.delete"] == 1_048_588
    high = verify(
        SETTINGS,
        ["tweet"],
        FakeCluster(with_config("p.tweet.delete", max_message_bytes="9999999")),
        registry,
        _RECORDED,
    )
    assert high.max_message_bytes["p.tweet.delete"] == 2_097_152


@pytest.mark.parametrize("topic", sorted(_OWN - {"p-schema-id"}))
def test_verify_of_an_own_topic_with_a_lower_limit_is_refused(registry: RegistryClient, topic: str) -> None:
    """A dead letter or ledger entry that cannot be written would hold up its partition forever."""
    with pytest.raises(NotProvisionedError, match=f"{topic} accepts only records of up to 1000 bytes: .* to 2097152"):
        verify(SETTINGS, ["tweet"], FakeCluster(with_config(topic, max_message_bytes="1000")), registry, _RECORDED)


@pytest.mark.slow
@pytest.mark.parametrize("topic", ["p.tweet.delete", "p-coverage", "p-gap", "p-dead-letter", "p-ledger"])
@pytest.mark.parametrize(
    ("key", "value"), [("cleanup.policy", "compact"), ("unclean.leader.election.enable", "true")], ids=lambda each: each
)
def test_verify_of_a_topic_that_would_lose_records_is_refused(
    registry: RegistryClient, topic: str, key: str, value: str
) -> None:
    """Compaction keeps one event a key; an unclean election takes back what was acknowledged."""
    topics = with_config(topic, **{key.replace(".", "_"): value})
    with pytest.raises(UnfitTopicsError, match=f"(?m)^topic {topic} would lose records: {key} is {value}; set it to"):
        verify(SETTINGS, ["tweet"], FakeCluster(topics), registry, _RECORDED)


def test_verify_of_a_gap_topic_with_a_size_limit_is_refused(registry: RegistryClient) -> None:
    """Gaps are recorded forever."""
    with pytest.raises(NotProvisionedError, match=r"p-gap would lose records: retention\.bytes is 99; set it to -1"):
        verify(SETTINGS, ["tweet"], FakeCluster(with_config("p-gap", retention_bytes="99")), registry, _RECORDED)


def test_verify_of_a_ledger_smaller_than_the_duplicate_memory_is_refused(registry: RegistryClient) -> None:
    """An id that retention removes while it matters makes the next restore find corruption."""
    needed = ledger_bytes_needed(10)
    small = with_config("p-ledger", retention_bytes=str(needed - 1))
    with pytest.raises(
        NotProvisionedError, match=r"p-ledger would lose ids .*; set it to 180000000 at least, or to -1"
    ):
        verify(SETTINGS, ["tweet"], FakeCluster(small), registry, _RECORDED)
    for size in (needed, -1):
        verify(
            SETTINGS, ["tweet"], FakeCluster(with_config("p-ledger", retention_bytes=str(size))), registry, _RECORDED
        )
    enough = FakeCluster(with_config("p-ledger", retention_bytes=str(needed)))
    with pytest.raises(NotProvisionedError, match="for a duplicate window of 1440 minutes"):
        verify_topics(SETTINGS, ["tweet"], enough, window_minutes=1440)


def test_smallest_ledger_that_the_settings_allow_is_large_enough() -> None:
    """`provision` never makes what `run` refuses."""
    [smallest] = [each.ge for each in RetentionSettings.model_fields["ledger_bytes"].metadata if hasattr(each, "ge")]
    assert smallest >= ledger_bytes_needed(PipelineSettings().duplicate_window_minutes)


def test_ledger_of_the_default_size_holds_the_longest_window() -> None:
    """Setting the window alone is enough."""
    [longest] = [
        each.le for each in PipelineSettings.model_fields["duplicate_window_minutes"].metadata if hasattr(each, "le")
    ]
    assert RetentionSettings().ledger_bytes >= ledger_bytes_needed(longest)


@pytest.mark.parametrize("partitions", [5, 7])
def test_verify_of_an_event_topic_with_other_partitions_than_the_settings_is_refused(
    registry: RegistryClient, partitions: int
) -> None:
    """Its keys would be elsewhere than in the other topics, or than they were."""
    topics = TOPICS | {"p.tweet.drop": replace(TOPICS["p.tweet.drop"], partitions=partitions)}
    with pytest.raises(
        NotProvisionedError, match=rf"p\.tweet\.drop has {partitions} partitions and should have 6, kafka"
    ):
        verify(SETTINGS, ["tweet"], FakeCluster(topics), registry, _RECORDED)
    verify(SETTINGS, ["user"], FakeCluster(topics), registry, _RECORDED)


def test_topic_that_acknowledges_what_one_of_three_brokers_holds_is_at_risk_and_accepted() -> None:
    """A single copy is a choice, as in the demo, and not worth a warning each time."""
    weak = with_config("p.tweet.drop", min_insync_replicas="1")
    _, at_risk = verify_topics(SETTINGS, ["tweet"], FakeCluster(weak))
    assert list(at_risk) == ["p.tweet.drop"]
    assert "min.insync.replicas is 1 with 3 replicas" in at_risk["p.tweet.drop"]
    single = weak | {"p.tweet.drop": replace(weak["p.tweet.drop"], replication=1)}
    _, at_risk = verify_topics(SETTINGS, ["tweet"], FakeCluster(single))
    assert at_risk == {}


def test_changed_partitions_are_reported_by_stream() -> None:
    """Of streams that are on; a topic that is gone is no topic that changed."""
    changed = {name: replace(TOPICS[name], partitions=8) for name in ("p.tweet.drop", "p.tweet.edit", "p.like.delete")}
    topics = {name: state for name, state in (TOPICS | changed).items() if name != "p.user.delete"}
    found = changed_partitions(SETTINGS, ["tweet", "user"], FakeCluster(topics))
    assert list(found) == ["tweet"]
    assert found["tweet"].count("has 8 partitions and should have 6") == 2


def test_verify_of_an_ownership_topic_that_does_not_fit_its_stream_is_refused(registry: RegistryClient) -> None:
    """The group would share partitions that the stream does not have."""
    topics = TOPICS | {"p-owner-tweet": replace(TOPICS["p-owner-tweet"], partitions=5)}
    with pytest.raises(NotProvisionedError, match="p-owner-tweet has 5 partitions and must have 4; delete it"):
        verify(SETTINGS, ["tweet"], FakeCluster(topics), registry, _RECORDED)


def test_ids_that_are_not_recorded_yet_are_handed_on_once(registry: RegistryClient) -> None:
    """By the key under which a start without the registry looks for them."""
    cluster = FakeCluster(TOPICS)
    first = verify(SETTINGS, ["like"], cluster, registry, _RECORDED)
    assert len(first.unrecorded) == 4
    second = verify(SETTINGS, ["like"], cluster, registry, _Recorded(first.unrecorded))
    assert (second.unrecorded, second.schema_ids) == ({}, first.schema_ids)


def test_registry_that_is_away_is_no_obstacle_where_all_ids_are_recorded(registry: RegistryClient) -> None:
    """The ids are those that it confirmed, and what is wrong with it is said."""
    cluster = FakeCluster(TOPICS)
    first = verify(SETTINGS, ["like"], cluster, registry, _RECORDED)
    found = verify(SETTINGS, ["like"], cluster, silent_registry(), _Recorded(first.unrecorded))
    assert (found.schema_ids, found.unrecorded) == (first.schema_ids, {})
    assert first.registry_problem is None
    assert "127.0.0.1:9 does not answer" in (found.registry_problem or "")


def test_registry_that_is_away_is_waited_for_where_an_id_is_not_recorded(registry: RegistryClient) -> None:
    """Only the first start of a new schema needs it."""
    known = dict(verify(SETTINGS, ["like"], FakeCluster(TOPICS), registry, _RECORDED).unrecorded)
    known.popitem()
    with pytest.raises(DependencyUnavailableError, match="does not answer"):
        verify(SETTINGS, ["like"], FakeCluster(TOPICS), silent_registry(), _Recorded(known))


def test_registry_that_contradicts_a_recorded_id_is_refused(registry: RegistryClient) -> None:
    """Records were written with the other one; at start and when it comes back."""
    first = verify(SETTINGS, ["like"], FakeCluster(TOPICS), registry, _RECORDED)
    key, schema_id = next(iter(first.unrecorded.items()))
    recorded = _Recorded(dict(first.unrecorded) | {key: schema_id + 1})
    with pytest.raises(
        NotProvisionedError, match=f"gives id {schema_id} to .*p.like.delete-value.* id {schema_id + 1}"
    ):
        verify(SETTINGS, ["like"], FakeCluster(TOPICS), registry, recorded)
    with pytest.raises(NotProvisionedError, match=f"gives id {schema_id} to"):
        confirm_schema_ids(NAMES, ["like"], registry, recorded)


def test_registry_that_lacks_a_schema_has_confirmed_nothing(
    registry: RegistryClient, empty_registry: RegistryClient
) -> None:
    """It is asked again; to have forgotten is no contradiction."""
    assert registry is empty_registry
    first = verify(SETTINGS, ["like"], FakeCluster(TOPICS), registry, _RECORDED)
    assert confirm_schema_ids(NAMES, ["like"], registry, _Recorded(first.unrecorded))
    with DemoRegistry() as server, RegistryClient(SchemaRegistrySettings(url=server.url)) as empty:
        assert not confirm_schema_ids(NAMES, ["like"], empty, _Recorded(first.unrecorded))


def test_recorded_id_is_of_one_registry_subject_and_schema() -> None:
    """A slash at the address's end and the order of a schema's members are no difference."""
    schemas = NAMES.schemas()
    gap, coverage = schemas["p-gap"], schemas["p-coverage"]
    key = _Recorded().key("s", gap)
    others = [_Recorded().key("t", gap), _Recorded().key("s", coverage), _Recorded(url="http://other").key("s", gap)]
    assert len({key, *others}) == 4
    assert _Recorded(url="http://registry/").key("s", gap) == key


def test_limits_are_those_that_kafka_said_last_while_it_does_not_answer() -> None:
    """A producer can be made though the right to look is gone; a first answer there must have been."""
    answers: list[dict[str, int] | Exception] = [
        DependencyUnavailableError("not yet"),
        {"a": 3_000_000, "b": 2_000_000},
        NotProvisionedError("the right is gone"),
        {"a": 1_500_000, "b": 2_000_000},
    ]

    def read() -> dict[str, int]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    limits = TopicLimits(read)
    with pytest.raises(DependencyUnavailableError, match="not yet"):
        limits.least_bytes()
    assert limits.read() == {"a": 3_000_000, "b": 2_000_000}
    assert [limits.least_bytes(), limits.least_bytes()] == [2_000_000, 1_500_000]
