"""The check at start: complete or refused, with everything that is wrong and how to mend it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

import pytest

from connector.demo.registry import DemoRegistry
from connector.errors import DependencyUnavailableError, NotProvisionedError
from connector.events.catalog import STREAMS
from connector.kafka.cluster import Cluster, TopicState
from connector.kafka.registry import RegistryClient
from connector.kafka.schema_ids import SchemaIds
from connector.kafka.topics import TopicNames, ledger_bytes_needed, subject, topic_specs
from connector.kafka.verify import TopicLimits, changed_partitions, confirm_schema_ids, verify, verify_topics
from connector.settings import KafkaSettings, PipelineSettings, RetentionSettings, SchemaRegistrySettings

_NAMES = TopicNames("p")
_SETTINGS = KafkaSettings(bootstrap_servers="broker:9092", topic_prefix="p")
_SPECS = topic_specs(_SETTINGS)
_TOPICS = {spec.name: TopicState(spec.partitions, spec.replication, spec.config) for spec in _SPECS}
_OWN = {"p-coverage", "p-gap", "p-dead-letter", "p-ledger", "p-schema-id"}


class _Recorded(SchemaIds):
    """Recorded ids in memory."""

    def __init__(self, ids: Mapping[bytes, int] | None = None, url: str = "http://registry") -> None:
        super().__init__(_SETTINGS, SchemaRegistrySettings(url=url))
        self.ids = dict(ids or {})

    def read(self) -> dict[bytes, int]:
        return self.ids


_RECORDED = _Recorded()


class _FakeCluster(Cluster):
    """Topics in memory."""

    def __init__(self, topics: dict[str, TopicState]) -> None:
        self.topics = topics

    def describe(self, names: Collection[str]) -> dict[str, TopicState]:
        return {name: self.topics[name] for name in names if name in self.topics}

    def count_partitions(self, names: Collection[str], _: str = "") -> dict[str, int]:
        return {name: state.partitions for name, state in self.describe(names).items()}


@pytest.fixture
def empty_registry() -> Iterator[RegistryClient]:
    """Give a client of an empty registry."""
    with DemoRegistry() as server, RegistryClient(SchemaRegistrySettings(url=server.url)) as client:
        yield client


@pytest.fixture
def registry(empty_registry: RegistryClient) -> RegistryClient:
    """Give a client of a registry that has all schemas."""
    for topic, schema in _NAMES.schemas().items():
        empty_registry.register(subject(topic), schema)
    return empty_registry


def _with(topic: str, **config: str) -> dict[str, TopicState]:
    changed = {key.replace("_", "."): value for key, value in config.items()}
    state = _TOPICS[topic]
    return _TOPICS | {topic: replace(state, config={**state.config, **changed})}


def test_verify_of_everything_in_place_returns_what_writers_need(registry: RegistryClient) -> None:
    """Ids and record limits, by topic."""
    result = verify(_SETTINGS, list(STREAMS), _FakeCluster(_TOPICS), registry, _RECORDED)
    assert result.schema_ids == {
        topic: registry.find(subject(topic), schema) for topic, schema in _NAMES.schemas().items()
    }
    assert result.max_message_bytes == {spec.name: 2 * 1024**2 for spec in _SPECS}


def test_verify_of_some_streams_asks_for_their_topics_and_our_own(registry: RegistryClient) -> None:
    """A stream that is off needs no topics."""
    topics = {
        name: state for name, state in _TOPICS.items() if name.startswith("p.like.") or name in {*_OWN, "p-owner-like"}
    }
    result = verify(_SETTINGS, ["like"], _FakeCluster(topics), registry, _RECORDED)
    assert result.max_message_bytes.keys() == {"p.like.delete", "p-owner-like"} | _OWN
    assert result.schema_ids.keys() == {"p.like.delete", "p-coverage", "p-gap", "p-ledger"}


def test_verify_of_nothing_names_everything_and_the_command(empty_registry: RegistryClient) -> None:
    """One error holds all of it."""
    with pytest.raises(NotProvisionedError) as caught:
        verify(_SETTINGS, ["like"], _FakeCluster({}), empty_registry, _RECORDED)
    assert str(caught.value).split("\n") == [
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


@pytest.mark.parametrize("partitions", [1, 9, 11])
def test_verify_of_a_ledger_without_ten_partitions_is_refused(registry: RegistryClient, partitions: int) -> None:
    """Fewer would leave stream partitions unread, more would be read by nobody."""
    topics = _TOPICS | {"p-ledger": replace(_TOPICS["p-ledger"], partitions=partitions)}
    with pytest.raises(NotProvisionedError, match=f"p-ledger has {partitions} partitions and must have exactly 10"):
        verify(_SETTINGS, ["tweet"], _FakeCluster(topics), registry, _RECORDED)


@pytest.mark.parametrize("topic", ["p-ledger", "p-gap"])
@pytest.mark.parametrize(("key", "value"), [("retention.ms", "604800000"), ("cleanup.policy", "compact,delete")])
def test_verify_of_state_that_would_be_deleted_is_refused(
    registry: RegistryClient, topic: str, key: str, value: str
) -> None:
    """A ledger that forgets looks like a new one later, when it is too late."""
    topics = _with(topic, **{key.replace(".", "_"): value})
    with pytest.raises(NotProvisionedError, match=f"topic {topic} would lose records: {key} is {value}"):
        verify(_SETTINGS, ["tweet"], _FakeCluster(topics), registry, _RECORDED)


def test_verify_of_an_event_topic_with_a_lower_limit_returns_the_limit(registry: RegistryClient) -> None:
    """A record over it is dead-lettered before it is produced; a higher limit does not raise the producer's."""
    low = verify(
        _SETTINGS, ["tweet"], _FakeCluster(_with("p.tweet.delete", max_message_bytes="1048588")), registry, _RECORDED
    )
    assert low.max_message_bytes["p.tweet.delete"] == 1_048_588
    high = verify(
        _SETTINGS, ["tweet"], _FakeCluster(_with("p.tweet.delete", max_message_bytes="9999999")), registry, _RECORDED
    )
    assert high.max_message_bytes["p.tweet.delete"] == 2_097_152


