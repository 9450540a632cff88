"""Planning compares what must be with what is; applying makes the difference and nothing else."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

import pytest

from connector.demo.registry import DemoRegistry
from connector.errors import DependencyUnavailableError, NotProvisionedError
from connector.events.schemas import GAP, AvroSchema
from connector.kafka.cluster import Cluster, TopicState
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames, TopicSpec, subject, topic_specs
from connector.operations.provision import (
    CreateTopic,
    Difference,
    Plan,
    RegisterSchema,
    SetCompatibility,
    State,
    SubjectState,
    plan,
    provision,
)
from connector.settings import KafkaSettings, SchemaRegistrySettings

_SETTINGS = KafkaSettings(bootstrap_servers="broker:9092", topic_prefix="p")
_SPECS = topic_specs(_SETTINGS)
_SUBJECTS = [subject(topic) for topic in TopicNames("p").schemas()]


def _as_specified(spec: TopicSpec) -> TopicState:
    return TopicState(spec.partitions, spec.replication, {**spec.config, "compression.type": "producer"})


_TOPICS_IN_PLACE = {spec.name: _as_specified(spec) for spec in _SPECS}
_SUBJECTS_IN_PLACE = {name: SubjectState("FULL_TRANSITIVE", has_schema=True) for name in _SUBJECTS}


class _FakeCluster(Cluster):
    """Topics in memory; `invisible` ones are created but never seen."""

    def __init__(self, topics: Mapping[str, TopicState], invisible: Collection[str] = ()) -> None:
        self.topics = dict(topics)
        self.invisible = invisible
        self.created: list[str] = []

    def describe(self, names: Collection[str]) -> dict[str, TopicState]:
        return {name: self.topics[name] for name in names if name in self.topics and name not in self.invisible}

    def create(self, specs: Collection[TopicSpec]) -> None:
        self.created += [spec.name for spec in specs]
        for spec in specs:
            self.topics.setdefault(spec.name, _as_specified(spec))


@pytest.fixture
def registry() -> Iterator[RegistryClient]:
    """Give a client of an empty registry."""
    with DemoRegistry() as server, RegistryClient(SchemaRegistrySettings(url=server.url)) as client:
        yield client


def test_plan_of_nothing_creates_everything_in_order() -> None:
    """Topics first; each subject gets its level before its first schema."""
    changes = plan(_SETTINGS, State({}, {})).changes
    assert [change.spec for change in changes if isinstance(change, CreateTopic)] == _SPECS
    about_subjects = changes[len(_SPECS) :]
    assert [change.subject for change in about_subjects if isinstance(change, SetCompatibility)] == _SUBJECTS
    assert [change.subject for change in about_subjects if isinstance(change, RegisterSchema)] == _SUBJECTS
    assert len(about_subjects) == 2 * len(_SUBJECTS)


def test_plan_of_everything_in_place_is_empty() -> None:
    """A second run has nothing to do; configuration we do not care for is not looked at."""
    assert plan(_SETTINGS, State(_TOPICS_IN_PLACE, _SUBJECTS_IN_PLACE)) == Plan((), (), len(_SPECS), len(_SUBJECTS))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (SubjectState("BACKWARD", has_schema=True), ["set compatibility"]),
        (SubjectState(None, has_schema=True), ["set compatibility"]),
        (SubjectState("FULL_TRANSITIVE", has_schema=False), ["register schema"]),
        (SubjectState(None, has_schema=False), ["set compatibility", "register schema"]),
    ],
)
def test_plan_of_a_subject_adds_what_it_lacks(state: SubjectState, expected: list[str]) -> None:
    """Level and schema are looked at one by one."""
    changes = plan(_SETTINGS, State(_TOPICS_IN_PLACE, _SUBJECTS_IN_PLACE | {"p-gap-value": state})).changes
    assert [" ".join(str(change).split()[:2]) for change in changes] == expected
    assert all("p-gap-value" in str(change) for change in changes)


@pytest.mark.parametrize(
    ("state", "difference"),
    [
        ({"partitions": 3}, Difference("p-ledger", "partitions", "3", "10")),
        ({"replication": 1}, Difference("p-ledger", "replication factor", "1", "3")),
        ({"config": {"retention.ms": "5"}}, Difference("p-ledger", "retention.ms", "5", "-1")),
        ({"config": {"cleanup.policy": "compact"}}, Difference("p-ledger", "cleanup.policy", "compact", "delete")),
    ],
)
def test_plan_of_a_topic_that_differs_reports_it_and_changes_nothing(
    state: dict[str, object], difference: Difference
) -> None:
    """An existing topic is left to people to correct; the exit code says that there is something to correct."""
    as_it_should_be = _TOPICS_IN_PLACE["p-ledger"]
    config = state.get("config")
    if isinstance(config, dict):
        state = {"config": {**as_it_should_be.config, **config}}
    ledger = replace(as_it_should_be, **state)  # type: ignore[arg-type]  # one field of any type
    result = plan(_SETTINGS, State(_TOPICS_IN_PLACE | {"p-ledger": ledger}, _SUBJECTS_IN_PLACE))
    assert result == Plan((), (difference,), len(_SPECS), len(_SUBJECTS))
    assert result.exit_code == 78
    assert str(difference).endswith("left unchanged")


def test_setting_that_the_brokers_do_not_report_is_named_and_no_difference() -> None:
    """A Kafka that is run as a service leaves some out, and no run of `provision` could ever change that."""
    hidden = {"min.insync.replicas", "unclean.leader.election.enable"}
    topics = {
        name: replace(state, config={key: value for key, value in state.config.items() if key not in hidden})
        for name, state in _TOPICS_IN_PLACE.items()
    }
    del topics["p-gap"]
    result = plan(_SETTINGS, State(topics, _SUBJECTS_IN_PLACE))
    assert [(each.what, set(each.topics)) for each in result.undescribed] == [
        (key, set(topics)) for key in sorted(hidden)
    ]
    assert (result.differences, result.exit_code) == ((), 0)
    assert str(result.undescribed[0]) == (
        f"these brokers do not report min.insync.replicas of {len(topics)} topics: not compared; "
        "check it with the provider's tools"
    )
    told = result.as_json(is_done=False)["undescribed"]
    assert told[0] == {"what": "min.insync.replicas", "topics": [spec.name for spec in _SPECS if spec.name != "p-gap"]}


def test_changes_as_text_say_what_will_be() -> None:
    """A dry run can be read by a person."""
    spec = TopicSpec("t", 6, 3, {"retention.ms": "1", "cleanup.policy": "delete"})
    assert str(CreateTopic(spec)) == (
        "create topic t: 6 partitions, replication factor 3, cleanup.policy=delete, retention.ms=1"
    )
    assert str(SetCompatibility("s", None)) == "set compatibility of subject s: FULL_TRANSITIVE (currently not set)"
    assert str(SetCompatibility("s", "NONE")) == "set compatibility of subject s: FULL_TRANSITIVE (currently NONE)"
    assert str(RegisterSchema("s", GAP)) == "register schema x.compliance.v1.Gap under subject s"


def test_dry_run_changes_nothing(registry: RegistryClient) -> None:
    """It returns what would be done."""
    cluster = _FakeCluster({})
    result = provision(_SETTINGS, cluster, registry, dry_run=True)
    assert len(result.changes) == len(_SPECS) + 2 * len(_SUBJECTS)
    assert result.exit_code == 0
    assert not cluster.created
    assert registry.compatibility("p-gap-value") is None


@pytest.mark.slow
def test_provision_twice_does_everything_once(registry: RegistryClient) -> None:
    """The first run makes all; the second finds nothing to do."""
    cluster = _FakeCluster({})
    first = provision(_SETTINGS, cluster, registry, dry_run=False)
    assert cluster.created == [spec.name for spec in _SPECS]
    assert len(first.changes) == len(_SPECS) + 2 * len(_SUBJECTS)
    assert all(registry.find(subject(topic), schema) for topic, schema in TopicNames("p").schemas().items())
    assert provision(_SETTINGS, cluster, registry, dry_run=False) == Plan((), (), len(_SPECS), len(_SUBJECTS))


@pytest.mark.slow
def test_provision_reports_a_difference_that_appears_meanwhile(registry: RegistryClient) -> None:
    """Another provisioner with other settings was faster with one topic: it is left alone, and said."""
    rival = TopicState(1, 3, _SPECS[0].config)

    class RivalledCluster(_FakeCluster):
        def create(self, specs: Collection[TopicSpec]) -> None:
            self.topics[_SPECS[0].name] = rival
            super().create(specs)

    result = provision(_SETTINGS, RivalledCluster({}), registry, dry_run=False)
    assert result.differences == (Difference(_SPECS[0].name, "partitions", "1", "6"),)
    assert result.exit_code == 78


@pytest.mark.slow
def test_provision_that_cannot_see_what_it_made_fails(registry: RegistryClient) -> None:
    """Success is what can be read back."""
    cluster = _FakeCluster({}, invisible=["p-gap"])
    with pytest.raises(DependencyUnavailableError, match="still to do after the changes:\ncreate topic p-gap"):
        provision(_SETTINGS, cluster, registry, dry_run=False)


@pytest.mark.slow
def test_provision_of_an_incompatible_subject_names_it(registry: RegistryClient) -> None:
    """A foreign schema under our subject is an error with subject and reason."""
    registry.set_compatibility("p-gap-value")
    foreign = AvroSchema("Foreign", '{"type":"record","name":"Foreign","fields":[]}', {})
    registry.register("p-gap-value", foreign)
    with pytest.raises(NotProvisionedError, match=r"subject p-gap-value: .* refuses the schema x\.compliance\.v1\.Gap"):
        provision(_SETTINGS, _FakeCluster({}), registry, dry_run=False)


@pytest.mark.slow
def test_provision_with_a_registry_that_wants_a_schema_first_sets_the_level_afterwards() -> None:
    """The level is set in the end, whichever order the registry permits."""

    class SchemaFirstRegistry(RegistryClient):
        def set_compatibility(self, subject: str) -> bool:
            return self.find(subject, TopicNames("p").schemas()[subject.removesuffix("-value")]) is not None and (
                super().set_compatibility(subject)
            )

    with DemoRegistry() as server, SchemaFirstRegistry(SchemaRegistrySettings(url=server.url)) as registry:
        provision(_SETTINGS, _FakeCluster(_TOPICS_IN_PLACE), registry, dry_run=False)
        assert {registry.compatibility(name) for name in _SUBJECTS} == {"FULL_TRANSITIVE"}


def test_plan_counts_what_is_as_expected_and_what_is_not() -> None:
    """In words, and as JSON with every change and difference."""
    topics = {name: state for name, state in _TOPICS_IN_PLACE.items() if name != "p-gap"}
    topics["p-coverage"] = replace(topics["p-coverage"], partitions=99, replication=1)
    subjects = {name: state for name, state in _SUBJECTS_IN_PLACE.items() if name != "p-gap-value"}
    result = plan(_SETTINGS, State(topics, subjects))
    total, of_subjects = len(_SPECS), len(_SUBJECTS)
    assert result.summary(is_done=False) == (
        f"{total} topics: {total - 2} as expected, 1 missing, 1 differ; "
        f"{of_subjects} subjects: {of_subjects - 1} as expected, 1 to set up"
    )
    assert result.summary(is_done=True).endswith(f"{of_subjects - 1} as expected, 1 set up")
    told = result.as_json(is_done=False)
    assert [change["change"] for change in told["changes"]] == ["create-topic", "set-compatibility", "register-schema"]
    assert [(each["topic"], each["what"], each["actual"]) for each in told["differences"]] == [
        ("p-coverage", "partitions", "99"),
        ("p-coverage", "replication factor", "1"),
    ]
    in_place = plan(_SETTINGS, State(_TOPICS_IN_PLACE, _SUBJECTS_IN_PLACE))
    assert in_place.summary(is_done=True) == f"{total} topics: all as expected; {of_subjects} subjects: all as expected"
