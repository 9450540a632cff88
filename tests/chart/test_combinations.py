"""Values that are wrong together are refused, each combination with a message that says what to set."""

import re

import pytest

from tests.rig.chart import CHART, CONFIG_ANNOTATION, VALUES_FILES, HelmError, Manifest, helm, render

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
        "kafka.secretProperties.existingSecret: must hold the property sasl.oauthbearer.client.secret: set",
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
        "kafka.secretProperties.existingSecret: must hold the property sasl.oauthbearer.config: set it to a",
    ),
    (
        {"kafka": {"properties": {"sasl.oauthbearer.extensions": "s"}}},
        "kafka.secretProperties.existingSecret: must hold the property sasl.oauthbearer.extensions: set it to a",
    ),
    (
        {"config": {"kafka": {"properties": {"ssl.key.pem": "s"}}}},
        "kafka.secretProperties.existingSecret: must hold the property ssl.key.pem: set it to a Secret whose",
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
    (
        {"podLabels": {"our team": "a"}},
        "podLabels: our team is not a valid label name: letters, digits, `-`, `_` and `.`",
    ),
    (
        {"serviceMonitor": {"labels": {"/a": "b"}}},
        "serviceMonitor.labels: /a is not a valid label name: letters, digits, `-`, `_` and `.`, at most 63",
    ),
    (
        {"commonLabels": {"app.kubernetes.io/name": "other"}},
        "commonLabels: app.kubernetes.io/name is a label that the chart selects by: leave it out",
    ),
    (
        {"tests": {"podLabels": {"app.kubernetes.io/component": "connector"}}},
        "tests.podLabels: app.kubernetes.io/component is a label that the chart selects by: leave it out",
    ),
    (
        {"podAnnotations": {CONFIG_ANNOTATION: "a"}},
        f"podAnnotations: {CONFIG_ANNOTATION} is an annotation that the chart sets: leave it out",
    ),
    (
        {"nodeSelector": {"disk": "ssd!"}},
        "nodeSelector: disk: ssd! is not a valid node label: see names and values with",
    ),
    ({"podAnnotations": {"a:b": "c"}}, "podAnnotations: a:b is not a valid annotation name: letters, digits"),
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
        "extraEnv: CONNECTOR_HTTP__PORT determines ports and notes: set its value of the chart, or the setting",
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
        "prometheusRule.disabledAlerts: ComplianceDrit is not an alert of the chart: docs/runbook.md has a section",
    ),
    (
        {"prometheusRule": {"alertThresholds": {"ComplianceDrift": 1}}},
        "prometheusRule.alertThresholds: ComplianceDrift has no threshold: these have: ComplianceCoverageOld, ",
    ),
    (
        {"prometheusRule": {"alertFor": {"ComplianceDrit": "1h"}}},
        "prometheusRule.alertFor: ComplianceDrit is not an alert of the chart",
    ),
    (
        {"prometheusRule": {"alertSeverity": {"ComplianceDrit": "page"}}},
        "prometheusRule.alertSeverity: ComplianceDrit is not an alert of the chart",
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


def test_what_is_required_may_come_from_config() -> None:
    """The setting is there, whichever way."""
    config = {"kafka": {"bootstrap_servers": "kafka:9092"}, "schema_registry": {"url": "http://registry"}}
    assert render("defaults", {"kafka": {"bootstrapServers": ""}, "schemaRegistry": {"url": ""}, "config": config})


def test_spool_of_ones_own_is_accepted_while_batch_runs_are_off() -> None:
    """Only what is rendered can collide."""
    volumes = [{"name": "spool", "emptyDir": {}}]
    mounts = [{"name": "spool", "mountPath": "/spool"}]
    assert render("defaults", {"extraVolumes": volumes, "extraVolumeMounts": mounts})
