"""The topics and subjects as text, to manage them by other means than `connector provision`.

Pure. Must not know what exists already.
"""

import json
import re
from typing import Any

import yaml

from connector.kafka.registry import COMPATIBILITY
from connector.kafka.topics import TopicNames, TopicSpec, subject, topic_specs
from connector.settings import KafkaSettings


def as_json(settings: KafkaSettings) -> str:
    """Return all topics, and all subjects with their compatibility and schema, as one JSON document."""
    document = {
        "topics": [
            {
                "name": spec.name,
                "partitions": spec.partitions,
                "replication_factor": spec.replication,
                "config": dict(spec.config),
            }
            for spec in topic_specs(settings)
        ],
        "subjects": [
            {
                "subject": subject(topic),
                "compatibility": COMPATIBILITY,
                "schema_type": "AVRO",
                "schema": json.loads(schema.text),
            }
            for topic, schema in TopicNames(settings.topic_prefix).schemas().items()
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def as_strimzi(settings: KafkaSettings, cluster: str) -> str:
    """Return all topics as `KafkaTopic` resources (API version v1, Strimzi 0.49 or newer) of the Kafka named `cluster`.

    Subjects are not included: Strimzi has no schema registry.
    """
    resources = [_kafka_topic(spec, cluster) for spec in topic_specs(settings)]
    return yaml.safe_dump_all(resources, sort_keys=False, explicit_start=True)


def _kafka_topic(spec: TopicSpec, cluster: str) -> dict[str, Any]:
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaTopic",
        "metadata": {"name": _resource_name(spec.name), "labels": {"strimzi.io/cluster": cluster}},
        "spec": {
            "topicName": spec.name,
            "partitions": spec.partitions,
            "replicas": spec.replication,
            "config": {key: yaml.safe_load(value) for key, value in spec.config.items()},
        },
    }


def _resource_name(topic: str) -> str:
    """Turn a topic name into an RFC 1123 subdomain: lower case, no dot or hyphen beside a dot or at an end."""
    return re.sub(r"[.-]*\.[.-]*", ".", topic.lower()).strip(".-")
