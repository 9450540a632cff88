"""What the admin client makes of settings and of brokers that are away."""

import socket
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from connector.errors import DependencyUnavailableError, NotProvisionedError, SettingsError
from connector.kafka.clients import ClientProperties
from connector.kafka.cluster import Cluster
from connector.kafka.topics import TopicSpec
from connector.settings import KafkaSettings


def _cluster(admin: Any) -> Cluster:  # noqa: ANN401 - plays as much of the client as is asked of it
    """Return brokers that `admin` plays."""
    return Cluster(KafkaSettings(bootstrap_servers="b:1"), make_admin=lambda _: admin)


def test_property_that_librdkafka_does_not_know_is_a_settings_error() -> None:
    """A misspelt property is named."""
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", properties={"linger.mss": 5})
    with pytest.raises(SettingsError, match=r'CONNECTOR_KAFKA: .*No such configuration property: "linger\.mss"'):
        Cluster(settings)


@pytest.mark.slow
def test_brokers_that_are_away_are_unavailable_with_address_and_cause() -> None:
    """The message says what was tried and why it failed."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            DependencyUnavailableError, match=rf"^Kafka at {address} does not answer: connection refused$"
        ):
            Cluster(KafkaSettings(bootstrap_servers=address), request_timeout_s=2.0).describe(["topic"])


class _Ends:
    """Plays an admin client that says where topics end."""

    def __init__(self, end: int, errors: list[int]) -> None:
        self._end = end
        self._errors = errors

    def list_offsets(
        self, wanted: dict[Any, Any], isolation_level: IsolationLevel, request_timeout: float
    ) -> dict[Any, Future[Any]]:
        """Answer for all alike."""
        assert isolation_level is IsolationLevel.READ_UNCOMMITTED
        assert request_timeout < 10
        future: Future[Any] = Future()
        if self._errors:
            future.set_exception(KafkaException(KafkaError(self._errors.pop())))
            return dict.fromkeys(wanted, future)
        future.set_result(type("Result", (), {"offset": self._end}))
        return dict.fromkeys(wanted, future)

    def poll(self, timeout: float) -> int:
        """Serve no callback."""
        return int(timeout)


@pytest.mark.parametrize("end", [0, 5])
def test_ends_are_those_that_kafka_tells(end: int) -> None:
    """By topic and partition."""
    places = [TopicPartition("t", 0), TopicPartition("t", 1)]
    assert _cluster(_Ends(end, [])).ends(places) == {("t", 0): end, ("t", 1): end}


def test_end_that_kafka_does_not_know_is_not_the_end() -> None:
    """It would look like a topic in which nothing is."""
    cluster = _cluster(_Ends(-1, []))
    with pytest.raises(DependencyUnavailableError, match="Kafka at b:1 does not say where t ends"):
        cluster.ends([TopicPartition("t", 0)])


def test_partition_that_has_just_been_made_is_asked_until_it_has_a_leader() -> None:
    """Its broker may not know yet that it leads; any other error is raised at once."""
    errors = [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE]
    cluster = _cluster(_Ends(5, errors))
    assert cluster.ends([TopicPartition("t", 0)]) == {("t", 0): 5}
    errors += [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART]
    with pytest.raises(DependencyUnavailableError, match="Unknown topic or partition"):
        cluster.ends([TopicPartition("t", 0)])
    assert len(errors) == 1


def test_error_that_a_broker_answers_with_names_the_partition() -> None:
    """A damaged record on a broker's disk is no outage, and one partition of hundreds must be found."""
    cluster = _cluster(_Ends(5, [KafkaError.UNKNOWN]))
    with pytest.raises(DependencyUnavailableError, match="answers with an error for t partition 1: unknown"):
        cluster.ends([TopicPartition("t", 1)])


class _OneBrokerBehind:
    """Plays an admin client that asks two brokers, of which one does not know yet that topic `new` is there."""

    def describe_topics(self, topics: object, request_timeout: float) -> dict[str, Future[Any]]:
        """Answer for the broker that knows all."""
        assert isinstance(topics, TopicCollection)
        assert request_timeout < 10
        described = SimpleNamespace(partitions=[SimpleNamespace(replicas=[1, 2])])
        return {name: _done(described) for name in ("old", "new")}

    def describe_configs(
        self, resources: list[ConfigResource], request_timeout: float
    ) -> dict[ConfigResource, Future[Any]]:
        """Answer for the other one."""
        assert request_timeout < 10
        unknown: Future[Any] = Future()
        unknown.set_exception(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
        return {each: unknown if each.name == "new" else _done({}) for each in resources}


def _done(result: object) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(result)
    return future


class _Refuses:
    """Plays an admin client of brokers that refuse to create topics, with this code and these words."""

    def __init__(self, code: int, said: str) -> None:
        self._error = KafkaException(KafkaError(code, said))

    def create_topics(self, topics: list[NewTopic], request_timeout: float) -> dict[str, Future[Any]]:
        """Refuse all alike."""
        assert request_timeout == 30
        refused: Future[Any] = Future()
        refused.set_exception(self._error)
        return {topic.topic: refused for topic in topics}


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (KafkaError.INVALID_CONFIG, "segment.ms is not allowed", "t: segment.ms is not allowed\n"),
        (KafkaError.POLICY_VIOLATION, "not here", "t: not here; asked for segment.ms=5, cleanup.policy=delete\n"),
    ],
)
def test_setting_that_the_brokers_never_take_is_named_with_the_way_out(code: int, said: str, expected: str) -> None:
    """Some that are run as a service: the topics are then made by other means."""
    spec = TopicSpec("t", 1, 1, {"segment.ms": "5", "cleanup.policy": "delete"})
    with pytest.raises(NotProvisionedError) as caught:
        _cluster(_Refuses(code, said)).create([spec])
    text = str(caught.value)
    assert text.startswith(f"the brokers refuse to create topics:\n{expected}")
    assert text.endswith("connector provision --manifests json")
    assert "fewer brokers" not in text


def test_topics_that_are_refused_for_one_reason_share_a_line() -> None:
    """On one broker all are, and the way out below them was easy to miss; what depends on the topic keeps its line."""
    specs = [TopicSpec(name, 1, 3, {"segment.ms": name}) for name in ("a", "b")]
    for code, expected in (
        (KafkaError.INVALID_REPLICATION_FACTOR, ["a, b: too few brokers"]),
        (
            KafkaError.POLICY_VIOLATION,
            ["a: too few brokers; asked for segment.ms=a", "b: too few brokers; asked for segment.ms=b"],
        ),
    ):
        with pytest.raises(NotProvisionedError) as caught:
            _cluster(_Refuses(code, "too few brokers")).create(specs)
        _, *refused, _ = caught.value.lines
        assert refused == expected


def test_topic_that_a_broker_does_not_know_yet_is_not_there_yet() -> None:
    """`provision` failed on three brokers right after it had created its topics."""
    assert _cluster(_OneBrokerBehind()).describe(["old", "new"]).keys() == {"old"}


@pytest.mark.slow
def test_brokers_that_did_not_answer_are_asked_by_a_new_client() -> None:
    """The one before may know of nobody but the broker that is gone."""
    made: list[AdminClient] = []

    def make(properties: ClientProperties) -> AdminClient:
        made.append(AdminClient(properties))
        return made[-1]

    cluster = Cluster(KafkaSettings(bootstrap_servers="127.0.0.1:1"), request_timeout_s=0.2, make_admin=make)
    for clients in (2, 3):
        with pytest.raises(DependencyUnavailableError):
            cluster.describe(["topic"])
        assert len(made) == clients
