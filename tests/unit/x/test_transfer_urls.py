"""Where ids and the token may go: whatever URL X names for a transfer, nowhere else."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import SettingsError
from connector.x.batch_api import BatchApi, CallFailedError, Job, Transfer
from connector.x.transfers import TransferNotAllowedError, Transfers
from tests.fakes.network import Hosts
from tests.unit.x.recorded import JOB_ID, KEYS, TOKEN, X, answer, batch_api, error_of, exchanged, settings_for

_PATH = f"/2/compliance/jobs/{JOB_ID}/upload?token=hush-AAAA-hush"
_OTHER_PATH = "/2/compliance/jobs/7/upload?token=hush-AAAA-hush"
_SIGNED_PATH = f"/bucket/{JOB_ID}?X-Goog-Credential=hush%40x%2Fauto-hush&X-Goog-Signature=hush-AAAA-hush"


@pytest.fixture
def ids(tmp_path: Path) -> Path:
    """Give a file with an id."""
    file = tmp_path / "ids"
    file.write_bytes(b"1830000000000000042\n")
    return file


def _job(url: str, job_id: str = JOB_ID) -> Job:
    return Job(job_id, "tweets", "created", None, None, Transfer(url, None), Transfer(url, None))


def _both(api: BatchApi, job: Job, ids: Path) -> list[Callable[[], None]]:
    """Return both transfers of a job."""
    transfers = Transfers(api)
    return [lambda: transfers.upload(job, ids), lambda: transfers.download(job, ids.with_name("results"))]


# --- X's own


@pytest.mark.parametrize(
    ("base_url", "origin"),
    [
        ("http://x.localhost", "http://x.localhost"),
        ("http://x.localhost", "http://x.localhost:80"),
        ("http://x.localhost", "http://x.localhost:080"),
        ("http://x.localhost", "http://x.localhost:"),
        ("http://x.localhost", "HTTP://X.LocalHost"),
        ("http://X.localhost:80", "http://x.localhost"),
        ("http://x.localhost:8400", "http://X.LOCALHOST:8400"),
        ("http://bücher.localhost", "http://xn--bcher-kva.localhost"),
        ("http://bücher.localhost", "http://BÜCHER.localhost"),
        ("http://xn--bcher-kva.localhost", "http://bücher.localhost"),
    ],
)
def test_url_at_the_origin_of_x_gets_the_token(ids: Path, base_url: str, origin: str) -> None:
    """However its host is spelt, with the port of the scheme or without."""
    with X(answer(200)) as x:
        hosts = Hosts({"x.localhost": x.port, "xn--bcher-kva.localhost": x.port})
        with BatchApi(settings_for(base_url, allow_plain_http=True), network=hosts) as api:
            for transfer in _both(api, _job(origin + _PATH), ids):
                transfer()
    assert [request.headers["authorization"] for request in x.requests] == [f"Bearer {TOKEN}"] * 2
    assert {request.target for request in x.requests} == {_PATH}


def test_plain_http_across_a_network_is_taken_where_the_operator_took_it_for_x(ids: Path) -> None:
    """The token went there before; nowhere else does anything go so."""
    with X(answer(200)) as x:
        settings = settings_for("http://simulator:8400", allow_plain_http=True)
        with BatchApi(settings, network=Hosts({"simulator": x.port})) as api:
            Transfers(api).upload(_job(f"http://simulator:8400{_PATH}"), ids)
            error_of(TransferNotAllowedError, lambda: Transfers(api).upload(_job(f"http://simulator{_PATH}"), ids))
    assert len(x.requests) == 1


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        _OTHER_PATH,
        f"/2/compliance/jobs/{JOB_ID}1/upload",
        f"/2/compliance/jobs/1{JOB_ID}/upload",
        f"/2/compliance/jobs/7/upload?job={JOB_ID}",
        f"/2/compliance/jobs/7/upload?/jobs/{JOB_ID}/",
        f"/2/compliance/jobs/7/upload#/jobs/{JOB_ID}/",
        f"/2/compliance/jobs/7/{JOB_ID}/upload",
        f"/2/compliance/jobs/7/upload%2Fjobs%2F{JOB_ID}%2F",
        f"/2/compliance/jobs/{JOB_ID}/../7/upload",
        f"/2/tweets/{JOB_ID}",
    ],
)
def test_url_of_another_job_or_of_none_is_not_allowed(ids: Path, path: str) -> None:
    """Its ids would go where others are asked about."""
    with X(answer(200)) as x, batch_api(x) as api:
        for transfer in _both(api, _job(x.base_url + path), ids):
            assert str(error_of(TransferNotAllowedError, transfer)).endswith(f"it is not one of job {JOB_ID}")
    assert x.requests == []


def test_id_of_a_job_is_not_taken_for_another_part_of_the_path(ids: Path) -> None:
    """As short as one may be."""
    with X(answer(200)) as x, batch_api(x) as api:
        for transfer in _both(api, _job(x.base_url + _OTHER_PATH, "2"), ids):
            error_of(TransferNotAllowedError, transfer)
        for transfer in _both(api, _job(x.base_url + _OTHER_PATH, "7"), ids):
            transfer()
    assert len(x.requests) == 2


# --- other places


@pytest.mark.parametrize("listed", ["http://127.0.0.1:{port}", "http://localhost", "http://LocalHost:80"])
def test_origin_that_is_listed_gets_no_token(ids: Path, listed: str) -> None:
    """Its URLs are signed for exactly this type, and it refuses any other authorisation."""
    with X(answer(200)) as other, X(answer(200)) as x:
        hosts = Hosts({"127.0.0.1": other.port, "localhost": other.port})
        origin = "http://127.0.0.1:{port}" if "{port}" in listed else "http://localhost"
        settings = settings_for(x.base_url, transfer_origins=[listed.format(port=other.port)])
        with BatchApi(settings, network=hosts) as api:
            for transfer in _both(api, _job(origin.format(port=other.port) + _SIGNED_PATH), ids):
                transfer()
    up, down = other.requests
    assert (up.method, up.target, up.body) == ("PUT", _SIGNED_PATH, ids.read_bytes())
    assert (up.headers["content-type"], up.headers["content-length"]) == ("text/plain", "20")
    assert (down.method, down.target) == ("GET", _SIGNED_PATH)
    assert not [request for request in other.requests if "authorization" in request.headers]
    assert "hush" not in "".join(str(request.headers.raw) for request in other.requests)
    assert x.requests == []


def test_other_place_says_nothing_of_x(ids: Path) -> None:
    """Neither of its token nor of its time."""
    refused = answer(401, b"<Error>", ("Date", "Mon, 27 Jun 2022 23:49:41 GMT"))
    with (
        X(refused) as other,
        X(exchanged("one"), answer(200)) as x,
        batch_api(x, transfer_origins=[other.base_url], **KEYS) as api,
    ):
        job = Job(JOB_ID, "", "", None, None, Transfer(x.base_url + _PATH, None), Transfer(other.base_url + "/", None))
        for _ in range(2):
            Transfers(api).upload(job, ids)
            error_of(CallFailedError, lambda: Transfers(api).download(job, ids.with_name("results")))
    assert [request.method for request in x.requests] == ["POST", "PUT", "PUT"]
    assert api.date_us is None


_NOT_ALLOWED = [
    "http://127.0.0.1:{other}{path}",
    "http://localhost:{port}{path}",
    "http://127.0.0.1{path}",
    "https://127.0.0.1:{port}{path}",
    "https://storage.googleapis.com.localhost{path}",
    "https://storage.googleapis.com:8443{path}",
    "http://storage.googleapis.com{path}",
    "https://api.x.com.{path}",
    "http://10.0.0.1:{other}{path}",
    "http://127.0.0.1.localhost:{port}{path}",
    "http://user@127.0.0.1:{port}{path}",
    "http://user:hush-word-hush@127.0.0.1:{port}{path}",
    "http://:hush-word-hush@127.0.0.1:{port}{path}",
    "https://hush-word-hush@storage.googleapis.com{path}",
    "http://127.0.0.1:{port}@127.0.0.1:{other}{path}",
    "http://127.0.0.1:{other}\\@127.0.0.1:{port}{path}",
    "http://127.0.0.1:{other}#@127.0.0.1:{port}{path}",
    "http://127.0.0.1:{other}?@127.0.0.1:{port}{path}",
    "http://127.0.0.1%3A{port}{path}",
    "http://127%2e0.0.1:{port}{path}",
    "http://2130706433:{port}{path}",
    "http://[::ffff:127.0.0.1]:{port}{path}",
    "ftp://127.0.0.1:{port}{path}",
    "file:///etc/passwd",
    "//127.0.0.1:{port}{path}",
    "{path}",
    "http:127.0.0.1:{port}{path}",
    "http:///127.0.0.1:{port}{path}",
    " http://127.0.0.1:{port}{path}",
    "hush-AAAA-hush",
    " ",
    "https://[::1{path}",
    "https://xn--a{path}",
    "https://\u2100.localhost{path}",
    "https://127.0.0.1:{port}9999999{path}",
    "http://127.0.0.1:{port}x{path}",
    "http://127.0.0.1:{port}\x00{path}",
    "http://127.0.0.1:{port}\n{path}",
    "https://\ud800{path}",
    "https://" + "hush" * 20_000,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("url", _NOT_ALLOWED, ids=range(len(_NOT_ALLOWED)))
def test_url_anywhere_else_is_not_allowed(ids: Path, url: str) -> None:
    """No request is sent, and the error shows an origin at most."""
    with X(answer(200)) as other, X(answer(200)) as x, batch_api(x) as api:
        job = _job(url.format(port=x.port, other=other.port, path=_PATH))
        for transfer in _both(api, job, ids):
            error = error_of(TransferNotAllowedError, transfer)
            assert error.exit_code == 78
            assert "upload" not in str(error)
            assert "?" not in str(error)
    assert (other.requests, x.requests) == ([], [])


_PIECES = st.sampled_from(
    ["http:", "https:", "//", "/", "\\", "@", ":", "127.0.0.1", "127.0.0.1:{port}", "localhost", "[::1]", "x.invalid",
     "#", "?", "%", "%2f", "[", "]", "\u3002", "é", "\u2100", "\ud800", " ", "80", "99999", "..", _PATH]
)  # fmt: skip


@pytest.mark.slow
@given(pieces=st.lists(_PIECES | st.text(max_size=3), max_size=8))
def test_any_text_for_a_url_leads_to_x_or_nowhere(tmp_path_factory: pytest.TempPathFactory, pieces: list[str]) -> None:
    """Nothing else is raised, and nothing is shown."""
    target = tmp_path_factory.getbasetemp() / "results"
    with X(answer(204)) as x, batch_api(x) as api:
        job = _job("".join(pieces).replace("{port}", str(x.port)))
        with pytest.raises((TransferNotAllowedError, CallFailedError)) as caught:
            Transfers(api).download(job, target)
        assert isinstance(caught.value, TransferNotAllowedError) is (x.requests == [])
    assert "hush" not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("is_listed", [False, True])
def test_redirect_of_a_transfer_is_not_followed(ids: Path, status: int, is_listed: bool) -> None:  # noqa: FBT001
    """What it points to sees neither a request nor the token, even where it is a place to which X may send us."""
    with X(answer(200)) as other:
        redirect = answer(status, b"", ("Location", other.base_url + _PATH))
        listed = {"transfer_origins": [other.base_url]} if is_listed else {}
        with X(redirect) as x, batch_api(x, **listed) as api:
            for transfer in _both(api, _job(x.base_url + _PATH), ids):
                assert error_of(CallFailedError, transfer).status == status
    assert (other.requests, len(x.requests)) == ([], 2)


@pytest.mark.parametrize("origin", ["https://[::]]", "https://xn--a", "https://:443", "https://x:65536"])
def test_invalid_origin_in_the_list_is_a_wrong_setting(origin: str) -> None:
    """It is said before anything is asked of X."""
    with pytest.raises(SettingsError, match="CONNECTOR_X__TRANSFER_ORIGINS: "):
        BatchApi(settings_for("https://api.x.com", transfer_origins=[origin]))
