"""An empty key, `key:`, means what is meant, or is refused by its name: every key of `values.yaml`."""

import json
import re
from collections.abc import Iterator

import kubernetes_validate
import pytest
import yaml

from tests.rig.chart import VALUES_FILES, HelmError, Manifest, merged, nested, render_text
from tests.rig.documented import VALUES, documented_values

_SWITCHED_ON: Manifest = {
    "batch": {"tweets": {"enabled": True}, "users": {"enabled": True}},
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
    "networkPolicy": {"enabled": True},
}
"""Values that render everything a key could empty."""
_GIVEN = yaml.safe_load(VALUES_FILES["defaults"].read_text(encoding="utf-8"))
_DEFAULTS = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
_LEAVES = {".".join(value.path): json.loads(value.default) for value in documented_values()}
_NOTHING = {
    "podSecurityContext",
    "securityContext",
    "resources",
    "updateStrategy",
    "topologySpreadConstraints",
    "provisioning.resources",
    "batch.tweets.resources",
    "batch.users.resources",
    "dashboard.labels",
    "networkPolicy.dns.to",
    "replicas",
}
"""Values that have a default and may be none at all."""


def _sections(values: Manifest, path: str = "") -> Iterator[str]:
    for key, value in values.items():
        here = f"{path}.{key}".removeprefix(".")
        if isinstance(value, dict) and here not in _LEAVES:
            yield here
            yield from _sections(value, here)


def _has(values: Manifest, path: str) -> bool:
    *way, last = path.split(".")
    for name in way:
        values = values.get(name, {})
    return last in values


def _render_with(path: str, value: object) -> str:
    return render_text("defaults", merged(_SWITCHED_ON, nested(path, value)))


@pytest.mark.parametrize("path", [path for path, default in _LEAVES.items() if not default and not _has(_GIVEN, path)])
def test_empty_key_whose_default_is_empty_is_that_default(path: str) -> None:
    """A list or a map with all its members commented out counts as absent, and an empty switch is off."""
    is_on = _has(_SWITCHED_ON, path)
    usual = _render_with(path, _LEAVES[path]) if is_on else render_text("defaults", _SWITCHED_ON)
    assert _render_with(path, None) == usual


@pytest.mark.parametrize("path", sorted(path for path in _LEAVES if not _LEAVES[path] and _has(_GIVEN, path)))
def test_empty_key_that_is_required_is_asked_for(path: str) -> None:
    """As if it were not there at all."""
    with pytest.raises(HelmError, match=rf"\n- {re.escape(path)}: is required"):
        _render_with(path, None)


@pytest.mark.parametrize("path", sorted(_NOTHING))
def test_empty_key_that_takes_a_default_away_leaves_none(path: str) -> None:
    """It is how a resource limit or the field of a security context is got rid of."""
    made = _render_with(path, None)
    assert made != render_text("defaults", _SWITCHED_ON)
    for manifest in (document for document in yaml.load_all(made, yaml.CSafeLoader) if document):
        if not manifest["apiVersion"].startswith("monitoring.coreos.com"):
            kubernetes_validate.validate(manifest, "1.29", strict=True)


@pytest.mark.parametrize(
    "path",
    [*_sections(_DEFAULTS), *(path for path, default in _LEAVES.items() if default and path not in _NOTHING)],
)
def test_empty_key_that_needs_a_value_is_refused_by_its_name(path: str) -> None:
    """It would else be zero, off or nothing, silently; whole sections, too."""
    section, _, name = path.rpartition(".")
    place = re.escape("/" + section.replace(".", "/") if section else "")
    with pytest.raises(HelmError, match=rf"at '{place}': missing property '{name}'"):
        _render_with(path, None)


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("replicas", "3", "/replicas': got string, want null or integer"),
        ("http.port", "8080", "/http/port': got string, want integer"),
        ("image.tag", 1.2, "/image/tag': got number, want null or string"),
        ("podAnnotations", {"a": 1}, "/podAnnotations/a': got number, want string"),
        ("podAnnotations", {"a": None}, "/podAnnotations/a': got null, want string"),
        ("commonLabels", {"a": True}, "/commonLabels/a': got boolean, want string"),
        ("extraEnv", [{"name": "A", "value": 1}], "/extraEnv/0/value': got number, want string"),
        ("extraEnv", [None], "/extraEnv/0': got null, want object"),
        ("networkPolicy.kafka.ports", ["9092"], "/networkPolicy/kafka/ports/0': got string, want integer"),
        ("provisioning.enabled", "false", "/provisioning/enabled': got string, want boolean"),
        ("config", {"kafka": None}, "/config/kafka': got null, want object"),
    ],
)
def test_number_for_a_text_and_the_reverse_are_refused_where_they_are(path: str, value: object, fault: str) -> None:
    """With what was given and what is wanted: Kubernetes would refuse them too, less clearly."""
    with pytest.raises(HelmError, match=re.escape(fault)):
        _render_with(path, value)
