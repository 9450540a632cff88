"""One well-formed body for each of X's types, and what it must become. Ids and texts are made up."""

import json
from typing import Any, NamedTuple

from connector.events.decode import Event

EVENT_AT = "2022-06-27T23:49:41.839+00:00"
EVENT_AT_NS = 1_656_373_781_839_000_000

_TWEET = {"id": "1900000000000000001", "author_id": "70"}
_TWEET_FIELDS = {"tweet_id": "1900000000000000001", "author_id": "70"}
_QUOTED = {**_TWEET_FIELDS, "quote_tweet_id": None}


class Sample(NamedTuple):
    """A stream, X's type and body; the event's name, the record key and the type's own fields that follow."""

    stream: str
    x_type: str
    body: dict[str, Any]
    name: str
    key: str
    fields: dict[str, Any]

    @property
    def line(self) -> bytes:
        """The line that X would send."""
        return line_of(self.x_type, self.body)


def line_of(x_type: str, body: object) -> bytes:
    """Return the line that carries `body`."""
    return json.dumps({"data": {x_type: body}}).encode()


def fields_of(event: Event) -> dict[str, Any]:
    """Return the values of an event by the names of their record fields."""
    names = [field.name for field in event.type.fields]
    return dict(zip([*names, "unknown_fields"], event.values, strict=True))


def _tweet(x_type: str, name: str, **more: Any) -> Sample:  # noqa: ANN401 - members of a body are any JSON
    body = {"tweet": _TWEET, "event_at": EVENT_AT, **more}
    return Sample("tweet", x_type, body, name, "1900000000000000001", {**_QUOTED, **more})


def _user(x_type: str, name: str, **more: Any) -> Sample:  # noqa: ANN401 - members of a body are any JSON
    body = {"user": {"id": "70"}, "event_at": EVENT_AT, **more}
    return Sample("user", x_type, body, name, "70", {"user_id": "70", **more})


SAMPLES = (
    _tweet("delete", "tweet.delete"),
    _tweet("withheld", "tweet.withheld", withheld_in_countries=["XY", "de"]),
    _tweet("drop", "tweet.drop", quote_tweet_id="1900000000000000009"),
    _tweet("undrop", "tweet.undrop"),
    Sample(
        "tweet",
        "tweet_edit",
        {"tweet": {"id": "12"}, "initial_tweet_id": "10", "edit_tweet_ids": ["10", "11", "12"], "event_at": EVENT_AT},
        "tweet.edit",
        "10",
        {"tweet_id": "12", "initial_tweet_id": "10", "edit_tweet_ids": ["10", "11", "12"]},
    ),
    _user("user_delete", "user.delete"),
    _user("user_undelete", "user.undelete"),
    _user("user_protect", "user.protect"),
    _user("user_unprotect", "user.unprotect"),
    _user("user_suspend", "user.suspend"),
    _user("user_unsuspend", "user.unsuspend"),
    _user("user_withheld", "user.withheld", withheld_in_countries=["XX"]),
    _user("scrub_geo", "user.scrub-geo", up_to_tweet_id="9999999999999999999"),
    _user(
        "user_profile_modification",
        "user.profile-modification",
        profile_field="profile.description",
        new_value="\u2028 \u0085 é 😀",
    ),
    Sample(
        "like",
        "delete",
        {"favorite": {"id": "12", "user_id": "70"}, "event_at": EVENT_AT},
        "like.delete",
        "70:12",
        {"tweet_id": "12", "user_id": "70"},
    ),
    Sample(
        "label",
        "public_tweet_notice",
        {"tweet": _TWEET, "event_type": "notice", "application": "apply", "details": "d", "event_at": EVENT_AT},
        "label.notice",
        "1900000000000000001",
        {
            **_TWEET_FIELDS,
            "notice_type": "notice",
            "application": "apply",
            "label_title": None,
            "details": "d",
            "extended_details_url": None,
        },
    ),
    Sample(
        "label",
        "public_tweet_unviewable",
        {"tweet": _TWEET, "application": "remove", "event_at": EVENT_AT},
        "label.unviewable",
        "1900000000000000001",
        {**_TWEET_FIELDS, "application": "remove"},
    ),
)
TWEET_DELETE = SAMPLES[0]
