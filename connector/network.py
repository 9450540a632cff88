"""Where an address is: on this machine, or across a network. Pure: no name is looked up."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Return whether a host name or an address is this machine's own; the only such name is `localhost`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_plain_http(url: str) -> bool:
    """Return whether requests to `url` cross a network unencrypted; False if it is not a URL."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and not is_loopback(parts.hostname or "")
    except ValueError:
        return False
