"""Wrong values are refused, each with a message that names it: every rule of the schema and every combination."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from connector.configuration import describe_settings
from connector.settings import KafkaSettings, LogSettings, SaslSettings, Settings, XSettings
from connector.supervisor import DRAIN_S
from tests.rig.chart import CHART, CONFIG_ANNOTATION, VALUES_FILES, HelmError, Manifest, helm, merged, nested, render
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


_NONE: Manifest = {"x": {"existingSecret": ""}, "kafka": {"bootstrapServers": ""}, "schemaRegistry": {"url": ""}}
_SASL: Manifest = {"securityProtocol": "SASL_SSL", "sasl": {"mechanism": "PLAIN", "username": "u"}}
COMBINATIONS: tuple[tuple[Manifest, str], ...] = (
    (
        {"image": {"repository": ""}},
        "image.repository: is required. Set it to that of a release's image, or build one: run `make image",
    ),
    (_NONE, "kafka.bootstrapServers: is required: set it to your brokers"),
    (_NONE, "schemaRegistry.url: is required: set it to the registry's"),
    (
        _NONE,
        "x.existingSecret: is required: `kubectl create secret generic x-credentials --from-file=bearer-token=FILE`",
    ),
    (
        {"x": {"existingSecret": "", "auth": "apiKey", "apiKey": "k"}},
        "x.existingSecret: is required: `kubectl create secret generic x-credentials --from-file=api-key=FILE --from",
    ),
    ({"x": {"bearerToken": "t"}}, "x.existingSecret: set it, or x.bearerToken, x.apiKey and x.apiKeySecret, not both"),
    ({"x": {"existingSecret": "", "apiKey": "k"}}, "x.auth: is bearerToken, but x.apiKey or x.apiKeySecret is set"),
    (
        {"x": {"existingSecret": "", "auth": "apiKey", "bearerToken": "t"}},
        "x.auth: is apiKey, but x.bearerToken is set: set x.auth to bearerToken",
    ),
    (
        {"kafka": {"properties": {"linger.ms": 5, "sasl.oauthbearer.client.secret": "s"}}},
        "kafka.secretProperties.existingSecret: is the place for the property sasl.oauthbearer.client.secret: set",
    ),
    (
        {"config": {"kafka": {"properties": '{"ssl.key.pem": "s"}'}}},
        "config.kafka.properties: is text: make it a map, or use kafka.properties",
    ),
    (
        {"extraEnv": [{"name": "CONNECTOR_X__BEARER_TOKEN", "value": "s"}]},
        "extraEnv: CONNECTOR_X__BEARER_TOKEN may hold a secret: give it by valueFrom.secretKeyRef, or by the values",
    ),
    (
        {"extraEnv": [{"name": "HTTPS_PROXY", "value": "http://user:word@proxy.example.com:3128"}]},
        "extraEnv: HTTPS_PROXY may hold a secret: give it by valueFrom.secretKeyRef, or by the values that name a",
    ),
    (
        {"kafka": {"properties": {"sasl.oauthbearer.config": "s"}}},
        "kafka.secretProperties.existingSecret: is the place for the property sasl.oauthbearer.config: set it to a",
    ),
    (
        {"kafka": {"properties": {"sasl.oauthbearer.extensions": "s"}}},
        "kafka.secretProperties.existingSecret: is the place for the property sasl.oauthbearer.extensions: set it to a",
    ),
    (
        {"config": {"kafka": {"properties": {"ssl.key.pem": "s"}}}},
        "kafka.secretProperties.existingSecret: is the place for the property ssl.key.pem: set it to a Secret whose",
    ),
    (
        {"kafka": {"securityProtocol": "SASL_PLAINTEXT"}},
        "kafka.sasl.mechanism: is needed with kafka.securityProtocol SASL_PLAINTEXT: set it",
    ),
    ({"kafka": {**_SASL, "sasl": {"mechanism": "PLAIN"}}}, "kafka.sasl.username: is needed for PLAIN: set it"),
    (
        {"kafka": _SASL},
        "kafka.sasl.existingSecret: is needed for PLAIN: set it to a Secret whose key `password` holds the password",
    ),
    (
        {"kafka": {**_SASL, "sasl": {**_SASL["sasl"], "existingSecret": "s", "password": "p"}}},
        "kafka.sasl.existingSecret: set it or kafka.sasl.password, not both",
    ),
    (
        {"kafka": {"sasl": {"username": "u"}}},
        "kafka.securityProtocol: is PLAINTEXT, but kafka.sasl is set: set it to SASL_SSL",
    ),
    (
        {"kafka": {"tls": {"ca": {"secret": "s"}}}},
        "kafka.securityProtocol: is PLAINTEXT, but kafka.tls is set: set it to SSL or SASL_SSL",
    ),
    ({"kafka": {"minInsyncReplicas": 4}}, "kafka.minInsyncReplicas: must not be larger than kafka.replicationFactor"),
    (
        {"schemaRegistry": {"username": "u", "existingSecret": "s", "password": "p"}},
        "schemaRegistry.existingSecret: set it or schemaRegistry.password, not both",
    ),
    ({"schemaRegistry": {"username": "u"}}, "schemaRegistry.existingSecret: is needed with schemaRegistry.username"),
    ({"schemaRegistry": {"password": "p"}}, "schemaRegistry.username: is needed with a password: set it"),
    (
        {"provisioning": {"kafka": {"sasl": {"username": "u"}}}},
        "provisioning.kafka.sasl: username and existingSecret go together",
    ),
    (
        {"provisioning": {"kafka": {"sasl": {"username": "u", "existingSecret": "s"}}}},
        "kafka.securityProtocol: is PLAINTEXT, but provisioning.kafka.sasl is set",
    ),
    (
        {"provisioning": {"kafka": {"tls": {"existingSecret": "s"}}}},
        "kafka.securityProtocol: is PLAINTEXT, but provisioning.kafka.tls is set",
    ),
    ({"batch": {"kafka": {"sasl": {"username": "u"}}}}, "batch.kafka.sasl: username and existingSecret go together"),
    (
        {"batch": {"kafka": {"sasl": {"username": "u", "existingSecret": "s"}}}},
        "kafka.securityProtocol: is PLAINTEXT, but batch.kafka.sasl is set",
    ),
    (
        {"batch": {"kafka": {"tls": {"existingSecret": "s"}}}},
        "kafka.securityProtocol: is PLAINTEXT, but batch.kafka.tls is set",
    ),
    (
        {"batch": {"tweets": {"enabled": True}}, "extraVolumes": [{"name": "spool", "emptyDir": {}}]},
        "extraVolumes: spool is a volume of the chart's: give yours another name",
    ),
    (
        {"batch": {"users": {"enabled": True}}, "extraVolumeMounts": [{"name": "disk", "mountPath": "/spool/"}]},
        "extraVolumeMounts: /spool is in a folder of the chart's: mount yours elsewhere",
    ),
    (
        {"provisioning": {"schemaRegistry": {"existingSecret": "s"}}},
        "provisioning.schemaRegistry: username and existingSecret go together",
    ),
    ({"x": {"ca": {"configMap": "c", "secret": "s"}}}, "x.ca: set configMap or secret, not both"),
    ({"kafka": {"tls": {"ca": {"configMap": "c", "secret": "s"}}}}, "kafka.tls.ca: set configMap or secret, not both"),
    ({"schemaRegistry": {"ca": {"configMap": "c", "secret": "s"}}}, "schemaRegistry.ca: set configMap or secret, not"),
    ({"image": {"repository": "example.com:5000/a/b:1.0"}}, "image.repository: ends with a tag: set that by image.tag"),
    ({"image": {"registry": "https://m"}}, "image.registry: https://m is a URL: leave out what is before the host"),
    ({"global": {"imageRegistry": "oci://m"}}, "global.imageRegistry: oci://m is a URL: leave out what is before the"),
    ({"commonLabels": {"team": "trust-"}}, "commonLabels: team cannot be trust-: a label is at most 63 letters"),
    ({"podLabels": {"team": "a" * 64}}, f"podLabels: team cannot be {'a' * 64}: a label is at most 63 letters"),
    ({"podLabels": {"our team": "a"}}, "podLabels: our team is no name of a label: letters, digits, `-`, `_` and `.`"),
    (
        {"serviceMonitor": {"labels": {"/a": "b"}}},
        "serviceMonitor.labels: /a is no name of a label: letters, digits, `-`, `_` and `.`, at most 63",
    ),
    (
        {"commonLabels": {"app.kubernetes.io/name": "other"}},
        "commonLabels: app.kubernetes.io/name is what the chart selects by: leave it out",
    ),
    (
        {"tests": {"podLabels": {"app.kubernetes.io/component": "connector"}}},
        "tests.podLabels: app.kubernetes.io/component is what the chart selects by: leave it out",
    ),
    (
        {"podAnnotations": {CONFIG_ANNOTATION: "a"}},
        f"podAnnotations: {CONFIG_ANNOTATION} is an annotation of the chart's: leave it out",
    ),
    ({"nodeSelector": {"disk": "ssd!"}}, "nodeSelector: disk: ssd! is no label of a node: see its name and value by"),
    ({"podAnnotations": {"a:b": "c"}}, "podAnnotations: a:b is no name of an annotation: letters, digits"),
    (
        {"extraEnv": [{"name": "CONNECTOR_X__BEARER_TOKEN_FILE", "value": "/token"}]},
        "extraEnv: CONNECTOR_X__BEARER_TOKEN_FILE is a variable of the chart's: give yours another name",
    ),
    (
        {"extraEnv": [{"name": "CONNECTOR_KAFKA__GROUP_INSTANCE_ID", "value": "one"}]},
        "extraEnv: CONNECTOR_KAFKA__GROUP_INSTANCE_ID is a variable of the chart's: give yours another name",
    ),
    (
        {"extraEnv": [{"name": "CONNECTOR_HTTP__PORT", "value": "9090"}]},
        "extraEnv: CONNECTOR_HTTP__PORT is what ports and notes are made from: set its value, or the setting",
    ),
    ({"extraEnv": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, "extraEnv: A is there twice: leave one"),
    (
        {"extraVolumes": [{"name": "config"}]},
        "extraVolumes: config is a volume of the chart's: give yours another name",
    ),
    ({"extraVolumes": [{"name": "a"}, {"name": "a"}]}, "extraVolumes: a is there twice: leave one out"),
    (
        {"extraVolumes": [{"emptyDir": {}}]},
        "extraVolumes: an item without a name is no name that Kubernetes takes: set",
    ),
    (
        {"extraVolumeMounts": [{"name": "secrets", "mountPath": "/etc/connector/secrets/more"}]},
        "extraVolumeMounts: /etc/connector/secrets/more is in a folder of the chart's: mount yours elsewhere",
    ),
    (
        {"extraVolumeMounts": [{"name": "config", "mountPath": "/a"}, {"name": "config", "mountPath": "/a/"}]},
        "extraVolumeMounts: /a is there twice: leave one out",
    ),
    ({"extraVolumeMounts": [{"name": "a", "mountPath": "/a"}]}, "extraVolumeMounts: a is no volume: add it to extraVo"),
    (
        {"extraContainers": [{"name": "connector"}]},
        "initContainers and extraContainers: connector is a container of the chart's: give yours another name",
    ),
    (
        {"initContainers": [{"name": "a"}], "extraContainers": [{"name": "a"}]},
        "initContainers and extraContainers: a is there twice: leave one out",
    ),
    (
        {"extraContainers": [{"name": "Side_car"}]},
        "extraContainers: Side_car is no name that Kubernetes takes: set name",
    ),
    (
        {"hostAliases": [{"ip": "192.0.2.1", "hostnames": ["a"]}, {"ip": "192.0.2.1", "hostnames": ["b"]}]},
        "hostAliases: 192.0.2.1 is there twice: leave one out",
    ),
    (
        {"topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}] * 2},
        "topologySpreadConstraints: zone with DoNotSchedule is there twice: leave one out",
    ),
    (
        {"config": {"kafka": {"security_protocol": "SASL_SSL"}}},
        "kafka.sasl.mechanism: is needed with kafka.securityProtocol SASL_SSL: set it",
    ),
    (
        {"config": {"kafka": {"replication_factor": 1}}},
        "kafka.minInsyncReplicas: must not be larger than kafka.replicationFactor",
    ),
    (
        {"podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": 1}},
        "podDisruptionBudget.minAvailable: set it or podDisruptionBudget.maxUnavailable, not both",
    ),
    (
        {"podDisruptionBudget": {"minAvailable": 2}},
        "podDisruptionBudget.minAvailable: must be less than replicas, else no node with one of them can be drained",
    ),
    (
        {"podDisruptionBudget": {"minAvailable": "100%"}},
        "podDisruptionBudget.minAvailable: must be less than 100%, else no node with a replica can be drained",
    ),
    (
        {"dnsPolicy": "None"},
        "dnsConfig.nameservers: is needed with dnsPolicy None: set it to the addresses of your DNS",
    ),
    (
        {"prometheusRule": {"disabledAlerts": ["ComplianceDrift", "ComplianceDrit"]}},
        "prometheusRule.disabledAlerts: ComplianceDrit is not an alert of ours: docs/runbook.md has a section for each",
    ),
    (
        {"prometheusRule": {"alertThresholds": {"ComplianceDrift": 1}}},
        "prometheusRule.alertThresholds: ComplianceDrift has no threshold: these have: ComplianceCoverageOld, ",
    ),
    (
        {"prometheusRule": {"alertFor": {"ComplianceDrit": "1h"}}},
        "prometheusRule.alertFor: ComplianceDrit is not an alert of ours",
    ),
    (
        {"prometheusRule": {"alertSeverity": {"ComplianceDrit": "page"}}},
        "prometheusRule.alertSeverity: ComplianceDrit is not an alert of ours",
    ),
    (
        {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}},
        "podMonitor.enabled: set it or serviceMonitor.enabled, not both",
    ),
)


@pytest.mark.parametrize(("values", "message"), COMBINATIONS, ids=[message[:40] for _, message in COMBINATIONS])
def test_combination_that_cannot_work_is_refused_with_what_to_set(values: Manifest, message: str) -> None:
    """The complaint begins with the name of a value and says what would be right."""
    with pytest.raises(HelmError, match=rf"\n- {re.escape(message)}"):
        render("defaults", values)


def test_all_problems_are_said_at_once() -> None:
    """Who forgets four things is told of four."""
    with pytest.raises(HelmError) as refused:
        render("defaults", {**_NONE, "image": {"repository": ""}})
    assert str(refused.value).count("\n- ") == 4


def test_every_message_of_the_chart_has_a_case_above() -> None:
    """A combination that is refused is also tried."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (CHART / "templates").glob("_validate*.tpl"))
    messages = re.findall(r'(?:"|^)- ([a-zA-Z.]+: .*?)(?:%s|\{\{|"|$)', text, re.MULTILINE)
    tried = [*(message for _, message in COMBINATIONS), _NO_SERVICE]
    assert len(messages) > 15
    assert [m for m in messages if not any(case.startswith(m) or m.startswith(case) for case in tried)] == []


