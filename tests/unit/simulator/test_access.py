"""What X grants and refuses: token, budget, parameters, contract, and the words it uses."""

import base64
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx
import pytest

from connector.events.catalog import STREAMS
from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.clock import NANOS
from connector.simulator.faults import AcceptAndClose, Refuse
from tests.unit.simulator.reader import BEARER, LABEL, LIKE, TWEET, USER, ask, connected, get

if TYPE_CHECKING:
    from collections.abc import Callable

_PROBLEM = "https://api.twitter.com/2/problems/"


def _ago(sim: Simulator, **ago: float) -> str:
    now = datetime.fromtimestamp(sim.clock.now_ns() / NANOS, tz=UTC)
    return (now - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer other"}, {"authorization": "simulator-token"}])
def test_token_missing_or_wrong_answers_401_as_x_does(sim: Simulator, headers: dict[str, str]) -> None:
    """No stream without the token, and rate limit headers even so."""
    response = ask(sim, "GET", TWEET, headers=headers, query={"partition": 1})
    assert response.status_code == 401
    assert response.json() == {"errors": [{"message": "Invalid or expired token", "code": 89}]}
    assert "x-rate-limit-remaining" in response.headers


def _ask_for_token(sim: Simulator, key: str, secret: str, body: str) -> httpx.Response:
    basic = base64.b64encode(f"{key}:{secret}".encode()).decode()
    headers = {"authorization": f"Basic {basic}", "content-type": "application/x-www-form-urlencoded"}
    return ask(sim, "POST", "/oauth2/token", content=body.encode(), headers=headers)


def test_token_endpoint_issues_the_same_token_until_it_is_invalidated() -> None:
    """The key and secret, URL-encoded, buy the token that streams accept; an invalidated one is replaced."""
    with Simulator(SimulatorConfig(api_key="k/1", api_key_secret="s 2")) as sim:
        answers = [_ask_for_token(sim, "k%2F1", "s%202", "grant_type=client_credentials") for _ in range(2)]
        assert [answer.json() for answer in answers] == [
            {"token_type": "bearer", "access_token": "simulator-token"},
        ] * 2
        sim.tokens.invalidate()
        assert get(sim, TWEET, partition=1).status_code == 401
        token = _ask_for_token(sim, "k%2F1", "s%202", "grant_type=client_credentials").json()["access_token"]
        assert token != "simulator-token"
        sim.inject(AcceptAndClose())
        assert (
            ask(sim, "GET", TWEET, headers={"authorization": f"Bearer {token}"}, query={"partition": 1}).status_code
            == 200
        )


def test_token_endpoint_bad_credentials_answer_403_code_99(sim: Simulator) -> None:
    """A wrong pair, something that is not a pair, and a missing grant type get different answers."""
    wrong = _ask_for_token(sim, "simulator-key", "wrong", "grant_type=client_credentials")
    assert (wrong.status_code, wrong.json()["errors"][0]["code"]) == (403, 99)
    garbage = ask(sim, "POST", "/oauth2/token", headers={"authorization": "Basic ???"})
    assert (garbage.status_code, garbage.json()["errors"][0]["code"]) == (403, 99)
    no_grant = _ask_for_token(sim, "simulator-key", "simulator-secret", "")
    assert (no_grant.status_code, no_grant.json()["errors"][0]["code"]) == (403, 170)


@pytest.mark.parametrize(
    ("path", "query", "parameters"),
    [
        (TWEET, {}, {"partition": []}),
        (TWEET, {"partition": 5}, {"partition": ["5"]}),
        (USER, {"partition": "one"}, {"partition": ["one"]}),
        (LIKE, {"partition": 1}, {"partition": ["1"]}),
        (TWEET, {"partition": 1, "expansions": "author_id"}, {"expansions": ["author_id"]}),
        (TWEET, {"partition": 1, "backfill_minutes": 0}, {"backfill_minutes": ["0"]}),
        (LABEL, {"backfill_minutes": 6}, {"backfill_minutes": ["6"]}),
        (LABEL, {"start_time": "2026-01-01"}, {"start_time": ["2026-01-01"]}),
        (LABEL, {"start_time": "2026-02-30T00:00:00Z"}, {"start_time": ["2026-02-30T00:00:00Z"]}),
        (LABEL, {"end_time": "2026-01-01T00:00:00Z"}, {"start_time": []}),
    ],
)
def test_parameters_missing_or_wrong_answer_400_naming_them(
    sim: Simulator, path: str, query: dict[str, str | int], parameters: dict[str, list[str]]
) -> None:
    """X's Invalid Request shape, with the parameter and its value."""
    response = get(sim, path, **query)
    assert response.status_code == 400
    problem = response.json()
    assert (problem["title"], problem["type"]) == ("Invalid Request", _PROBLEM + "invalid-request")
    assert problem["errors"][0]["parameters"] == parameters


@pytest.mark.parametrize(
    ("start_hours", "end_hours", "wrong"),
    [(24.1, 1, "start_time"), (1, 1, "start_time"), (1, 2, "start_time"), (1, -1, "end_time")],
)
def test_replay_interval_too_old_empty_backwards_or_in_the_future_answers_400(
    sim: Simulator, start_hours: float, end_hours: float, wrong: str
) -> None:
    """A replay reaches back 24 hours and ends in the past."""
    response = get(sim, LIKE, start_time=_ago(sim, hours=start_hours), end_time=_ago(sim, hours=end_hours))
    assert response.status_code == 400
    assert f"`{wrong}` must be" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize("status", [400, 403])
def test_contract_without_backfill_or_replay_refuses_them(status: int) -> None:
    """What a contract lacks answers 400 or 403, whichever is set; the stream itself is granted."""
    with Simulator(SimulatorConfig(backfill_refusal=status, replay_refusal=status)) as sim:
        assert get(sim, LIKE, backfill_minutes=2).status_code == status
        interval = {"start_time": _ago(sim, hours=2), "end_time": _ago(sim, hours=1)}
        assert get(sim, LIKE, **interval).status_code == status
        with connected(sim, LIKE) as reader:
            assert reader.response.status_code == 200


def test_contract_without_a_stream_answers_403_problem() -> None:
    """A stream that is not in the contract is forbidden, as a problem."""
    with Simulator(SimulatorConfig(streams=("tweet",))) as sim:
        response = get(sim, USER, partition=1)
        assert response.status_code == 403
        assert response.json()["type"] == _PROBLEM + "client-forbidden"


def test_path_unknown_answers_404(sim: Simulator) -> None:
    """Nothing else is served, nor another method on a stream."""
    assert get(sim, "/2/tweets").status_code == 404
    assert ask(sim, "POST", TWEET, headers=BEARER).status_code == 404
    assert ask(sim, "HEAD", "/").status_code == 404


def test_rate_limit_counts_each_endpoint_and_renews_with_the_window() -> None:
    """Three requests, then 429 code 88 until the 15 minutes are over in simulated time, for this endpoint only."""
    with Simulator(SimulatorConfig(rate_limit=3)) as sim:
        sim.inject(AcceptAndClose(times=10))
        answers = [get(sim, TWEET, partition=partition) for partition in (1, 2, 3, 4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["x-rate-limit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
        assert answers[3].json() == {"errors": [{"code": 88, "message": "Rate limit exceeded"}]}
        assert {answer.headers["x-rate-limit-limit"] for answer in answers} == {"3"}
        assert get(sim, USER, partition=1).status_code == 200
        reset_s = int(answers[3].headers["x-rate-limit-reset"])
        now_s = sim.clock.now_ns() / NANOS
        assert 0 < reset_s - now_s <= 900
        sim.advance(reset_s - now_s)
        assert get(sim, TWEET, partition=1).headers["x-rate-limit-remaining"] == "2"


def test_date_header_is_simulated_time_on_every_answer(sim: Simulator) -> None:
    """Whatever is answered, `Date` follows the clock when it is set forward."""
    sim.inject(AcceptAndClose())
    requests: list[Callable[[], httpx.Response]] = [
        lambda: get(sim, TWEET, partition=1),
        lambda: get(sim, TWEET),
        lambda: ask(sim, "GET", TWEET),
        lambda: get(sim, "/nowhere"),
        lambda: get(sim, "/control/status"),
        lambda: ask(sim, "POST", "/oauth2/token"),
    ]
    sim.advance(6 * 3600)
    for send in requests:
        date = parsedate_to_datetime(send().headers["date"])
        assert abs(date.timestamp() - sim.clock.now_ns() / NANOS) < 5


@pytest.mark.parametrize(
    ("refuse", "status", "word"),
    [
        (Refuse(), 503, "Service Unavailable"),
        (Refuse(status=401), 401, "Invalid or expired token"),
        (Refuse(status=403), 403, "client-forbidden"),
        (Refuse(status=404), 404, "Not Found"),
        (Refuse(status=400), 400, "Invalid Request"),
        (Refuse(status=429), 429, "Rate limit exceeded"),
        (Refuse(status=429, too_many_connections=True), 429, "TooManyConnections"),
    ],
)
def test_refuse_answers_the_status_the_given_times_then_no_more(
    sim: Simulator, refuse: Refuse, status: int, word: str
) -> None:
    """Each status has X's words; only a spent budget says that nothing remains."""
    for _ in range(2):
        sim.inject(refuse)
    answers = [get(sim, TWEET, partition=1) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {status}
    assert all(word in answer.text for answer in answers)
    is_spent = answers[0].headers["x-rate-limit-remaining"] == "0"
    assert is_spent == (word == "Rate limit exceeded")
    with connected(sim) as reader:
        assert reader.response.status_code == 200
    assert sim.fired["refuse"] == 2


def test_requests_are_logged_with_what_was_asked_and_answered(sim: Simulator) -> None:
    """A test can see path, query, headers, status and time of every request but the control ones."""
    before_ns = sim.clock.now_ns()
    get(sim, LIKE, backfill_minutes=9)
    get(sim, "/control/status")
    (request,) = sim.requests
    assert (request.method, request.path, request.query, request.status) == (
        "GET",
        STREAMS["like"].path,
        {"backfill_minutes": "9"},
        400,
    )
    assert request.headers["user-agent"].startswith("python-httpx")
    assert before_ns <= request.at <= sim.clock.now_ns()
