"""The HTTP proxy for X, from the environment. Pure; no error shows what may be a password.

`NO_PROXY` is a comma-separated list of what is reached directly: `*`, a host name (its subdomains too; with a leading
dot those alone), an address, a network such as `10.0.0.0/8` or `fd00::/8`; a scheme before it and a port after it
narrow it down.
"""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network

import httpx

from connector.configuration import read_proxy
from connector.errors import SettingsError
from connector.network import is_loopback
from connector.quoting import basic_credentials

_PORTS = {"http": 80, "https": 443}


def find_proxy(url: httpx.URL, proxies: Mapping[str, str]) -> httpx.Proxy | None:
    """Return the proxy for `url`, or None to connect directly.

    `proxies` is what `urllib.request.getproxies_environment` returns: values by scheme, `all` and `no`. Raises
    `SettingsError` for a proxy, or an entry of `NO_PROXY`, that cannot be used.
    """
    if url.scheme == "http" and is_loopback(url.host):  # a token goes there only because no network is on the way
        return None
    exempt = [_names(entry, url) for entry in map(str.strip, proxies.get("no", "").split(",")) if entry]
    if any(exempt):
        return None
    for name in (url.scheme, "all"):
        if proxies.get(name):
            return read_proxy(name, proxies[name])
    return None


def secrets_of(proxy: httpx.Proxy) -> tuple[str, ...]:
    """Return the secrets of the proxy connection, which must not be shown if an answer repeats them."""
    return () if proxy.auth is None else (proxy.auth[1], basic_credentials(*proxy.auth))


def _names(entry: str, url: httpx.URL) -> bool:
    """Return whether an entry of `NO_PROXY` names `url`."""
    if entry == "*":
        return True
    scheme, _, place = entry.lower().rpartition("://")
    host, port = _split(place)
    is_there = _is_within(entry, host, url.host) if "/" in host or ":" in host else _is_named(host, url.host)
    return is_there and scheme in {"", "all", url.scheme} and port in {"", str(url.port or _PORTS.get(url.scheme))}


def _split(place: str) -> tuple[str, str]:
    """Return host and port; an IPv6 address without brackets has no port."""
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        return (host + rest, "") if rest.startswith("/") else (host, rest.removeprefix(":"))
    host, _, port = place.partition(":") if place.count(":") == 1 else (place, "", "")
    return host, port


def _is_within(entry: str, network: str, host: str) -> bool:
    try:
        addresses = ip_network(network, strict=False)
    except ValueError:
        name = repr(entry) if "@" not in entry else "an entry with a user name"
        raise SettingsError([f"NO_PROXY: {name} is not an address or a network"]) from None
    try:
        return ip_address(host) in addresses
    except ValueError:  # a name, which is not looked up for this
        return False


def _is_named(name: str, host: str) -> bool:
    suffix = name.removeprefix("*")
    return host == suffix or host.endswith(f".{suffix.removeprefix('.')}")
