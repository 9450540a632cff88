"""Settings from the YAML file: what wins, and how a wrong file is named without its content."""

import sys
from pathlib import Path

import pytest

from connector.configuration import load_settings
from connector.settings import (
    RunSettings,
)
from tests.unit.settings.given import found_problems, set_variables, yaml_file


def test_variables_win_over_the_file_setting_by_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the file alone says stays."""
    file = yaml_file(
        tmp_path,
        "x:\n  streams: [label]\n  gzip: false\nkafka: {properties: {linger.ms: 7}, partitions: 12}\n"
        "log: {level: debug}\n",
    )
    set_variables(monkeypatch, {"CONNECTOR_KAFKA__PARTITIONS": "24"})
    settings = load_settings(RunSettings, file)
    assert (settings.x.streams, settings.x.gzip) == (("label",), False)
    assert (settings.kafka.properties, settings.kafka.partitions) == ({"linger.ms": 7}, 24)
    assert settings.log.level == "debug"


def test_file_may_hold_everything_and_be_wrong_in_several_places(tmp_path: Path) -> None:
    """Its settings are named as they are in it; those that are in no place, like the variables."""
    file = yaml_file(
        tmp_path, "x: {bearer_token: hush}\nkafka: {bootstrap_servers: b:1}\nschema_registry: {url: http://r}\n"
    )
    load_settings(RunSettings, file)
    file = yaml_file(tmp_path, "x: {bearer_token: hush, streams: nope}\nkafak: {}\nhttp: {port: hush}\n")
    problems = "\n".join(found_problems(config=file))
    for name in ("x.streams", "kafak", "http.port"):
        assert f"{file}: {name}: " in problems
    for name in ("KAFKA__BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY__URL"):
        assert f"CONNECTOR_{name}: " in problems


def test_file_is_opened_once_so_that_one_swapped_meanwhile_gives_one_answer(tmp_path: Path) -> None:
    """What was checked for keys that are given twice is what is in force."""
    file = yaml_file(
        tmp_path, "x: {bearer_token: hush}\nkafka: {bootstrap_servers: b:1}\nschema_registry: {url: http://r}\n"
    )
    opened: list[str] = []

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and str(arguments[0]) == str(file):  # it cannot be removed, and no other test has this file
            opened.append(str(file))

    sys.addaudithook(note)
    load_settings(RunSettings, file)
    assert opened == [str(file)]


def test_setting_of_the_file_that_a_variable_overrides_is_named_like_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the file says of it is not in force."""
    set_variables(monkeypatch, {"CONNECTOR_KAFKA__PARTITIONS": "0"})
    [problem] = found_problems(config=yaml_file(tmp_path, "kafka: {partitions: 6}\n"))
    assert problem.startswith("CONNECTOR_KAFKA__PARTITIONS: ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kafak: {}", "connector.yaml: kafak: unknown setting; did you mean kafka?"),
        ("Kafka: {}", "connector.yaml: Kafka: unknown setting; did you mean kafka?"),
        (
            "kafka: {bootstrap-servers: hush}",
            "connector.yaml: kafka.bootstrap-servers: unknown setting; did you mean kafka.boot",
        ),
        ("kafka: {sasl: {pasword: hush}}", "kafka.sasl.pasword: unknown setting; did you mean kafka.sasl.password?"),
        ("bearer_token: hush", "connector.yaml: bearer_token: unknown setting; did you mean x.bearer_token?"),
        ("redis: {}", "connector.yaml: redis: unknown setting; sections are x, kafka, schema_registry"),
    ],
)
def test_misspelt_key_of_the_file_is_an_error_that_names_the_right_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, problem: str
) -> None:
    """As it is written in the file."""
    set_variables(monkeypatch)
    [told] = found_problems(config=yaml_file(tmp_path, f"{text}\n"))
    assert problem in told


def test_what_the_file_gives_twice_is_an_error_that_names_the_lines(tmp_path: Path) -> None:
    """YAML would take the last one alone: sections, settings, and properties, whatever is wrong with their values."""
    text = (
        "x: {bearer_token: hush}\nkafka:\n  partitions: 3\nhttp: &http\n  port: 1\n  host: hush\n  port: hush\n"
        "log: {format: json}\nschema_registry: {url: http://registry}\nkafka: {properties: {a: hush, a: hush}}\nx: {}\n"
        "other: *http\n"
    )
    file = yaml_file(tmp_path, text)
    assert sorted(found_problems(config=file)) == [
        f"--config {file}: {name} is given at lines {lines}: merge them, or remove one"
        for name, lines in (
            ("http.port", "5 and 7"),
            ("kafka", "2 and 10"),
            ("kafka.properties.a", "10 and 10"),
            ("x", "1 and 11"),
        )
    ]


def test_file_whose_aliases_multiply_is_read_in_no_time(tmp_path: Path) -> None:
    """Each node is looked at once, though paths to it are without number."""
    lines = ["a0: &a0 {b: 1}", *(f"a{i}: &a{i} {{b: *a{i - 1}, c: *a{i - 1}}}" for i in range(1, 60)), "a1: {}"]
    [problem] = found_problems(config=yaml_file(tmp_path, "\n".join(lines)))
    assert "a1 is given at lines 2 and 61" in problem


