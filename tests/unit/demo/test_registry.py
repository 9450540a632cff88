"""The demo's registry answers as Confluent's does, as far as it goes."""

import json
from collections.abc import Iterator

import httpx
import pytest

from connector.demo.registry import DemoRegistry

_FIRST = '{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}'
_SAME_WITH_SPACES = json.dumps(json.loads(_FIRST), indent=2)
_SECOND = '{"type":"record","name":"R","fields":[]}'


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """Give an HTTP client of an empty registry."""
    with DemoRegistry() as registry, httpx.Client(base_url=registry.url) as client:
        yield client


def _register(http: httpx.Client, subject: str, schema: str) -> httpx.Response:
    return http.post(f"/subjects/{subject}/versions", json={"schema": schema})


def test_registered_schema_is_found_by_id_subject_and_version(http: httpx.Client) -> None:
    """Ids count from 1 over all subjects, versions from 1 within one."""
    assert _register(http, "s", _FIRST).json() == {"id": 1}
    assert _register(http, "t", _SECOND).json() == {"id": 2}
    described = {"subject": "t", "version": 1, "id": 2, "schema": _SECOND}
    assert http.get("/schemas/ids/2").json() == {"schema": _SECOND}
    assert http.post("/subjects/t", json={"schema": _SECOND}).json() == described
    assert http.get("/subjects/t/versions/1").json() == described
    assert http.get("/subjects/t/versions/latest").json() == described
    assert http.get("/subjects").json() == ["s", "t"]


def test_same_schema_under_two_subjects_has_one_id(http: httpx.Client) -> None:
    """White space does not make another schema."""
    assert _register(http, "s", _FIRST).json() == _register(http, "t", _SAME_WITH_SPACES).json() == {"id": 1}


def test_full_transitive_subject_takes_the_identical_schema_only(http: httpx.Client) -> None:
    """A second one is a conflict; the first may be registered again."""
    assert http.put("/config/s", json={"compatibility": "FULL_TRANSITIVE"}).json() == {
        "compatibility": "FULL_TRANSITIVE"
    }
    assert http.get("/config/s").json() == {"compatibilityLevel": "FULL_TRANSITIVE"}
    assert _register(http, "s", _FIRST).json() == {"id": 1}
    assert _register(http, "s", _SAME_WITH_SPACES).json() == {"id": 1}
    refused = _register(http, "s", _SECOND)
    assert (refused.status_code, refused.json()["error_code"]) == (409, 409)
    assert http.get("/subjects/s/versions/latest").json()["version"] == 1


def test_subject_without_that_level_takes_a_second_version(http: httpx.Client) -> None:
    """Other levels are stored but not enforced."""
    http.put("/config/s", json={"compatibility": "BACKWARD"})
    _register(http, "s", _FIRST)
    _register(http, "s", _SECOND)
    assert http.get("/subjects/s/versions/latest").json() == {
        "subject": "s",
        "version": 2,
        "id": 2,
        "schema": _SECOND,
    }


def test_subject_name_with_special_characters_is_kept(http: httpx.Client) -> None:
    """Names come percent-encoded and are not split at an encoded slash."""
    _register(http, "a%2Fb%20c", _FIRST)
    assert http.get("/subjects").json() == ["a/b c"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/subjects/none", {"schema": _FIRST}, (404, 40401)),
        ("POST", "/subjects/s", {"schema": _SECOND}, (404, 40403)),
        ("GET", "/subjects/s/versions/2", None, (404, 40402)),
        ("GET", "/subjects/s/versions/0", None, (404, 40402)),
        ("GET", "/subjects/none/versions/latest", None, (404, 40401)),
        ("GET", "/schemas/ids/0", None, (404, 40403)),
        ("GET", "/schemas/ids/2", None, (404, 40403)),
        ("GET", "/config/s", None, (404, 40408)),
        ("PUT", "/config/s", {}, (422, 42203)),
        ("POST", "/subjects/s/versions", {"schema": "{"}, (422, 42201)),
        ("POST", "/subjects/s/versions", {"schema": {}}, (422, 42201)),
        ("POST", "/subjects/s/versions", [], (422, 42201)),
        ("PUT", "/subjects/s", {}, (404, 404)),
        ("GET", "/elsewhere", None, (404, 404)),
    ],
)
def test_request_that_cannot_be_served_gets_confluents_error(
    http: httpx.Client, method: str, path: str, body: object, expected: tuple[int, int]
) -> None:
    """Status and error code are those that clients know."""
    _register(http, "s", _FIRST)
    answer = http.request(method, path, json=body)
    assert (answer.status_code, answer.json()["error_code"]) == expected


def test_registry_after_its_end_serves_no_request() -> None:
    """Neither a new connection nor an old one."""
    with DemoRegistry() as registry, httpx.Client(base_url=registry.url) as client:
        assert client.get("/subjects").json() == []
        url = registry.url
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/subjects")
