"""Provisioning and the check at start, against a real broker and a real registry."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from connector.errors import DependencyUnavailableError, NotProvisionedError
from connector.events.catalog import STREAMS
from connector.kafka.cluster import Cluster
from connector.kafka.registry import RegistryClient
from connector.kafka.schema_ids import SchemaIds
from connector.kafka.topics import TopicNames, topic_specs
from connector.kafka.verify import Provisioned, verify, verify_batch
from connector.operations.provision import Plan, provision
from connector.settings import KafkaSettings, SaslSettings, SchemaRegistrySettings, TlsSettings
from tests.rig import local_http
from tests.rig.kafka import KafkaCluster
from tests.rig.process import wait_until
from tests.rig.registry import Registry
from tests.rig.rights import PROVISION_RIGHTS
from tests.rig.session import Kafka, SchemaRegistry

_USERS = {name: f"{name}-password" for name in ("run", "provisioner", "blind", "stranger")}
_RIGHTS = {
    "run": [AclOperation.READ, AclOperation.DESCRIBE_CONFIGS],
    "blind": [AclOperation.DESCRIBE],
    "provisioner": PROVISION_RIGHTS,
}


@pytest.fixture
def settings(kafka: Kafka, prefix: str) -> KafkaSettings:
    """Give settings for the session's Kafka, whatever its size."""
    return KafkaSettings(
        bootstrap_servers=kafka.bootstrap_servers, topic_prefix=prefix, replication_factor=1, min_insync_replicas=1
    )


def _nothing_to_do(plan: Plan) -> bool:
    return not plan.changes and not plan.differences


@pytest.fixture
def registry_client(registry: SchemaRegistry) -> Iterator[RegistryClient]:
    """Give a client of the session's registry."""
    with RegistryClient(SchemaRegistrySettings(url=registry.url)) as client:
        yield client


def _recorded(settings: KafkaSettings) -> SchemaIds:
    return SchemaIds(settings, SchemaRegistrySettings(url="http://registry"))


def _topics(settings: KafkaSettings) -> dict[str, int]:
    """Return the partition counts of the topics there are, by a client that is not the connector's."""
    topics = AdminClient({"bootstrap.servers": settings.bootstrap_servers}).list_topics(timeout=10).topics
    return {name: len(topic.partitions) for name, topic in topics.items() if name.startswith(settings.topic_prefix)}


