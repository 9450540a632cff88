"""Where an address is: on this machine, or across a network. Pure: no name is looked up."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Return whether a host name or an address is this machine's own; of names only `localhost` is, by any resolver."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_plain_http(url: str) -> bool:
    """Return whether what is sent to `url` crosses a network unencrypted; what is no URL is sent nowhere."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and not is_loopback(parts.hostname or "")
    except ValueError:
        return False
