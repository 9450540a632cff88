"""The network as a client of X sees it, on one machine."""

from collections.abc import Iterable

import httpcore


class _Routed(httpcore.SyncBackend):
    """Connects to where `_route` leads."""

    def _route(self, host: str, port: int) -> tuple[str, int]:
        """Return where to connect for a host and port, or raise what connecting raises."""
        raise NotImplementedError

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect, or fail."""
        return super().connect_tcp(*self._route(host, port), timeout, local_address, socket_options)


class Hosts(_Routed):
    """Has ports of this machine for hosts, whichever port of theirs is wanted; notes which were connected to."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.ports = ports
        self.connected: list[str] = []

    def _route(self, host: str, port: int) -> tuple[str, int]:
        del port
        self.connected.append(host)
        return "127.0.0.1", self.ports[host]


class Failing(_Routed):
    """Raises each of `errors`, then connects."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    def _route(self, host: str, port: int) -> tuple[str, int]:
        if self._errors:
            raise self._errors.pop(0)
        return host, port
