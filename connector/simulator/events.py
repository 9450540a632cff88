"""Owns what simulated events look like: all types in a realistic mix, in every spelling X is known to use.

Deterministic from its seed, apart from times. Knows nothing of streams as connections.

An entity (a Tweet, a user) lives a short life: a few events with distinct bodies, in order, among those of others.
So no two events are the same, whatever their times, and an entity returns often enough for its order to matter.
"""

import json
import random
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from connector.events.catalog import STREAMS, StreamPartition
from connector.simulator.clock import NANOS

Body = dict[str, Any]
Group = list[tuple[str, Body]]
"""Events (X's type, body without time) that X sends together, with one `event_at`."""

_LIVES_AT_ONCE = 16
_LATENCY_NS = 2 * NANOS
_SHORT_IDS_FROM = 2_000_000_000
_PAST_63_BITS = 8_800_000_000_000_000_000
_COUNTRIES = (["XY"], ["DE"], ["de", "FR"], ["XX"], ["TR", "IN", "BR"])
_PROFILE_FIELDS = (
    "profile.name",
    "profile.location",
    "profile.description",
    "profile.url",
    "profile.profileBanner",
    "profile.profileBanner.url",
    "profile.profileImage",
    "profile.profileImage.url",
    "profile.pronouns",
)
_TEXTS = (
    "plain text",
    "",
    "línea «uno» — Zürich, Łódź",
    "日本語のプロフィール",
    "نص من اليمين",
    "emoji 🎉👩‍👩‍👧‍👦🇺🇳",
    "line\u2028separator\u2029paragraph",
    "next\u0085line",
    'quote " backslash \\ slash / tab \t newline \n return \r null \x00',
    "\x00",
    "null\x00within",
    "e\u0301 is not \u00e9",
    "\ufeffmark \u200b nothing",
    "x" * 200,
)
_NOTICES: tuple[Body, ...] = (
    {},
    {"label_title": "Sensitive: café"},
    {"label_title": "A notice", "details": "More\u2028than one line 🛈"},
    {"details": "", "extended_details_url": "https://help.example/notice?a=1&b=2"},
    {"label_title": "A notice", "details": "Some", "extended_details_url": "https://help.example/notice"},
)
_FRACTION_DIGITS = (3, 3, 3, 3, 3, 3, 0, 1, 2, 4, 5, 6)


