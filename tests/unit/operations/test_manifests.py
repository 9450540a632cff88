"""The printed topics and subjects are those that provision makes."""

import json
import re

import pytest
import yaml

from connector.kafka.topics import TopicNames, subject, topic_specs
from connector.operations.manifests import as_json, as_strimzi
from connector.settings import KafkaSettings

_SETTINGS = KafkaSettings(bootstrap_servers="broker:9092", topic_prefix="x.compliance")
_RFC_1123_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def test_json_lists_every_topic_as_specified() -> None:
    """Nothing is lost on the way to those who create topics by other means."""
    topics = json.loads(as_json(_SETTINGS))["topics"]
    assert topics == [
        {
            "name": spec.name,
            "partitions": spec.partitions,
            "replication_factor": spec.replication,
            "config": spec.config,
        }
        for spec in topic_specs(_SETTINGS)
    ]


def test_json_lists_every_subject_with_level_and_schema() -> None:
    """The schema is a document, not text within text."""
    subjects = {entry["subject"]: entry for entry in json.loads(as_json(_SETTINGS))["subjects"]}
    schemas = TopicNames("x.compliance").schemas()
    assert list(subjects) == [subject(topic) for topic in schemas]
    for topic, schema in schemas.items():
        entry = subjects[subject(topic)]
        assert (entry["compatibility"], entry["schema_type"]) == ("FULL_TRANSITIVE", "AVRO")
        assert entry["schema"] == json.loads(schema.text)


def test_strimzi_resource_holds_the_topic_and_its_cluster() -> None:
    """Numbers and truth values are such, not text."""
    resources = list(yaml.safe_load_all(as_strimzi(_SETTINGS, "main")))
    assert [resource["spec"]["topicName"] for resource in resources] == [spec.name for spec in topic_specs(_SETTINGS)]
    [ledger] = [each for each in resources if each["spec"]["topicName"] == "x.compliance-ledger"]
    assert ledger == {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaTopic",
        "metadata": {"name": "x.compliance-ledger", "labels": {"strimzi.io/cluster": "main"}},
        "spec": {
            "topicName": "x.compliance-ledger",
            "partitions": 10,
            "replicas": 3,
            "config": {
                "cleanup.policy": "delete",
                "max.message.bytes": 2097152,
                "message.timestamp.type": "LogAppendTime",
                "min.insync.replicas": 2,
                "unclean.leader.election.enable": False,
                "retention.ms": -1,
                "retention.bytes": 10737418240,
            },
        },
    }


@pytest.mark.parametrize("prefix", ["x.compliance", "Prod.X", "a.-b", "a..b", "a-", "a.", "0", "A" * 100])
def test_strimzi_names_of_any_prefix_are_valid_and_distinct(prefix: str) -> None:
    """Every prefix that the settings allow gives resource names that Kubernetes takes."""
    settings = KafkaSettings(bootstrap_servers="broker:9092", topic_prefix=prefix)
    resources = list(yaml.safe_load_all(as_strimzi(settings, "main")))
    names = [resource["metadata"]["name"] for resource in resources]
    assert all(_RFC_1123_SUBDOMAIN.fullmatch(name) and len(name) <= 253 for name in names)
    assert len(set(names)) == len(topic_specs(settings))
