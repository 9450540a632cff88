"""What X's compliance events ask of a store, in memory: the rules of docs/consuming.md, whatever order events come in.

Nothing here knows Kafka. Events are decoded records with `event_at` as a number or as text of one form, so that a
later one is greater.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

Event = Mapping[str, Any]
Content = Mapping[str, Any]
Entity = tuple[str, str]

SWITCHES = {
    "tweet.drop": ("drop", True),
    "tweet.undrop": ("drop", False),
    "user.delete": ("delete", True),
    "user.undelete": ("delete", False),
    "user.protect": ("protect", True),
    "user.unprotect": ("protect", False),
    "user.suspend": ("suspend", True),
    "user.unsuspend": ("suspend", False),
}
"""The pairs that toggle: which switch an event sets, and whether it hides."""
EVERYWHERE = {"XX", "XY"}
"""Country codes that are no countries: all of them, and a DMCA complaint, which is not limited to some."""
ACTIONS = ("show", "hide", "delete")
"""What to do with content, the most restrictive last."""


class ComplianceState:
    """All that was said of Tweets, users and likes so far."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._switches: defaultdict[tuple[str, Entity], dict[int, tuple[Any, int, bool]]] = defaultdict(dict)
        self._deleted: set[Entity] = set()
        self._withheld: defaultdict[Entity, set[str]] = defaultdict(set)
        self._versions: dict[str, set[str]] = {}
        self._scrubbed: dict[str, int] = {}
        self._profile: dict[tuple[str, str], tuple[Any, int, str]] = {}
        self._unliked: dict[tuple[str, str], Any] = {}

    def apply(self, event: Event) -> None:
        """Take in one event; one that was there before changes nothing."""
        if event["event_id"] not in self._seen and self._take_in(event):
            self._seen.add(event["event_id"])

    def _take_in(self, event: Event) -> bool:
        """Take in an event unless its type is to come: the same event may come as a type that is known."""
        at = event["event_at"]
        match event["event_type"]:
            case "tweet.delete":
                self._deleted.add(_entity(event))
            case "tweet.withheld" | "user.withheld":
                self._withheld[_entity(event)] |= {country.upper() for country in event["withheld_in_countries"]}
            case "tweet.edit":
                self._join_versions([event["initial_tweet_id"], event["tweet_id"], *event["edit_tweet_ids"]])
            case "user.scrub-geo":
                user = event["user_id"]
                self._scrubbed[user] = max(self._scrubbed.get(user, 0), int(event["up_to_tweet_id"]))
            case "user.profile-modification":
                field, value = (event["user_id"], event["profile_field"]), (at, _sequence(event), event["new_value"])
                self._profile[field] = max(self._profile.get(field, value), value)
            case "like.delete":
                like = event["user_id"], event["tweet_id"]
                self._unliked[like] = max(self._unliked.get(like, at), at)
            case "label.unviewable":
                self._switch("unviewable", _entity(event), event, is_on=event["application"] != "remove")
            case "label.notice":
                pass
            case name if name in SWITCHES:
                kind, is_on = SWITCHES[name]
                self._switch(kind, _entity(event), event, is_on=is_on)
            case _:
                return False
        return True

    def tweet(self, tweet: Content) -> dict[str, Any]:
        """Return what to do with a Tweet, with its location, and with the Tweet that it quotes.

        `tweet` has `tweet_id` and `author_id`; the same of the Tweet that it repeats or quotes under `retweeted` and
        `quoted`; and the ids of its `versions`, where they are known.
        """
        if versions := tweet.get("versions"):
            self._join_versions([tweet["tweet_id"], *versions])
        judged = [self._judge(tweet)]
        if "retweeted" in tweet:
            judged.append(self._judge(tweet["retweeted"]))
        if max(self._all_versions(tweet["tweet_id"]), key=int) != tweet["tweet_id"]:
            judged.append(("hide", set()))
        scrubbed = self._scrubbed.get(tweet["author_id"], -1)
        verdict = {**_combined(judged), "location": "delete" if int(tweet["tweet_id"]) <= scrubbed else "keep"}
        if "quoted" in tweet:
            verdict["quoted"] = _combined([self._judge(tweet["quoted"]), self._judge_entities(self._quotes(tweet))])
        return verdict

    def profile(self, user_id: str) -> dict[str, str]:
        """Return the profile fields of a user that are known to have changed."""
        return {field: value for (user, field), (_, _, value) in self._profile.items() if user == user_id}

    def like(self, like: Content) -> str:
        """Return whether to `keep` or `delete` a like that your store fetched from X at `fetched_at`."""
        unliked_at = self._unliked.get((like["user_id"], like["tweet_id"]))
        return "delete" if unliked_at is not None and like["fetched_at"] <= unliked_at else "keep"

    def _switch(self, kind: str, entity: Entity, event: Event, *, is_on: bool) -> None:
        """Keep the newest event of each stream partition; `_is_on` compares them."""
        newest = self._switches[kind, entity]
        value = event["event_at"], _sequence(event), is_on
        scope = _scope(event)
        newest[scope] = max(newest.get(scope, value), value)

    def _is_on(self, kind: str, entities: Iterable[Entity]) -> bool:
        """Return whether the latest event hides; where several are equally late, whether any of them does."""
        newest: dict[int, tuple[Any, int, bool]] = {}
        for entity in entities:
            for scope, value in self._switches.get((kind, entity), {}).items():
                newest[scope] = max(newest.get(scope, value), value)
        latest = max((at for at, _, _ in newest.values()), default=None)
        return any(is_on for at, _, is_on in newest.values() if at == latest)

    def _judge(self, tweet: Content) -> tuple[str, set[str]]:
        """Return what to do with a Tweet and where it is withheld, by all its versions and by its author."""
        versions = [("tweet", version) for version in self._all_versions(tweet["tweet_id"])]
        author = [("user", tweet["author_id"])]
        of_tweet, of_author = self._judge_entities(versions), self._judge_entities(author)
        is_hidden = any(self._is_on(kind, author) for kind in ("delete", "protect", "suspend"))
        return max(of_tweet[0], "hide" if is_hidden else "show", key=ACTIONS.index), of_tweet[1] | of_author[1]

    def _quotes(self, tweet: Content) -> list[Entity]:
        """Return the versions of a Tweet and of what it retweets: an event names one of them as the Quote Tweet."""
        quoting = [tweet, *([tweet["retweeted"]] if "retweeted" in tweet else [])]
        return [("quote", version) for each in quoting for version in self._all_versions(each["tweet_id"])]

    def _judge_entities(self, entities: list[Entity]) -> tuple[str, set[str]]:
        countries = {country for entity in entities for country in self._withheld.get(entity, ())}
        if not self._deleted.isdisjoint(entities):
            return "delete", countries
        is_hidden = self._is_on("drop", entities) or self._is_on("unviewable", entities)
        return "hide" if is_hidden else "show", countries

    def _all_versions(self, tweet_id: str) -> set[str]:
        return self._versions.get(tweet_id, {tweet_id})

    def _join_versions(self, ids: list[str]) -> None:
        together = {version for id_ in ids for version in self._all_versions(id_)}
        for version in together:
            self._versions[version] = together


def _entity(event: Event) -> Entity:
    """Return what an event is about: a Tweet, what a Tweet quotes, or a user."""
    if event.get("quote_tweet_id") is not None:
        return "quote", event["quote_tweet_id"]
    return ("tweet", event["tweet_id"]) if "tweet_id" in event else ("user", event["user_id"])


def _scope(event: Event) -> int:
    """Return within what sequences are comparable: a stream partition, but not for a dead letter that was replayed."""
    return 0 if event["delivered_by"] == "dead-letter" else event["stream_partition"]


def _sequence(event: Event) -> int:
    return 0 if event["delivered_by"] == "dead-letter" else event["sequence"]


def _combined(judged: Iterable[tuple[str, set[str]]]) -> dict[str, Any]:
    actions, countries = zip(*judged, strict=True)
    withheld_in = set().union(*countries)
    action = max(*actions, "hide" if withheld_in & EVERYWHERE else "show", key=ACTIONS.index)
    return {"action": action, "withheld_in": sorted(withheld_in)}
