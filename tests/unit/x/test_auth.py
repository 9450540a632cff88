"""The token: where it comes from, when it is asked for again, and that nothing raised ever holds it."""

import base64
import time
import traceback
from pathlib import Path
from typing import Any

import httpx
import pytest

from connector.errors import SettingsError
from connector.settings import XSettings
from connector.x.auth import Token, exchange_over, try_secrets
from connector.x.backoff import Curve
from connector.x.client import XClient
from connector.x.errors import ConnectFailedError
from connector.x.head import MAX_WAIT_S
from connector.x.transport import Wire

_SECRET = "hush"
_PAIR = ("key/1", "hush+2")
_KEYS = {"api_key": "key/1", "api_key_secret": "hush+2"}


def _settings(**given: Any) -> XSettings:  # noqa: ANN401 - any setting
    return XSettings.model_validate(given)


def _no_exchange(_key: str, _secret: str, _wire: Wire) -> str:
    raise AssertionError("nothing is to be exchanged")


def _client(status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> httpx.Client:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, headers=headers, stream=httpx.ByteStream(content)))
    return httpx.Client(base_url="http://x.invalid", transport=transport)


def _shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


def test_given_token_is_used_as_it_is() -> None:
    """Whatever surrounds it in white space is not part of it."""
    assert Token(_settings(bearer_token=" t\n"), _no_exchange).value(Wire()) == "t"


def test_token_file_is_read_again_each_time(tmp_path: Path) -> None:
    """A token that the operator replaces is used by the next connection."""
    file = tmp_path / "token"
    token = Token(_settings(bearer_token_file=file), _no_exchange)
    for text in ("one", "two\n"):
        file.write_text(text, encoding="utf-8")
        assert token.value(Wire()) == text.strip()


@pytest.mark.parametrize(
    "content", [None, b"", b" \n", b"hush\x00", "hush-é".encode(), b"hush\xff", b"hu\nsh", b"hu sh"]
)
def test_token_file_without_a_token_fails_without_showing_it(tmp_path: Path, content: bytes | None) -> None:
    """Missing, empty, binary or of several lines: a connection that waits, saying which setting is wrong."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConnectFailedError, match=r"(?i)bearer_token") as caught:
        Token(_settings(bearer_token_file=file), _no_exchange).value(Wire())
    assert (caught.value.failure.reason, caught.value.failure.curve) == ("no-token", Curve.CONFIGURATION)
    assert "hush" not in _shown(caught.value)


@pytest.mark.parametrize("name", ["bearer_token", "api_key", "api_key_secret"])
@pytest.mark.parametrize("form", ["{}", "{}_file"])
def test_secret_that_cannot_be_one_is_a_settings_error_that_names_it(tmp_path: Path, name: str, form: str) -> None:
    """Before any request, given in either way, and without showing it; a valid one is accepted."""
    file = tmp_path / "secret"

    def given(text: str) -> XSettings:
        file.write_text(text, encoding="utf-8")
        return _settings(**{form.format(name): file if form.endswith("file") else text})

    try_secrets(given(f"{_SECRET}-AAAA%2F%3D\n"))
    with pytest.raises(SettingsError, match=f"CONNECTOR_X__{form.format(name).upper()}: empty, or holds ") as caught:
        try_secrets(given(f"{_SECRET} AAAA"))
    assert "hush" not in _shown(caught.value)


def test_key_and_secret_are_exchanged_once_until_rejected() -> None:
    """X gives the same token each time, so asking again is of use only when it was refused."""
    asked: list[tuple[str, str]] = []

    def exchange(key: str, secret: str, _wire: Wire) -> str:
        asked.append((key, secret))
        return f"token-{len(asked)}"

    token = Token(_settings(**_KEYS), exchange)
    assert [token.value(Wire()), token.value(Wire())] == ["token-1", "token-1"]
    token.rejected()
    assert token.value(Wire()) == "token-2"
    assert asked == [("key/1", "hush+2")] * 2


def test_rejected_given_token_is_used_again() -> None:
    """There is no other; the operator must see to it."""
    token = Token(_settings(bearer_token="t"), _no_exchange)
    token.rejected()
    assert token.value(Wire()) == "t"


@pytest.mark.parametrize("given_token", ["", "hush\r\nx: y", "hush-é"])
def test_exchanged_token_that_fits_no_header_fails_without_showing_it(given_token: str) -> None:
    """What X gives is judged like what the operator gives."""
    with pytest.raises(ConnectFailedError, match="the token that X gave") as caught:
        Token(_settings(**_KEYS), lambda *_: given_token).value(Wire())
    assert "hush" not in _shown(caught.value)


def test_exchanged_token_of_any_length_is_not_accepted() -> None:
    """X's have some 110 characters; each is searched for in all that comes."""
    with pytest.raises(ConnectFailedError, match="longer than 4096 characters"):
        Token(_settings(**_KEYS), lambda *_: "h" * 4097).value(Wire())


