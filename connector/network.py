"""Where an address is: on this machine, or across a network. Pure: no name is looked up."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Return whether a host name or an address is this machine's own (RFC 6761, section 6.3: `localhost`)."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return f".{host.rstrip('.').lower()}".endswith(".localhost")


def is_plain_http(url: str) -> bool:
    """Return whether what is sent to `url` crosses a network unencrypted."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")
