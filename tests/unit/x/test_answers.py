"""Answers that are no stream, or an odd one: what they are called, and what they say of time and rate limit."""

import pytest
from pydantic import SecretStr

from connector.coverage.plan import Live
from connector.errors import SettingsError
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.settings import XSettings
from connector.simulator import Simulator
from connector.simulator.faults import Refuse
from connector.x.client import XClient
from connector.x.errors import ConnectFailedError, FailureReason, PlanRefusedError, RateLimit
from tests.unit.x.servers import PROBLEM, TWEET_1, answering, make_client


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, PlanRefusedError, "http-400"),
        (401, ConnectFailedError, "http-401"),
        (403, PlanRefusedError, "http-403"),
        (404, ConnectFailedError, "http-404"),
        (429, ConnectFailedError, "rate-limited"),
        (503, ConnectFailedError, "http-5xx"),
    ],
)
def test_refusal_is_classified(status: int, kind: type[ConnectFailedError], reason: str) -> None:
    """Only what may be for the parameters' sake asks for another plan."""
    with Simulator() as sim, make_client(sim.base_url) as client:
        sim.inject(Refuse(status=status))
        with pytest.raises(ConnectFailedError) as caught:
            client.open(TWEET_1, Live(0))
        assert sim.faults.fired["refuse"] == 1
    assert type(caught.value) is kind
    assert caught.value.failure.reason == reason


def test_answers_are_reported_with_their_rate_limit() -> None:
    """Granted or refused; a request without an answer does not count."""
    told: list[tuple[str, int, int | None]] = []

    def note(stream: str, status_code: int, rate_limit: RateLimit | None) -> None:
        told.append((stream, status_code, None if rate_limit is None else rate_limit.remaining))

    settings = {"bearer_token": "simulator-token"}
    with Simulator() as sim:
        client = XClient(XSettings.model_validate({**settings, "base_url": sim.base_url}), note)
        with client.open(StreamPartition("user", 1), Live(0)) as connection:
            assert connection.rate_limit is not None
            sim.inject(Refuse(status=503))
            with pytest.raises(ConnectFailedError):
                client.open(TWEET_1, Live(0))
    with pytest.raises(ConnectFailedError):
        client.open(TWEET_1, Live(0))
    client.close()
    assert [(stream, status_code) for stream, status_code, _ in told] == [("user", 200), ("tweet", 503)]
    assert told[0][2] == connection.rate_limit.remaining


@pytest.mark.slow
def test_second_connection_to_a_partition_is_one_too_many() -> None:
    """X counts them, and says so with budget left."""
    with (
        Simulator() as sim,
        make_client(sim.base_url) as client,
        client.open(TWEET_1, Live(0)),
        pytest.raises(ConnectFailedError) as caught,
    ):
        client.open(TWEET_1, Live(0))
    assert caught.value.failure.reason == "too-many-connections"


_REFUSALS = {
    200: (b"<html>", FailureReason.NOT_A_STREAM),
    302: (b"", FailureReason.HTTP_OTHER),
    400: (PROBLEM, FailureReason.HTTP_400),
    401: (b"", FailureReason.HTTP_401),
    403: (b"<html>", FailureReason.FOREIGN_ANSWER),
    404: (b"", FailureReason.HTTP_404),
    408: (b"", FailureReason.HTTP_408),
    429: (b"", FailureReason.RATE_LIMITED),
    503: (b"", FailureReason.HTTP_5XX),
}


