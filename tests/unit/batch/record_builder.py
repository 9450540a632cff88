"""What makes the records of a batch run in tests, for each kind of job."""

import pytest

from connector.batch.records import BatchRecords
from connector.x.batch_api import JobType
from tests.fakes.partition import LIMITS, NAMES, SCHEMA_IDS

by_kind = pytest.mark.parametrize(
    ("kind", "entity"), [(JobType.TWEETS, "tweet"), (JobType.USERS, "user")], ids=["tweets", "users"]
)


def builder(kind: JobType = JobType.TWEETS, *, has_headers: bool = True, **limits: int) -> BatchRecords:
    """Return a builder; `limits` are by topic, its dots and hyphens as underscores."""
    by_topic = {topic: limits.get(topic.replace(".", "_").replace("-", "_"), limit) for topic, limit in LIMITS.items()}
    return BatchRecords(kind, NAMES, SCHEMA_IDS, by_topic, has_headers=has_headers)
