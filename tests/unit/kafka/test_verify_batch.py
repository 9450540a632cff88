"""The check before a batch run publishes: complete or refused, with everything that is wrong and how to correct it."""

from dataclasses import replace

import pytest

from connector.errors import DependencyUnavailableError, NotProvisionedError
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import subject
from connector.kafka.verify import verify_batch, verify_holdings
from tests.unit.kafka.topics_in_memory import (
    BATCH,
    HOLDINGS,
    NAMES,
    SETTINGS,
    TOPICS,
    FakeCluster,
    silent_registry,
    with_config,
)


def test_verify_batch_of_everything_in_place_returns_what_a_run_needs(registry: RegistryClient) -> None:
    """Ids and record limits by topic, the dead letters' too, and nothing that only the service needs."""
    needed = {name: TOPICS[name] for name in BATCH | {"p-gap", "p-dead-letter"}}
    result = verify_batch(SETTINGS, FakeCluster(needed), registry)
    schemas = NAMES.schemas()
    assert result.schema_ids == {name: registry.find(subject(name), schemas[name]) for name in BATCH | {"p-gap"}}
    assert result.max_message_bytes == dict.fromkeys(needed, 2 * 1024**2)
    assert result.at_risk == {}


def test_verify_batch_of_nothing_names_everything_and_the_command(empty_registry: RegistryClient) -> None:
    """One error holds all of it."""
    with pytest.raises(NotProvisionedError) as caught:
        verify_batch(SETTINGS, FakeCluster({}), empty_registry)
    assert caught.value.lines == (
        "6 topics: 0 as expected, 6 missing; 5 subjects: 0 as expected, 5 missing",
        "topic p.batch.tweet is missing",
        "topic p.batch.user is missing",
        "topic p-gap is missing",
        "topic p-dead-letter is missing",
        "topic p-batch is missing",
        "topic p-batch-ledger is missing",
        "subject p.batch.tweet-value does not have the schema x.compliance.v1.BatchTweet",
        "subject p.batch.user-value does not have the schema x.compliance.v1.BatchUser",
        "subject p-gap-value does not have the schema x.compliance.v1.Gap",
        "subject p-batch-value does not have the schema x.compliance.v1.BatchRun",
        "subject p-batch-ledger-value does not have the schema x.compliance.v1.BatchLedgerEntry",
        "Create what is missing with: connector provision",
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("topic", "key", "value", "problem"),
    [
        ("p.batch.tweet", "cleanup.policy", "compact", "would lose records: cleanup.policy is compact; set it to del"),
        ("p-dead-letter", "cleanup.policy", "compact", "would lose records: cleanup.policy is compact; set it to del"),
        ("p-batch", "cleanup.policy", "delete", "would lose records: cleanup.policy is delete; set it to compact"),
        ("p-batch", "cleanup.policy", "compact,delete", "would lose records: cleanup.policy is compact,delete"),
        (
            "p-batch-ledger",
            "cleanup.policy",
            "delete",
            "would lose records: cleanup.policy is delete; set it to compact",
        ),
        ("p-batch", "unclean.leader.election.enable", "true", "would lose records: unclean.leader.election.enable"),
        ("p-batch-ledger", "unclean.leader.election.enable", "true", "would lose records: unclean.leader.election"),
        ("p-batch", "max.message.bytes", "1000", "accepts only records of up to 1000 bytes"),
        ("p-batch-ledger", "max.message.bytes", "1000", "accepts only records of up to 1000 bytes"),
        ("p-dead-letter", "max.message.bytes", "1000", "accepts only records of up to 1000 bytes"),
    ],
)
def test_verify_batch_of_a_topic_that_would_break_a_promise_is_refused(
    registry: RegistryClient, topic: str, key: str, value: str, problem: str
) -> None:
    """Results must stay for their time, runs and their ledger forever, and each must take what is written."""
    topics = with_config(topic, **{key.replace(".", "_"): value})
    with pytest.raises(NotProvisionedError, match=f"(?m)^topic {topic} {problem}"):
        verify_batch(SETTINGS, FakeCluster(topics), registry)


@pytest.mark.parametrize(
    ("topic", "partitions", "problem"),
    [
        ("p.batch.user", 5, "has 5 partitions and should have 6, kafka.partitions"),
        ("p-batch-ledger", 1, "has 1 partitions and must have exactly 2: while no batch run is under way, delete it"),
        ("p-batch-ledger", 3, "has 3 partitions and must have exactly 2"),
    ],
)
def test_verify_batch_of_a_topic_with_other_partitions_is_refused(
    registry: RegistryClient, topic: str, partitions: int, problem: str
) -> None:
    """Keys of results lie as those of events do, and each type of job has its place in the ledger."""
    topics = TOPICS | {topic: replace(TOPICS[topic], partitions=partitions)}
    with pytest.raises(NotProvisionedError, match=f"(?m)^topic {topic} {problem}"):
        verify_batch(SETTINGS, FakeCluster(topics), registry)


def test_verify_batch_returns_a_lower_limit_and_the_risk_of_a_result_topic(registry: RegistryClient) -> None:
    """A result over the limit is dead-lettered before it is produced; a risk is no reason to refuse."""
    topics = with_config("p.batch.tweet", max_message_bytes="1048588", min_insync_replicas="1")
    result = verify_batch(SETTINGS, FakeCluster(topics), registry)
    assert result.max_message_bytes["p.batch.tweet"] == 1_048_588
    assert list(result.at_risk) == ["p.batch.tweet"]


def test_verify_batch_waits_for_a_registry_that_is_away() -> None:
    """A run is not the service, and may come later."""
    with pytest.raises(DependencyUnavailableError, match="does not answer"):
        verify_batch(SETTINGS, FakeCluster(TOPICS), silent_registry())


def test_verify_holdings_takes_what_others_have_made_if_it_keeps_the_newest_of_each_key() -> None:
    """Any number of partitions will do, and any size of records: others write them."""
    verify_holdings(SETTINGS, FakeCluster({HOLDINGS: replace(TOPICS[HOLDINGS], partitions=99)}))
    verify_holdings(SETTINGS, FakeCluster(with_config(HOLDINGS, max_message_bytes="1000")))
    with pytest.raises(NotProvisionedError, match=r"(?m)^topic p-holdings would lose records: cleanup"):
        verify_holdings(SETTINGS, FakeCluster(with_config(HOLDINGS, cleanup_policy="delete")))
    with pytest.raises(NotProvisionedError, match=r"(?m)^topic p-holdings is missing"):
        verify_holdings(SETTINGS, FakeCluster({}))
