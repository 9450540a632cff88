"""The way to X: proxies from the environment, IPv6, and names that are looked up at each attempt."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from connector.coverage.plan import Live
from connector.errors import SettingsError
from connector.events.catalog import StreamPartition
from connector.settings import XSettings
from connector.x.client import Connection, XClient, try_client
from connector.x.errors import ConnectFailedError
from connector.x.transport import Wire
from tests.fakes.network import Hosts
from tests.rig.certificates import write_certificates
from tests.rig.peer import LAST_CHUNK, Peer, answering, chunk, cutting, head, over_tls, streaming, tunnelling

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
    """It learns only the host, whose name it looks up; its own credentials go to it."""
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


def test_close_ends_the_wait_for_a_proxy_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The tunnel is not there yet, but the socket is."""
    wire = Wire()

    def play(sock: socket.socket) -> None:
        sock.recv(65536)
        wire.close()
        while sock.recv(65536):
            pass

    with Peer(play) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        client = XClient(XSettings(base_url="https://x.invalid", bearer_token="hush", ca_file=folder / "ca.pem"))
        with pytest.raises(ConnectFailedError) as caught:
            client.open(_TWEET_1, Live(0), wire)
        client.close()
    assert caught.value.failure.reason == "network"


@pytest.mark.parametrize(
    "no_proxy",
    ["127.0.0.1", "x.example.com, 127.0.0.1", "*", "localhost,127.0.0.0/8,fd00:1234:5678::/64", "[::1],127.0.0.1"],
)
def test_no_proxy_names_what_is_reached_directly(monkeypatch: pytest.MonkeyPatch, folder: Path, no_proxy: str) -> None:
    """By address, in a list, or everything."""
    heads: list[bytes] = []
    with Peer(over_tls(folder, _WHOLE)) as x, Peer(tunnelling(heads, x.port)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", no_proxy)
        with _open(f"https://127.0.0.1:{x.port}", folder) as connection:
            assert b"".join(connection.chunks()) == _BODY
    assert heads == []


@pytest.mark.parametrize("no_proxy", ["localhost,10.0.0.0/8,fd00:1234:5678::/64", "[::1]", "::1", "192.168.*,<local>"])
def test_no_proxy_that_names_other_places_leaves_the_proxy(
    monkeypatch: pytest.MonkeyPatch, folder: Path, no_proxy: str
) -> None:
    """Networks and IPv6 addresses, with brackets or without, are not X's name."""
    heads: list[bytes] = []
    with Peer(over_tls(folder, _WHOLE)) as x, Peer(tunnelling(heads, x.port)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", no_proxy)
        with _open("https://x.invalid", folder) as connection:
            assert b"".join(connection.chunks()) == _BODY
    assert len(heads) == 1


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("NO_PROXY", "localhost,10.0.0.0/99", "NO_PROXY: '10.0.0.0/99' is not an address or a network"),
        ("NO_PROXY", "[::1]/8/9", "NO_PROXY: .* is not an address or a network"),
        ("NO_PROXY", "fd00::zz", "NO_PROXY: .* is not an address or a network"),
        ("HTTPS_PROXY", "socks5://me:word@127.0.0.1:1", "HTTPS_PROXY: not an HTTP proxy's address"),
        ("HTTPS_PROXY", "http://me:word@[::1", "HTTPS_PROXY: not an HTTP proxy's address"),
        ("HTTPS_PROXY", "ftp://word", "HTTPS_PROXY: not an HTTP proxy's address"),
        ("ALL_PROXY", "http://:8080", "ALL_PROXY: not an HTTP proxy's address"),
    ],
)
def test_proxy_that_cannot_be_used_is_a_wrong_setting_without_its_password(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, named: str
) -> None:
    """It is said which variable, before anything is asked of X."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=named) as caught:
        try_client(XSettings())
    assert "word" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("name", "value"), [("NO_PROXY", "10.0.0.0/99"), ("SSL_CERT_FILE", "/nowhere/ca.pem"), ("HTTPS_PROXY", "ftp://h")]
)
def test_wrong_way_ends_check_and_run_alike(command: str, name: str, value: str) -> None:
    """What `check` accepts, `run` does not refuse: exit code 78 and the variable's name, never a traceback."""
    environment = {
        "CONNECTOR_X__BEARER_TOKEN": "hush",
        "CONNECTOR_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
        "CONNECTOR_SCHEMA_REGISTRY__URL": "http://127.0.0.1:9",
        "CONNECTOR_HTTP__PORT": "0",
        name: value,
    }
    ended = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "connector", command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == os.EX_CONFIG, ended.stderr
    assert f"{name}: " in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("base_url", ["https://[::1", "https://x:65536", "https://:443"])
