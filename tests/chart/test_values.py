"""A wrong value is refused with a message that names it, by every rule of the schema; the rules are the settings'."""

import json
import re
from collections.abc import Callable, Iterator
from ctypes import CDLL, c_void_p
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import cimpl
from pydantic import BaseModel

from connector.configuration import describe_settings
from connector.properties import is_secret
from connector.settings import KafkaSettings, LogSettings, SaslSettings, Settings, XSettings
from connector.supervisor import DRAIN_S
from tests.rig.chart import (
    CHART,
    HelmError,
    Manifest,
    config_text,
    merged,
    nested,
    render,
)
from tests.rig.documented import SCHEMA

_SCHEMA: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
_MAKES_WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    "additionalProperties": lambda node: {"unknown": 1} if node["additionalProperties"] is False else {"wrong": {}},
    "enum": lambda _: "unknown",
    "pattern": lambda node: " ," if re.search(node["pattern"], " @\n/?") else " @\n/?",
    "minimum": lambda node: node["minimum"] - 1,
    "exclusiveMinimum": lambda node: node["exclusiveMinimum"],
    "maximum": lambda node: node["maximum"] + 1,
    "maxLength": lambda node: "a" * (node["maxLength"] + 1),
    "minLength": lambda _: "",
    "minItems": lambda _: [],
    "uniqueItems": lambda _: ["tweet", "tweet"],
    "required": lambda node: dict.fromkeys(node["required"]),
    "type": lambda node: {"wrong": 1} if "integer" in node["type"] or "number" in node["type"] else 1,
}
"""For each keyword of the schema, what makes a value that breaks it."""
_NO_RULES = {"$schema", "description", "items", "properties"}


def _rules(node: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, dict[str, Any]]]:
    """Yield path, keyword and node of every rule of the schema; `0` is the first item of an array."""
    for keyword in node.keys() - _NO_RULES:
        if node[keyword] is not True:
            yield path, keyword, node
    for name, member in node.get("properties", {}).items():
        yield from _rules(member, (*path, name))
    if "items" in node:
        yield from _rules(node["items"], (*path, "0"))


def _at(path: tuple[str, ...], value: object) -> Any:  # noqa: ANN401 - JSON
    for name in reversed(path):
        value = [value] if name == "0" else {name: value}
    return value


def _is_below(path: tuple[str, ...], others: set[tuple[str, ...]]) -> bool:
    return any(path[: len(other)] == other or other[: len(path)] == path for other in others)


def _batches() -> Iterator[dict[tuple[str, ...], tuple[str, Any]]]:
    """Yield all rules in as few batches as can be: within one, no wrong value hides another."""
    waiting = [(path, keyword, node) for path, keyword, node in _rules(_SCHEMA) if path or keyword != "type"]
    while waiting:
        batch: dict[tuple[str, ...], tuple[str, Any]] = {}
        later = []
        for path, keyword, node in waiting:
            if _is_below(path, set(batch)):
                later.append((path, keyword, node))
            else:
                batch[path] = keyword, _MAKES_WRONG[keyword](node)
        yield batch
        waiting = later


def _refused_places(values: Manifest) -> set[str]:
    """Return where Helm finds fault, such as `/x/streams/0`; where a map stands, it keeps it against anything else."""
    with pytest.raises(HelmError) as refused:
        render("defaults", values)
    kept = re.findall(r"cannot overwrite table with non table for x-compliance-connector\.(\S+)", str(refused.value))
    faults = re.findall(r"^ *- at '([^']*)': (?!validation failed)", str(refused.value), re.MULTILINE)
    return {*faults, *("/" + place.replace(".", "/") for place in kept)}


