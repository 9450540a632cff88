"""The example that keeps a store of Tweets in PostgreSQL: its rules by the vectors, its consumer through crashes."""

import json
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from itertools import permutations
from types import ModuleType
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from tests.integration.examples.published import EXAMPLES, VECTORS, Published, run
from tests.rig.postgres import Postgres

_FOLDER = EXAMPLES / "postgres"
_CASES = {
    f"{path.stem}/{case['name']}": case
    for path in sorted(VECTORS.glob("*.json"))
    for case in json.loads(path.read_text(encoding="utf-8"))
}
_LONG_AGO = "2026-05-04T09:00:00Z"
_CRASHING = """
import os, consumer
from confluent_kafka import Consumer
class Crashing(Consumer):
    def commit(self, *arguments, **named):
        os._exit(9)
consumer.Consumer, consumer.BATCH = Crashing, 100
consumer.main()
"""
"""Runs the consumer to the moment between its first database transaction and the commit of the offsets."""


def _example(folder: str, name: str) -> ModuleType:
    spec = spec_from_file_location(name, EXAMPLES / folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_CONSUMER = _example("postgres", "consumer")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """Start a PostgreSQL."""
    with Postgres() as postgres:
        yield postgres


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Iterator[Connection]:
    """Give a database with the schema."""
    with psycopg.connect(postgres.database("vectors"), autocommit=True) as connection:
        connection.execute((_FOLDER / "schema.sql").read_bytes())
        yield connection


@pytest.mark.parametrize("name", _CASES)
def test_vectors_hold_whenever_the_content_comes(database: Connection, name: str) -> None:
    """In every order of the events, with the content stored before them, between them and after them."""
    case = _CASES[name]
    for order in _orders(case):
        for place in {0, len(order) // 2, len(order)}:
            with database.transaction(force_rollback=True):
                for position, event in enumerate(order):
                    if position == place:
                        _store(database, case)
                    _apply(database, case["events"][event])
                if place == len(order):
                    _store(database, case)
                _check(database, case)


def _orders(case: Mapping[str, Any]) -> list[tuple[int, ...]]:
    if case["orders"] == "any":
        return list(permutations(range(len(case["events"]))))
    return [tuple(order) for order in case["orders"]]


def _apply(database: Connection, event: Mapping[str, Any]) -> None:
    database.execute("SELECT compliance.apply(%s::jsonb -> 0)", [_CONSUMER.as_json([event])])
    while _CONSUMER.scrub(database):
        pass


def _store(database: Connection, case: Mapping[str, Any]) -> None:
    """Store the content of a case, as a collector would."""
    for tweet in case.get("tweets", ()):
        retweeted, quoted = tweet.get("retweeted", {}), tweet.get("quoted", {})
        database.execute(
            "INSERT INTO tweet (tweet_id, author_id, body, location, version_ids, retweeted_id, retweeted_author_id,"
            " quoted_id, quoted_author_id, quoted_body, fetched_at)"
            " VALUES (%s, %s, 'text', 'here', %s, %s, %s, %s, %s, %s, now())",
            [
                tweet["tweet_id"],
                tweet["author_id"],
                tweet.get("versions", []),
                retweeted.get("tweet_id"),
                retweeted.get("author_id"),
                quoted.get("tweet_id"),
                quoted.get("author_id"),
                "quoted text" if quoted else None,
            ],
        )
    for user in case.get("profiles", ()):
        before = json.dumps(dict.fromkeys(user["expect"], "before"))
        database.execute("INSERT INTO x_user VALUES (%s, %s, %s)", [user["user_id"], before, _LONG_AGO])
    for like in case.get("likes", ()):
        values = [like["user_id"], like["tweet_id"], like["fetched_at"]]
        database.execute("INSERT INTO tweet_like VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", values)


def _check(database: Connection, case: Mapping[str, Any]) -> None:
    for tweet in case.get("tweets", ()):
        assert _found(database, tweet["tweet_id"]) == _expected(tweet)
    for user in case.get("profiles", ()):
        row = database.execute("SELECT profile FROM x_user WHERE user_id = %s", [user["user_id"]]).fetchone()
        assert row == ({field: value.replace("\0", "\ufffd") for field, value in user["expect"].items()},)
    for user_id, tweet_id, expected in {
        (each["user_id"], each["tweet_id"], each["expect"]) for each in case.get("likes", ())
    }:
        rows = database.execute("SELECT 1 FROM tweet_like WHERE (user_id, tweet_id) = (%s, %s)", [user_id, tweet_id])
        assert bool(rows.fetchone()) == (expected == "keep")


def _expected(tweet: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a vector expects of a Tweet, as far as a reader of the views sees it."""
    expected = {"action": "show", "withheld_in": [], "location": "keep", **tweet["expect"]}
    if expected["action"] == "delete":
        return {"action": "delete"}
    if expected["action"] == "hide":
        return {"action": "hide", "location": expected["location"]}
    if "quoted" in tweet:
        quoted = {"action": "show", "withheld_in": [], **expected.get("quoted", {})}
        expected["quoted"] = quoted if quoted["action"] == "show" else {"action": quoted["action"]}
    return expected


def _found(database: Connection, tweet_id: str) -> dict[str, Any]:
    """Return the same of what is stored and shown."""
    stored = database.execute(
        "SELECT location, quoted_id, quoted_body FROM tweet WHERE tweet_id = %s", [tweet_id]
    ).fetchone()
    if stored is None:
        return {"action": "delete"}
    location, quoted_id, quoted_body = stored
    kept = {"location": "keep" if location is not None else "delete"}
    shown = database.execute(
        "SELECT withheld_in, location, quoted_body, quoted_withheld_in FROM shown_tweet WHERE tweet_id = %s", [tweet_id]
    ).fetchone()
    if shown is None:
        return {"action": "hide", **kept}
    withheld_in, shown_location, shown_quoted, quoted_withheld_in = shown
    assert shown_location == location
    found = {"action": "show", "withheld_in": withheld_in, **kept}
    if quoted_id is not None and shown_quoted is not None:
        found["quoted"] = {"action": "show", "withheld_in": quoted_withheld_in}
    elif quoted_id is not None:
        found["quoted"] = {"action": "hide" if quoted_body is not None else "delete"}
    return found


def test_consumer_keeps_a_store_compliant_through_crashes_and_in_any_order_of_topics(
    postgres: Postgres, published: Published
) -> None:
    """Users first, then a crash, then the rest; Tweets come in before and after, and all are right."""
    url = postgres.database("store")
    environment = published.environment | {"DATABASE": url, "IDLE_EXIT_S": "8"}
    tweets = _tweets_of(published)
    with psycopg.connect(url, autocommit=True) as database:
        database.execute((_FOLDER / "schema.sql").read_bytes())
        _collect(database, tweets[::2])
        run([sys.executable, "consumer.py"], _FOLDER, environment | {"STREAMS": "user"})
        crashed = subprocess.run([sys.executable, "-c", _CRASHING], cwd=_FOLDER, env=environment, check=False)  # noqa: S603 - ours
        assert crashed.returncode == 9
        run([sys.executable, "consumer.py"], _FOLDER, environment | {"IDLE_EXIT_S": "20"})
        _collect(database, tweets[1::2])
        applied = database.execute("SELECT event_id FROM compliance.receipt").fetchall()
        assert sorted(id_ for (id_,) in applied) == sorted(published.events)
        state = _state_of(published.events.values())
        for tweet in tweets:
            assert _found(database, tweet["tweet_id"]) == _expected({**tweet, "expect": state.tweet(tweet)})


def _tweets_of(published: Published) -> list[dict[str, Any]]:
    """Return Tweets that a store may hold: those that events are about, and those that quote them."""
    tweets: dict[str, dict[str, Any]] = {}
    for event in published.events.values():
        author = event.get("author_id") or event.get("user_id")
        for name in ("tweet_id", "quote_tweet_id", "up_to_tweet_id"):
            if (id_ := event.get(name)) is not None and id_ not in tweets:
                tweets[id_] = {"tweet_id": id_, "author_id": author or "1"}
        if (quote := event.get("quote_tweet_id")) is not None:
            tweets[quote] = {
                "tweet_id": quote,
                "author_id": "1",
                "quoted": {"tweet_id": event["tweet_id"], "author_id": author},
            }
    return list(tweets.values())


def _collect(database: Connection, tweets: Sequence[Mapping[str, Any]]) -> None:
    _store(database, {"tweets": tweets})


def _state_of(events: Any) -> Any:  # noqa: ANN401 - the example has no package
    """Return what the example in memory makes of events."""
    state = _example("python", "compliance_state").ComplianceState()
    for event in sorted(events, key=lambda event: (event["stream"], event["stream_partition"], event["sequence"])):
        state.apply(event)
    return state


def test_no_deleted_tweet_stays_when_content_and_events_come_at_once(postgres: Postgres) -> None:
    """Two collectors store Tweets while the consumer applies the deletes of the same Tweets."""
    url = postgres.database("race")
    ids = [str(1_900_000_000_000_000_000 + number) for number in range(2_000)]
    deletes = [_delete(number, id_) for number, id_ in enumerate(ids)]
    with psycopg.connect(url, autocommit=True) as database:
        database.execute((_FOLDER / "schema.sql").read_bytes())
        collectors = [threading.Thread(target=_collect_alone, args=(url, ids[half::2])) for half in (0, 1)]
        for collector in collectors:
            collector.start()
        for start in range(0, len(deletes), 50):
            _CONSUMER.apply(database, deletes[start : start + 50])
        for collector in collectors:
            collector.join()
        assert database.execute("SELECT count(*) FROM tweet").fetchone() == (0,)
        assert database.execute("SELECT count(*) FROM compliance.deleted").fetchone() == (len(ids),)


def _delete(number: int, id_: str) -> dict[str, Any]:
    fields = {
        "event_type": "tweet.delete",
        "event_at": _LONG_AGO,
        "tweet_id": id_,
        "author_id": "1",
        "quote_tweet_id": None,
    }
    return {"event_id": f"{number:032x}", "delivered_by": "stream", "stream_partition": 1, "sequence": number, **fields}


def _collect_alone(url: str, ids: Sequence[str]) -> None:
    """Store Tweets, some in each transaction."""
    with psycopg.connect(url, autocommit=True) as database:
        for start in range(0, len(ids), 20):
            with database.transaction():
                _collect(database, [{"tweet_id": id_, "author_id": "1"} for id_ in ids[start : start + 20]])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"tweet_id": "7", "action": "delete", "reason": "deleted"}, {"action": "delete"}),
        ({"tweet_id": "7", "action": "delete", "reason": "protected"}, {"action": "hide", "location": "keep"}),
        ({"tweet_id": "7", "action": "a-word-to-come", "reason": None}, {"action": "hide", "location": "keep"}),
        ({"tweet_id": "7", "action": "rehydrate", "reason": "tweet_edited"}, {"action": "hide", "location": "keep"}),
        (
            {"tweet_id": "7", "action": "scrub_geo", "reason": "geo_scrubbed"},
            {"action": "show", "withheld_in": [], "location": "delete"},
        ),
        ({"user_id": "1", "action": "delete", "reason": "suspended"}, {"action": "hide", "location": "keep"}),
    ],
)
@pytest.mark.parametrize("is_stored_first", [True, False])
def test_result_of_a_batch_run_is_applied_to_what_was_fetched_before(
    database: Connection,
    fields: Mapping[str, Any],
    expected: Mapping[str, Any],
    is_stored_first: bool,  # noqa: FBT001 - parametrized
) -> None:
    """As X saw it at `checked_at`: what was fetched after that is newer, but for a Tweet that was deleted."""
    with database.transaction(force_rollback=True):
        if is_stored_first:
            _collect(database, [{"tweet_id": "7", "author_id": "1"}])
        _apply_result(database, fields)
        if not is_stored_first:
            _collect(database, [{"tweet_id": "7", "author_id": "1"}])
        assert _found(database, "7") == expected
        if "tweet_id" in fields and fields["reason"] != "deleted":
            database.execute("UPDATE tweet SET location = 'here', fetched_at = now() + interval '2 hours'")
            assert _found(database, "7") == {"action": "show", "withheld_in": [], "location": "keep"}


def test_result_older_than_an_event_is_out_of_date(database: Connection) -> None:
    """The user was suspended when the job looked, and is back since."""
    with database.transaction(force_rollback=True):
        _collect(database, [{"tweet_id": "7", "author_id": "1"}])
        back = {"event_type": "user.unsuspend", "event_at": "2200-01-01T00:00:00Z", "user_id": "1"}
        place = {"event_id": "b", "delivered_by": "stream", "stream_partition": 1, "sequence": 1}
        _apply(database, back | place)
        _apply_result(database, {"user_id": "1", "action": "delete", "reason": "suspended"})
        assert _found(database, "7")["action"] == "show"


def test_result_holds_for_copies_and_yields_to_later_events(database: Connection) -> None:
    """A Tweet of a protected account is hidden inside others, too, until an event says that the account is public."""
    with database.transaction(force_rollback=True):
        seven = {"tweet_id": "7", "author_id": "1"}
        retweet, quote = (
            {"tweet_id": id_, "author_id": "2", name: seven} for id_, name in (("8", "retweeted"), ("9", "quoted"))
        )
        _collect(database, [seven, retweet, quote])
        _apply_result(database, {"tweet_id": "7", "action": "delete", "reason": "protected"})
        assert [_found(database, id_)["action"] for id_ in "789"] == ["hide", "hide", "show"]
        assert _found(database, "9")["quoted"] == {"action": "hide"}
        back = {"event_type": "user.unprotect", "event_at": "2200-01-01T00:00:00Z", "user_id": "1"}
        _apply(database, back | {"event_id": "b", "delivered_by": "stream", "stream_partition": 1, "sequence": 1})
        assert [_found(database, id_)["action"] for id_ in "789"] == ["show"] * 3


def _apply_result(database: Connection, fields: Mapping[str, Any]) -> None:
    """Apply a result of a job that was created an hour after the content was fetched."""
    [at] = database.execute("SELECT (now() + interval '1 hour')::text").fetchone() or ()
    result = {"event_id": "a", "event_type": "batch", "run_id": "r", "checked_at": at, **fields}
    database.execute("SELECT compliance.apply_result(%s::jsonb)", [json.dumps(result)])


def test_content_is_stored_at_read_committed_alone(database: Connection) -> None:
    """A snapshot that is older than a deletion would let the Tweet in."""
    with psycopg.connect(database.info.dsn, password="", port=database.info.port) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with pytest.raises(psycopg.errors.RaiseException, match="read committed"):
            _collect(other, [{"tweet_id": "7", "author_id": "1"}])


def test_sweep_deletes_what_came_in_past_the_triggers(database: Connection) -> None:
    """As a backup does that is restored: a deleted Tweet, a copy of it, and a location."""
    with database.transaction(force_rollback=True):
        _apply(database, _delete(1, "7"))
        scrub = {"event_type": "user.scrub-geo", "event_at": _LONG_AGO, "user_id": "1", "up_to_tweet_id": "9"}
        _apply(database, scrub | {"event_id": "s", "delivered_by": "stream", "stream_partition": 1, "sequence": 2})
        database.execute("SET LOCAL session_replication_role = replica")
        seven = {"tweet_id": "7", "author_id": "2"}
        _collect(
            database,
            [seven, {"tweet_id": "8", "author_id": "2", "retweeted": seven}, {"tweet_id": "9", "author_id": "1"}],
        )
        database.execute("SET LOCAL session_replication_role = origin")
        database.execute("SELECT compliance.sweep()")
        while _CONSUMER.scrub(database):
            pass
        assert [_found(database, id_)["action"] for id_ in "789"] == ["delete", "delete", "show"]
        assert _found(database, "9")["location"] == "delete"


def test_event_that_the_database_cannot_hold_stops_no_other(database: Connection) -> None:
    """It is kept for a person to look at, and its neighbours are applied."""
    profile = {"event_type": "user.profile-modification", "user_id": "1", "new_value": "x", "event_at": _LONG_AGO}
    place = {"event_id": "p", "delivered_by": "stream", "stream_partition": 1, "sequence": 3}
    alphabet = [chr(0x4E00 + number) for number in range(6_000)]
    with database.transaction(force_rollback=True):
        _CONSUMER.apply(
            database, [_delete(1, "7"), profile | place | {"profile_field": "".join(alphabet)}, _delete(2, "8")]
        )
        assert database.execute("SELECT count(*) FROM compliance.deleted").fetchone() == (2,)
        [(reason,)] = database.execute("SELECT reason FROM compliance.refused_event").fetchall()
        assert "index row" in reason


def test_forgetting_leaves_what_may_still_be_needed(database: Connection) -> None:
    """Receipts and profile texts go with their age; states of Tweets and users stay."""
    with database.transaction(force_rollback=True):
        _apply(database, _delete(1, "7"))
        database.execute("UPDATE compliance.receipt SET applied_at = now() - interval '31 days'")
        database.execute("SELECT compliance.forget('30 days')")
        assert database.execute("SELECT count(*) FROM compliance.receipt").fetchone() == (0,)
        assert database.execute("SELECT count(*) FROM compliance.deleted").fetchone() == (1,)


def test_readme_leads_to_a_compliant_table_in_three_commands(postgres: Postgres, published: Published) -> None:
    """Its commands are run as they stand, but for the installation, which the test environment has."""
    commands = re.findall(
        r"^```shell\n(.*?)^```", (_FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    install, schema, consume = commands[0].strip().splitlines()
    assert install == "pip install -r requirements.txt"
    environment = published.environment | {"DATABASE": postgres.database("readme")}
    for command in (schema, consume):
        program, *arguments = shlex.split(command.replace("$DATABASE", environment["DATABASE"]))
        run([sys.executable if program == "python" else program, *arguments], _FOLDER, environment)
    with psycopg.connect(environment["DATABASE"]) as database:
        assert database.execute("SELECT count(*) FROM compliance.receipt").fetchone() == (len(published.events),)
