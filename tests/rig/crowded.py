"""A service that knows as much as it can be made to know, with hostile words in every text that others may write."""

from connector.events.catalog import EVENT_TYPES, STREAM_PARTITIONS
from connector.events.times import US_PER_S
from connector.source.connect_limiter import ConnectLimiter
from connector.telemetry.coverage_records import Covered
from connector.telemetry.dead_letters import DeadLetter
from connector.telemetry.group_states import GroupState, TopicLag, WatchedGroup
from connector.telemetry.open_gaps import RecordedGap
from connector.telemetry.status import Look, ServiceStatus, State, Statuses

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202e\u200b\"'&amp;{{ 7 * 7 }}"
_DAY_US = 86_400 * US_PER_S


def crowded_status(now_us: int, gaps: int = 10_000, words: str = HOSTILE) -> ServiceStatus:
    """Return the status of a service with that many gaps and dead letters, in a week of which some are not over."""
    status = ServiceStatus(Statuses(STREAM_PARTITIONS), 1, words, now_us - _DAY_US)
    status.limiter = ConnectLimiter(1)
    status.last_error, status.last_error_at_us = words, now_us
    for partition in STREAM_PARTITIONS[:4]:
        its = status.partitions.renew(partition)
        its.state, its.last_error, its.last_error_at_us, its.waits_for = State.CORRUPT, words, now_us, words
    coverage = (Covered(each, now_us - US_PER_S, words, now_us, now_us - 30 * _DAY_US) for each in STREAM_PARTITIONS)
    status.coverage = Look(now_us, tuple(coverage))
    status.gaps = Look(now_us, tuple(_gap(number, gaps, now_us, words) for number in range(gaps)))
    letters = (DeadLetter(now_us - each, words, f"{words}{each % 99}", words, f"{each}") for each in range(gaps, 0, -1))
    status.dead_letters = Look(now_us, tuple(letters))
    status.watched_groups = (words, f"{words}unknown")
    lag = TopicLag(words, gaps, is_exact=False, oldest_event_us=now_us - _DAY_US)
    status.groups = Look(now_us, (WatchedGroup(words, GroupState.PAUSED, 0, (lag,) * len(EVENT_TYPES), (words,)),))
    return status


def _gap(number: int, count: int, now_us: int, words: str) -> RecordedGap:
    partition = STREAM_PARTITIONS[number % len(STREAM_PARTITIONS)]
    start_us = now_us - 7 * _DAY_US + number * 7 * _DAY_US // count
    state = ("lost", "suspected", "partly-reconciled", "withdrawn", f"{words}{number}")[number % 5]
    return RecordedGap(
        gap_id=f"{words}{number}",
        partition=partition,
        start_us=start_us,
        end_us=start_us + US_PER_S,
        state=state,
        cause=words,
        detail=words,
        recorded_us=start_us,
        remaining=(words,),
        is_reconcilable=False,
    )
