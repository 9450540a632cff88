"""Owns the truth behind batch compliance: every Tweet and user that an event names, and its present state.

Read from the record of what was emitted, as far as that reaches back; knows nothing of jobs or HTTP. X's batch sees
the present alone, and nothing of withholdings, drops, labels, likes and profile changes.
"""

import threading
from collections.abc import Mapping
from operator import attrgetter

import msgspec

from connector.events.catalog import StreamPartition
from connector.simulator.batch.faults import JOB_TYPES, JobType
from connector.simulator.record import Emitted, PartitionLog

_REASONS = {"user_delete": "deactivated", "user_suspend": "suspended", "user_protect": "protected"}
_UNDONE = {"user_undelete": "deactivated", "user_unsuspend": "suspended", "user_unprotect": "protected"}


class Finding(msgspec.Struct, frozen=True):
    """The batch result for an id; `at` is the `event_at` of its event."""

    action: str
    reason: str
    at: str


class Entity(msgspec.Struct, frozen=True):
    """A Tweet or a user; `action` and `reason` are null if it has no batch result."""

    job_type: JobType
    id: str
    action: str | None
    reason: str | None


class _Reference(msgspec.Struct):
    id: str
    author_id: str | None = None
    user_id: str | None = None


class _Body(msgspec.Struct):
    event_at: str
    tweet: _Reference | None = None
    user: _Reference | None = None
    favorite: _Reference | None = None
    quote_tweet_id: str | None = None
    up_to_tweet_id: str | None = None
    edit_tweet_ids: list[str] = []


class _Line(msgspec.Struct):
    data: dict[str, _Body]


class _Tweet(msgspec.Struct):
    author_id: str | None = None
    deleted_at: str | None = None
    versions: list[str] = []
    edited_at: str | None = None


class _User(msgspec.Struct):
    reasons: dict[str, str] = {}
    """Why their content must go, and since when."""
    scrubbed_up_to: int = -1
    scrubbed_at: str = ""


class Population:
    """Every Tweet and user that the record names, with the state at the time of the call."""

    def __init__(self, logs: Mapping[StreamPartition, PartitionLog]) -> None:
        self._logs = logs
        self._lock = threading.Lock()
        self._positions = dict.fromkeys(logs, 0)
        self._tweets: dict[str, _Tweet] = {}
        self._users: dict[str, _User] = {}
        self._decode = msgspec.json.Decoder(_Line).decode

    def ids(self, job_type: JobType) -> list[str]:
        """Return the ids of all that exist or existed."""
        with self._lock:
            self._catch_up()
            return list(self._tweets if job_type == "tweets" else self._users)

    def findings(self, job_type: JobType) -> dict[str, Finding]:
        """Return the batch results by id; an id without one is absent."""
        with self._lock:
            self._catch_up()
            find = self._of_tweet if job_type == "tweets" else self._of_user
            ids = self._tweets if job_type == "tweets" else self._users
            return {each: finding for each in ids if (finding := find(each)) is not None}

    def entities(self) -> list[Entity]:
        """Return all Tweets, then all users, each with its batch result."""
        entities = []
        for job_type in JOB_TYPES:
            findings = self.findings(job_type)
            for each in self.ids(job_type):
                found = findings.get(each)
                action, reason = (found.action, found.reason) if found else (None, None)
                entities.append(Entity(job_type, each, action, reason))
        return entities

    def _of_user(self, user_id: str) -> Finding | None:
        reasons = self._users[user_id].reasons
        return next((Finding("delete", reason, at) for reason, at in sorted(reasons.items())), None)

    def _of_tweet(self, tweet_id: str) -> Finding | None:
        """Return the gravest: delete, then rehydrate, then scrub_geo."""
        tweet = self._tweets[tweet_id]
        author = self._users.get(tweet.author_id or "")
        versions = (tweet, *(self._tweets[version] for version in tweet.versions))
        deleted_at = next((version.deleted_at for version in versions if version.deleted_at is not None), None)
        if deleted_at is not None:
            return Finding("delete", "deleted", deleted_at)
        if tweet.author_id and author and (finding := self._of_user(tweet.author_id)):
            return finding
        if tweet.edited_at is not None:
            return Finding("rehydrate", "tweet_edited", tweet.edited_at)
        if author and int(tweet_id) <= author.scrubbed_up_to:
            return Finding("scrub_geo", "geo_scrubbed", author.scrubbed_at)
        return None

    def _catch_up(self) -> None:
        """Process what was emitted since, in the order of emission across all stream partitions."""
        new: list[Emitted] = []
        for partition, log in self._logs.items():
            end = log.end
            new.extend(emitted for emitted in log.read(self._positions[partition], end) if emitted.kind == "event")
            self._positions[partition] = end
        for emitted in sorted(new, key=attrgetter("emitted_at")):
            for x_type, body in self._decode(emitted.line).data.items():
                self._apply(emitted.stream, x_type, body)

    def _apply(self, stream: str, x_type: str, body: _Body) -> None:
        self._name_all(body)
        if body.tweet and x_type == "delete":
            self._tweets[body.tweet.id].deleted_at = body.event_at
        elif body.tweet and x_type == "tweet_edit":
            for version in body.edit_tweet_ids:
                self._tweets[version].versions = body.edit_tweet_ids
                if version != body.tweet.id:
                    self._tweets[version].edited_at = body.event_at
        elif body.user and stream == "user":
            self._apply_to_user(self._users[body.user.id], x_type, body)

    @staticmethod
    def _apply_to_user(user: _User, x_type: str, body: _Body) -> None:
        if x_type in _REASONS:
            user.reasons[_REASONS[x_type]] = body.event_at
        elif x_type in _UNDONE:
            user.reasons.pop(_UNDONE[x_type], None)
        elif x_type == "scrub_geo" and body.up_to_tweet_id is not None:
            user.scrubbed_up_to = max(user.scrubbed_up_to, int(body.up_to_tweet_id))
            user.scrubbed_at = body.event_at

    def _name_all(self, body: _Body) -> None:
        """Add whom and what a body names: a Tweet of a user, a Quote Tweet, the versions of a Tweet, a like."""
        for reference in (body.tweet, body.favorite):
            if reference is not None:
                self._name_tweet(reference.id, reference.author_id)
        if body.favorite is not None and body.favorite.user_id is not None:
            self._users.setdefault(body.favorite.user_id, _User())
        for tweet_id in (*body.edit_tweet_ids, body.quote_tweet_id):
            if tweet_id is not None:
                self._name_tweet(tweet_id, None)
        if body.user is not None:
            self._users.setdefault(body.user.id, _User())
            if body.up_to_tweet_id is not None:
                self._name_tweet(body.up_to_tweet_id, body.user.id)

    def _name_tweet(self, tweet_id: str, author_id: str | None) -> None:
        tweet = self._tweets.setdefault(tweet_id, _Tweet())
        if author_id is not None:
            tweet.author_id = author_id
            self._users.setdefault(author_id, _User())
