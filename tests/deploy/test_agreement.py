"""What is written down in several places says the same: versions, ports and names in image, compose, chart and docs."""

import re
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import yaml

from connector import __version__
from connector.configuration import describe_settings
from connector.settings import HttpSettings, KafkaSettings, RunSettings, variable_name
from tests.deploy.compose import ROOT, every_service, own_services, settings_of

CHART = ROOT / "helm/Chart.yaml"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
DEPLOY = ROOT / "docs/deploy.md"
IMAGE = ROOT / "docs/image.md"


def _pages() -> str:
    return DEPLOY.read_text(encoding="utf-8") + IMAGE.read_text(encoding="utf-8")


def _yaml(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _tested(name: str) -> str | None:
    """Return the version of a server that the tests run on."""
    return _version_in(ROOT / "tests/java/pom.xml", name)


def _version_in(project: Path, name: str) -> str | None:
    """Return a version that a Maven project has among its properties."""
    maven = {"maven": "http://maven.apache.org/POM/4.0.0"}
    return ET.parse(project).findtext(f".//maven:{name}.version", namespaces=maven)  # noqa: S314 - our own file


def test_servers_of_compose_are_the_tested_versions() -> None:
    """Kafka and the registry come in the version that the tests run on."""
    images = {name: service["image"] for name, service in every_service().items()}
    assert images["kafka"] == f"apache/kafka:{_tested('kafka')}"
    assert images["registry"] == f"apicurio/apicurio-registry:{_tested('apicurio')}"


def test_kafka_of_the_examples_is_the_tested_version() -> None:
    """In each Maven project that names one."""
    versions = {_version_in(project, "kafka") for project in (ROOT / "examples").glob("*/pom.xml")}
    assert versions - {None} == {_tested("kafka")}


def test_image_has_the_version_of_the_code() -> None:
    """In its label, in compose, and in the commands of the docs."""
    assert f'org.opencontainers.image.version="{__version__}"' in DOCKERFILE
    assert {service["image"] for service in own_services().values()} == {f"x-compliance-connector:{__version__}"}
    written = re.findall(r"x-compliance-connector:(\d\S*)", DOCKERFILE + _pages())
    assert set(written) == {__version__}


def test_chart_has_the_version_of_the_code() -> None:
    """As appVersion, from which the image's tag follows."""
    assert _yaml(CHART)["appVersion"] == __version__


def test_port_is_the_default_everywhere() -> None:
    """What the image exposes and compose publishes is what the service listens on."""
    port = HttpSettings.model_fields["port"].default
    assert re.findall(r"^EXPOSE (.+)$", DOCKERFILE, re.MULTILINE) == [f"{port}"]
    running = [service for service in own_services().values() if service["command"] == ["run"]]
    assert {published["target"] for service in running for published in service["ports"]} == {port}
    assert not [service for service in running if "CONNECTOR_HTTP__PORT" in settings_of(service)]


def test_defaults_of_the_chart_are_those_of_the_settings() -> None:
    """Port and topic prefix."""
    values = _yaml(CHART.with_name("values.yaml"))
    assert values["http"]["port"] == HttpSettings.model_fields["port"].default
    assert values["kafka"]["topicPrefix"] == KafkaSettings.model_fields["topic_prefix"].default


def test_python_of_the_image_is_the_newest_supported_one() -> None:
    """Of those that `make versions` tests, which begin with the oldest that installs; the docs name the same image."""
    [image] = re.findall(r"^ARG PYTHON_IMAGE=(.+)$", DOCKERFILE, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = [text for each in project["classifiers"] if "." in (text := each.rpartition(" :: ")[2])]
    assert versions == sorted(versions, key=lambda version: int(version.removeprefix("3.")))
    assert project["requires-python"] == f">={versions[0]}"
    assert image.startswith(f"docker.io/library/python:{versions[-1]}-slim-")
    assert set(re.findall(r"docker\.io/library/python:[\w.-]+", IMAGE.read_text(encoding="utf-8"))) == {image}


def test_install_takes_nothing_without_a_hash() -> None:
    """In the README and in the image: wheels by their hash, and a build of ours that fetches nothing."""
    assert "PIP_ONLY_BINARY=:all:" in DOCKERFILE
    readme, image = (
        re.findall(r"\bpip (?:--python \S+ )?((?:install|wheel) [^&\n]+)", text.replace("\\\n", ""))
        for text in ((ROOT / "README.md").read_text(encoding="utf-8"), DOCKERFILE)
    )
    by_hash = [command for command in (*readme, *image) if "--require-hashes" in command]
    assert len(by_hash) == 3
    assert all("--only-binary :all:" in command for command in by_hash if command in readme)
    assert [
        command
        for command in (*readme, *image)
        if not re.search("--(require-hashes|no-build-isolation|no-index)", command)
    ] == []
    locked = set(re.findall(r"requirements/(\w+)\.txt", " ".join(by_hash)))
    assert locked == {"runtime", "build", "sbom"}


def test_variables_in_the_deployment_page_are_settings() -> None:
    """Every `CONNECTOR_…` name of it and of the image's page is one."""
    known = {variable_name(path) for path, _ in describe_settings(RunSettings)}
    named = set(re.findall(r"CONNECTOR_[A-Z_0-9]+", _pages()))
    assert named
    assert named <= known


def test_addresses_in_the_deployment_page_are_those_of_compose() -> None:
    """Every port of compose is in its table, by its service, and no other."""
    rows = re.findall(r"^\| `([\w-]+)`.*`localhost:(\d+)`", DEPLOY.read_text(encoding="utf-8"), re.MULTILINE)
    published = {
        (name, port["published"]) for name, service in every_service().items() for port in service.get("ports", [])
    }
    assert set(rows) == published