def test_every_rule_of_the_schema_refuses_what_breaks_it() -> None:
    """For each rule there is a value that Helm refuses at that very place."""
    missed = []
    for batch in _batches():
        values: Manifest = {}
        for path, (_, value) in batch.items():
            values = merged(values, _at(path, value))
        places = _refused_places(values)
        for path, (keyword, _) in batch.items():
            if not any(f"{place}/".startswith("/".join(("", *path, ""))) for place in places):
                missed.append((path, keyword))
    assert missed == []


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("log.level", "loud", "value must be one of 'debug', 'info', 'warning', 'error'"),
        ("pipeline.commit_interval_ms", "500ms", "got string, want null or integer"),
        ("pipeline.session_timeout_ms", 500_000, "maximum: got 500,000, want 120,000"),
        ("x.gzip", "yes", "got string, want null or boolean"),
        ("x.base_url", "ftp://x.example.com", "'ftp://x.example.com' does not match pattern '^https?://"),
        ("kafka.compression", "brotli", "value must be one of 'none', 'gzip', 'lz4', 'snappy', 'zstd'"),
    ],
)
def test_config_of_a_wrong_type_or_beyond_a_limit_is_refused(path: str, value: object, message: str) -> None:
    """By the schema, so before anything is applied and not by pods that end with 78."""
    with pytest.raises(HelmError) as refused:
        render("defaults", {"config": nested(path, value)})
    assert f"at '/config/{path.replace('.', '/')}': {message}" in str(refused.value)


@pytest.mark.parametrize("value", [None, 500])
def test_config_takes_what_the_settings_take(value: object) -> None:
    """A value within its limits, and none for the default; lists also as text with commas."""
    config = {"pipeline": {"commit_interval_ms": value}, "x": {"streams": ["tweet"]}}
    assert render("defaults", {"config": config})
    assert render("defaults", {"config": {"x": {"streams": "tweet,user"}}})


_PATHS = {".".join(path) for path, _ in describe_settings(Settings)}
_SECRETS = sorted(path for path in _PATHS if f"{path}_file" in _PATHS and path != "kafka.properties")


@pytest.mark.parametrize("path", [*_SECRETS, "kafka.group_instance_id", "http.host", "http.port"])
def test_config_with_what_the_chart_owns_is_refused(path: str) -> None:
    """No secret comes into an annotation, and nothing the manifests rely on is taken away."""
    with pytest.raises(HelmError, match=rf"\n- config\.{path}: cannot be set there; set "):
        render("defaults", {"config": nested(path, "hush")})


@pytest.mark.parametrize("path", ["x.base_url", "schema_registry.url"])
def test_config_with_a_password_in_an_address_is_refused(path: str) -> None:
    """The connector would refuse it, too, but only once it is in the pods' annotations."""
    with pytest.raises(HelmError, match=f"\n- at '/config/{path.replace('.', '/')}': .* does not match pattern"):
        render("defaults", {"config": nested(path, "https://reader:hush@registry.example")})


@pytest.mark.parametrize("separator", ["\u0085", "\u2028", "\u2029"])
def test_line_break_that_yaml_alone_knows_is_refused_by_the_name_of_its_value(separator: str) -> None:
    """Helm would say that a line of the manifest is wrong, and neither which value nor why."""
    text = f"a{separator}b"
    values: Manifest = {
        "config": {"x": {"streams": text}, "kafka": {"watched_groups": ["a", text]}},
        "kafka": {
            "bootstrapServers": text,
            "properties": {"client.rack": text},
            "sasl": {"username": text},
            "securityProtocol": "SASL_SSL",
        },
        "schemaRegistry": {"url": f"http://{text}", "username": text, "password": text},
    }
    with pytest.raises(HelmError) as refused:
        render("defaults", values)
    named = re.findall(r"(?m)^- (\S+): holds U\+0085, U\+2028 or U\+2029", str(refused.value))
    assert sorted(named) == [
        "config.kafka.watched_groups.1",
        "config.x.streams",
        "kafka.bootstrapServers",
        "kafka.properties.client.rack",
        "kafka.sasl.username",
        "schemaRegistry.url",
        "schemaRegistry.username",
    ]


def test_line_break_of_plain_text_is_taken() -> None:
    """Also a secret with one of the others, which is in no YAML within YAML."""
    written = config_text(render("defaults", {"kafka": {"properties": {"client.rack": "a\nb"}}}))
    assert yaml.safe_load(written)["kafka"]["properties"] == {"client.rack": "a\nb"}
    credentials = {"schemaRegistry": {"username": "u", "password": "a\u2028b"}}
    assert render("defaults", credentials)