@pytest.mark.parametrize("topic", sorted(_OWN - {"p-schema-id"}))
def test_verify_of_an_own_topic_with_a_lower_limit_is_refused(registry: RegistryClient, topic: str) -> None:
    """A dead letter or ledger entry that cannot be written would hold up its partition for ever."""
    with pytest.raises(NotProvisionedError, match=f"{topic} takes records of 1000 bytes only: .* to 2097152"):
        verify(_SETTINGS, ["tweet"], _FakeCluster(_with(topic, max_message_bytes="1000")), registry, _RECORDED)


@pytest.mark.parametrize("topic", ["p.tweet.delete", "p-coverage", "p-gap", "p-dead-letter", "p-ledger"])
@pytest.mark.parametrize(
    ("key", "value"), [("cleanup.policy", "compact"), ("unclean.leader.election.enable", "true")], ids=lambda each: each
)
def test_verify_of_a_topic_that_would_lose_records_is_refused(
    registry: RegistryClient, topic: str, key: str, value: str
) -> None:
    """Compaction keeps one event a key; an unclean election takes back what was acknowledged."""
    topics = _with(topic, **{key.replace(".", "_"): value})
    with pytest.raises(NotProvisionedError, match=f"^topic {topic} would lose records: {key} is {value}; set it to"):
        verify(_SETTINGS, ["tweet"], _FakeCluster(topics), registry, _RECORDED)


def test_verify_of_a_gap_topic_with_a_size_limit_is_refused(registry: RegistryClient) -> None:
    """Gaps are recorded for ever."""
    with pytest.raises(NotProvisionedError, match=r"p-gap would lose records: retention\.bytes is 99; set it to -1"):
        verify(_SETTINGS, ["tweet"], _FakeCluster(_with("p-gap", retention_bytes="99")), registry, _RECORDED)


