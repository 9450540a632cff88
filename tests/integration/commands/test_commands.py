"""The commands as processes: exit codes, what they print and where, signals, and a restart."""

import json
import signal
import time
from pathlib import Path
from secrets import token_hex

import pytest
from confluent_kafka.admin import AdminClient

from connector.simulator.config import SimulatorConfig
from connector.simulator.faults import Broken, Drop, InvalidBody, UnknownType
from connector.simulator.server import Simulator
from tests.integration.commands.command import PARTITIONS, run_command
from tests.rig import local_http
from tests.rig.audit import audit, read_history
from tests.rig.process import LOOPBACK, wait_until
from tests.rig.readback import read_topics
from tests.rig.registry import Registry
from tests.rig.service import (
    STREAM_PARTITIONS,
    Config,
    ConnectorProcess,
    delete_topics,
    make_config,
    override,
    provisioned,
    running,
)
from tests.rig.session import Kafka, SchemaRegistry

_PAGES = ("/livez", "/readyz", "/status", "/metrics", "/")
_OWN_TOPICS = ("coverage", "gap", "dead-letter", "ledger")


def test_provision_dry_run_then_again_does_what_it_said_once(
    kafka: Kafka, registry: SchemaRegistry, simulator: Simulator, tmp_path: Path
) -> None:
    """A dry run prints what the next run does, and a third run finds nothing to do."""
    prefix = f"test-{token_hex(6)}"
    config = make_config(kafka.bootstrap_servers, registry.url, prefix, simulator.base_url, 1)
    try:
        planned = run_command(tmp_path, ["provision", "--dry-run"], config).stdout.splitlines()
        assert len(planned) == 1 + 17 + 2 + 7 + 5 + 2 * (17 + 2 + 5)
        done = run_command(tmp_path, ["provision"], config).stdout.splitlines()
        assert planned[0] == "31 topics: 0 as expected, 31 missing; 24 subjects: 0 as expected, 24 to set up"
        assert done[0] == "31 topics: 0 as expected, 31 created; 24 subjects: 0 as expected, 24 set up"
        assert planned[1:] == [f"would {line}" for line in done[1:]]
        assert run_command(tmp_path, ["provision"], config).stdout == (
            "31 topics: all as expected; 24 subjects: all as expected\n"
        )
        differing = run_command(tmp_path, ["provision"], override(config, kafka={"partitions": 2}), 78)
        assert differing.stdout.startswith("31 topics: 11 as expected, 20 differ; ")
        assert differing.stderr.count("differs: partitions is 1, should be 2; left unchanged") == 17 + 3
    finally:
        delete_topics(kafka.bootstrap_servers, prefix)


def test_check_of_right_settings_contacts_nothing(config: Config, tmp_path: Path) -> None:
    """Without --online it needs neither Kafka, registry nor X."""
    away = override(config, kafka={"bootstrap_servers": f"{LOOPBACK}:9"}, x={"base_url": f"http://{LOOPBACK}:9"})
    assert run_command(tmp_path, ["check"], away).stdout == "ok: settings\n"


def test_check_online_with_all_well_says_so_and_makes_no_connection(
    config: Config, simulator: Simulator, tmp_path: Path
) -> None:
    """Every part is found well, and no stream connection was made for it."""
    before = len(simulator.connections)
    lines = run_command(tmp_path, ["check", "--online"], config).stdout.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["7 checks", *["ok"] * 7]
    assert len(simulator.connections) == before


@pytest.mark.parametrize(
    ("wrong", "exit_code", "says"),
    [
        ({"x": {"bearer_token": "hush-hush"}}, 78, "X rejects the token"),
        ({"x": {"base_url": "http://127.0.0.1:9"}}, 69, "failed: X, tweet stream: "),
        ({"kafka": {"topic_prefix": "nobody-made-this"}}, 78, "topic nobody-made-this.tweet.delete is missing"),
        ({"kafka": {"bootstrap_servers": "127.0.0.1:9"}}, 69, "failed: Kafka: Kafka at 127.0.0.1:9 "),
        ({"schema_registry": {"url": "http://127.0.0.1:9"}}, 69, "failed: registry: schema registry http://127"),
    ],
    ids=["token", "X", "topics", "Kafka", "registry"],
)
def test_check_online_with_something_wrong_names_it_and_checks_the_rest(
    config: Config, tmp_path: Path, wrong: Config, exit_code: int, says: str
) -> None:
    """The failure is named, everything else is still checked, and the exit code tells settings from outages."""
    check = run_command(tmp_path, ["check", "--online"], override(config, **wrong), exit_code)
    assert says in check.stdout
    assert "ok: settings" in check.stdout
    assert check.stdout.count("\nok: ") + check.stdout.count("\nfailed: ") == 7


