"""The bearer token: given, read from a file, or exchanged for key and secret (X API v2, "OAuth 2.0 App-Only").

A token is never logged, and no error holds one.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

import httpx
import msgspec

from connector.errors import SettingsError
from connector.quoting import basic_credentials, keep_secret
from connector.settings import XSettings, variable_name
from connector.x.backoff import Curve
from connector.x.clock import wall_us
from connector.x.errors import ConnectFailedError, Failure, FailureReason
from connector.x.failures import HTTP_FAILURES, network_failure, refusal
from connector.x.head import read_head
from connector.x.response import read_beginning, read_body
from connector.x.transport import Wire

_TOKEN_LIMIT = 4096
"""X's tokens have some 110 characters."""
_MOST_USED = 4
"""How many tokens may be repeated by answers that are still on their way."""


class _Answer(msgspec.Struct):
    access_token: str


class Token:
    """The token of one X App, shared by all its connections."""

    def __init__(self, settings: XSettings, exchange: Callable[[str, str, Wire], str]) -> None:
        self._settings = settings
        self._exchange = exchange
        self._exchanged: str | None = None
        self._used: deque[str] = deque(maxlen=_MOST_USED)
        self._lock = threading.Lock()

    def value(self, wire: Wire) -> str:
        """Return the token to use for a connection made now, over `wire`; a token file is read each time.

        Raises `ConnectFailedError` if none can be obtained.
        """
        try:
            with self._lock:
                if self._settings.has_secret("bearer_token"):
                    token = _secret(self._settings, "bearer_token")
                else:
                    token = self._exchanged = self._exchanged or self._new(wire)
                if token not in self._used:
                    self._used.append(token)
                return token
        except SettingsError as error:
            failure = Failure(Curve.CONFIGURATION, FailureReason.NO_TOKEN, str(error), is_sent=False)
            raise ConnectFailedError(failure) from None
        except ConnectFailedError as error:  # the stream was not asked, and what X counts is the token endpoint's
            raise ConnectFailedError(replace(error.failure, rate_limit=None, is_sent=False)) from error

    @property
    def sent(self) -> tuple[str, ...]:
        """What has gone to X that must not be published, should X repeat it: the latest tokens, and what buys one."""
        with self._lock:
            used = tuple(self._used)
        if self._settings.has_secret("bearer_token"):
            return used
        key, secret = (_secret(self._settings, name) for name in ("api_key", "api_key_secret"))
        return (*used, key, secret, basic_credentials(*_encoded(key, secret)))

    def _new(self, wire: Wire) -> str:
        key, secret = (_secret(self._settings, name) for name in ("api_key", "api_key_secret"))
        token = _checked("the token that X gave", self._exchange(key, secret, wire))
        if len(token) > _TOKEN_LIMIT:
            raise SettingsError([f"the token that X gave: longer than {_TOKEN_LIMIT} characters"])
        keep_secret("exchanged token", token)
        return token

    def rejected(self) -> None:
        """Forget an exchanged token, since X no longer accepts it."""
        with self._lock:
            self._exchanged = None


def _encoded(api_key: str, api_key_secret: str) -> tuple[str, str]:
    """Return the pair as X wants it: each percent-encoded."""
    return quote(api_key, safe=""), quote(api_key_secret, safe="")


def try_secrets(settings: XSettings) -> None:
    """Raise `SettingsError` if a token, or a key or its secret, is given that cannot be one."""
    for name in ("bearer_token", "api_key", "api_key_secret"):
        if settings.has_secret(name):
            _secret(settings, name)


def _secret(settings: XSettings, name: str) -> str:
    source = name if getattr(settings, name) else f"{name}_file"
    return _checked(variable_name(("x", source)), (settings.secret(name) or "").strip())


def _checked(name: str, value: str) -> str:
    """Return `value`. Raises `SettingsError`, which does not hold it, for what no token, key or secret of X's holds."""
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise SettingsError([f"{name}: empty, or holds characters that no token has"])
    return value


def exchange_over(client: httpx.Client) -> Callable[[str, str, Wire], str]:
    """Return a function that exchanges an API key and its secret for a bearer token over `client` and a wire.

    Neither of them is in any error.
    """

    def exchange(api_key: str, api_key_secret: str, wire: Wire) -> str:
        request = client.build_request(
            "POST",
            "/oauth2/token",
            data={"grant_type": "client_credentials"},
            extensions={"wire": wire},
        )
        auth = _encoded(api_key, api_key_secret)
        for name, value in (("key", api_key), ("secret", api_key_secret), ("pair", basic_credentials(*auth))):
            keep_secret(f"API {name}", value)
        try:
            response = client.send(request, auth=auth, stream=True)
            head = read_head(response.status_code, response.headers, wall_us())
            if head.status != httpx.codes.OK:
                raise ConnectFailedError(refusal(head, read_beginning(response, head)).failure)
            body = read_body(response, head)
        except HTTP_FAILURES as error:
            raise ConnectFailedError(network_failure(error)) from error
        try:
            return msgspec.json.decode(body, type=_Answer).access_token
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            detail = "X's answer to the token request holds no access_token"
            failure = Failure(Curve.HTTP, FailureReason.NO_TOKEN, detail, date_us=head.date_us)
            raise ConnectFailedError(failure) from None

    return exchange
