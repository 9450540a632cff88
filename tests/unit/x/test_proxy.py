"""Which proxy leads to X, as the environment names it."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import SettingsError
from connector.x.proxy import find_proxy

_PROXY = "http://proxy.invalid:3128"


def _found(url: str, proxies: dict[str, str]) -> str | SettingsError | None:
    """Return the proxy's host, or what is wrong with the settings."""
    try:
        proxy = find_proxy(httpx.URL(url), proxies)
    except SettingsError as error:
        return error
    return proxy.url.host if proxy else None


def _is_direct(url: str, no_proxy: str) -> bool:
    return find_proxy(httpx.URL(url), {"https": _PROXY, "no": no_proxy}) is None


@pytest.mark.parametrize(
    ("url", "no_proxy"),
    [
        ("https://api.x.com", "*"),
        ("https://api.x.com", "api.x.com"),
        ("https://api.x.com", "API.X.com"),
        ("https://api.x.com", "x.com"),
        ("https://api.x.com", ".x.com"),
        ("https://api.x.com", "*.x.com"),
        ("https://api.x.com", "*x.com"),
        ("https://api.x.com", "localhost, ,api.x.com:443"),
        ("https://api.x.com", "https://api.x.com"),
        ("https://api.x.com", "all://x.com"),
        ("https://10.1.2.3", "10.0.0.0/8"),
        ("https://10.1.2.3", "10.1.2.9/8"),
        ("https://10.1.2.3:8443", "10.1.2.3:8443"),
        ("https://[::1]", "::1"),
        ("https://[::1]", "[::1]"),
        ("https://[::1]:8443", "[::1]:8443"),
        ("https://[fd00:1234:5678::9]", "fd00:1234:5678::/64"),
        ("https://[fd00:1234:5678::9]", "[fd00:1234:5678::]/64"),
    ],
)
def test_place_that_no_proxy_names_is_reached_directly(url: str, no_proxy: str) -> None:
    """A name with its subdomains, an address, a network, with a scheme or a port of its own."""
    assert _is_direct(url, no_proxy)


@pytest.mark.parametrize(
    ("url", "no_proxy"),
    [
        ("https://api.x.com", ""),
        ("https://api.x.com", "notx.com,api.x.com.invalid,pi.x.com"),
        ("https://x.com", ".x.com"),
        ("https://api.x.com", "api.x.com:8443"),
        ("https://api.x.com", "http://api.x.com"),
        ("https://api.x.com", "10.0.0.0/8,fd00:1234:5678::/64,[::1],192.168.*,<local>"),
        ("https://11.1.2.3", "10.0.0.0/8,fd00::/8"),
        ("https://[fd01::9]", "fd00::/16,10.0.0.0/8"),
    ],
)
def test_place_that_no_proxy_does_not_name_is_reached_by_the_proxy(url: str, no_proxy: str) -> None:
    """What merely looks like it, or is another port."""
    assert not _is_direct(url, no_proxy)


@pytest.mark.parametrize(
    ("proxies", "host"),
    [
        ({"https": "one.invalid:1"}, "one.invalid"),
        ({"all": "http://two.invalid"}, "two.invalid"),
        ({"https": "https://one.invalid", "all": "http://two.invalid"}, "one.invalid"),
        ({"http": "http://two.invalid", "https": ""}, None),
        ({}, None),
    ],
)
def test_proxy_is_the_one_of_the_scheme_or_of_all(proxies: dict[str, str], host: str | None) -> None:
    """Without a scheme of its own it speaks HTTP."""
    proxy = find_proxy(httpx.URL("https://api.x.com"), proxies)
    assert (proxy.url.host if proxy else None) == host


@given(
    no_proxy=st.text("0123456789abx.:/[]*,- %", max_size=30) | st.text(max_size=12),
    url=st.sampled_from(["https://api.x.com", "https://[::1]:8443", "https://10.1.2.3"]),
)
def test_any_no_proxy_is_applied_or_a_wrong_setting(no_proxy: str, url: str) -> None:
    """Never an exception of anyone else's."""
    found = _found(url, {"https": _PROXY, "no": no_proxy})
    assert found is None or found == "proxy.invalid" or "NO_PROXY: " in str(found)


@given(value=st.text(max_size=20) | st.text("htps:/@[]0129.word", max_size=20))
def test_any_proxy_is_used_or_a_wrong_setting(value: str) -> None:
    """Never an exception of anyone else's."""
    found = _found("https://api.x.com", {"https": value})
    assert not isinstance(found, SettingsError) or "HTTPS_PROXY: " in str(found)


@pytest.mark.parametrize(
    "address", ["http://me:hush@xn--a:1", "http://me:hush\udcff@h:1", "http://me:hush@h:99999", "http://me:hush@h:0"]
)
def test_proxy_that_the_client_would_stumble_over_is_a_wrong_setting_without_its_password(address: str) -> None:
    """A host that decodes to no name, a password that is not text, an invalid port."""
    found = _found("https://api.x.com", {"https": address})
    assert isinstance(found, SettingsError)
    assert "HTTPS_PROXY: " in str(found)
    assert "hush" not in str(found)
