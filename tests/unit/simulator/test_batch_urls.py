"""Transfer URLs that lead elsewhere, on command: what a client must see through before it sends a token."""

from urllib.parse import urlsplit

import pytest

from connector.simulator import Simulator
from connector.simulator.batch.faults import BatchUrl, Url
from tests.unit.simulator.app import App, Json
from tests.unit.simulator.reader import BEARER, new_client


def _split(sim: Simulator, app: App, how: Url) -> tuple[Json, Json]:
    """Return a job as it is, and as a fault shows it."""
    job = app.created()
    sim.inject(BatchUrl(how=how, call="get"))
    wrong: Json = app.get(job).json()["data"]
    assert sim.fired == {"batch-url": 1}
    assert app.get(job).json()["data"] == job
    return job, wrong


@pytest.mark.parametrize("how", ["foreign-host", "host-as-user"])
def test_url_can_lead_to_a_port_that_is_no_part_of_x(sim: Simulator, app: App, how: Url) -> None:
    """Which answers 404 and keeps a record of who came with a token."""
    job, wrong = _split(sim, app, how)
    url = urlsplit(wrong["upload_url"])
    assert f"http://{url.hostname}:{url.port}" == sim.origins["foreign"] != sim.base_url
    assert (url.path, url.query) == urlsplit(job["upload_url"])[2:4]
    assert (url.username is not None) == (how == "host-as-user")
    with new_client() as client:
        assert client.put(wrong["upload_url"], content=b"1", headers=BEARER).status_code == 404
    strayed = sim.requests[-1]
    assert (strayed.origin, strayed.has_authorization) == ("foreign", True)


def test_url_can_have_user_and_password(sim: Simulator, app: App) -> None:
    """It leads where it should otherwise."""
    job, wrong = _split(sim, app, "user-info")
    assert wrong["download_url"] == job["download_url"].replace("http://", "http://user:password@")


def test_url_can_be_plain_http_to_a_host_that_is_not_this_machine(sim: Simulator, app: App) -> None:
    """One that does not exist, lest anyone send it something."""
    _, wrong = _split(sim, app, "plain-http")
    assert (urlsplit(wrong["upload_url"]).scheme, urlsplit(wrong["upload_url"]).hostname) == (
        "http",
        "transfers.invalid",
    )


def test_url_can_be_that_of_another_job(sim: Simulator, app: App) -> None:
    """One that there is, or one made up; the token does not fit it."""
    other = app.created(type="users")
    job, wrong = _split(sim, app, "other-job")
    assert wrong["upload_url"] == job["upload_url"].replace(job["id"], other["id"])
    assert app.upload(wrong, b"").status_code == 401


@pytest.mark.parametrize("how", ["relative", "nonsense"])
def test_url_can_be_none(sim: Simulator, app: App, how: Url) -> None:
    """A path alone, or anything."""
    _, wrong = _split(sim, app, how)
    assert not urlsplit(wrong["upload_url"]).scheme


def test_url_fault_names_call_and_transfer(sim: Simulator, app: App) -> None:
    """A list of several jobs is one answer; without a call named, the next answer with a job is meant."""
    app.cancel(app.created())
    sim.inject(BatchUrl(transfer="download"))
    assert app.get({"id": "7"}).status_code == 404
    assert app.listed(status="complete").json() == {"meta": {"result_count": 0}}
    jobs = app.listed().json()["data"]
    assert {urlsplit(job["upload_url"]).netloc for job in jobs} == {urlsplit(sim.base_url).netloc}
    assert {urlsplit(job["download_url"]).netloc for job in jobs} == {urlsplit(sim.origins["foreign"]).netloc}
    assert sim.fired == {"batch-url": 1}