def test_provision_that_waits_starts_once_the_registry_answers(config: Config, tmp_path: Path) -> None:
    """As in Compose, where nothing else knows when that is; without the option, and past its end, it is 69."""
    with Registry() as registry:
        registry.stop()
        prefix = f"test-{token_hex(6)}"
        away = override(config, kafka={"topic_prefix": prefix}, schema_registry={"url": registry.url})
        assert (
            f"{registry.url} does not answer" in run_command(tmp_path, ["provision", "--wait", "1s"], away, 69).stderr
        )
        with ConnectorProcess(tmp_path, ["provision", "--wait", "2m"], away) as provision:
            wait_until(lambda: "waiting: schema registry" in provision.stderr, "it waits")
            registry.start()
            assert provision.wait() == 0
            assert provision.stderr.count(f"waiting: schema registry {registry.url} does not answer") == 1
            assert " created; " in provision.stdout
    delete_topics(config["kafka"]["bootstrap_servers"], prefix)


@pytest.mark.parametrize("arguments", [["nonsense"], ["run", "--nonsense"], ["simulate", "--port", "many"]])
def test_wrong_usage_exits_64(tmp_path: Path, arguments: list[str]) -> None:
    """A wrong command line is told from wrong settings."""
    assert run_command(tmp_path, arguments, {}, 64).stderr


def test_simulate_obeys_control_and_feeds_run(config: Config, tmp_path: Path) -> None:
    """The simulator as a process: bursts and faults by HTTP, its record read back, and a clean end at SIGTERM."""
    arguments = ["simulate", "--port", "0", "--rate", "0", "--token", "another-token"]
    with ConnectorProcess(tmp_path, arguments, {}) as simulate:
        wait_until(lambda: simulate.stdout.endswith("\n"), "it tells its address")
        x_url = simulate.stdout.strip()
        prefix = f"test-{token_hex(6)}"
        with (
            provisioned(override(config, kafka={"topic_prefix": prefix, "partitions": 1})) as settings,
            running(override(settings, x={"base_url": x_url, "bearer_token": "another-token"})) as probe,
        ):
            wait_until(lambda: len(_control(x_url, "status")["connected"]) == len(STREAM_PARTITIONS), "all connected")
            _control(x_url, "burst", {"events": 500})
            _control(x_url, "faults", {"kind": "unknown-type", "stream": "user"})
            status = _control(x_url, "stop-emitting", {})
            assert status["fired"] == {"unknown-type": 4}
            wait_until(lambda: probe.metric("events_published_total") == 500, "all is published")
            wait_until(lambda: probe.metric("lines_dead_lettered_total") == 4, "the rest are dead letters")
            recorded = [json.loads(line) for line in local_http.get(f"{x_url}/control/record").text.split("\n")[:-1]]
            assert len(recorded) == 504
        simulate.signal(signal.SIGTERM)
        assert simulate.wait() == 0


def _control(x_url: str, name: str, body: dict[str, object] | None = None) -> dict[str, dict[str, int]]:
    url = f"{x_url}/control/{name}"
    answer = local_http.get(url) if body is None else local_http.post(url, json=body)
    found: dict[str, dict[str, int]] = answer.raise_for_status().json()
    return found


def test_run_stopped_by_either_signal_commits_what_is_in_hand_and_a_restart_goes_on(
    kafka: Kafka, registry: SchemaRegistry, tmp_path: Path, seed: int
) -> None:
    """Amid a flow of events: exit 0 in time, each partition's last entry says so, nothing is lost or there twice."""
    prefix = f"test-{token_hex(6)}"
    with (
        Simulator(SimulatorConfig(seed=seed, rate=300.0)) as simulator,
        provisioned(
            make_config(kafka.bootstrap_servers, registry.url, prefix, simulator.base_url, PARTITIONS)
        ) as config,
    ):
        for number in (signal.SIGTERM, signal.SIGINT):
            _run_amid_events_until(number, simulator, config, tmp_path)
            history = read_history(kafka.bootstrap_servers, registry.url, prefix, PARTITIONS)
            assert {ledger[-1]["mode"] for ledger in history.ledger.values()} == {"disconnected"}
        with running(config) as probe:
            simulator.stop_emitting()
            probe.await_sequences(simulator)
        history = read_history(kafka.bootstrap_servers, registry.url, prefix, PARTITIONS)
        assert audit(history, simulator.record()) == []
        assert all(len({entry["writer_id"] for entry in ledger}) == 3 for ledger in history.ledger.values())


