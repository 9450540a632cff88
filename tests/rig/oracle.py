"""The oracle: what must stand in Kafka for a line that X sent, written by hand from `docs/contract.md`.

Knows `json`, `hashlib` and the published recipe; must not know how the connector decodes, names or encodes anything.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.rig import event_id_recipe as recipe

Body = dict[str, Any]
Take = Callable[..., Any]
"""Takes the member at a path out of a body and returns it, None if there is none."""

LINE_LIMIT_BYTES = 512 * 1024
_MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class ExpectedEvent:
    """An event as it must be published; `fields` lacks what the line cannot tell: receipt, sequence, way."""

    topic: str
    key: str
    headers: Mapping[str, str]
    fields: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The `event_id`."""
        return str(self.fields["event_id"])


def _tweet(take: Take) -> Body:
    return {
        "tweet_id": take("tweet", "id"),
        "author_id": take("tweet", "author_id"),
        "quote_tweet_id": take("quote_tweet_id"),
    }


def _withheld_tweet(take: Take) -> Body:
    return {**_tweet(take), "withheld_in_countries": take("withheld_in_countries")}


def _edit(take: Take) -> Body:
    return {
        "tweet_id": take("tweet", "id"),
        "initial_tweet_id": take("initial_tweet_id"),
        "edit_tweet_ids": take("edit_tweet_ids"),
    }


def _user(take: Take) -> Body:
    return {"user_id": take("user", "id")}


def _withheld_user(take: Take) -> Body:
    return {**_user(take), "withheld_in_countries": take("withheld_in_countries")}


def _profile(take: Take) -> Body:
    return {**_user(take), "profile_field": take("profile_field"), "new_value": take("new_value")}


def _scrub_geo(take: Take) -> Body:
    return {**_user(take), "up_to_tweet_id": take("up_to_tweet_id")}


def _like(take: Take) -> Body:
    return {"tweet_id": take("favorite", "id"), "user_id": take("favorite", "user_id")}


def _unviewable(take: Take) -> Body:
    return {
        "tweet_id": take("tweet", "id"),
        "author_id": take("tweet", "author_id"),
        "application": take("application"),
    }


def _notice(take: Take) -> Body:
    return {
        **_unviewable(take),
        "notice_type": take("event_type"),
        "label_title": take("label_title"),
        "details": take("details"),
        "extended_details_url": take("extended_details_url"),
    }


_TYPES: dict[tuple[str, str], tuple[str, Callable[[Take], Body], str]] = {
    ("tweet", "delete"): ("tweet.delete", _tweet, "{tweet_id}"),
    ("tweet", "tweet_edit"): ("tweet.edit", _edit, "{initial_tweet_id}"),
    ("tweet", "withheld"): ("tweet.withheld", _withheld_tweet, "{tweet_id}"),
    ("tweet", "drop"): ("tweet.drop", _tweet, "{tweet_id}"),
    ("tweet", "undrop"): ("tweet.undrop", _tweet, "{tweet_id}"),
    ("user", "user_delete"): ("user.delete", _user, "{user_id}"),
    ("user", "user_undelete"): ("user.undelete", _user, "{user_id}"),
    ("user", "user_protect"): ("user.protect", _user, "{user_id}"),
    ("user", "user_unprotect"): ("user.unprotect", _user, "{user_id}"),
    ("user", "user_withheld"): ("user.withheld", _withheld_user, "{user_id}"),
    ("user", "user_suspend"): ("user.suspend", _user, "{user_id}"),
    ("user", "user_unsuspend"): ("user.unsuspend", _user, "{user_id}"),
    ("user", "user_profile_modification"): ("user.profile-modification", _profile, "{user_id}"),
    ("user", "scrub_geo"): ("user.scrub-geo", _scrub_geo, "{user_id}"),
    ("like", "delete"): ("like.delete", _like, "{user_id}:{tweet_id}"),
    ("label", "public_tweet_notice"): ("label.notice", _notice, "{tweet_id}"),
    ("label", "public_tweet_unviewable"): ("label.unviewable", _unviewable, "{tweet_id}"),
}

