"""The HTTP client for X, or for a host that X names: it follows no redirect and keeps no cookie."""

import platform
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from urllib.request import getproxies_environment

import httpcore
import httpx

from connector import __version__
from connector.errors import SettingsError
from connector.settings import XSettings, variable_name
from connector.x.proxy import find_proxy, secrets_of
from connector.x.transport import SOCKETS, Wire, WireTransport

USER_AGENT = f"x-compliance-connector/{__version__} python/{platform.python_version()} httpx/{httpx.__version__}"
_MAX_PORT = 65535


class Way:
    """An HTTP client for one host.

    Redirects are not followed, so that a token goes nowhere else; cookies are not kept; the proxy comes from the
    environment; each request has its own connection.
    """

    def __init__(self, settings: XSettings, url: httpx.URL, network: httpcore.NetworkBackend = SOCKETS) -> None:
        """Raise `SettingsError` if the CA certificates or the proxy cannot be used."""
        proxy = find_proxy(url, getproxies_environment())
        self.proxy_secrets = () if proxy is None else secrets_of(proxy)
        self._transport = WireTransport(_trust(settings.ca_file), proxy, network)
        self.client = httpx.Client(
            base_url=url,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(settings.silence_timeout_s, connect=settings.connect_timeout_s),
            transport=self._transport,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    @contextmanager
    def attempt(self, wire: Wire, time_s: float) -> Iterator[None]:
        """Give an attempt one time limit, and close its connection on any failure."""
        wire.limit(time_s)
        try:
            yield
        except BaseException:
            self._transport.release(wire)
            raise

    def close(self) -> None:
        """Close all connections."""
        self.client.close()


def base_url_of(settings: XSettings) -> httpx.URL:
    """Return the base URL of X. Raises `SettingsError` if it cannot be used."""
    return _url("base_url", settings.base_url)


def transfer_origins_of(settings: XSettings) -> list[httpx.URL]:
    """Return the other origins that transfers may use. Raises `SettingsError` if one of them cannot be used."""
    return [_url("transfer_origins", origin) for origin in settings.transfer_origins]


def _url(setting: str, text: str) -> httpx.URL:
    name = variable_name(("x", setting))
    try:
        url = httpx.URL(text)
        has_host = bool(url.host)
    except (httpx.InvalidURL, ValueError) as error:  # a wrongly encoded host raises `ValueError`
        raise SettingsError([f"{name}: is not a URL: {error}"]) from None
    if not has_host or (url.port or 0) > _MAX_PORT:
        raise SettingsError([f"{name}: has no host, or an invalid port"])
    return url


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    """Return the CA certificates given for X, else those of `SSL_CERT_FILE` or of the HTTP library."""
    try:
        return ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context()
    except OSError as error:
        name = f"{variable_name(('x', 'ca_file'))}: {ca_file}" if ca_file else "SSL_CERT_FILE"
        raise SettingsError([f"{name}: cannot be used: {error.strerror or error}"]) from None
