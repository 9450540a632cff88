"""How `run` starts, refuses to start, and waits: exit codes, and messages that say what to do."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from connector.simulator.config import SimulatorConfig
from connector.simulator.faults import Drop
from connector.simulator.server import Simulator
from connector.x.backoff import Backoff
from tests.rig import local_http
from tests.rig.audit import audit, read_history
from tests.rig.process import LOOPBACK, free_port, wait_until
from tests.rig.service import (
    STREAM_PARTITIONS,
    Config,
    ConnectorProcess,
    Probe,
    delete_topics,
    make_config,
    override,
    provision_topics,
    provisioned,
    running,
)
from tests.rig.session import Kafka, SchemaRegistry

_PREFIX = f"test-{token_hex(6)}"
_NOBODY = f"http://{LOOPBACK}:9"


@pytest.fixture(scope="module")
def config(kafka: Kafka, registry: SchemaRegistry) -> Iterator[Config]:
    """Give settings that need nothing but topics and subjects, all of which are there, and no time to wait."""
    settings = make_config(kafka.bootstrap_servers, registry.url, _PREFIX, _NOBODY, 1)
    with provisioned(override(settings, pipeline={"start_deadline_s": 0})) as config:
        yield config


def _refusal(folder: Path, config: Config, exit_code: int, timeout_s: float = 60.0) -> str:
    """Return what `run` says when it refuses to start with that exit code; it never shows a stack trace."""
    with ConnectorProcess(folder, ["run"], config) as run:
        assert run.wait(timeout_s) == exit_code
        assert "Traceback" not in run.stderr
        assert run.stdout == ""
        return run.stderr[run.stderr.index("connector: ") :]


def test_run_with_nothing_provisioned_names_all_of_it_and_the_command(config: Config, tmp_path: Path) -> None:
    """Every missing topic and subject is named, with the command that makes them, and exit code 78."""
    said = _refusal(tmp_path, override(config, kafka={"topic_prefix": f"{_PREFIX}x"}), 78)
    assert said.count("is missing\n") == 17 + 4 + 5
    assert said.count("does not have the schema") == 17 + 3
    assert "connector provision" in said


def test_run_with_a_topic_missing_names_it_and_the_command(config: Config, kafka: Kafka, tmp_path: Path) -> None:
    """The one topic is named, the others are not."""
    delete_topics(kafka.bootstrap_servers, f"{_PREFIX}.user.scrub-geo")
    said = _refusal(tmp_path, config, 78)
    provision_topics(config)
    assert f"topic {_PREFIX}.user.scrub-geo is missing" in said
    assert said.count(_PREFIX) == 1
    assert "connector provision" in said


def test_run_with_a_subject_missing_names_it_and_the_command(
    config: Config, registry: SchemaRegistry, tmp_path: Path
) -> None:
    """The one subject and the schema it should have are named, the others are not."""
    subject = f"{_PREFIX}.like.delete-value"
    local_http.delete(f"{registry.url}/subjects/{subject}").raise_for_status()
    said = _refusal(tmp_path, config, 78)
    provision_topics(config)
    assert f"subject {subject} does not have the schema LikeDelete" in said.replace("x.compliance.v1.", "")
    assert said.count(_PREFIX) == 1
    assert "connector provision" in said


def test_run_with_a_ledger_of_nine_partitions_refuses_and_says_how_to_correct_it(
    config: Config, kafka: Kafka, tmp_path: Path
) -> None:
    """A ledger that cannot hold ten stream partitions is never written to."""
    ledger = f"{_PREFIX}-ledger"
    delete_topics(kafka.bootstrap_servers, ledger)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    limits = {"retention.ms": "-1", "max.message.bytes": str(2 * 1024**2)}
    admin.create_topics([NewTopic(ledger, 9, 1, config=limits)])[ledger].result(30)
    said = _refusal(tmp_path, config, 78)
    delete_topics(kafka.bootstrap_servers, ledger)
    provision_topics(config)
    assert f"topic {ledger} has 9 partitions and must have exactly 10" in said
    assert "connector provision" in said


def test_run_without_settings_names_all_that_are_missing(tmp_path: Path) -> None:
    """One message lists every setting that is required, as the variable that gives it."""
    said = _refusal(tmp_path, {}, 78)
    assert "CONNECTOR_KAFKA__BOOTSTRAP_SERVERS: is required" in said
    assert "CONNECTOR_SCHEMA_REGISTRY__URL: is required" in said
    assert "give bearer_token (or bearer_token_file), or else both api_key and api_key_secret" in said


def test_run_with_wrong_settings_names_all_of_them_without_secrets(config: Config, tmp_path: Path) -> None:
    """Each wrong setting is named with what would be right, and no secret among them is shown."""
    wrong = override(
        config,
        x={"streams": "tweet,retweet", "silence_timeout_s": 3, "api_key": "hush-key", "tokn": "x"},
        kafka={"security_protocol": "SASL_SSL", "topic_prefix": "no_underscores", "properties": {"acks": "0"}},
        http={"port": 99999},
        log={"level": "loud"},
    )
    said = _refusal(tmp_path, wrong, 78)
    for part in (
        "CONNECTOR_X__STREAMS: unknown stream retweet; known are tweet, user, like, label",
        "CONNECTOR_X__SILENCE_TIMEOUT_S: ",
        "CONNECTOR_X__TOKN: unknown",
        "CONNECTOR_KAFKA__TOPIC_PREFIX: ",
        "CONNECTOR_KAFKA__PROPERTIES: acks",
        "CONNECTOR_HTTP__PORT: ",
        "CONNECTOR_LOG__LEVEL: ",
    ):
        assert part in said


@pytest.mark.parametrize(
    "properties", [{"message.timeout.ms": 300_000}, {"receive.message.max.bytes": 1_000_000}], ids=str
)
@pytest.mark.parametrize("command", [["run"], ["check"]], ids=str)
def test_start_with_properties_that_librdkafka_refuses_is_a_settings_error(
    config: Config, tmp_path: Path, command: list[str], properties: dict[str, int]
) -> None:
    """What a producer or a consumer could not be made of is said at once, not tried again forever."""
    with ConnectorProcess(tmp_path, command, override(config, kafka={"properties": properties})) as run:
        assert run.wait() == 78
        assert "librdkafka refuses the settings: Failed to create" in run.stderr
        assert next(iter(properties)) in run.stderr
        assert "Traceback" not in run.stderr


def _no_kafka(config: Config) -> Config:
    return override(config, kafka={"bootstrap_servers": f"{LOOPBACK}:{free_port()}"})


def _no_registry(config: Config) -> Config:
    return override(config, schema_registry={"url": f"http://{LOOPBACK}:{free_port()}"})


@pytest.mark.parametrize(
    ("without", "section", "setting"),
    [(_no_kafka, "kafka", "bootstrap_servers"), (_no_registry, "schema_registry", "url")],
    ids=["Kafka", "registry"],
)
def test_run_with_a_dependency_away_tries_until_the_deadline_and_names_it(
    config: Config, tmp_path: Path, without: Callable[[Config], Config], section: str, setting: str
) -> None:
    """It exits 69 with what was tried and what became of it."""
    config = override(without(config), pipeline={"start_deadline_s": 1})
    with ConnectorProcess(tmp_path, ["run"], config) as run:
        assert run.wait() == 69
        said = run.stderr[run.stderr.index("connector: ") :]
    assert config[section][setting] in said
    assert "does not answer" in said
    assert "Traceback" not in said


def test_run_with_its_port_taken_names_the_setting(config: Config, tmp_path: Path) -> None:
    """A port that another process listens on is a wrong setting."""
    with Simulator(SimulatorConfig()) as somebody:
        port = int(somebody.base_url.rpartition(":")[2])
        assert f"CONNECTOR_HTTP__PORT: cannot listen on {LOOPBACK}:{port}" in _refusal(
            tmp_path, override(config, http={"port": port}), 78
        )


def test_token_rejected_at_run_time_is_said_and_a_new_one_in_its_file_is_taken(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process stays up without the streams, says what is wrong, and goes on with the token in force."""
    monkeypatch.setattr(Backoff, "failed", lambda *_, **__: 0.2)
    token_file = tmp_path / "token"
    token_file.write_text("simulator-token\n", encoding="utf-8")
    with Simulator(SimulatorConfig(rate_limit=10_000)) as simulator:
        with running(
            override(config, x={"base_url": simulator.base_url, "bearer_token": None, "bearer_token_file": token_file})
        ) as probe:
            probe.await_connected(simulator)
            simulator.emit(100)
            simulator.tokens.invalidate()
            simulator.inject(Drop())
            wait_until(
                lambda: all("X rejects the token" in error for error in _last_errors(probe)),
                "X rejects the token of every stream partition, which says so",
            )
            assert probe.metric("connect_failures_total", reason="http-401") >= len(STREAM_PARTITIONS)
            assert local_http.get(f"{probe.url}/livez").is_success
            assert probe.is_ready
            simulator.emit(100)
            token_file.write_text(simulator.tokens.current, encoding="utf-8")
            probe.await_connected(simulator)
            probe.await_sequences(simulator)
        history = read_history(config["kafka"]["bootstrap_servers"], config["schema_registry"]["url"], _PREFIX, 1)
        assert audit(history, simulator.record()) == []


def _last_errors(probe: Probe) -> list[str]:
    return [status["last_error"] or "" for status in probe.status()["partitions"].values()]


def test_stop_while_dependencies_are_away_ends_the_waiting(config: Config) -> None:
    """A stop during the start is a clean one, long before the deadline; until then it is alive and not ready."""
    began = time.monotonic()
    with running(override(_no_registry(config), pipeline={"start_deadline_s": 600})) as probe:
        assert local_http.get(f"{probe.url}/livez").is_success
        assert not probe.is_ready
    assert time.monotonic() - began < 30