EVENTS = tuple(name for name, _, _ in _TYPES.values())
"""All events, by the end of their topics' names, in the order of the contract."""


def expect_event(prefix: str, stream: str, partition: int, line: bytes) -> ExpectedEvent:
    """Return the event that a well-formed `line` of a stream partition must become under a topic prefix."""
    [(x_type, body)] = json.loads(line)["data"].items()
    event, fields_of, key_format = _TYPES[stream, x_type]
    event_id = recipe.event_id(stream, x_type, json.dumps(body))
    rest = _without_nulls(body)
    event_at = rest.pop("event_at")
    own = fields_of(lambda *path: _take(rest, *path))
    key = key_format.format_map(own)
    source = f"/x/compliance/{stream}"
    return ExpectedEvent(
        topic=f"{prefix}.{event}",
        key=key,
        headers={
            "ce_specversion": "1.0",
            "ce_id": event_id,
            "ce_source": f"{source}/{partition}" if stream in {"tweet", "user"} else source,
            "ce_type": f"x.compliance.{event}",
            "ce_time": event_at,
            "ce_subject": key,
            "content-type": "application/avro",
        },
        fields={
            "event_id": event_id,
            "event_type": event,
            "event_at": recipe.nanoseconds(event_at) // 10**6,
            "stream": stream,
            "stream_partition": partition,
            **own,
            "unknown_fields": rest or None,
        },
    )


def expect_dead_letter_id(stream: str, line: bytes) -> str:
    """Return the id of a `line` that is no event: that of its content where it can be read as one, else of its bytes.

    A line within the limit that holds exactly one type, named without NUL, with an object as its body, not too deep
    and with no unreadable `event_at`, can be read.
    """
    try:
        document = json.loads(line.decode(), parse_constant=_refuse_constant, parse_float=_finite)
        json.dumps(document, ensure_ascii=False).encode()  # a lone surrogate is not Unicode
        [(x_type, body)] = document["data"].items()
        is_named = bool(x_type) and "\0" not in x_type
        is_readable = is_named and isinstance(body, dict) and _depth(body) <= _MAX_DEPTH
        if is_readable and len(line) <= LINE_LIMIT_BYTES:
            return recipe.event_id(stream, x_type, json.dumps(body))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        pass
    return hashlib.blake2b(stream.encode() + b"\0\0" + line, digest_size=16).hexdigest()


def kafka_partition(key: bytes, partitions: int) -> int:
    """Return the partition that Java's default partitioner gives `key`."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Return murmur2 of `data` as Java's Kafka client computes it, in 32 bits without sign."""
    multiplier, mask = 0x5BD1E995, 0xFFFFFFFF
    digest = (0x9747B28C ^ len(data)) & mask
    whole = len(data) - len(data) % 4
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * multiplier & mask
        word = (word ^ word >> 24) * multiplier & mask
        digest = (digest * multiplier & mask) ^ word
    if whole < len(data):
        digest = (digest ^ int.from_bytes(data[whole:], "little")) * multiplier & mask
    digest = (digest ^ digest >> 13) * multiplier & mask
    return digest ^ digest >> 15


def _take(body: Body, name: str, *more: str) -> Any:  # noqa: ANN401 - any JSON value
    """Take out the member at the path, and the objects on the way to it that are then empty."""
    if not more:
        return body.pop(name, None)
    value = _take(body[name], *more)
    if not body[name]:
        del body[name]
    return value


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {name: _without_nulls(member) for name, member in value.items() if member is not None}
    return [_without_nulls(element) for element in value] if isinstance(value, list) else value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is beyond a double")
    return number


def _depth(value: Any) -> int:  # noqa: ANN401 - any JSON value
    """Return how many levels of lists and objects are inside `value`."""
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max((1 + _depth(member) for member in members if isinstance(member, dict | list)), default=0)
