"""What a batch job says is the truth of the streams: of each Tweet and user by what became of it, and nothing else."""

import json

import pytest

from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.batch.population import Population
from connector.simulator.faults import Broken, InvalidBody, UnknownType
from tests.unit.simulator.app import App, Json, lines, results_of
from tests.unit.simulator.reader import ask

_AT = "2026-09-25T10:00:00.000Z"
_TWEET = {"id": "1800000000000000000", "author_id": "12"}
_OTHER = "1800000000000000001"


def _say(sim: Simulator, stream: str, x_type: str, **body: object) -> None:
    line = json.dumps({"data": {x_type: {"event_at": _AT, **body}}}).encode()
    sim.emit_line(stream, 1, line, "event")


def _about(results: list[Json]) -> dict[str, tuple[str, str, str | None]]:
    return {result["id"]: (result["action"], result["reason"], result["redacted_at"]) for result in results}


@pytest.mark.parametrize("x_type", ["drop", "undrop", "withheld"])
def test_tweet_that_batch_sees_nothing_of_is_clean(sim: Simulator, app: App, x_type: str) -> None:
    """It exists, and is absent from the results, and so is a Quote Tweet of it."""
    _say(sim, "tweet", x_type, tweet=_TWEET)
    _say(sim, "tweet", x_type, tweet=_TWEET, quote_tweet_id=_OTHER)
    _say(sim, "label", "public_tweet_unviewable", tweet=_TWEET, application="apply")
    _say(sim, "like", "delete", favorite={"id": _OTHER, "user_id": "13"})
    assert sim.population.ids("tweets") == [_TWEET["id"], _OTHER]
    assert set(sim.population.ids("users")) == {"12", "13"}
    assert app.results(lines(_TWEET["id"], _OTHER)) == []


def test_tweet_that_was_deleted_is_to_be_deleted_and_its_quotes_are_not(sim: Simulator, app: App) -> None:
    """With all members that X's result lines have; the time of creation is that of the id."""
    _say(sim, "tweet", "delete", tweet=_TWEET)
    _say(sim, "tweet", "delete", tweet=_TWEET, quote_tweet_id=_OTHER)
    assert app.results(lines(_OTHER, _TWEET["id"], "7")) == [
        {
            "id": _TWEET["id"],
            "action": "delete",
            "created_at": "2024-06-10T03:00:17.039Z",
            "redacted_at": _AT,
            "reason": "deleted",
        }
    ]


def test_tweet_that_was_edited_is_stale_in_its_earlier_versions(sim: Simulator, app: App) -> None:
    """The newest is what there is to fetch."""
    versions = [str(int(_OTHER) + number) for number in range(3)]
    _say(sim, "tweet", "tweet_edit", tweet={"id": versions[-1]}, initial_tweet_id=versions[0], edit_tweet_ids=versions)
    assert _about(app.results(lines(*versions))) == dict.fromkeys(versions[:-1], ("rehydrate", "tweet_edited", None))


@pytest.mark.parametrize("deleted", range(3))
@pytest.mark.parametrize("step", [1, -1])
def test_tweet_that_was_deleted_in_one_version_is_gone_in_all(
    sim: Simulator, app: App, deleted: int, step: int
) -> None:
    """Whichever event names it, and whichever came first."""
    versions = [str(int(_OTHER) + number) for number in range(3)]
    says: list[tuple[str, Json]] = [
        ("tweet_edit", {"tweet": {"id": versions[-1]}, "initial_tweet_id": versions[0], "edit_tweet_ids": versions}),
        ("delete", {"tweet": {"id": versions[deleted], "author_id": "12"}}),
    ]
    for x_type, body in says[::step]:
        _say(sim, "tweet", x_type, **body)
    assert _about(app.results(lines(*versions))) == dict.fromkeys(versions, ("delete", "deleted", _AT))


def test_location_is_to_be_removed_from_a_users_tweets_up_to_an_id(sim: Simulator, app: App) -> None:
    """That id included, though it is known of from this alone; later Tweets, and those of others, keep theirs."""
    later = str(int(_OTHER) + 1)
    for tweet in (_TWEET, {"id": later, "author_id": "12"}, {"id": "5", "author_id": "13"}):
        _say(sim, "tweet", "undrop", tweet=tweet)
    _say(sim, "user", "scrub_geo", user={"id": "12"}, up_to_tweet_id=_OTHER)
    found = _about(app.results(lines(_TWEET["id"], _OTHER, later, "5")))
    assert found == dict.fromkeys((_TWEET["id"], _OTHER), ("scrub_geo", "geo_scrubbed", None))
    assert app.results(lines("12"), type="users") == []