def _run_amid_events_until(number: signal.Signals, simulator: Simulator, config: Config, folder: Path) -> None:
    """Run until some events are published, send the signal, and expect a clean end in time."""
    with ConnectorProcess(folder, ["run"], config) as run:
        probe = run.probe()
        probe.await_connected(simulator)
        wait_until(lambda: probe.metric("events_published_total") > 200, "events flow")
        began = time.monotonic()
        run.signal(number)
        assert run.wait() == 0
        assert time.monotonic() - began < 15
        assert run.stdout == ""
        assert run.logged("stopped")


def test_run_answers_over_http_without_secrets(config: Config, simulator: Simulator, tmp_path: Path) -> None:
    """Health, status and metrics answer, an unknown path gets the known ones, and no secret is in any of it."""
    with ConnectorProcess(tmp_path, ["run"], config) as run:
        probe = run.probe()
        probe.await_connected(simulator)
        answers = {path: local_http.get(f"{probe.url}{path}") for path in _PAGES}
        assert {path: answer.status_code for path, answer in answers.items()} == {
            "/livez": 200,
            "/readyz": 200,
            "/status": 200,
            "/metrics": 200,
            "/": 200,
        }
        status = answers["/status"].json()
        assert status["is_ready"]
        assert set(status["partitions"]) == {f"{stream}/{number}" for stream, number in STREAM_PARTITIONS}
        assert {partition["state"] for partition in status["partitions"].values()} == {"running"}
        assert "# HELP compliance_connector_events_published_total" in answers["/metrics"].text
        assert not [path for path, answer in answers.items() if config["x"]["bearer_token"] in answer.text]
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_token_is_in_nothing_that_a_run_leaves_behind(registry: SchemaRegistry, kafka: Kafka, tmp_path: Path) -> None:
    """Neither printed at the most talkative level, nor told over HTTP, nor in any record; with bad lines and a 401."""
    token, prefix = f"hush-{token_hex(8)}", f"test-{token_hex(6)}"
    (tmp_path / "token").write_text(token, encoding="utf-8")
    with (
        Simulator(SimulatorConfig(token=token)) as x,
        provisioned(make_config(kafka.bootstrap_servers, registry.url, prefix, x.base_url, 1)) as config,
    ):
        del config["x"]["bearer_token"]
        settings = override(config, x={"bearer_token_file": tmp_path / "token"}, log={"level": "debug"})
        with ConnectorProcess(tmp_path, ["run"], settings, [token]) as run:
            probe = run.probe()
            probe.await_connected(x)
            x.emit(100)
            for bad in (UnknownType(), InvalidBody(), Broken()):
                x.inject(bad)
            probe.await_sequences(x)
            x.tokens.invalidate()
            x.inject(Drop())
            wait_until(lambda: probe.metric("connect_failures_total", reason="http-401") > 0, "X rejects the token")
            told = [local_http.get(f"{probe.url}{path}").text for path in _PAGES]
            run.signal(signal.SIGTERM)
            assert run.wait() == 0
            assert "X rejects the token: check" in run.stderr + "".join(told)
        topics = AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=10).topics
        ours = [topic for topic in topics if topic.startswith(prefix)]
        left = [repr(record) for record in read_topics(kafka.bootstrap_servers, ours)]
    assert len(left) > 100
    assert [text for text in (*told, *left) if token in text] == []


def test_run_with_key_and_secret_gets_its_token_and_takes_the_next_one(
    config: Config, simulator: Simulator, tmp_path: Path
) -> None:
    """Key and secret from files are exchanged for the token in force; neither they nor the token are ever printed."""
    (tmp_path / "key").write_text("simulator-key\n", encoding="utf-8")
    (tmp_path / "secret").write_text("simulator-secret\n", encoding="utf-8")
    settings = override(config)
    del settings["x"]["bearer_token"]
    settings["x"] |= {"api_key_file": tmp_path / "key", "api_key_secret_file": tmp_path / "secret"}
    simulator.tokens.invalidate()
    secrets = ["simulator-key", "simulator-secret", "simulator-token"]
    with ConnectorProcess(tmp_path, ["run"], settings, secrets) as run:
        run.probe().await_connected(simulator)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_own_topics_stay_out_of_the_events_prefix(config: Config, kafka: Kafka) -> None:
    """A pattern on the events' prefix catches none of the connector's own topics, which were written all the same."""
    prefix = config["kafka"]["topic_prefix"]
    names = [f"{prefix}-{name}" for name in _OWN_TOPICS]
    written = {record.topic for record in read_topics(kafka.bootstrap_servers, names)}
    assert {f"{prefix}-coverage", f"{prefix}-ledger"} <= written