_NO_SERVICE = "fullnameOverride: is needed, since "


@pytest.mark.parametrize("release", ["trust.x", "1x", "a.b.x-compliance-connector"])
def test_release_whose_name_no_service_can_have_is_refused(release: str) -> None:
    """Helm takes it, and Kubernetes would not; another name for the objects is a way out."""
    arguments = ("template", release, str(CHART), f"--values={VALUES_FILES['defaults']}")
    with pytest.raises(HelmError, match=rf"\n- {_NO_SERVICE}{re.escape(release)}.* cannot be the name"):
        helm(*arguments)
    assert "name: compliance\n" in helm(*arguments, "--set", "fullnameOverride=compliance")


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


def test_what_is_required_may_come_from_config() -> None:
    """The setting is there, whichever way."""
    config = {"kafka": {"bootstrap_servers": "kafka:9092"}, "schema_registry": {"url": "http://registry"}}
    assert render("defaults", {"kafka": {"bootstrapServers": ""}, "schemaRegistry": {"url": ""}, "config": config})


_PATHS = {".".join(path) for path, _ in describe_settings(Settings)}
_SECRETS = sorted(path for path in _PATHS if f"{path}_file" in _PATHS and path != "kafka.properties")


@pytest.mark.parametrize("path", [*_SECRETS, "kafka.group_instance_id", "http.host", "http.port"])
def test_config_with_what_the_chart_owns_is_refused(path: str) -> None:
    """No secret comes into an annotation, and nothing the manifests rely on is taken away."""
    with pytest.raises(HelmError, match=rf"\n- config\.{path}: does not belong there; set "):
        render("defaults", {"config": nested(path, "hush")})


@pytest.mark.parametrize("path", ["x.base_url", "schema_registry.url"])
def test_config_with_a_password_in_an_address_is_refused(path: str) -> None:
    """The connector would refuse it, too, but only once it is in the pods' annotations."""
    with pytest.raises(HelmError, match=f"\n- at '/config/{path.replace('.', '/')}': .* does not match pattern"):
        render("defaults", {"config": nested(path, "https://reader:hush@registry.example")})


@pytest.mark.parametrize("name", ["minAvailable", "maxUnavailable"])
def test_share_of_more_than_all_replicas_is_refused(name: str) -> None:
    """Kubernetes would refuse it after everything else has been applied."""
    with pytest.raises(HelmError, match=rf"\n- at '/podDisruptionBudget/{name}': '150%' does not match pattern"):
        render("defaults", {"podDisruptionBudget": {name: "150%"}})


def test_spool_of_ones_own_is_accepted_while_batch_runs_are_off() -> None:
    """Only what is rendered can collide."""
    volumes = [{"name": "spool", "emptyDir": {}}]
    mounts = [{"name": "spool", "mountPath": "/spool"}]
    assert render("defaults", {"extraVolumes": volumes, "extraVolumeMounts": mounts})


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
