"""What a pod is made of: image, configuration, credentials."""

from hashlib import sha256
from typing import Any

import pytest
import yaml

from connector import __version__
from tests.chart.rendered import BATCH, NAME, sources
from tests.rig.chart import (
    CHART,
    CONFIG_ANNOTATION,
    VALUES_FILES,
    Manifest,
    config_text,
    helm,
    kinds,
    only,
    pods,
    render,
    service_container,
)


def test_probes_ask_the_named_port_for_life_and_readiness() -> None:
    """Readiness never restarts a container, and life never looks outward."""
    container = service_container(render("defaults"))
    asked = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    live, ready = {"path": "/livez", "port": "http"}, {"path": "/readyz", "port": "http"}
    assert asked == {"startupProbe": live, "livenessProbe": live, "readinessProbe": ready}


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({"repository": "connector"}, f"connector:{__version__}"),
        ({"repository": "connector", "tag": "2"}, "connector:2"),
        (
            {"repository": "team/connector", "registry": "example.com:5000"},
            f"example.com:5000/team/connector:{__version__}",
        ),
        ({"repository": "c", "tag": "2", "digest": "sha256:" + "0" * 64}, "c@sha256:" + "0" * 64),
    ],
)
def test_image_is_put_together(image: Manifest, reference: str) -> None:
    """In all pods."""
    manifests = render("defaults", {"image": image, **BATCH})
    made = {pod["spec"]["containers"][0]["image"] for pod in pods(manifests).values()}
    assert made == {reference}


def test_change_of_configuration_restarts_the_pods_and_makes_a_new_job() -> None:
    """A change of anything else does neither."""

    def marks(values: Manifest) -> tuple[str, str]:
        manifests = render("defaults", values)
        return str(pods(manifests)["StatefulSet"]), only(manifests, "Job")["metadata"]["name"]

    before = marks({})
    assert marks({"replicas": 5, "serviceMonitor": {"enabled": True}}) == before
    after = marks({"kafka": {"topicPrefix": "other"}})
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_configuration_is_part_of_each_pod_and_mounted_from_it() -> None:
    """So a pod keeps what its revision was made with, and nothing is left over of old ones."""
    for kind, pod in pods(render("everything")).items():
        [volume] = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "config"]
        [item] = volume["downwardAPI"]["items"]
        assert (item["path"], item["fieldRef"]["fieldPath"]) == (
            "config.yaml",
            f"metadata.annotations['{CONFIG_ANNOTATION}']",
        ), kind
        assert yaml.safe_load(pod["metadata"]["annotations"][CONFIG_ANNOTATION])["kafka"]["topic_prefix"] == "trust.x"


def test_new_kafka_password_restarts_the_pods_and_a_new_token_does_not() -> None:
    """A token is read from its file again; clients of Kafka keep the password they began with."""

    def annotations(values: Manifest) -> Any:  # noqa: ANN401 - a manifest's part
        return pods(render("sasl-tls", values))["StatefulSet"]["metadata"]["annotations"]

    assert annotations({"x": {"apiKey": "another"}}) == annotations({})
    assert annotations({"kafka": {"sasl": {"password": "another"}}}) != annotations({})


def test_hash_of_passwords_in_an_annotation_is_slow_to_guess_and_no_other_release_s() -> None:
    """A plain hash would give a weak password to everyone who sees pods, and show where it is used again."""

    def annotated(*arguments: str) -> str | None:
        user = "--set=kafka.securityProtocol=SASL_SSL,kafka.sasl.mechanism=PLAIN,kafka.sasl.username=u"
        text = helm("template", *arguments, str(CHART), f"--values={VALUES_FILES['defaults']}", user)
        manifests = tuple(document for document in yaml.load_all(text, yaml.CSafeLoader) if document)
        annotations: dict[str, str] = pods(manifests)["StatefulSet"]["metadata"]["annotations"]
        return annotations.get("checksum/secrets")

    password = "--set=kafka.sasl.password=hush"
    one = annotated("demo", password)
    assert annotated("demo", password) == one
    others = {annotated("other", password), annotated("demo", "--namespace=other", password)}
    assert len({one, *others, annotated("demo", "--set=kafka.sasl.password=hush2")}) == 4
    assert one not in {sha256(text.encode()).hexdigest() for text in ("hush", '["hush",""]')}
    assert annotated("demo", "--set=kafka.sasl.existingSecret=s") is None


