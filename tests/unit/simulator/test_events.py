"""The mix of simulated events: every type, every spelling, each unique, each on its entity's partition."""

import json
import re
from collections import Counter
from datetime import datetime
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from connector.events.catalog import BY_X_TYPE, EVENT_TYPES, STREAM_PARTITIONS, Kind, StreamPartition
from connector.simulator.clock import NANOS
from connector.simulator.events import EventSource
from connector.simulator.malformed import MALFORMED_KINDS, MalformedSource

_NOW_NS = 1_700_000_000 * NANOS
_COUNT = 3000


@cache
def _lines(partition: StreamPartition, seed: int = 1, now_ns: int = _NOW_NS) -> list[bytes]:
    source = EventSource(seed, partition)
    return [source.line(now_ns) for _ in range(_COUNT)]


def _parse(line: bytes) -> tuple[str, dict[str, Any]]:
    ((x_type, body),) = json.loads(line)["data"].items()
    return x_type, body


def _without_time(line: bytes) -> object:
    x_type, body = _parse(line)
    return x_type, {name: value for name, value in body.items() if name != "event_at"}


def _member(body: dict[str, Any], path: tuple[str, ...]) -> object:
    *parents, name = path
    for parent in parents:
        body = body.get(parent, {})
    return body.get(name)


def _fits(value: object, kind: Kind) -> bool:
    if kind in {Kind.IDS, Kind.TEXTS}:
        single = Kind.ID if kind is Kind.IDS else Kind.TEXT
        return isinstance(value, list) and bool(value) and all(_fits(item, single) for item in value)
    pattern = r"[0-9]{1,19}" if kind is Kind.ID else r".*"
    return isinstance(value, str) and re.fullmatch(pattern, value, re.DOTALL) is not None


@pytest.mark.slow
def test_line_same_seed_gives_same_bodies_at_other_times() -> None:
    """Only the times differ between two runs of one seed."""
    for partition in STREAM_PARTITIONS:
        earlier, later = _lines(partition), _lines(partition, now_ns=_NOW_NS + 12345 * NANOS)
        assert earlier != later
        assert list(map(_without_time, earlier)) == list(map(_without_time, later))


def test_line_other_seed_gives_other_bodies() -> None:
    """The seed matters."""
    partition = StreamPartition("tweet", 1)
    assert list(map(_without_time, _lines(partition))) != list(map(_without_time, _lines(partition, seed=2)))


@pytest.mark.slow
def test_line_every_type_of_the_table_occurs_and_fits_it() -> None:
    """Every type appears, each with the members the table names, required ones always."""
    seen = set()
    for partition in STREAM_PARTITIONS:
        for x_type, body in map(_parse, _lines(partition)):
            event_type = BY_X_TYPE[partition.stream, x_type]
            seen.add(event_type.name)
            for field in event_type.fields:
                value = _member(body, field.path)
                assert _fits(value, field.kind) or (value is None and not field.required), (event_type, body)
    assert seen == {event_type.name for event_type in EVENT_TYPES}


def test_line_optional_members_come_and_stay_away() -> None:
    """Each optional member is there in some events and missing in others."""
    optional = {("quote_tweet_id", "tweet"), ("details", "label"), ("label_title", "label")}
    optional |= {("extended_details_url", "label")}
    for member, stream in optional:
        bodies = [body for _, body in map(_parse, _lines(StreamPartition(stream, 1)))]
        assert {member in body for body in bodies} == {True, False}


@pytest.mark.slow
def test_line_no_two_events_of_a_partition_are_the_same_even_without_times() -> None:
    """Identity never hangs on the time alone, so a burst at one instant holds no accidental duplicates."""
    for partition in STREAM_PARTITIONS:
        bodies = {json.dumps(_without_time(line), sort_keys=True) for line in _lines(partition)}
        assert len(bodies) == _COUNT


def test_line_tweet_stream_deletes_dominate() -> None:
    """Most tweet events are deletes, as on X."""
    counts = Counter(x_type for x_type, _ in map(_parse, _lines(StreamPartition("tweet", 2))))
    assert counts["delete"] > _COUNT / 2


def _quotes_by_tweet(x_type: str) -> dict[str, list[str | None]]:
    """Return the `quote_tweet_id` of each event of this type, in order, by Tweet."""
    quotes: dict[str, list[str | None]] = {}
    for partition in STREAM_PARTITIONS[:4]:
        for other, body in map(_parse, _lines(partition)):
            if other == x_type:
                quotes.setdefault(body["tweet"]["id"], []).append(body.get("quote_tweet_id"))
    return quotes


@pytest.mark.parametrize("x_type", ["delete", "drop", "withheld"])
def test_line_events_of_a_quoted_tweet_begin_with_the_one_about_itself(x_type: str) -> None:
    """Then comes one for each Quote Tweet, none of them twice; other Tweets have the first alone."""
    quotes = _quotes_by_tweet(x_type).values()
    assert all(own is None and None not in others and len(set(others)) == len(others) for own, *others in quotes)
    assert {1, 2, 3} <= {len(each) for each in quotes}


def test_line_events_of_a_quoted_tweet_are_of_one_instant() -> None:
    """Where they are spelt with the same digits, `event_at` is the same."""
    bodies = [body for _, body in map(_parse, _lines(StreamPartition("tweet", 1)))]
    pairs = [
        (before["event_at"][:19], body["event_at"][:19])
        for before, body in pairwise(bodies)
        if "quote_tweet_id" in body and body["tweet"] == before.get("tweet")
    ]
    assert len(pairs) > 100
    assert all(before == after for before, after in pairs)