def test_verify_of_a_ledger_smaller_than_the_duplicate_memory_is_refused(registry: RegistryClient) -> None:
    """An id that retention removes while it matters makes the next restore find corruption."""
    needed = ledger_bytes_needed(10)
    small = _with("p-ledger", retention_bytes=str(needed - 1))
    with pytest.raises(
        NotProvisionedError, match=r"p-ledger would lose ids .*; set it to 180000000 at least, or to -1"
    ):
        verify(_SETTINGS, ["tweet"], _FakeCluster(small), registry, _RECORDED)
    for size in (needed, -1):
        verify(_SETTINGS, ["tweet"], _FakeCluster(_with("p-ledger", retention_bytes=str(size))), registry, _RECORDED)
    enough = _FakeCluster(_with("p-ledger", retention_bytes=str(needed)))
    with pytest.raises(NotProvisionedError, match="for a duplicate window of 1440 minutes"):
        verify_topics(_SETTINGS, ["tweet"], enough, window_minutes=1440)


def test_smallest_ledger_that_the_settings_allow_is_large_enough() -> None:
    """`provision` never makes what `run` refuses."""
    [smallest] = [each.ge for each in RetentionSettings.model_fields["ledger_bytes"].metadata if hasattr(each, "ge")]
    assert smallest >= ledger_bytes_needed(PipelineSettings().duplicate_window_minutes)


def test_ledger_of_the_default_size_holds_the_longest_window() -> None:
    """Whoever sets the window alone needs nothing else."""
    [longest] = [
        each.le for each in PipelineSettings.model_fields["duplicate_window_minutes"].metadata if hasattr(each, "le")
    ]
    assert RetentionSettings().ledger_bytes >= ledger_bytes_needed(longest)


@pytest.mark.parametrize("partitions", [5, 7])
def test_verify_of_an_event_topic_with_other_partitions_than_the_settings_is_refused(
    registry: RegistryClient, partitions: int
) -> None:
    """Its keys would be elsewhere than in the other topics, or than they were."""
    topics = _TOPICS | {"p.tweet.drop": replace(_TOPICS["p.tweet.drop"], partitions=partitions)}
    with pytest.raises(
        NotProvisionedError, match=rf"p\.tweet\.drop has {partitions} partitions and should have 6, kafka"
    ):
        verify(_SETTINGS, ["tweet"], _FakeCluster(topics), registry, _RECORDED)
    verify(_SETTINGS, ["user"], _FakeCluster(topics), registry, _RECORDED)


def test_topic_that_acknowledges_what_one_of_three_brokers_holds_is_at_risk_and_accepted() -> None:
    """A single copy is somebody's choice, as in the demo, and nothing to warn of each time."""
    weak = _with("p.tweet.drop", min_insync_replicas="1")
    _, at_risk = verify_topics(_SETTINGS, ["tweet"], _FakeCluster(weak))
    assert list(at_risk) == ["p.tweet.drop"]
    assert "min.insync.replicas is 1 with 3 replicas" in at_risk["p.tweet.drop"]
    single = weak | {"p.tweet.drop": replace(weak["p.tweet.drop"], replication=1)}
    assert verify_topics(_SETTINGS, ["tweet"], _FakeCluster(single)) == (11, {})


def test_changed_partitions_are_told_by_stream() -> None:
    """Of streams that are on; a topic that is gone is no topic that changed."""
    changed = {name: replace(_TOPICS[name], partitions=8) for name in ("p.tweet.drop", "p.tweet.edit", "p.like.delete")}
    topics = {name: state for name, state in (_TOPICS | changed).items() if name != "p.user.delete"}
    found = changed_partitions(_SETTINGS, ["tweet", "user"], _FakeCluster(topics))
    assert list(found) == ["tweet"]
    assert found["tweet"].count("has 8 partitions and should have 6") == 2


