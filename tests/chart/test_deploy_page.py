"""docs/deploy.md, docs/kafka.md and the chart's README say what is so: rights, versions, values and links."""

import argparse
import re
import shlex
from pathlib import Path

import pytest
import yaml
from confluent_kafka.admin import AclOperation, ResourcePatternType, ResourceType

from connector.configuration import describe_settings
from connector.settings import KafkaSettings, Settings
from tests.rig.chart import CHART, ROOT
from tests.rig.documented import README, documented_values
from tests.rig.pages import code_blocks, command_lines
from tests.rig.rights import BATCH_RIGHTS, GROUP_RIGHTS, OPERATOR_RIGHTS, PREFIX, PROVISION_RIGHTS, RUN_RIGHTS

_PAGE, _KAFKA = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("deploy.md", "kafka.md"))
_DEFAULT_PREFIX: str = KafkaSettings.model_fields["topic_prefix"].default
_PATTERNS = {"prefixed": ResourcePatternType.PREFIXED, "literal": ResourcePatternType.LITERAL}
_RESOURCES = {
    "Topic": ResourceType.TOPIC,
    "Group": ResourceType.GROUP,
    "TransactionalId": ResourceType.TRANSACTIONAL_ID,
}
_OPERATIONS = {
    "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
}


_Right = tuple[ResourceType, str, ResourcePatternType, AclOperation]


def _right(kind: str, name: str, pattern: ResourcePatternType, operation: str) -> _Right:
    """Return a right in Kafka's terms, for the prefix that the tests on real Kafka use."""
    return _RESOURCES[kind], name.replace(_DEFAULT_PREFIX, PREFIX), pattern, _OPERATIONS[operation]


def _rights(whose: str) -> set[_Right]:
    """Return the rights in the table of `whose`."""
    table = _KAFKA.partition(f"<!-- rights of {whose} -->\n")[2].partition("\n\n")[0]
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {
        _right(kind, name, _PATTERNS[pattern], operation)
        for kind, name, pattern, operations in rows
        for operation in operations.split(", ")
    }


def test_rights_of_the_service_are_those_that_it_is_tested_with() -> None:
    """On real Kafka it works with exactly these."""
    assert _rights("the service") == set(RUN_RIGHTS)


def _granted() -> set[_Right]:
    """Return the rights that the commands of the page grant, by the options of `kafka-acls.sh`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--resource-pattern-type", default="literal")
    for option in ("topic", "group", "transactional-id", "operation"):
        parser.add_argument(f"--{option}", action="append", default=[])
    [block] = [lines for lines in command_lines(_KAFKA) if lines[0].startswith("acl()")]
    found: set[_Right] = set()
    for line in block[1:]:
        given = parser.parse_args(shlex.split(line)[1:])
        for kind in _RESOURCES:
            names = getattr(given, {"TransactionalId": "transactional_id"}.get(kind, kind.lower()))
            pattern = _PATTERNS[given.resource_pattern_type]
            found.update(_right(kind, name, pattern, operation) for name in names for operation in given.operation)
    return found


def test_commands_grant_the_rights_of_the_service() -> None:
    """These, and no others."""
    assert _granted() == set(RUN_RIGHTS)


def test_strimzi_user_has_the_rights_of_the_service_and_of_the_provisioner() -> None:
    """As the chart's Job uses the service's user by default."""
    platforms = (ROOT / "docs/platforms.md").read_text(encoding="utf-8")
    [user] = [
        found for block in code_blocks(platforms, "yaml") if (found := yaml.safe_load(block))["kind"] == "KafkaUser"
    ]
    kinds = {"topic": "Topic", "group": "Group", "transactionalId": "TransactionalId"}
    granted = {
        _right(kinds[resource["type"]], resource["name"], patterns[resource["patternType"]], operation)
        for acl in user["spec"]["authorization"]["acls"]
        for resource in [acl["resource"]]
        for patterns in [{"literal": ResourcePatternType.LITERAL, "prefix": ResourcePatternType.PREFIXED}]
        for operation in acl["operations"]
    }
    assert granted == _rights("the service") | _rights("the provisioner")


def test_rights_of_a_watch_over_groups_are_those_that_it_is_tested_with() -> None:
    """On real Kafka `connector consumers` works with exactly these."""
    assert _rights("a watch over groups") == set(GROUP_RIGHTS)


def test_rights_of_an_operator_are_those_that_the_commands_are_tested_with() -> None:
    """On real Kafka they work with exactly these."""
    assert _rights("an operator") == set(OPERATOR_RIGHTS)


def test_rights_of_a_batch_run_are_those_that_it_is_tested_with() -> None:
    """On real Kafka its topics are found with exactly these."""
    assert _rights("a batch run") == set(BATCH_RIGHTS)


def test_rights_of_the_provisioner_are_those_that_it_is_tested_with() -> None:
    """On real Kafka it works with exactly these."""
    topics = {(ResourceType.TOPIC, PREFIX, ResourcePatternType.PREFIXED, right) for right in PROVISION_RIGHTS}
    assert _rights("the provisioner") == topics


@pytest.mark.parametrize("version", ["4.3.1", "3.3.3"])
def test_versions_said_to_be_tested_are_those_of_the_rig(version: str) -> None:
    """Kafka's and Apicurio's."""
    assert f">{version}</" in (ROOT / "tests/java/pom.xml").read_text(encoding="utf-8")
    assert version in _KAFKA


def test_version_of_helm_said_to_be_tried_is_the_one_that_make_builds() -> None:
    """Its minor version."""
    [version] = re.findall(
        r"^HELM_VERSION := v(\d+\.\d+)\.", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert f"Helm 4 ({version})" in _PAGE


def test_version_of_kubernetes_said_to_be_tried_is_the_one_that_make_builds() -> None:
    """Its minor version; the chart is valid for it."""
    [version] = re.findall(
        r"^KUBERNETES_VERSION := (\d+\.\d+)\.", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert f"API server of Kubernetes {version}," in _PAGE


def test_values_and_settings_that_the_page_names_exist() -> None:
    """What looks like the path of a value or of a setting is one."""
    values = {".".join(value.path) for value in documented_values()}
    settings = {".".join(path) for path, _ in describe_settings(Settings)}
    sections = {value.partition(".")[0] for value in [*values, *settings]}
    named = {
        name
        for name in re.findall(r"`([a-zA-Z_]+(?:\.[a-zA-Z_]+)+)(?:=\w+)?`", _PAGE + _KAFKA)
        if name.partition(".")[0] in sections and not name.startswith(_DEFAULT_PREFIX)
    }
    assert len(named) > 8
    assert {
        name for name in named - values - settings if not any(value.startswith(f"{name}.") for value in values)
    } == set()


def test_defaults_that_the_page_names_are_the_defaults() -> None:
    """Days of retention and times."""
    chart = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert f"`terminationGracePeriodSeconds` is {chart['terminationGracePeriodSeconds']}" in _PAGE
    for path, field in describe_settings(Settings):
        if path[:2] == ("kafka", "retention") and path[-1].endswith("_days") and f"`{'.'.join(path)}`" in _PAGE:
            assert f"{field.default} days, `{'.'.join(path)}`" in _PAGE


@pytest.mark.parametrize(
    "page", [*(ROOT / f"docs/{name}.md" for name in ("deploy", "image", "kafka")), README], ids=lambda page: page.name
)
def test_links_lead_to_files(page: Path) -> None:
    """Every relative link."""
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert links
    assert all((page.parent / target).exists() for target in links)
