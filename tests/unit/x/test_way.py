"""The way to X: proxies from the environment, IPv6, and names that are looked up at each attempt."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from connector.coverage.plan import Live
from connector.errors import SettingsError
from connector.events.catalog import StreamPartition
from connector.settings import XSettings
from connector.x.client import Connection, XClient
from connector.x.errors import ConnectFailedError
from tests.connections.peer import LAST_CHUNK, Peer, answering, chunk, cutting, over_tls, streaming, tunnelling
from tests.rig.certificates import write_certificates

_TWEET_1 = StreamPartition("tweet", 1)
_BODY = b'{"data": 1}\r\n'
_WHOLE = cutting(chunk(_BODY), LAST_CHUNK)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with the certificates of X's stand-in, which is `x.invalid` and this host."""
    write_certificates(tmp_path / "certificates", [])
    return tmp_path / "certificates"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@contextmanager
def _open(base_url: str, folder: Path | None = None, **given: Any) -> Iterator[Connection]:  # noqa: ANN401 - any setting
    settings = {"base_url": base_url, "bearer_token": "hush", "ca_file": folder and folder / "ca.pem", **given}
    client = XClient(XSettings.model_validate(settings))
    try:
        with client.open(_TWEET_1, Live(0)) as connection:
            yield connection
    finally:
        client.close()


def test_https_proxy_tunnels_and_learns_neither_token_nor_request(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """It is told the host only, whose name it looks up; its own credentials go to it."""
    heads: list[bytes] = []
    with Peer(over_tls(folder, _WHOLE)) as x, Peer(tunnelling(heads, x.port)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:my%20word@127.0.0.1:{proxy.port}")
        with _open("https://x.invalid", folder) as connection:
            assert b"".join(connection.chunks()) == _BODY
    [head] = heads
    assert head.startswith(b"CONNECT x.invalid:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6bXkgd29yZA==" in head
    assert not [word for word in (b"hush", b"Bearer", b"compliance") if word in head]


def test_close_ends_a_read_through_a_proxy_at_once(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The socket is the one to the proxy, under TLS."""
    with Peer(over_tls(folder, streaming(chunk(_BODY)))) as x, Peer(tunnelling([], x.port)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        with _open("https://x.invalid", folder) as connection:
            chunks = connection.chunks()
            assert next(chunks) == _BODY
            connection.close()
            with pytest.raises(ConnectFailedError, match=r"ReadError|RemoteProtocolError"):
                next(chunks)


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "x.example.com, 127.0.0.1", "*"])
def test_no_proxy_names_what_is_reached_directly(monkeypatch: pytest.MonkeyPatch, folder: Path, no_proxy: str) -> None:
    """By address, in a list, or everything."""
    heads: list[bytes] = []
    with Peer(over_tls(folder, _WHOLE)) as x, Peer(tunnelling(heads, x.port)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", no_proxy)
        with _open(f"https://127.0.0.1:{x.port}", folder) as connection:
            assert b"".join(connection.chunks()) == _BODY
    assert heads == []


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "502 Bad Gateway"])
def test_proxy_that_refuses_is_a_network_failure_that_x_has_not_counted(
    monkeypatch: pytest.MonkeyPatch, folder: Path, status: str
) -> None:
    """Its word is shown, its password is not."""
    with Peer(answering(status)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:my-word@127.0.0.1:{proxy.port}")
        with pytest.raises(ConnectFailedError) as caught, _open("https://x.invalid", folder):
            pass
    failure = caught.value.failure
    assert (failure.reason, failure.detail, failure.is_sent) == ("network", f"ProxyError: {status}", False)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="this host has no IPv6")
def test_ipv6_address_is_a_base_url(folder: Path) -> None:
    """In brackets, with TLS and a port."""
    with Peer(over_tls(folder, _WHOLE), host="::1") as x, _open(f"https://[::1]:{x.port}", folder) as connection:
        assert b"".join(connection.chunks()) == _BODY


def test_name_is_looked_up_at_each_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """X may be somewhere else by then."""
    with Peer(_WHOLE) as old, Peer(_WHOLE) as new:
        ports = [old.port, new.port]

        def look_up(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
            assert name == "x.invalid"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", ports.pop(0)))]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        client = XClient(XSettings(base_url="http://x.invalid", bearer_token="hush"))
        for _ in range(2):
            with client.open(_TWEET_1, Live(0)) as connection:
                assert b"".join(connection.chunks()) == _BODY
        client.close()
    assert ports == []


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_ca_file_that_cannot_be_used_is_a_wrong_setting(tmp_path: Path, content: str | None) -> None:
    """It is said which file, before anything is asked of X."""
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"CONNECTOR_X__CA_FILE: .*ca\.pem: cannot be used"):
        XClient(XSettings(ca_file=ca_file))


def test_ca_file_of_the_environment_that_is_not_there_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The HTTP library heeds it where the connector is given none."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    with pytest.raises(SettingsError, match="SSL_CERT_FILE: cannot be used"):
        XClient(XSettings())
