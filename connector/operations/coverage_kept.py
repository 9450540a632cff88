"""Since when the event topics still have everything published. Instants are microseconds since 1970, by Kafka's dates.

Only the first offsets are looked up, no record is read: `ledger verify` checks the events one by one.
"""

from collections.abc import Collection

from connector.errors import NotProvisionedError
from connector.events.catalog import EVENT_TYPES
from connector.kafka.cluster import Cluster, Oldest
from connector.kafka.topics import TopicNames
from connector.operations.accounts import TRANSACTION_US
from connector.operations.verification import retention_us
from connector.settings import Settings


def events_kept_since_us(settings: Settings, now_us: int) -> dict[str, int]:
    """Return for each event type of the enabled streams the instant before which its events may be gone.

    Raises `NotProvisionedError` if a topic or a right on it is missing, `DependencyUnavailableError` if Kafka does not
    answer.
    """
    names, cluster = TopicNames(settings.kafka.topic_prefix), Cluster(settings.kafka)
    topics = {names.event(each): each.name for each in EVENT_TYPES if each.stream in settings.x.streams}
    partitions = cluster.count_partitions(topics)
    if missing := sorted(topics.keys() - partitions.keys()):
        raise NotProvisionedError(f"missing: {', '.join(missing)}; create with: connector provision")
    longest_us = retention_us(settings)
    return {
        topics[topic]: kept_since_us(oldest, now_us, longest_us[topics[topic]])
        for topic, oldest in cluster.oldest(partitions).items()
    }


def kept_since_us(oldest: Collection[Oldest], now_us: int, kept_us: int) -> int:
    """Return the instant before which events of a topic may be gone, by the oldest record of each of its partitions.

    Events older than the first record of all are gone. A partition from which records were removed, and in which none
    is as old, may have had others, too; but retention removes none younger than `kept_us`, and a partition of a rare
    type may be empty for that long.
    """
    removed_before_us = [now_us if each.dated_us is None else each.dated_us for each in oldest if each.begin > 0]
    first_us = min((each.dated_us for each in oldest if each.dated_us is not None), default=now_us)
    if not removed_before_us:
        return first_us - TRANSACTION_US  # the very first event is dated a little before or after its ledger entry
    return max(first_us, min(max(removed_before_us), now_us - kept_us))