def test_line_undrop_undoes_all_of_a_drop_or_the_tweet_alone_or_the_quotes_alone() -> None:
    """A Tweet may be back while its content stays hidden inside a Quote Tweet, and the other way round."""
    drops, undrops = _quotes_by_tweet("drop"), _quotes_by_tweet("undrop")
    undone = Counter(
        "all" if back == drops[tweet_id] else "quotes" if None not in back else "tweet"
        for tweet_id, back in undrops.items()
        if len(drops[tweet_id]) > 1
    )
    assert set(undone) == {"all", "quotes", "tweet"}
    assert all(set(back) <= set(drops[tweet_id]) for tweet_id, back in undrops.items())


def test_line_edited_tweet_may_be_deleted_in_any_of_its_versions() -> None:
    """X deletes all versions with it, and names one."""
    versions: dict[str, list[str]] = {}
    deleted: set[str] = set()
    for partition in STREAM_PARTITIONS[:4]:
        for x_type, body in map(_parse, _lines(partition)):
            if x_type == "tweet_edit":
                versions[body["initial_tweet_id"]] = body["edit_tweet_ids"]
            elif x_type == "delete":
                deleted.add(body["tweet"]["id"])
    places = {each.index(tweet_id) for each in versions.values() for tweet_id in each if tweet_id in deleted}
    assert {0, 1, 2} <= places
    assert all(len(deleted.intersection(each)) <= 1 for each in versions.values())


def test_line_profile_texts_are_any_text() -> None:
    """Empty ones, U+0000 within and alone, separators of lines and emoji among them."""
    lines = map(_parse, _lines(StreamPartition("user", 1)))
    texts = [body["new_value"] for x_type, body in lines if x_type == "user_profile_modification"]
    assert {"", "\0"} <= set(texts)
    for part in ("l\0w", "\u2028", "\u2029", "\u0085", "👩‍👩‍👧‍👦", "e\u0301", "\ufeff", "\n"):
        assert any(part in text for text in texts), ascii(part)


def test_line_entities_stay_on_one_partition_and_return() -> None:
    """All events of a Tweet (an edit: of its initial Tweet) or a user are on the partition of its id."""
    for partition in STREAM_PARTITIONS[:8]:
        keys: Counter[str] = Counter()
        for x_type, body in map(_parse, _lines(partition)):
            keys[body.get("initial_tweet_id") or body["user" if x_type[:4] in {"user", "scru"} else "tweet"]["id"]] += 1
        assert {int(key) % 4 + 1 for key in keys} == {partition.number}
        assert max(keys.values()) > 1


def test_line_event_at_is_rfc_3339_in_every_spelling_and_just_past() -> None:
    """Z and +00:00, 0 to 6 fraction digits, never after the moment of emission."""
    digits, offsets = set(), set()
    for _, body in map(_parse, _lines(StreamPartition("user", 3))):
        match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(Z|\+00:00)", body["event_at"])
        assert match
        digits.add(len(match[2] or ""))
        offsets.add(match[3])
        age = _NOW_NS / NANOS - datetime.fromisoformat(body["event_at"]).timestamp()
        assert 0 <= age <= 3.001
    assert (digits, offsets) == (set(range(7)), {"Z", "+00:00"})


def test_line_spelling_varies_field_order_escapes_and_company() -> None:
    """Field order, escapes, raw U+2028 and U+0085, and keys beside data all vary."""
    lines = _lines(StreamPartition("user", 1)) + _lines(StreamPartition("tweet", 1))
    orders = {tuple(body) for x_type, body in map(_parse, lines) if x_type == "user_profile_modification"}
    assert len(orders) >= 6
    text = b"\n".join(lines)
    for spelling in ("\u2028", "\u0085", "🎉", "\\u2028", "\\ud83c", "\\n", "日本語", '"matching_rules"'):
        assert spelling.encode() in text, spelling
    assert all(b"\n" not in line and b"\r" not in line for line in lines)


def test_line_some_ids_exceed_a_signed_64_bit_integer() -> None:
    """Ids are text: some do not fit where a careless reader would put them."""
    ids = [int(body["tweet"]["id"]) for _, body in map(_parse, _lines(StreamPartition("tweet", 1)))]
    assert any(2**63 <= number < 10**19 for number in ids)
    assert any(number < 10**10 for number in ids)


@pytest.mark.parametrize("kind", MALFORMED_KINDS)
def test_malformed_line_is_unique_and_what_its_kind_says(kind: str) -> None:
    """What the simulator calls malformed is malformed in that way, on every stream."""
    source = MalformedSource()
    for stream in ("tweet", "user", "like", "label"):
        lines = [source.line(kind, stream, "2026-01-02T03:04:05.678Z") for _ in range(12)]
        assert len(set(lines)) == len(lines)
        assert {_flaw(stream, line) for line in lines} == {kind}


def _flaw(stream: str, line: bytes) -> str:
    try:
        document = json.loads(line)
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return "broken"
    if not isinstance(document, dict):
        return "broken"
    data = document.get("data", {})
    if len(data) != 1 or (stream, next(iter(data))) not in BY_X_TYPE:
        return "unknown-type"
    return "invalid-body"