def test_verify_of_an_ownership_topic_that_does_not_fit_its_stream_is_refused(registry: RegistryClient) -> None:
    """The group would share partitions that the stream does not have."""
    topics = _TOPICS | {"p-owner-tweet": replace(_TOPICS["p-owner-tweet"], partitions=5)}
    with pytest.raises(NotProvisionedError, match="p-owner-tweet has 5 partitions and must have 4; delete it"):
        verify(_SETTINGS, ["tweet"], _FakeCluster(topics), registry, _RECORDED)


def _silent() -> RegistryClient:
    return RegistryClient(SchemaRegistrySettings(url="http://127.0.0.1:9"))


def test_ids_that_are_not_recorded_yet_are_handed_on_once(registry: RegistryClient) -> None:
    """By the key under which a start without the registry looks for them."""
    cluster = _FakeCluster(_TOPICS)
    first = verify(_SETTINGS, ["like"], cluster, registry, _RECORDED)
    assert len(first.unrecorded) == 4
    second = verify(_SETTINGS, ["like"], cluster, registry, _Recorded(first.unrecorded))
    assert (second.unrecorded, second.schema_ids) == ({}, first.schema_ids)


def test_registry_that_is_away_is_no_obstacle_where_all_ids_are_recorded(registry: RegistryClient) -> None:
    """The ids are those that it confirmed, and what is wrong with it is said."""
    cluster = _FakeCluster(_TOPICS)
    first = verify(_SETTINGS, ["like"], cluster, registry, _RECORDED)
    found = verify(_SETTINGS, ["like"], cluster, _silent(), _Recorded(first.unrecorded))
    assert (found.schema_ids, found.unrecorded) == (first.schema_ids, {})
    assert first.registry_problem is None
    assert "127.0.0.1:9 does not answer" in (found.registry_problem or "")


def test_registry_that_is_away_is_waited_for_where_an_id_is_not_recorded(registry: RegistryClient) -> None:
    """Only the first start of a new schema needs it."""
    known = dict(verify(_SETTINGS, ["like"], _FakeCluster(_TOPICS), registry, _RECORDED).unrecorded)
    known.popitem()
    with pytest.raises(DependencyUnavailableError, match="does not answer"):
        verify(_SETTINGS, ["like"], _FakeCluster(_TOPICS), _silent(), _Recorded(known))


def test_registry_that_contradicts_a_recorded_id_is_refused(registry: RegistryClient) -> None:
    """Records were written with the other one; at start and when it comes back."""
    first = verify(_SETTINGS, ["like"], _FakeCluster(_TOPICS), registry, _RECORDED)
    key, schema_id = next(iter(first.unrecorded.items()))
    recorded = _Recorded(dict(first.unrecorded) | {key: schema_id + 1})
    with pytest.raises(
        NotProvisionedError, match=f"gives id {schema_id} to .*p.like.delete-value.* id {schema_id + 1}"
    ):
        verify(_SETTINGS, ["like"], _FakeCluster(_TOPICS), registry, recorded)
    with pytest.raises(NotProvisionedError, match=f"gives id {schema_id} to"):
        confirm_schema_ids(_NAMES, ["like"], registry, recorded)


def test_registry_that_lacks_a_schema_has_confirmed_nothing(
    registry: RegistryClient, empty_registry: RegistryClient
) -> None:
    """It is asked again; to have forgotten is no contradiction."""
    assert registry is empty_registry
    first = verify(_SETTINGS, ["like"], _FakeCluster(_TOPICS), registry, _RECORDED)
    assert confirm_schema_ids(_NAMES, ["like"], registry, _Recorded(first.unrecorded))
    with DemoRegistry() as server, RegistryClient(SchemaRegistrySettings(url=server.url)) as empty:
        assert not confirm_schema_ids(_NAMES, ["like"], empty, _Recorded(first.unrecorded))


def test_recorded_id_is_of_one_registry_subject_and_schema() -> None:
    """A slash at the address's end and the order of a schema's members are no difference."""
    schemas = _NAMES.schemas()
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
