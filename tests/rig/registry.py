"""Owns a real Apicurio Registry in memory, spoken to through its Confluent-compatible API."""

import httpx

from tests.rig import local_http
from tests.rig.java import find_java, java_parts
from tests.rig.process import LOOPBACK, Housed, Server, free_port

_OLDEST_JAVA = 21


class Registry(Housed):
    """Apicurio Registry on free loopback ports, empty at each start; a context manager.

    One that is `read_only` takes nothing.
    """

    def __init__(self, *, read_only: bool = False) -> None:
        port = free_port()
        self.url = f"http://{LOOPBACK}:{port}/apis/ccompat/v7"
        super().__init__("registry")
        self._server = Server("registry", _command(port, read_only=read_only), self._folder / "log", self._is_ready)
        self._started = [self._server]

    def start(self) -> None:
        """Start and wait until it answers. Raises `RigError` when it does not."""
        self._server.launch()
        self._server.wait_until_ready()

    def stop(self) -> None:
        """Stop; all it held is gone."""
        self._server.stop()

    def _is_ready(self) -> bool:
        try:
            return local_http.get(f"{self.url}/subjects").is_success
        except httpx.TransportError:
            return False


def _command(port: int, *, read_only: bool) -> list[str]:
    properties = {
        "quarkus.http.host": LOOPBACK,
        "quarkus.http.port": port,
        "quarkus.management.host": LOOPBACK,
        "quarkus.management.port": free_port(),
        "apicurio.ccompat.max-subjects": 1_000_000,
        "apicurio.storage.read-only.enabled": str(read_only).lower(),
    }
    return [
        str(find_java(_OLDEST_JAVA)),
        "-Xmx512m",
        "-XX:TieredStopAtLevel=1",
        *(f"-D{name}={value}" for name, value in properties.items()),
        "-jar",
        str(java_parts() / "registry" / "quarkus-run.jar"),
    ]
