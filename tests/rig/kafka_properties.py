"""Owns the configuration of the brokers of a test cluster: pure functions from ports and folders to properties."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.rig.process import LOOPBACK

_QUICK: dict[str, object] = {
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": 0,
    "offsets.topic.num.partitions": 3,
    "transaction.state.log.num.partitions": 3,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    "broker.heartbeat.interval.ms": 500,
    "broker.session.timeout.ms": 4000,
    "log.cleaner.dedupe.buffer.size": 8 * 1024**2,
}
"""Small and prompt: nothing here changes what a client is promised."""

_PROTOCOLS = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL"


@dataclass(frozen=True)
class Layout:
    """Where a cluster lives: the port of each listener of each broker, its folder, and its users' passwords.

    `proxy_port` is where clients are sent that come by the listener `PROXIED`.
    """

    ports: Mapping[int, Mapping[str, int]]
    folder: Path
    users: Mapping[str, str]
    proxy_port: int | None = None

    def addresses(self, listener: str) -> str:
        """Return the `host:port` of that listener on all brokers, comma-separated."""
        return ",".join(f"{LOOPBACK}:{ports[listener]}" for ports in self.ports.values())

    def data_folder(self, broker: int) -> Path:
        """Return the folder of a broker's data."""
        return self.folder / f"broker-{broker}"

    @property
    def certificates(self) -> Path:
        """The folder of the certificates and keys."""
        return self.folder / "certificates"


def broker_properties(layout: Layout, broker: int) -> str:
    """Return the content of a broker's properties file."""
    ports = layout.ports[broker]
    advertised = {**ports, **({"PROXIED": layout.proxy_port} if "PROXIED" in ports else {})}
    replicas = min(3, len(layout.ports))
    properties: dict[str, object] = {
        "node.id": broker,
        "process.roles": "broker,controller",
        "listeners": _listeners(ports),
        "advertised.listeners": _listeners(advertised),
        "listener.security.protocol.map": _PROTOCOLS,
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": layout.addresses("CONTROLLER"),
        "log.dirs": layout.data_folder(broker),
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": min(2, replicas),
        **_QUICK,
    }
    if layout.users:
        properties |= _security_properties(layout)
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def _listeners(ports: Mapping[str, int | None]) -> str:
    return ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in ports.items())


def _security_properties(layout: Layout) -> dict[str, object]:
    """TLS with our own authority, users for PLAIN (here) and SCRAM (in the storage), and rights by ACL only."""
    login = "org.apache.kafka.common.security"
    sasl = "listener.name.sasl_ssl"
    passwords = " ".join(f'user_{name}="{password}"' for name, password in layout.users.items())
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": layout.certificates / "broker.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": layout.certificates / "ca.pem",
        "ssl.principal.mapping.rules": "RULE:^CN=([^,]+)$/$1/",
        "listener.name.ssl.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        f"{sasl}.plain.sasl.jaas.config": f"{login}.plain.PlainLoginModule required {passwords};",
        f"{sasl}.scram-sha-512.sasl.jaas.config": f"{login}.scram.ScramLoginModule required;",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