class EventSource:
    """An endless source of the events of one stream partition; the same seed gives the same bodies."""

    def __init__(self, seed: int, partition: StreamPartition) -> None:
        self._partition = partition
        self._random = random.Random(f"{seed}/{partition}")  # noqa: S311 - made-up events, not secrets
        self._count = 0
        self._life = _LIVES[partition.stream]
        self._alive = [self._life(self) for _ in range(_LIVES_AT_ONCE)]
        self._due: deque[tuple[str, Body]] = deque()
        self._group_at_ns = 0

    def line(self, now_ns: int) -> bytes:
        """Return the next event as a line without its ending; `event_at` is up to 2 s before `now_ns`."""
        return self.dated_line(now_ns)[0]

    def dated_line(self, now_ns: int, late_ns: int = 0) -> tuple[bytes, int]:
        """Return the next event as a line, and its `event_at` in ns as it is written: `late_ns` before its time."""
        is_new = not self._due
        if is_new:
            self._due.extend(self._next_group())
        if is_new or now_ns - self._group_at_ns > _LATENCY_NS:
            self._group_at_ns = now_ns - int(self._random.random() ** 3 * _LATENCY_NS)
        x_type, body = self._due.popleft()
        return self._spell(x_type, body, self._group_at_ns - late_ns)

    def unique_id(self) -> str:
        """Return an id never returned before, of an entity that belongs to this partition; some exceed 63 bits."""
        self._count += 1
        partitions = STREAMS[self._partition.stream].partitions or 1
        number = self._count * partitions + self._partition.number - 1
        if self._happens(0.2):
            return str(_SHORT_IDS_FROM + number)
        high = (self._random.getrandbits(20) | 1 << 19) << 40
        return str(high + number + (_PAST_63_BITS if self._happens(0.03) else 0))

    def choose(self, *weighted: tuple[float, Callable[[], Iterator[Group]]]) -> Iterator[Group]:
        """Run one of the lives, drawn by cumulative weight up to 1."""
        drawn = self._random.random()
        return next(life for limit, life in weighted if drawn < limit)()

    def _next_group(self) -> Group:
        index = int(self._random.random() * _LIVES_AT_ONCE)
        group = next(self._alive[index], None)
        while group is None:
            self._alive[index] = self._life(self)
            group = next(self._alive[index], None)
        return group

    def _spell(self, x_type: str, body: Body, at_ns: int) -> tuple[bytes, int]:
        written, written_ns = self._spell_time(at_ns)
        items = [*body.items(), ("event_at", written)]
        if self._happens(0.005):
            items.append(("x_preview", {"number": 12345678901234567890, "text": "é"}))
        turn = int(self._random.random() * len(items))
        items = items[turn:] + items[:turn]
        if self._happens(0.5):
            items.reverse()
        document: Body = {"data": {x_type: dict(items)}}
        if self._happens(0.02):
            document = {"meta": {"sent": "now"}, **document, "matching_rules": []}
        line = json.dumps(document).encode() if self._happens(0.05) else msgspec.json.encode(document)
        return line, written_ns

    def _spell_time(self, at_ns: int) -> tuple[str, int]:
        seconds, nanos = divmod(at_ns, NANOS)
        digits = self._pick(_FRACTION_DIGITS)
        fraction = f".{nanos:09d}"[: digits + 1] if digits else ""
        offset = "+00:00" if self._happens(0.3) else "Z"
        return f"{_second(seconds)}{fraction}{offset}", at_ns - at_ns % 10 ** (9 - digits)

    def tweet_life(self) -> Iterator[Group]:
        """One Tweet: mostly just its delete."""
        tweet = self._tweet()
        return self.choose(
            (0.70, lambda: iter([[("delete", {"tweet": tweet})]])),
            (0.80, lambda: iter([_about("delete", {"tweet": tweet}, self._quotes())])),
            (0.85, lambda: iter([_about("drop", {"tweet": tweet}, self._maybe_quotes())])),
            (0.90, lambda: self._drop_life({"tweet": tweet})),
            (0.95, lambda: self._withheld_life({"tweet": tweet})),
            (1.00, lambda: self._edit_life(tweet)),
        )

    def user_life(self) -> Iterator[Group]:
        """One user: mostly edits of the profile."""
        body: Body = {"user": {"id": self.unique_id()}}
        return self.choose(
            (0.50, lambda: self._profile_life(body)),
            (0.62, lambda: iter([[(kind, body)] for kind in ("user_protect", "user_unprotect")])),
            (0.74, lambda: iter([[(kind, body)] for kind in ("user_suspend", "user_unsuspend", "user_delete")])),
            (0.86, lambda: iter([[(kind, body)] for kind in ("user_delete", "user_undelete")])),
            (0.92, lambda: iter([[("user_withheld", {**body, "withheld_in_countries": self._pick(_COUNTRIES)})]])),
            (1.00, lambda: iter([[("scrub_geo", {**body, "up_to_tweet_id": self.unique_id()})]])),
        )

    def like_life(self) -> Iterator[Group]:
        """One like, taken back."""
        yield [("delete", {"favorite": {"id": self.unique_id(), "user_id": self._author()}})]

    def label_life(self) -> Iterator[Group]:
        """One label, applied and sometimes removed."""
        body: Body = {"tweet": self._tweet()}
        kind = "public_tweet_unviewable"
        if self._happens(0.7):
            kind = "public_tweet_notice"
            body |= {"event_type": self._pick(("misleading", "age_gated", "violation")), **self._pick(_NOTICES)}
        yield [(kind, {**body, "application": "apply"})]
        if self._happens(0.3):
            yield [(kind, {**body, "application": "remove"})]

    def _drop_life(self, body: Body) -> Iterator[Group]:
        """Drop a Tweet and undrop it: altogether, or only inside its Quote Tweets, or only itself."""
        quotes = self._maybe_quotes()
        yield _about("drop", body, quotes)
        undrops = _about("undrop", body, quotes)
        yield self._pick((undrops, undrops[1:], undrops[:1])) or undrops
        yield _about("delete", body, quotes)

    def _edit_life(self, tweet: Body) -> Iterator[Group]:
        """Edit a Tweet, and now and then delete one version, which is the end of all of them."""
        ids = [tweet["id"]]
        for _ in range(self._random.randint(1, 5)):
            ids.append(self.unique_id())
            yield [("tweet_edit", {"tweet": {"id": ids[-1]}, "initial_tweet_id": ids[0], "edit_tweet_ids": ids[:]})]
        if self._happens(0.2):
            yield [("delete", {"tweet": {**tweet, "id": self._pick(tuple(ids))}})]

    def _withheld_life(self, body: Body) -> Iterator[Group]:
        quotes = self._maybe_quotes()
        yield _about("withheld", {**body, "withheld_in_countries": self._pick(_COUNTRIES)}, quotes)
        yield _about("delete", body, quotes)

    def _profile_life(self, body: Body) -> Iterator[Group]:
        for number in range(self._random.randint(1, 4)):
            text = f"{self._pick(_TEXTS)}{number or ''}"
            yield [
                ("user_profile_modification", {**body, "profile_field": self._pick(_PROFILE_FIELDS), "new_value": text})
            ]

    def _quotes(self) -> list[str]:
        return [self.unique_id() for _ in range(self._random.randint(1, 5))]

    def _maybe_quotes(self) -> list[str]:
        return self._quotes() if self._happens(0.3) else []

    def _tweet(self) -> Body:
        tweet_id, author_id = self.unique_id(), self._author()
        if self._happens(0.5):
            return {"author_id": author_id, "id": tweet_id}
        return {"id": tweet_id, "author_id": author_id}

    def _author(self) -> str:
        return str(12 + int(self._random.random() ** 4 * 9_000_000_000_000))

    def _happens(self, probability: float) -> bool:
        return self._random.random() < probability

    def _pick(self, choices: tuple[Any, ...]) -> Any:  # noqa: ANN401 - whatever the choices are
        return choices[int(self._random.random() * len(choices))]


def _about(x_type: str, body: Body, quotes: list[str]) -> Group:
    """Return the event about a Tweet, and one more about its content inside each Quote Tweet."""
    return [(x_type, body), *((x_type, {**body, "quote_tweet_id": quote}) for quote in quotes)]


_LIVES: dict[str, Callable[[EventSource], Iterator[Group]]] = {
    "tweet": EventSource.tweet_life,
    "user": EventSource.user_life,
    "like": EventSource.like_life,
    "label": EventSource.label_life,
}


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