def _config(settings: KafkaSettings, topic: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
    return {key: entry.value for key, entry in admin.describe_configs([resource])[resource].result(30).items()}


def test_provisioning_with_fewer_brokers_than_replicas_names_the_settings_for_one_broker(
    settings: KafkaSettings, registry_client: RegistryClient
) -> None:
    """No topic is made, and the two settings stand in the message."""
    cluster, many = Cluster(settings), settings.model_copy(update={"replication_factor": 99})
    with pytest.raises(NotProvisionedError) as caught:
        provision(many, cluster, registry_client, dry_run=False)
    first, refused, last = caught.value.lines
    assert first == "the brokers refuse to create topics:"
    assert refused.partition(": ")[0].split(", ") == [spec.name for spec in topic_specs(settings)]
    assert "CONNECTOR_KAFKA__REPLICATION_FACTOR=1 and CONNECTOR_KAFKA__MIN_INSYNC_REPLICAS=1" in last
    assert cluster.describe([spec.name for spec in topic_specs(settings)]) == {}


def test_provision_of_nothing_makes_every_topic_as_specified(
    settings: KafkaSettings, registry_client: RegistryClient
) -> None:
    """All topics of all streams, with partitions and configuration of the contract."""
    provision(settings, Cluster(settings), registry_client, dry_run=False)
    specs = topic_specs(settings)
    assert _topics(settings) == {spec.name: spec.partitions for spec in specs}
    for spec in specs:
        assert _config(settings, spec.name).items() >= spec.config.items()


@pytest.mark.parametrize("off_s", [2 * 3600, -365 * 86400])
def test_record_of_a_producer_whose_clock_is_wrong_is_taken_and_dated_by_the_broker(
    settings: KafkaSettings, registry_client: RegistryClient, off_s: int
) -> None:
    """With Kafka's own settings one date is refused, and records of the other are deleted within minutes."""
    provision(settings, Cluster(settings), registry_client, dry_run=False)
    told: list[tuple[KafkaError | None, float]] = []
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    dated_ms = int((time.time() + off_s) * 1000)
    producer.produce(
        f"{settings.topic_prefix}.tweet.delete",
        b"value",
        timestamp=dated_ms,
        on_delivery=lambda error, message: told.append((error, message.timestamp()[1] / 1000)),
    )
    assert producer.flush(30) == 0
    [(error, dated_s)] = told
    assert error is None
    assert abs(dated_s - time.time()) < 60


def test_provision_of_nothing_makes_every_subject_with_its_level(
    settings: KafkaSettings, registry: SchemaRegistry, registry_client: RegistryClient
) -> None:
    """Each subject has one version, its own level, and the schema under the id that writers will be given."""
    cluster = Cluster(settings)
    provision(settings, cluster, registry_client, dry_run=False)
    names = TopicNames(settings.topic_prefix)
    of_streams = verify(settings, list(STREAMS), cluster, registry_client, _recorded(settings)).schema_ids
    schema_ids = {**of_streams, **verify_batch(settings, cluster, registry_client).schema_ids}
    for topic in names.schemas():
        subject = f"{registry.url}/subjects/{topic}-value"
        level = local_http.get(f"{registry.url}/config/{topic}-value").json()
        assert level["compatibilityLevel"] == "FULL_TRANSITIVE"
        assert local_http.get(f"{subject}/versions").json() == [1]
        assert local_http.get(f"{subject}/versions/latest").json()["id"] == schema_ids[topic]


def test_provision_again_finds_nothing_to_do(settings: KafkaSettings, registry_client: RegistryClient) -> None:
    """What the broker and the registry say afterwards is what was asked for."""
    cluster = Cluster(settings)
    first = provision(settings, cluster, registry_client, dry_run=False)
    assert len(first.changes) == len(topic_specs(settings)) + 2 * len(TopicNames(settings.topic_prefix).schemas())
    assert _nothing_to_do(provision(settings, cluster, registry_client, dry_run=False))


def test_dry_run_on_nothing_changes_nothing(settings: KafkaSettings, registry_client: RegistryClient) -> None:
    """It says what would be done, and neither topic nor subject appears."""
    result = provision(settings, Cluster(settings), registry_client, dry_run=True)
    assert len(result.changes) == len(topic_specs(settings)) + 2 * len(TopicNames(settings.topic_prefix).schemas())
    assert _topics(settings) == {}
    assert registry_client.compatibility(f"{settings.topic_prefix}-gap-value") is None


def test_provision_with_a_topic_that_differs_reports_it_and_leaves_it(
    settings: KafkaSettings, registry_client: RegistryClient
) -> None:
    """The rest is made; the odd one keeps its partitions and its configuration."""
    topic = f"{settings.topic_prefix}.tweet.delete"
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
    admin.create_topics([NewTopic(topic, 2, 1, config={"retention.ms": "5000"})])[topic].result(30)
    wait_until(lambda: topic in _topics(settings), "the topic is seen")
    result = provision(settings, Cluster(settings), registry_client, dry_run=False)
    assert {str(difference) for difference in result.differences} == {
        f"topic {topic} differs: partitions is 2, should be 6; left unchanged",
        f"topic {topic} differs: retention.ms is 5000, should be 1209600000; left unchanged",
        f"topic {topic} differs: segment.ms is 604800000, should be 86400000; left unchanged",
        f"topic {topic} differs: message.timestamp.type is CreateTime, should be LogAppendTime; left unchanged",
        f"topic {topic} differs: max.message.bytes is 1048588, should be 2097152; left unchanged",
    }
    assert result.exit_code == 78
    assert _topics(settings)[topic] == 2
    assert _config(settings, topic)["retention.ms"] == "5000"
    assert len(_topics(settings)) == len(topic_specs(settings))


def test_provisioners_at_once_all_succeed(settings: KafkaSettings, registry: SchemaRegistry) -> None:
    """The second one to create a topic or subject accepts it as created."""

    def run(_: int) -> Plan:
        with RegistryClient(SchemaRegistrySettings(url=registry.url)) as client:
            return provision(settings, Cluster(settings), client, dry_run=False)

    with ThreadPoolExecutor(4) as pool:
        assert {result.differences for result in pool.map(run, range(4))} == {()}
    with RegistryClient(SchemaRegistrySettings(url=registry.url)) as client:
        assert _nothing_to_do(provision(settings, Cluster(settings), client, dry_run=True))


def test_provision_that_the_brokers_refuse_gives_their_reason(
    settings: KafkaSettings, registry_client: RegistryClient
) -> None:
    """More replicas than brokers: the topics and the broker's own words are in the error, once for all topics."""
    settings = settings.model_copy(update={"replication_factor": 1000})
    topics = rf"{settings.topic_prefix}\.tweet\.delete, {settings.topic_prefix}\.tweet\.edit, [^:]*"
    with pytest.raises(NotProvisionedError, match=rf"{topics}: .*replication factor"):
        provision(settings, Cluster(settings), registry_client, dry_run=False)


def test_provision_of_an_incompatible_subject_gives_the_registrys_reason(
    settings: KafkaSettings, registry: SchemaRegistry, registry_client: RegistryClient
) -> None:
    """A foreign schema under our subject stops provisioning with subject and reason."""
    subject = f"{settings.topic_prefix}-gap-value"
    foreign = '{"type":"record","name":"Gap","namespace":"x.compliance.v1","fields":[{"name":"gap_id","type":"int"}]}'
    registry_client.set_compatibility(subject)
    local_http.post(f"{registry.url}/subjects/{subject}/versions", json={"schema": foreign}).raise_for_status()
    with pytest.raises(NotProvisionedError, match=rf"subject {subject}: .* refuses .*\.Gap: .*ncompatible"):
        provision(settings, Cluster(settings), registry_client, dry_run=False)


def test_provision_with_a_registry_that_is_read_only_ends_with_78_and_the_fix(settings: KafkaSettings) -> None:
    """As a copy for disaster recovery is; the answer was 69, which asks to wait for what never comes."""
    with Registry(read_only=True) as registry, RegistryClient(SchemaRegistrySettings(url=registry.url)) as client:
        with pytest.raises(NotProvisionedError, match=r"nothing new, its mode is READONLY: .*read-only") as caught:
            provision(settings, Cluster(settings), client, dry_run=False)
        assert caught.value.exit_code == 78
        assert "Make it READWRITE" in caught.value.lines[1]


def test_verify_of_nothing_creates_nothing(settings: KafkaSettings, registry_client: RegistryClient) -> None:
    """Looking at a missing topic does not make it."""
    with pytest.raises(NotProvisionedError, match=r"-ledger is missing[\s\S]*connector provision"):
        verify(settings, ["tweet"], Cluster(settings), registry_client, _recorded(settings))
    assert _topics(settings) == {}


@pytest.fixture(scope="module")
def guarded() -> Iterator[KafkaCluster]:
    """Start a broker whose users have just the rights that `run` and `provision` are said to need."""
    with KafkaCluster(users=_USERS) as cluster:
        acls = [_allow(user, right) for user, rights in _RIGHTS.items() for right in rights]
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
        for created in admin.create_acls(acls).values():
            created.result(30)
        yield cluster


def _allow(user: str, right: AclOperation) -> AclBinding:
    allow, prefixed = AclPermissionType.ALLOW, ResourcePatternType.PREFIXED
    return AclBinding(ResourceType.TOPIC, "guarded", prefixed, f"User:{user}", "*", right, allow)


def _as_user(cluster: KafkaCluster, user: str, password: str | None = None) -> KafkaSettings:
    return KafkaSettings(
        bootstrap_servers=cluster.addresses["SASL_SSL"],
        topic_prefix="guarded",
        replication_factor=1,
        min_insync_replicas=1,
        security_protocol="SASL_SSL",
        sasl=SaslSettings.model_validate(
            {"mechanism": "SCRAM-SHA-512", "username": user, "password": password or _USERS[user]}
        ),
        tls=TlsSettings(ca_file=cluster.certificates / "ca.pem"),
    )


def test_least_rights_are_enough(guarded: KafkaCluster, registry_client: RegistryClient) -> None:
    """`provision` needs Create, Describe and DescribeConfigs, the check at start the latter two."""
    provisioner, run = _as_user(guarded, "provisioner"), _as_user(guarded, "run")
    provision(provisioner, Cluster(provisioner), registry_client, dry_run=False)
    found: list[Provisioned] = []

    def is_verified() -> bool:
        """Look, and look again while a topic that was just made has no leader yet, as `run` does."""
        with suppress(DependencyUnavailableError):
            found.append(verify(run, ["tweet", "user"], Cluster(run), registry_client, _recorded(run)))
        return bool(found)

    wait_until(is_verified, "everything is verified")
    [result] = found
    assert set(result.max_message_bytes.values()) == {2 * 1024**2}


def test_start_without_the_right_to_read_configurations_names_topics_and_right(
    guarded: KafkaCluster, registry_client: RegistryClient
) -> None:
    """A ledger that would be deleted by age is not written to unseen."""
    provisioner, blind = _as_user(guarded, "provisioner"), _as_user(guarded, "blind")
    provision(provisioner, Cluster(provisioner), registry_client, dry_run=False)
    with pytest.raises(
        NotProvisionedError,
        match=r"no right to read the configuration of guarded\.tweet\.delete, .*: grant Descr.*Conf",
    ):
        verify(blind, ["tweet", "user"], Cluster(blind), registry_client, _recorded(blind))


@pytest.mark.parametrize(("user", "right"), [("stranger", "describe"), ("run", "create")])
def test_provision_without_a_right_names_topics_and_right(
    guarded: KafkaCluster, registry_client: RegistryClient, user: str, right: str
) -> None:
    """The error names the right that is missing."""
    settings = _as_user(guarded, user).model_copy(update={"topic_prefix": "guarded-other"})
    with pytest.raises(NotProvisionedError, match=rf"no right to {right} guarded-other\.tweet\.delete, .*: grant"):
        provision(settings, Cluster(settings), registry_client, dry_run=False)


def test_wrong_password_is_said_without_showing_it(guarded: KafkaCluster) -> None:
    """The broker's refusal is in the error, the password is not."""
    settings = _as_user(guarded, "run", "hush-hush")
    with pytest.raises(DependencyUnavailableError, match="uthentication failed") as caught:
        Cluster(settings, request_timeout_s=3.0).describe(["guarded-ledger"])
    assert "hush" not in str(caught.value)
