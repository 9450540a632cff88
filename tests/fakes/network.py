"""The network as a client of X sees it, on one machine."""

from collections.abc import Iterable

import httpcore


class Hosts(httpcore.SyncBackend):
    """Stands ports of this machine for hosts, whichever port of theirs is wanted; notes which were connected to."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.ports = ports
        self.connected: list[str] = []

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to what stands for the host."""
        del port
        self.connected.append(host)
        return super().connect_tcp("127.0.0.1", self.ports[host], timeout, local_address, socket_options)


class Failing(httpcore.SyncBackend):
    """Raises each of `errors`, then connects."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Fail, or connect."""
        if self._errors:
            raise self._errors.pop(0)
        return super().connect_tcp(host, port, timeout, local_address, socket_options)
