"""The one table of streams and event types. Routing, schemas, provisioning, decoding and docs all read it.

X's streams, types and bodies: X API v2 reference, compliance streams and label stream (OpenAPI 2.167).
"""

import re
from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class Stream:
    """One of X's compliance streams; `partitions` is None if the request has no `partition` parameter."""

    name: str
    path: str
    partitions: int | None


STREAMS = {
    stream.name: stream
    for stream in (
        Stream("tweet", "/2/tweets/compliance/stream", 4),
        Stream("user", "/2/users/compliance/stream", 4),
        Stream("like", "/2/likes/compliance/stream", None),
        Stream("label", "/2/tweets/label/stream", None),
    )
}


@dataclass(frozen=True, slots=True, order=True)
class StreamPartition:
    """One connection's share of a stream; `number` counts from 1 and is 1 if X has no partitions."""

    stream: str
    number: int

    def __str__(self) -> str:
        return f"{self.stream}/{self.number}"

    @property
    def ledger_partition(self) -> int:
        """The partition of the ledger topic that belongs to this stream partition."""
        return STREAM_PARTITIONS.index(self)

    @property
    def source(self) -> str:
        """The CloudEvents `source`: the partition is named only if X has one."""
        path = f"/x/compliance/{self.stream}"
        return path if STREAMS[self.stream].partitions is None else f"{path}/{self.number}"


STREAM_PARTITIONS = tuple(
    StreamPartition(stream.name, number)
    for stream in STREAMS.values()
    for number in range(1, (stream.partitions or 1) + 1)
)
"""All stream partitions; the index is the ledger partition."""

BY_STREAM_AND_NUMBER = {(partition.stream, partition.number): partition for partition in STREAM_PARTITIONS}


class Kind(Enum):
    """What a body member must be."""

    ID = auto()  # decimal string, X's pattern ^[0-9]{1,19}$
    IDS = auto()  # non-empty list of such
    TEXT = auto()
    TEXTS = auto()  # non-empty list of such


@dataclass(frozen=True, slots=True)
class Field:
    """A member of X's body (`path`) and the record field (`name`) it becomes."""

    name: str
    path: tuple[str, ...]
    kind: Kind
    required: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class EventType:
    """One type of event: its name at X, its topic, its fields; each is once in `EVENT_TYPES`.

    `key` names the record fields that, joined with a colon, are the record key.
    """

    stream: str
    x_type: str
    event: str
    fields: tuple[Field, ...]
    key: tuple[str, ...]

    @property
    def name(self) -> str:
        """`tweet.delete`: the topic suffix and the record's `event_type`."""
        return f"{self.stream}.{self.event}"

    @property
    def schema(self) -> str:
        """`TweetDelete`: the Avro record's name and its file's stem."""
        return "".join(word.capitalize() for word in re.split(r"[.-]", self.name))


_TWEET_ID = Field("tweet_id", ("tweet", "id"), Kind.ID)
_AUTHOR_ID = Field("author_id", ("tweet", "author_id"), Kind.ID)
_QUOTE_TWEET_ID = Field("quote_tweet_id", ("quote_tweet_id",), Kind.ID, required=False)
_COUNTRIES = Field("withheld_in_countries", ("withheld_in_countries",), Kind.TEXTS)
_USER_ID = Field("user_id", ("user", "id"), Kind.ID)
_APPLICATION = Field("application", ("application",), Kind.TEXT)

_TWEET = (_TWEET_ID, _AUTHOR_ID, _QUOTE_TWEET_ID)
_EDIT = (
    _TWEET_ID,
    Field("initial_tweet_id", ("initial_tweet_id",), Kind.ID),
    Field("edit_tweet_ids", ("edit_tweet_ids",), Kind.IDS),
)
_USER = (_USER_ID,)
_SCRUB_GEO = (_USER_ID, Field("up_to_tweet_id", ("up_to_tweet_id",), Kind.ID))
_PROFILE = (
    _USER_ID,
    Field("profile_field", ("profile_field",), Kind.TEXT),
    Field("new_value", ("new_value",), Kind.TEXT),
)
_LIKE = (Field("tweet_id", ("favorite", "id"), Kind.ID), Field("user_id", ("favorite", "user_id"), Kind.ID))
_NOTICE = (
    _TWEET_ID,
    _AUTHOR_ID,
    Field("notice_type", ("event_type",), Kind.TEXT),
    _APPLICATION,
    Field("label_title", ("label_title",), Kind.TEXT, required=False),
    Field("details", ("details",), Kind.TEXT, required=False),
    Field("extended_details_url", ("extended_details_url",), Kind.TEXT, required=False),
)

EVENT_TYPES = (
    EventType("tweet", "delete", "delete", _TWEET, ("tweet_id",)),
    EventType("tweet", "tweet_edit", "edit", _EDIT, ("initial_tweet_id",)),
    EventType("tweet", "withheld", "withheld", (*_TWEET, _COUNTRIES), ("tweet_id",)),
    EventType("tweet", "drop", "drop", _TWEET, ("tweet_id",)),
    EventType("tweet", "undrop", "undrop", _TWEET, ("tweet_id",)),
    EventType("user", "user_delete", "delete", _USER, ("user_id",)),
    EventType("user", "user_undelete", "undelete", _USER, ("user_id",)),
    EventType("user", "user_protect", "protect", _USER, ("user_id",)),
    EventType("user", "user_unprotect", "unprotect", _USER, ("user_id",)),
    EventType("user", "user_withheld", "withheld", (*_USER, _COUNTRIES), ("user_id",)),
    EventType("user", "user_suspend", "suspend", _USER, ("user_id",)),
    EventType("user", "user_unsuspend", "unsuspend", _USER, ("user_id",)),
    EventType("user", "user_profile_modification", "profile-modification", _PROFILE, ("user_id",)),
    EventType("user", "scrub_geo", "scrub-geo", _SCRUB_GEO, ("user_id",)),
    EventType("like", "delete", "delete", _LIKE, ("user_id", "tweet_id")),
    EventType("label", "public_tweet_notice", "notice", _NOTICE, ("tweet_id",)),
    EventType("label", "public_tweet_unviewable", "unviewable", (_TWEET_ID, _AUTHOR_ID, _APPLICATION), ("tweet_id",)),
)

BY_X_TYPE = {(event_type.stream, event_type.x_type): event_type for event_type in EVENT_TYPES}
BY_NAME = {event_type.name: event_type for event_type in EVENT_TYPES}
