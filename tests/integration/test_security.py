"""TLS, SASL and rights: the service and its commands work with exactly the rights written down here."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclPermissionType,
    AdminClient,
)

from connector.errors import NotProvisionedError
from connector.events.catalog import StreamPartition
from connector.kafka.cluster import Cluster
from connector.kafka.registry import RegistryClient
from connector.kafka.verify import verify_batch, verify_holdings
from connector.settings import Settings
from connector.simulator.config import SimulatorConfig
from connector.simulator.faults import Broken
from connector.simulator.server import Simulator
from tests.rig import kafka as rig_kafka
from tests.rig import local_http
from tests.rig.audit import audit, read_history
from tests.rig.kafka import KafkaCluster
from tests.rig.kafka_properties import Layout, broker_properties
from tests.rig.own_topics import OwnTopics, done_run
from tests.rig.process import wait_until
from tests.rig.rights import BATCH_RIGHTS, GROUP_RIGHTS, OPERATOR_RIGHTS, PREFIX, RUN_RIGHTS, TAIL_RIGHTS, WATCH_RIGHTS
from tests.rig.service import (
    Config,
    ConnectorProcess,
    Probe,
    make_config,
    override,
    provision_topics,
    running,
)
from tests.rig.session import SchemaRegistry

_PARTITIONS = 2
_USERS = {
    name: f"{name}-password" for name in ("service", "unwatched", "operator", "batch", "reader", "watcher", "stranger")
}

_WATCHED = frozenset(
    {
        "batch_last_run_failed",
        "batch_last_done_timestamp_seconds",
        "batch_last_done_ids",
        "gap_unreconciled_age_seconds",
    }
)
"""The metrics that are made from topics."""


@dataclass(frozen=True)
class _Guarded:
    """A provisioned cluster with rights, and a simulated X."""

    cluster: KafkaCluster
    registry: SchemaRegistry
    simulator: Simulator

    def config(self, way: str, user: str = "service") -> Config:
        """Return the settings with which `user` comes `way`: a SASL mechanism, or `SSL` with a certificate."""
        listener = "SSL" if way == "SSL" else "SASL_SSL"
        certificates = self.cluster.certificates
        config = make_config(
            self.cluster.addresses[listener], self.registry.url, PREFIX, self.simulator.base_url, _PARTITIONS
        )
        kafka: dict[str, Any] = {"security_protocol": listener, "tls": {"ca_file": str(certificates / "ca.pem")}}
        if way == "SSL":
            kafka["tls"] |= {
                "certificate_file": str(certificates / f"{user}.pem"),
                "key_file": str(certificates / f"{user}.key"),
            }
        elif way == "OAUTHBEARER":
            kafka["sasl"] = {"mechanism": way}
            kafka["properties"] = {
                "enable.sasl.oauthbearer.unsecure.jwt": True,
                "sasl.oauthbearer.config": f"principal={user}",
            }
        else:
            kafka["sasl"] = {"mechanism": way, "username": user, "password": _USERS[user]}
        return override(config, kafka=kafka)


def _with_oauthbearer(layout: Layout, broker: int) -> str:
    """Return the broker's properties with OAUTHBEARER (Kafka's own unsecured tokens) as one more mechanism."""
    module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
    return (
        broker_properties(layout, broker)
        + "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512,OAUTHBEARER\n"
        + f'listener.name.sasl_ssl.oauthbearer.sasl.jaas.config={module} required unsecuredLoginStringClaim_sub="x";\n'
    )


@pytest.fixture(scope="module")
def guarded(registry: SchemaRegistry, seed: int) -> Iterator[_Guarded]:
    """Start a cluster that allows only what the tables above say, provisioned by its administrator."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rig_kafka, "broker_properties", _with_oauthbearer)
        cluster = KafkaCluster(users=_USERS)
        with cluster, Simulator(SimulatorConfig(seed=seed)) as simulator:
            rights = {
                "service": RUN_RIGHTS,
                "unwatched": [right for right in RUN_RIGHTS if right not in WATCH_RIGHTS],
                "operator": OPERATOR_RIGHTS,
                "batch": BATCH_RIGHTS,
                "reader": TAIL_RIGHTS,
                "watcher": GROUP_RIGHTS,
            }
            admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
            bindings = [
                AclBinding(kind, name, pattern, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
                for user, allowed in rights.items()
                for kind, name, pattern, operation in allowed
            ]
            for created in admin.create_acls(bindings).values():
                created.result(30)
            config = make_config(cluster.bootstrap_servers, registry.url, PREFIX, simulator.base_url, _PARTITIONS)
            provision_topics(config)
            topics = OwnTopics.of(config)
            topics.write([topics.runs.run(done_run(1_000_000, 2_000_000))])
            yield _Guarded(cluster, registry, simulator)


def _watched(probe: Probe) -> set[str]:
    """Return which of the metrics that are made from topics are shown."""
    return {sample.name.removeprefix("compliance_connector_") for sample in probe.metrics().samples} & _WATCHED


@pytest.mark.parametrize("way", ["PLAIN", "SCRAM-SHA-512", "OAUTHBEARER", "SSL"])
def test_run_with_least_rights_publishes_everything(guarded: _Guarded, way: str) -> None:
    """By each way of proving who it is, with the rights written down and no other, everything is published."""
    simulator = guarded.simulator
    with running(guarded.config(way)) as probe:
        probe.await_connected(simulator)
        simulator.emit(500)
        simulator.inject(Broken())
        probe.await_sequences(simulator)
        assert probe.metric("producers_replaced_total", cause="failed") == 0
        assert probe.metric("partition_restarts_total") == 0
        wait_until(lambda: _watched(probe) == _WATCHED, "batch runs and gaps are shown")
    history = read_history(guarded.cluster.bootstrap_servers, guarded.registry.url, PREFIX, _PARTITIONS)
    assert audit(history, simulator.record()) == []


def test_run_without_rights_for_metrics_works_and_leaves_them_out(guarded: _Guarded, tmp_path: Path) -> None:
    """The topics are named in the log, once each, with the right to grant; the streams go on, and the page says so."""
    with ConnectorProcess(tmp_path, ["run"], guarded.config("PLAIN", "unwatched")) as run:
        probe = run.probe()
        probe.await_connected(guarded.simulator)
        wait_until(lambda: len(run.logged("topic_unreadable")) == 3, "the topics are known to be unreadable")
        assert probe.is_ready
        # coverage is known, and no picture of it without gaps
        wait_until(lambda: local_http.get(probe.url).text.count("Not known at present.") == 3, "the page says so")
        assert _watched(probe) == set()
    reasons = {entry["topic"]: entry["detail"] for entry in run.logged("topic_unreadable")}
    assert reasons == {
        f"{PREFIX}-gap": f"no right to read {PREFIX}-gap: grant Read on this topic",
        f"{PREFIX}-batch": f"no right to describe {PREFIX}-batch: grant Read on these topics",
        f"{PREFIX}-dead-letter": f"no right to read {PREFIX}-dead-letter: grant Read on this topic",
    }


def test_check_online_with_the_rights_of_run_finds_all_well(guarded: _Guarded, tmp_path: Path) -> None:
    """The check before a start needs no more rights than the start, and shows no password."""
    with ConnectorProcess(tmp_path, ["check", "--online"], guarded.config("SCRAM-SHA-512")) as check:
        assert check.wait() == 0
        assert check.stdout.count("ok: ") == 7


def test_batch_run_with_its_rights_finds_its_topics_and_no_others(guarded: _Guarded) -> None:
    """Publishing one needs less than the service has: neither events nor the service's ledger."""
    settings = Settings.model_validate(guarded.config("PLAIN", "batch"))
    cluster = Cluster(settings.kafka)
    with RegistryClient(settings.schema_registry) as registry:
        found = verify_batch(settings.kafka, cluster, registry)
    verify_holdings(settings.kafka, cluster)
    assert (len(found.schema_ids), len(found.max_message_bytes)) == (5, 6)
    for topic in (f"{PREFIX}.tweet.delete", f"{PREFIX}-coverage", f"{PREFIX}-ledger"):
        with pytest.raises(NotProvisionedError, match=f"no right to describe {topic}"):
            cluster.describe([topic])


def test_tail_with_a_right_to_read_events_only_prints_them(guarded: _Guarded, tmp_path: Path) -> None:
    """Who may read the events can look at them with no right on a group or on the connector's own topics."""
    with running(guarded.config("PLAIN")) as probe:
        guarded.simulator.emit(50)
        probe.await_sequences(guarded.simulator)
    with ConnectorProcess(tmp_path, ["tail", "--to-end"], guarded.config("PLAIN", "reader")) as tail:
        assert tail.wait() == 0
        printed = [json.loads(line)["value"]["event_id"] for line in tail.stdout.split("\n")[:-1]]
    assert len(printed) == sum(line.kind == "event" for line in guarded.simulator.record())
    exit_code, _, said = _run(tmp_path, guarded.config("PLAIN", "reader"), "tail", "--to-end", "--group", "GROUP")
    assert (exit_code, "no right to describe the group GROUP" in said) == (78, True)
    exit_code, printed_once, said = _run(
        tmp_path, guarded.config("PLAIN", "watcher"), "tail", "--to-end", "--group=GROUP"
    )
    assert (exit_code, "no right to commit for the group GROUP: grant Read on it" in said) == (78, True)
    assert len(printed_once.splitlines()) == len(printed)


def test_groups_are_looked_at_with_their_rights_and_no_others(guarded: _Guarded, tmp_path: Path) -> None:
    """One that may not be described is named, with the right to grant, and the others are not shown."""
    with running(guarded.config("PLAIN")) as probe:
        guarded.simulator.emit(50, StreamPartition("tweet", 1))
        probe.await_sequences(guarded.simulator)
    properties = {"bootstrap.servers": guarded.cluster.bootstrap_servers, "group.id": "GROUP"}
    consumer = Consumer(properties)
    consumer.commit(offsets=[TopicPartition(f"{PREFIX}.tweet.delete", 0, 0)], asynchronous=False)
    consumer.close()
    exit_code, said, _ = _run(tmp_path, guarded.config("PLAIN", "watcher"), "consumers", "GROUP")
    assert (exit_code, f"GROUP: {PREFIX}.tweet.delete: " in said) == (0, True)
    exit_code, _, said = _run(tmp_path, guarded.config("PLAIN", "watcher"), "consumers", "GROUP", "other")
    assert (exit_code, "no right to describe the group other: grant Describe on it" in said) == (78, True)


def test_run_without_rights_names_topics_and_right(guarded: _Guarded, tmp_path: Path) -> None:
    """The error names the right that is missing, and the exit code says that it is no outage."""
    config = override(guarded.config("PLAIN", "stranger"), pipeline={"start_deadline_s": 0})
    with ConnectorProcess(tmp_path, ["run"], config) as run:
        assert run.wait() == 78
        assert f"no right to describe {PREFIX}.tweet.delete" in run.stderr


def _run(folder: Path, config: Config, *arguments: str) -> tuple[int, str, str]:
    """Return what a command ends with and what it writes."""
    with ConnectorProcess(folder, list(arguments), config) as command:
        return command.wait(), command.stdout, command.stderr


@pytest.mark.parametrize(
    ("user", "arguments", "missing"),
    [
        ("unwatched", ("gaps",), f"no right to read {PREFIX}-gap: grant Read on this topic"),
        (
            "service",
            ("tail", "tweet.delete", "--to-end"),
            f"no right to read {PREFIX}.tweet.delete: grant Read on this topic",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_command_that_reads_what_the_service_may_not_names_topic_and_right(
    guarded: _Guarded, tmp_path: Path, user: str, arguments: tuple[str, ...], missing: str
) -> None:
    """Who runs it in the service's pod learns what to grant, not that Kafka is away."""
    exit_code, _, said = _run(tmp_path, guarded.config("PLAIN", user), *arguments)
    assert exit_code == 78
    assert missing in said


def test_commands_of_the_runbook_work_with_the_rights_of_an_operator(guarded: _Guarded, tmp_path: Path) -> None:
    """All of them, among them the one that resets a ledger, with which the service then continues."""
    simulator = guarded.simulator
    with running(guarded.config("PLAIN")) as probe:
        probe.await_connected(simulator)
        simulator.emit(50)
        probe.await_sequences(simulator)
    operator = guarded.config("SCRAM-SHA-512", "operator")
    assert _run(tmp_path, operator, "gaps")[:2] == (0, "no gaps\n")
    exit_code, said, _ = _run(tmp_path, operator, "coverage")
    assert (exit_code, said.partition(":")[0]) == (1, "begins later")
    exit_code, said, _ = _run(tmp_path, operator, "status")
    assert (exit_code, said.count("NO OWNER")) == (1, 10)
    assert _run(tmp_path, operator, "provision", "--dry-run")[:2] == (
        0,
        "31 topics: all as expected; 24 subjects: all as expected\n",
    )
    assert _run(tmp_path, operator, "check", "--online")[0] == 0
    assert _run(tmp_path, operator, "ledger", "verify", "--from=1970-01-01")[0] == 0
    reset = ("ledger", "reset", "--stream=tweet", "--partition=1", "--yes")
    exit_code, _, told = _run(tmp_path, operator, *reset)
    assert (exit_code, "the ledger of tweet/1 is sound and covers until " in told) == (78, True)
    exit_code, said, _ = _run(tmp_path, operator, *reset, "--force")
    assert (exit_code, said.count("tweet/1: ")) == (0, 6)
    exit_code, said, _ = _run(tmp_path, operator, "gaps")
    assert (exit_code, said.count("ledger-reset")) == (0, 1)
    with running(guarded.config("PLAIN")) as probe:
        probe.await_connected(simulator)