@pytest.mark.parametrize("name", ["minAvailable", "maxUnavailable"])
def test_share_of_more_than_all_replicas_is_refused(name: str) -> None:
    """Kubernetes would refuse it after everything else has been applied."""
    with pytest.raises(HelmError, match=rf"\n- at '/podDisruptionBudget/{name}': '150%' does not match pattern"):
        render("defaults", {"podDisruptionBudget": {name: "150%"}})


@pytest.mark.parametrize(
    ("path", "settings", "field"),
    [
        ("kafka.topicPrefix", KafkaSettings, "topic_prefix"),
        ("x.baseUrl", XSettings, "base_url"),
    ],
)
def test_patterns_are_those_of_the_settings(path: str, settings: type[BaseModel], field: str) -> None:
    """What the chart takes, the service takes."""
    [pattern] = [rule.pattern for rule in settings.model_fields[field].metadata if hasattr(rule, "pattern")]
    assert _node(path)["pattern"] == pattern


@pytest.mark.parametrize(
    ("path", "settings", "field"),
    [
        ("kafka.securityProtocol", KafkaSettings, "security_protocol"),
        ("kafka.sasl.mechanism", SaslSettings, "mechanism"),
        ("log.level", LogSettings, "level"),
        ("log.format", LogSettings, "format"),
    ],
)
def test_choices_are_those_of_the_settings(path: str, settings: type[BaseModel], field: str) -> None:
    """What the chart offers, the service knows, and the reverse."""
    schema = settings.model_json_schema()["properties"][field]
    choices = next(branch["enum"] for branch in [schema, *schema.get("anyOf", [])] if "enum" in branch)
    assert [choice for choice in _node(path)["enum"] if choice] == choices


def test_properties_that_are_secret_to_the_chart_are_those_of_the_service(tmp_path: Path) -> None:
    """Each has a pattern of its own: the same for all that librdkafka knows, and for names made from these."""
    known = {*_librdkafka_properties(tmp_path / "properties.md"), "sasl.jaas.config", "ssl.truststore.password"}
    names = known | {f"{name}{end}" for name in known for end in (".file", ".password", "_secret", ".secret.id")}
    assert len(names) > 500
    with pytest.raises(HelmError) as refused:
        render("defaults", {"kafka": {"properties": dict.fromkeys(names, "s")}})
    found = re.findall(r"must hold the property (\S+): set", str(refused.value))
    assert sorted(found) == sorted(filter(is_secret, names))


def _librdkafka_properties(file: Path) -> set[str]:
    """Return the names of all properties, from the table that librdkafka itself writes."""
    library, system = CDLL(cimpl.__file__), CDLL(None)
    system.fopen.restype = c_void_p
    library.rd_kafka_conf_properties_show.argtypes = system.fclose.argtypes = [c_void_p]
    stream = system.fopen(bytes(file), b"w")
    library.rd_kafka_conf_properties_show(stream)
    system.fclose(stream)
    return set(re.findall(r"(?m)^([a-z][a-z0-9._]+) +\|", file.read_text(encoding="utf-8")))


def test_origins_that_network_policies_open_by_default_are_those_of_the_settings() -> None:
    """For batch runs, where `config` says nothing else."""
    origins = ",".join(XSettings.model_fields["transfer_origins"].default)
    template = (CHART / "templates/networkpolicy.yaml").read_text(encoding="utf-8")
    assert f'$config.x.transfer_origins | default "{origins}"' in template


def test_least_grace_period_leaves_time_for_the_stop() -> None:
    """The shortest time that the schema lets a pod have for its stop is well above what the stop takes."""
    assert _node("terminationGracePeriodSeconds")["minimum"] >= DRAIN_S + 5


def _node(path: str) -> dict[str, Any]:
    node = _SCHEMA
    for name in path.split("."):
        node = node["properties"][name]
    return node