@pytest.mark.slow
@pytest.mark.parametrize("status", _REFUSALS)
@pytest.mark.parametrize(
    ("date", "date_us"), [(b"Mon, 27 Jun 2022 23:49:41 GMT", 1_656_373_781 * US_PER_S), (b"soon", None), (b"", None)]
)
def test_every_answer_that_is_no_stream_is_dated(status: int, date: bytes, date_us: int | None) -> None:
    """A refusal for the future's sake sets the clock right, too."""
    body, reason = _REFUSALS[status]
    head = b"HTTP/1.1 %d No\r\nDate: %b\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
    with (
        answering(head % (status, date, len(body)) + body) as base_url,
        make_client(base_url) as client,
        pytest.raises(ConnectFailedError) as caught,
    ):
        client.open(TWEET_1, Live(0))
    assert (caught.value.failure.reason, caught.value.failure.date_us) == (reason, date_us)
    assert isinstance(caught.value, PlanRefusedError) is (status == 400)


def test_stream_whose_reset_has_hundreds_of_digits_is_one_all_the_same() -> None:
    """Such a rate limit says nothing."""
    limit = b"x-rate-limit-limit: 9\r\nx-rate-limit-remaining: 7\r\nx-rate-limit-reset: " + b"9" * 400
    with (
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%b\r\n\r\n\r\n" % limit) as base_url,
        make_client(base_url) as client,
        client.open(TWEET_1, Live(0)) as connection,
    ):
        assert (connection.rate_limit, b"".join(connection.chunks())) == (None, b"\r\n")


@pytest.mark.parametrize(
    "location", [b"https://[::", b"//" + b"x" * 70_000, b"\xff\xfe://\xc3\xa9", b"http://x:99999", b""]
)
def test_redirect_to_what_is_no_url_is_one_all_the_same(location: bytes) -> None:
    """Its status is X's answer, whatever it points to."""
    answer = b"HTTP/1.1 302 Found\r\nLocation: %b\r\n\r\n" % location
    with answering(answer) as base_url, make_client(base_url) as client, pytest.raises(ConnectFailedError) as caught:
        client.open(TWEET_1, Live(0))
    assert caught.value.failure.reason == "http-other"


def test_access_is_there_where_x_itself_objects_to_the_request() -> None:
    """And no connection is made for it."""
    with Simulator() as sim, make_client(sim.base_url) as client:
        client.check_access("tweet")
        assert not sim.connections


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b"<html>", "not-a-stream"),
        (200, b"", "http-other"),
        (400, b"<html>", "foreign-answer"),
        (400, b'{"title":"t","type":"t","connection_issue":"ProvisioningSubscription"}', "http-400"),
        (401, b"", "http-401"),
        (403, PROBLEM, "http-403"),
        (404, b"", "http-404"),
        (503, b"", "http-5xx"),
    ],
)
def test_access_is_not_proven_by_any_other_answer(status: int, body: bytes, reason: str) -> None:
    """An intermediary objects to requests, too."""
    kind = b"text/html" if body.startswith(b"<") else b"application/json"
    answer = b"HTTP/1.1 %d No\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (status, kind, len(body), body)
    with answering(answer) as base_url, make_client(base_url) as client, pytest.raises(ConnectFailedError) as caught:
        client.check_access("tweet")
    assert caught.value.failure.reason == reason


def test_exchanged_token_that_x_invalidates_is_exchanged_again() -> None:
    """The attempt after a rejection gets a new one."""
    keys = {"bearer_token": None, "api_key": "simulator-key", "api_key_secret": "simulator-secret"}
    with Simulator() as sim, make_client(sim.base_url, **keys) as client:
        client.open(TWEET_1, Live(0)).__exit__(None, None, None)
        sim.tokens.invalidate()
        with pytest.raises(ConnectFailedError) as caught:
            client.open(StreamPartition("tweet", 2), Live(0))
        assert caught.value.failure.reason == "http-401"
        client.open(StreamPartition("tweet", 2), Live(0)).__exit__(None, None, None)


def test_base_url_whose_host_decodes_to_no_name_is_a_wrong_setting() -> None:
    """Not an exception of the HTTP library's."""
    with pytest.raises(SettingsError, match="CONNECTOR_X__BASE_URL: is not a URL"):
        XClient(XSettings(base_url="https://xn--a", bearer_token=SecretStr("t")))