def test_what_has_gone_to_x_is_known_and_the_latest_tokens_too() -> None:
    """An answer may repeat any of it; what is long ago may not come any more."""
    tokens = iter([f"token-{number}" for number in range(9)])
    token = Token(_settings(**_KEYS), lambda *_: next(tokens))
    for _ in range(9):
        token.value(Wire())
        token.rejected()
    pair = base64.b64encode(b"key%2F1:hush%2B2").decode()
    assert token.sent == ("token-5", "token-6", "token-7", "token-8", "key/1", "hush+2", pair)


def test_exchange_sends_url_encoded_credentials_as_x_wants_them() -> None:
    """HTTP Basic over the encoded pair, and a form body."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        content = b'{"token_type": "bearer", "access_token": "t", "expires_in": 7200}'
        return httpx.Response(200, stream=httpx.ByteStream(content))

    client = httpx.Client(base_url="http://x.invalid", transport=httpx.MockTransport(answer))
    assert exchange_over(client)("key/1", "hush+2", Wire()) == "t"
    [request] = seen
    assert (request.method, request.url.path) == ("POST", "/oauth2/token")
    assert request.headers["authorization"] == f"Basic {base64.b64encode(b'key%2F1:hush%2B2').decode()}"
    assert request.content == b"grant_type=client_credentials"


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b'{"access_token":null}', b'{"access_token":7}', b'{"access_token":"hush\xff"}',
     b"<html>hush</html>", b"[" * 100_000],
)  # fmt: skip
def test_exchange_answered_with_rubbish_fails_as_x_s_fault(content: bytes) -> None:
    """Whatever the answer is, the caller learns that there is no token, and no more."""
    with pytest.raises(ConnectFailedError) as caught:
        exchange_over(_client(200, content))("k", _SECRET, Wire())
    assert (caught.value.failure.reason, caught.value.failure.curve) == ("no-token", Curve.HTTP)
    assert "hush" not in _shown(caught.value)


def test_exchange_refused_says_what_x_says() -> None:
    """Bad client credentials are a configuration fault; they are not shown, should X repeat them."""
    body = f'{{"errors":[{{"code":99,"message":"Unable to verify your credentials k {_SECRET}"}}]}}'.encode()
    with pytest.raises(ConnectFailedError, match="Unable to verify your credentials") as caught:
        exchange_over(_client(403, body))("k", _SECRET, Wire())
    assert caught.value.failure.curve is Curve.CONFIGURATION
    assert "hush" not in _shown(caught.value)


@pytest.mark.parametrize(
    "echo", ["hush%2B2", "hush+2", base64.b64encode(b"key%2F1:hush%2B2").decode(), r"key\/1", "HUSH%2b2"]
)
def test_exchange_answered_with_what_was_sent_shows_none_of_it(echo: str) -> None:
    """An intermediary may send the whole request back: the pair as it is, encoded, or as the header holds it."""
    body = f"<html>you sent {echo}</html>".encode()
    with pytest.raises(ConnectFailedError, match=r"you sent \[secret\]") as caught:
        exchange_over(_client(403, body))(_PAIR[0], _PAIR[1], Wire())
    assert caught.value.failure.reason == "foreign-answer"
    assert echo not in _shown(caught.value)


def test_exchange_over_its_budget_waits_for_the_reset_of_now() -> None:
    """The reset is a moment, and it is reckoned from the present one."""
    reset_s = int(time.time()) + 300
    headers = {"x-rate-limit-limit": "1", "x-rate-limit-remaining": "0", "x-rate-limit-reset": str(reset_s)}
    with pytest.raises(ConnectFailedError) as caught:
        exchange_over(_client(429, b"", headers))("k", _SECRET, Wire())
    assert 240 < caught.value.failure.at_least_s <= 300 < MAX_WAIT_S


def test_exchange_that_does_not_reach_x_is_a_network_failure() -> None:
    """It waits as any other connection does."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    client = httpx.Client(base_url="http://x.invalid", transport=httpx.MockTransport(fail))
    with pytest.raises(ConnectFailedError) as caught:
        exchange_over(client)("k", _SECRET, Wire())
    assert caught.value.failure.curve is Curve.NETWORK


def test_token_is_in_no_repr(tmp_path: Path) -> None:
    """Neither of what holds it nor of the settings, however they are shown."""
    file = tmp_path / "token"
    file.write_text(_SECRET, encoding="utf-8")
    for given in ({"bearer_token": _SECRET}, {"bearer_token_file": file}, _KEYS):
        settings = _settings(**given)
        token, client = Token(settings, lambda *_: _SECRET), XClient(settings)
        assert token.value(Wire()) == _SECRET
        assert _SECRET not in f"{token!r} {client!r} {settings!r} {settings} {settings.model_dump_json()}"
        client.close()
