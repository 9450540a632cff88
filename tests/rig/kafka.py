"""Owns a real Apache Kafka cluster (KRaft, every broker a controller too) and the ways to hurt it."""

import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from uuid import uuid4

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.rig.certificates import write_certificates
from tests.rig.java import RigError, find_java, java_parts
from tests.rig.kafka_properties import Layout, broker_properties
from tests.rig.process import LOOPBACK, Housed, Server, free_port

_OLDEST_JAVA = 17
_ANSWER_TIMEOUT_S = 1.0
_OPEN_LISTENERS = ("PLAINTEXT",)
_GUARDED_LISTENERS = ("SSL", "SASL_SSL")
_PROXIED_LISTENERS = ("PROXIED",)


class KafkaCluster(Housed):
    """One or three brokers on free loopback ports, data in a folder that goes with it; a context manager.

    Brokers are numbered from 1. `addresses` has the bootstrap servers of each listener: `PLAINTEXT`, and when `users`
    (name to password) are given `SSL` (client certificate required) and `SASL_SSL` (PLAIN and SCRAM-SHA-512) as well.
    Those two allow only what ACLs grant to `User:NAME`; clients on `PLAINTEXT` may do everything.
    `certificates` then holds `ca.pem`, and `NAME.pem` and `NAME.key` for every user.
    With a `proxy_port` the first broker listens at `PROXIED` too, and tells who comes that way to find it at that port.
    """

    def __init__(self, brokers: int = 1, users: Mapping[str, str] | None = None, proxy_port: int | None = None) -> None:
        numbers = range(1, brokers + 1)
        listeners = _OPEN_LISTENERS + (_GUARDED_LISTENERS if users else ()) + (_PROXIED_LISTENERS if proxy_port else ())
        ports = {number: {name: free_port() for name in ("CONTROLLER", *listeners)} for number in numbers}
        self._java = _java_command()
        super().__init__("kafka")
        self._layout = Layout(ports, self._folder, users or {}, proxy_port)
        self._servers = {number: self._server(number) for number in numbers}
        self._started = list(self._servers.values())
        self.addresses = {name: self._layout.addresses(name) for name in listeners}
        self.bootstrap_servers = self.addresses["PLAINTEXT"]
        self.certificates = self._layout.certificates
        self.logs = {number: server.log for number, server in self._servers.items()}

    def pid(self, broker: int) -> int:
        """Return the process id of a broker. Raises `RigError` when it does not run."""
        return self._servers[broker].pid

    def data_folder(self, broker: int) -> Path:
        """Return the folder where a broker keeps its topics."""
        return self._layout.data_folder(broker)

    def start(self, broker: int) -> None:
        """Start a broker with the data it has, and wait until it serves. Raises `RigError` when it does not."""
        self._servers[broker].launch()
        self._servers[broker].wait_until_ready()

    def stop(self, broker: int) -> None:
        """Shut a broker down in order: it hands its leaderships over first."""
        self._servers[broker].stop()

    def kill(self, broker: int) -> None:
        """End a broker on the spot (SIGKILL)."""
        self._servers[broker].kill()

    def _prepare(self) -> None:
        if self._layout.users:
            write_certificates(self.certificates, list(self._layout.users))
        self._format_storage()

    def _server(self, broker: int) -> Server:
        command = [*self._java, "kafka.Kafka", str(self._properties_file(broker))]
        log = self._layout.folder / f"broker-{broker}.log"
        return Server(f"Kafka broker {broker}", command, log, partial(self._is_ready, broker))

    def _is_ready(self, broker: int) -> bool:
        """Tell whether the broker answers and the cluster counts it in."""
        address = f"{LOOPBACK}:{self._layout.ports[broker]['PLAINTEXT']}"
        admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
        try:
            return broker in admin.list_topics(timeout=_ANSWER_TIMEOUT_S).brokers
        except KafkaException:
            return False

    def _format_storage(self) -> None:
        """Write every broker's empty data folder: who the voters are, and the SCRAM credentials."""
        ports = self._layout.ports.items()
        voters = ",".join(f"{number}@{LOOPBACK}:{each['CONTROLLER']}:{_kafka_uuid()}" for number, each in ports)
        users = self._layout.users.items()
        scram = [f"--add-scram=SCRAM-SHA-512=[name={name},password={password}]" for name, password in users]
        options = [f"--cluster-id={_kafka_uuid()}", f"--initial-controllers={voters}", *scram]
        with ThreadPoolExecutor() as pool:
            list(pool.map(partial(self._format_broker, options), self._layout.ports))

    def _format_broker(self, options: list[str], broker: int) -> None:
        config = self._properties_file(broker)
        config.write_text(broker_properties(self._layout, broker), encoding="utf-8")
        done = subprocess.run(  # noqa: S603 - the command is ours
            [*self._java, "kafka.tools.StorageTool", "format", f"--config={config}", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RigError(f"the storage of Kafka broker {broker} could not be formatted:\n{done.stdout}")

    def _properties_file(self, broker: int) -> Path:
        return self._layout.folder / f"broker-{broker}.properties"


def _kafka_uuid() -> str:
    """Return a random id as Kafka writes it: 22 characters, the first of them no hyphen."""
    return "A" + urlsafe_b64encode(uuid4().bytes).decode()[1:22]


class _Archiving(KafkaCluster):
    """A broker that writes what its classes are in memory to a file when it ends."""

    def _server(self, broker: int) -> Server:
        java, *options = self._java
        self._java = [java, f"-XX:ArchiveClassesAtExit={_archive()}", *options]
        return super()._server(broker)


def archive_classes() -> None:
    """Have brokers start in half the time: later ones take their classes from a file (JEP 350). Raises `RigError`."""
    if not _archive().exists():
        with _Archiving() as cluster:
            cluster.stop(1)


def _archive() -> Path:
    return java_parts() / "kafka.jsa"


def _java_command() -> list[str]:
    return [
        str(find_java(_OLDEST_JAVA)),
        *([f"-XX:SharedArchiveFile={_archive()}"] if _archive().exists() else []),
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
        "-cp",
        f"{java_parts() / 'libraries'}/*",
    ]