@pytest.mark.parametrize(
    ("servers", "problem"),
    [
        (
            "kafka://b:9092",
            "give host:port without kafka:// before it, and set kafka.security_protocol to the l",
        ),
        (
            "a:1, SASL_SSL://b:9092",
            "give host:port without SASL_SSL:// before it, and set kafka.security_protocol to S",
        ),
        ("ssl://me:hush@b:9092", "give host:port without ssl:// before it, and set kafka.security_protocol to SSL"),
        ("hush hush://b:9092", "give host:port alone, without a scheme"),
    ],
)
def test_broker_with_a_scheme_is_an_error_that_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, servers: str, problem: str
) -> None:
    """Librdkafka would drop some, and take others for a host."""
    set_variables(monkeypatch, {"CONNECTOR_KAFKA__BOOTSTRAP_SERVERS": servers})
    [told] = found_problems()
    assert told.startswith(f"CONNECTOR_KAFKA__BOOTSTRAP_SERVERS: {problem}")


@pytest.mark.parametrize(
    "text",
    ["x:\n  bearer_token: *hush\n", "x:\n  bearer_token: !hush y\n", 'x: {bearer_token: "hush\n', "x: hush: hush\n",
     "\x00hush", "x: {bearer_token: @hush}\n"],
)  # fmt: skip
def test_file_that_is_not_yaml_is_an_error_without_its_content(tmp_path: Path, text: str) -> None:
    """A token that YAML trips over is not printed for it."""
    file = yaml_file(tmp_path, text)
    [problem] = found_problems(config=file)
    assert problem.startswith((f"--config {file}: not YAML at line ", f"--config {file}: cannot be read: "))


def test_file_with_an_impossible_date_or_number_is_an_error_without_its_content(tmp_path: Path) -> None:
    """Which YAML finds when it makes a value of it."""
    for value in ("2026-13-01", "!!int hush", "!!bool hush", "!!timestamp hush", '!!int ""'):
        file = yaml_file(tmp_path, f"log: {{level: {value}}}\n")
        assert found_problems(config=file) == [f"--config {file}: contains an invalid date, number or tag"]


@pytest.mark.parametrize("text", ["- hush\n", "hush", "1: hush\n"])
def test_file_that_is_no_map_of_sections_is_an_error_that_says_so(tmp_path: Path, text: str) -> None:
    """In words for who wrote it, not for who reads Python."""
    file = yaml_file(tmp_path, text)
    [problem] = found_problems(config=file)
    assert problem.startswith(f"--config {file}: must be a map of sections, which are x, kafka, ")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("kafka: hush\n", "kafka"),
        ("kafka: [hush]\n", "kafka"),
        ("kafka: {sasl: hush}\n", "kafka.sasl"),
    ],
)
@pytest.mark.parametrize(
    "variables", [{}, {"CONNECTOR_KAFKA__SASL__USERNAME": "u"}], ids=["file", "file and variables"]
)
def test_text_where_a_section_belongs_is_one_error_whatever_the_variables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, name: str, variables: dict[str, str]
) -> None:
    """Variables of the section would hide what the file says."""
    set_variables(monkeypatch, variables)
    file = yaml_file(tmp_path, text)
    problems = [problem for problem in found_problems(config=file) if f" {name}: " in problem]
    assert problems == [f"{file}: {name}: is a section: give its settings, not a value"]


def test_section_with_nothing_in_it_takes_what_the_variables_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As when every line of it is a comment."""
    set_variables(monkeypatch, {"CONNECTOR_HTTP__PORT": "81"})
    assert load_settings(RunSettings, yaml_file(tmp_path, "http:\n  # port: 80\n")).http.port == 81


@pytest.mark.slow
@pytest.mark.parametrize("text", ["[" * 5000, "kafka: " + "{a: " * 5000, "kafka: " + "[" * 5000 + "]" * 5000])
def test_file_that_is_nested_too_deeply_is_an_error(tmp_path: Path, text: str) -> None:
    """Whether it ends or not."""
    file = yaml_file(tmp_path, text)
    assert found_problems(config=file) == [f"--config {file}: nested too deeply"]


def test_file_that_is_too_large_is_an_error(tmp_path: Path) -> None:
    """It is no file of settings."""
    file = yaml_file(tmp_path, "x: {}\n" + "#" * 1024 * 1024)
    assert found_problems(config=file) == [f"--config {file}: cannot be read: holds more than 1024 KiB"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("CONNECTOR_X", "cannot be read: a value is nested too deeply"),
        ("CONNECTOR_KAFKA__SASL", "cannot be read: a value is nested too deeply"),
        ("CONNECTOR_KAFKA__PROPERTIES", "CONNECTOR_KAFKA__PROPERTIES: must be a JSON map of librdkafka properties"),
    ],
)
def test_variable_that_is_nested_too_deeply_is_an_error(
    monkeypatch: pytest.MonkeyPatch, name: str, problem: str
) -> None:
    """A section, or a setting that takes JSON."""
    set_variables(monkeypatch, {name: "[" * 100_000})
    assert any(found.startswith(problem) for found in found_problems())