def test_base_url_that_cannot_be_used_is_a_wrong_setting(base_url: str) -> None:
    """Not an exception of the HTTP library."""
    with pytest.raises(SettingsError, match="CONNECTOR_X__BASE_URL: "):
        try_client(XSettings(base_url=base_url))


def test_name_that_dns_cannot_hold_is_a_network_failure() -> None:
    """As one that is not found."""
    with pytest.raises(ConnectFailedError) as caught, _open(f"http://{'x' * 64}.invalid", allow_plain_http=True):
        pass
    assert (caught.value.failure.reason, caught.value.failure.is_sent) == ("network", False)


def test_proxy_at_a_port_that_cannot_be_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can ever listen there."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:99999")
    with pytest.raises(SettingsError, match="HTTPS_PROXY: "), _open("https://x.invalid"):
        pass


def test_cookies_of_an_intermediary_are_not_sent_back() -> None:
    """Nor kept: they could grow without end."""
    requests: list[bytes] = []

    def play(sock: socket.socket) -> None:
        requests.append(sock.recv(65536))
        sock.sendall(head("503 Busy", ("Set-Cookie", "a=b; Path=/"), ("Content-Length", "0")))

    with Peer(play) as peer:
        client = XClient(XSettings(base_url=f"http://127.0.0.1:{peer.port}", bearer_token="hush"))
        for _ in range(2):
            with pytest.raises(ConnectFailedError):
                client.open(_TWEET_1, Live(0))
        client.close()
    assert len(requests) == 2
    assert b"cookie" not in b"".join(requests).lower()


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


@pytest.mark.parametrize("echo", ["my-word", "bWU6bXktd29yZA=="])
def test_proxy_that_repeats_its_password_is_shown_without_it(monkeypatch: pytest.MonkeyPatch, echo: str) -> None:
    """In its own words, or as the header holds it."""
    with Peer(answering(f"407 no {echo}")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:my-word@127.0.0.1:{proxy.port}")
        with pytest.raises(ConnectFailedError, match=r"407 no \[secret\]"), _open("https://x.invalid"):
            pass


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


def test_name_is_looked_up_at_each_attempt() -> None:
    """X may be somewhere else by then."""
    with Peer(_WHOLE) as old, Peer(_WHOLE) as new:
        hosts = Hosts({})
        settings = XSettings(base_url="http://x.invalid", allow_plain_http=True, bearer_token="hush")
        client = XClient(settings, network=hosts)
        for hosts.ports["x.invalid"] in (old.port, new.port):
            with client.open(_TWEET_1, Live(0)) as connection:
                assert b"".join(connection.chunks()) == _BODY
        client.close()
    assert hosts.connected == ["x.invalid"] * 2


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_ca_file_that_cannot_be_used_is_a_wrong_setting(tmp_path: Path, content: str | None) -> None:
    """It is said which file, before anything is asked of X."""
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"CONNECTOR_X__CA_FILE: .*ca\.pem: cannot be used"):
        XClient(XSettings(ca_file=ca_file))


def test_ca_file_of_the_environment_that_is_not_there_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The HTTP library applies it if the connector is given none."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    with pytest.raises(SettingsError, match="SSL_CERT_FILE: cannot be used"):
        XClient(XSettings())