def test_values_that_are_secrets_are_in_secrets_alone() -> None:
    """Each in one of its own, and in nothing else that is rendered."""
    manifests = render("sasl-tls")
    assert {
        manifest["metadata"]["name"]: manifest["stringData"] for manifest in manifests if manifest["kind"] == "Secret"
    } == {
        f"{NAME}-x": {"api-key": "made-up-key", "api-key-secret": "made-up-key-secret"},
        f"{NAME}-kafka": {"password": "made-up-password"},
        f"{NAME}-schema-registry": {"password": "made-up-registry-password"},
    }
    assert "made-up" not in str([manifest for manifest in manifests if manifest["kind"] != "Secret"])


def test_credentials_of_values_are_mounted_from_the_secrets_made_for_them() -> None:
    """Name and key of source and mount agree."""
    assert sources(render("sasl-tls")) == {
        "x/api-key": f"{NAME}-x/api-key",
        "x/api-key-secret": f"{NAME}-x/api-key-secret",
        "x/ca.crt": "proxy-ca/ca.crt",
        "kafka/password": f"{NAME}-kafka/password",
        "kafka/ca.crt": "kafka-ca/ca.crt",
        "schema-registry/password": f"{NAME}-schema-registry/password",
        "schema-registry/ca.crt": "registry-ca/ca.pem",
    }


def test_existing_secrets_are_mounted_and_none_is_made() -> None:
    """By the names and keys that the values give."""
    manifests = render("existing-secrets")
    assert "Secret" not in kinds(manifests)
    assert sources(manifests) == {
        "x/api-key": "x-credentials/key",
        "x/api-key-secret": "x-credentials/secret",
        "kafka/password": "kafka-connector/password",
        "kafka/tls.crt": "kafka-connector-tls/tls.crt",
        "kafka/tls.key": "kafka-connector-tls/tls.key",
        "kafka/tls-key-password": "kafka-connector-tls/password",
        "kafka/properties.json": "kafka-properties/properties.json",
        "kafka/ca.crt": "kafka-ca/ca.crt",
        "schema-registry/password": "registry-connector/password",
    }


def test_provisioning_has_credentials_of_its_own_where_they_are_given() -> None:
    """Creating topics needs rights that the service need not have."""
    manifests = render("existing-secrets")
    assert sources(manifests, "Job") == {
        "kafka/password": "kafka-provisioner/password",
        "kafka/tls.crt": "kafka-provisioner-tls/tls.crt",
        "kafka/tls.key": "kafka-provisioner-tls/tls.key",
        "kafka/properties.json": "kafka-properties/properties.json",
        "kafka/ca.crt": "kafka-ca/ca.crt",
        "schema-registry/password": "registry-provisioner/password",
    }
    variables = {entry["name"]: entry["value"] for entry in pods(manifests)["Job"]["spec"]["containers"][0]["env"]}
    assert variables["CONNECTOR_KAFKA__SASL__USERNAME"] == "provisioner"
    assert variables["CONNECTOR_SCHEMA_REGISTRY__USERNAME"] == "provisioner"


def test_token_file_of_ones_own_needs_no_secret() -> None:
    """A file that a sidecar or a CSI driver brings is named under `config`."""
    config = {"x": {"bearer_token_file": "/vault/token"}}
    manifests = render("defaults", {"x": {"existingSecret": ""}, "config": config})
    assert "CONNECTOR_X__BEARER_TOKEN_FILE" not in str(manifests)
    assert "bearer_token_file: /vault/token" in config_text(manifests)


def test_config_wins_over_the_values_above_it() -> None:
    """It is merged in, not put in place of the rest."""
    text = config_text(render("defaults", {"config": {"log": {"level": "error"}, "kafka": {"headers": False}}}))
    assert "level: error" in text
    assert "format: json" in text
    assert "headers: false" in text
    assert "bootstrap_servers: kafka-bootstrap:9092" in text
