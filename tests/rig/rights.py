"""The rights in Kafka that each part of the connector needs, as docs/kafka.md grants them and tests take them.

Every right that is left out here makes a test of `tests/integration/test_security.py` fail.
"""

from confluent_kafka.admin import AclOperation, ResourcePatternType, ResourceType

PREFIX = "guarded"
"""The topic prefix under which the tests grant them."""
PROVISION_RIGHTS = (AclOperation.CREATE, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)
"""All that `provision` needs, on topics that begin with the prefix."""

_LITERAL, _PREFIXED = ResourcePatternType.LITERAL, ResourcePatternType.PREFIXED
Right = tuple[ResourceType, str, ResourcePatternType, AclOperation]


def _topic_rights(ending: str, *operations: AclOperation) -> list[Right]:
    """Return rights on topics of that ending, or beginning so with a dot or hyphen, and on their configuration."""
    pattern = _PREFIXED if ending.endswith((".", "-")) else _LITERAL
    return [
        (ResourceType.TOPIC, f"{PREFIX}{ending}", pattern, operation)
        for operation in (*operations, AclOperation.DESCRIBE_CONFIGS)
    ]


WATCH_RIGHTS = (
    (ResourceType.TOPIC, f"{PREFIX}-gap", _LITERAL, AclOperation.READ),
    (ResourceType.TOPIC, f"{PREFIX}-batch", _LITERAL, AclOperation.READ),
    (ResourceType.TOPIC, f"{PREFIX}-dead-letter", _LITERAL, AclOperation.READ),
)
"""What `run` needs only for the page and the metrics of batch runs and gaps, and works without."""
RUN_RIGHTS = (
    *WATCH_RIGHTS,
    *_topic_rights(".", AclOperation.WRITE),
    *_topic_rights("-coverage", AclOperation.WRITE, AclOperation.READ),
    *_topic_rights("-gap", AclOperation.WRITE),
    *_topic_rights("-dead-letter", AclOperation.WRITE),
    *_topic_rights("-ledger", AclOperation.WRITE, AclOperation.READ),
    *_topic_rights("-schema-id", AclOperation.WRITE, AclOperation.READ),
    *_topic_rights("-owner-", AclOperation.READ),
    (ResourceType.GROUP, f"{PREFIX}.connector", _LITERAL, AclOperation.READ),
    (ResourceType.TRANSACTIONAL_ID, f"{PREFIX}.", _PREFIXED, AclOperation.WRITE),
)
"""All that `run` needs; Kafka takes Write and Read to include Describe."""
OPERATOR_RIGHTS = (
    *_topic_rights(".", AclOperation.READ),
    *_topic_rights("-coverage", AclOperation.READ, AclOperation.WRITE),
    *_topic_rights("-gap", AclOperation.READ, AclOperation.WRITE),
    *_topic_rights("-dead-letter", AclOperation.READ),
    *_topic_rights("-ledger", AclOperation.READ, AclOperation.WRITE),
    *_topic_rights("-batch", AclOperation.READ),
    *_topic_rights("-batch-ledger", AclOperation.READ),
    *_topic_rights("-holdings", AclOperation.READ),
    *_topic_rights("-schema-id", AclOperation.READ),
    *_topic_rights("-owner-", AclOperation.READ),
    (ResourceType.GROUP, f"{PREFIX}.connector", _LITERAL, AclOperation.DESCRIBE),
    (ResourceType.TRANSACTIONAL_ID, f"{PREFIX}.", _PREFIXED, AclOperation.WRITE),
)
"""All that the commands of the runbook need."""
BATCH_RIGHTS = (
    *_topic_rights(".batch.", AclOperation.WRITE),
    *_topic_rights("-dead-letter", AclOperation.WRITE),
    *_topic_rights("-batch", AclOperation.READ, AclOperation.WRITE),
    *_topic_rights("-batch-ledger", AclOperation.READ, AclOperation.WRITE),
    *_topic_rights("-gap", AclOperation.READ, AclOperation.WRITE),
    *_topic_rights("-holdings", AclOperation.READ),
    (ResourceType.TRANSACTIONAL_ID, f"{PREFIX}.", _PREFIXED, AclOperation.WRITE),
)
"""All that publishing a batch run needs."""
GROUP_RIGHTS = (
    (ResourceType.TOPIC, f"{PREFIX}.", _PREFIXED, AclOperation.READ),
    (ResourceType.GROUP, "GROUP", _LITERAL, AclOperation.DESCRIBE),
)
"""All that a look at the consumer group `GROUP` needs."""
TAIL_RIGHTS = ((ResourceType.TOPIC, f"{PREFIX}.", _PREFIXED, AclOperation.READ),)
"""All that `tail` needs."""