@pytest.mark.parametrize(
    ("done", "undone", "reason"),
    [
        ("user_delete", "user_undelete", "deactivated"),
        ("user_suspend", "user_unsuspend", "suspended"),
        ("user_protect", "user_unprotect", "protected"),
    ],
)
def test_user_who_is_away_is_to_be_deleted_with_all_tweets_until_back(
    sim: Simulator, app: App, done: str, undone: str, reason: str
) -> None:
    """The latest state counts; what is undone leaves nothing."""
    _say(sim, "tweet", "undrop", tweet=_TWEET)
    _say(sim, "user", done, user={"id": "12"})
    for job_type, entity_id in (("users", "12"), ("tweets", _TWEET["id"])):
        assert _about(app.results(lines(entity_id), type=job_type)) == {entity_id: ("delete", reason, _AT)}
    _say(sim, "user", undone, user={"id": "12"})
    _say(sim, "user", "user_profile_modification", user={"id": "12"}, profile_field="profile.url", new_value="")
    for job_type, entity_id in (("users", "12"), ("tweets", _TWEET["id"])):
        assert app.results(lines(entity_id), type=job_type) == []


def test_gravest_of_several_counts(sim: Simulator, app: App) -> None:
    """Delete before rehydrate before scrub_geo, one line."""
    _say(sim, "tweet", "undrop", tweet=_TWEET)
    _say(sim, "user", "scrub_geo", user={"id": "12"}, up_to_tweet_id=_OTHER)
    _say(sim, "tweet", "tweet_edit", tweet={"id": _OTHER}, edit_tweet_ids=[_TWEET["id"], _OTHER])
    assert _about(app.results(lines(_TWEET["id"])))[_TWEET["id"]][0] == "rehydrate"
    _say(sim, "user", "user_suspend", user={"id": "12"})
    assert _about(app.results(lines(_TWEET["id"])))[_TWEET["id"]][:2] == ("delete", "suspended")
    _say(sim, "tweet", "delete", tweet=_TWEET)
    assert _about(app.results(lines(_TWEET["id"])))[_TWEET["id"]][:2] == ("delete", "deleted")


def test_answer_holds_for_the_moment_when_the_ids_arrived(sim: Simulator, app: App) -> None:
    """What becomes of them while the job is processed is not in it."""
    job = app.created()
    app.upload(job, lines(_TWEET["id"]))
    _say(sim, "tweet", "delete", tweet=_TWEET)
    sim.advance(sim.config.batch_job_s)
    assert results_of(app.download(job)) == []
    assert len(app.results(lines(_TWEET["id"]))) == 1


@pytest.mark.parametrize("given", ["", "12x", "-1", "1.2e18", "1" * 20, '"12"', "12,13", "\ufeff12", "é"])
def test_line_that_is_no_id_comes_back_as_such(app: App, given: str) -> None:
    """It does not fail the job; a blank line is nothing, and one of either is enough."""
    assert app.results(lines(given, "12", given)) == ([{"id": given, "error": "invalid_id"}] if given else [])


def test_each_id_is_answered_once_in_the_order_of_the_ids(sim: Simulator, app: App) -> None:
    """However often it was sent."""
    for number in (3, 1, 2):
        _say(sim, "tweet", "delete", tweet={"id": str(number), "author_id": "12"})
    results = app.results(lines("2", "1", "2", "3", "4", "1"))
    assert [(result["id"], result["created_at"]) for result in results] == [(each, None) for each in "213"]


def test_lines_that_are_not_events_name_no_entity(sim: Simulator) -> None:
    """They are for the streams' readers to cope with."""
    for fault in (Broken(times=12), InvalidBody(times=10), UnknownType(times=8)):
        sim.inject(fault)
    assert sim.population.entities() == []


@pytest.mark.slow
def test_every_event_of_the_mix_is_understood() -> None:
    """However it is spelt; forgotten lines count as long as they were asked for before."""
    sim = Simulator(SimulatorConfig(record_limit=300))
    for _ in range(5):
        sim.emit(1000)
        before = len(sim.population.entities())
    assert before > 5000
    assert {(found.action, found.reason) for found in sim.population.findings("tweets").values()} == {
        ("delete", "deleted"),
        ("rehydrate", "tweet_edited"),
        ("scrub_geo", "geo_scrubbed"),
    }
    reasons = {found.reason for found in sim.population.findings("users").values()}
    assert reasons == {"deactivated", "suspended", "protected"}
    assert len(Population(sim.emission.logs).entities()) < before


def test_population_over_http_is_a_file_of_ids_to_hold(sim: Simulator, app: App) -> None:
    """As it stands it can be uploaded; the truth of each is beside it."""
    sim.emit(3000)
    for job_type in ("tweets", "users"):
        ids = ask(sim, "GET", f"/control/population/{job_type}").content
        entities = [each for each in results_of(ask(sim, "GET", "/control/population")) if each["job_type"] == job_type]
        assert ids.decode().split() == [each["id"] for each in entities]
        results = app.results(ids, type=job_type)
        assert {each["id"]: (each["action"], each["reason"]) for each in results} == {
            each["id"]: (each["action"], each["reason"]) for each in entities if each["action"]
        }
        assert 0 < len(results) < len(entities)
