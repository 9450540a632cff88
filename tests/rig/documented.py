"""The chart's values as `values.yaml` documents them: path, default and the comment above.

The comments are the one source of the descriptions in `values.schema.json` and in the chart's README. What may stand
under `config` follows from the settings.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import yaml
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from connector.configuration import describe_settings
from connector.settings import Settings
from tests.rig.chart import CHART

VALUES = CHART / "values.yaml"
SCHEMA = CHART / "values.schema.json"
README = CHART / "README.md"

_LIMITS = ("type", "enum", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_BLOCK = re.compile(r"(<!-- generated: values -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the chart; `default` is JSON text."""

    path: tuple[str, ...]
    default: str
    description: str


def documented_values() -> list[Value]:
    """Return every value that the schema takes as a leaf, in the order of `values.yaml`."""
    text = VALUES.read_text(encoding="utf-8")
    return list(_leaves(yaml.compose(text), json.loads(SCHEMA.read_text(encoding="utf-8")), text.split("\n"), ()))


def _leaves(node: yaml.Node | None, schema: dict[str, Any], lines: list[str], path: tuple[str, ...]) -> Iterator[Value]:
    if not isinstance(node, yaml.MappingNode):
        raise TypeError(f"{'.'.join(path)}: is no map in values.yaml, but has members in values.schema.json")
    for key, value in node.value:
        here = (*path, key.value)
        member = schema["properties"].get(key.value, {"description": ""})
        if "description" in member:
            default = yaml.safe_load(yaml.serialize(value))
            yield Value(here, json.dumps(default), _comment_above(lines, key.start_mark.line))
        else:
            yield from _leaves(value, member, lines, here)


def _comment_above(lines: list[str], line: int) -> str:
    comment: list[str] = []
    while line and (text := lines[line - 1].strip()).startswith("#"):
        comment.insert(0, text.removeprefix("#").strip())
        line -= 1
    return " ".join(comment)


def described_schema(schema: dict[str, Any], descriptions: dict[tuple[str, ...], str]) -> dict[str, Any]:
    """Return `schema` with the description of every leaf that `descriptions` knows."""

    def describe(node: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        if path in descriptions:
            return {**node, "description": descriptions[path]}
        if "description" in node:
            return node
        members = {key: describe(member, (*path, key)) for key, member in node["properties"].items()}
        return {**node, "properties": members}

    return describe(schema, ())


def demanding_schema(schema: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Return `schema` with `required` for sections and for leaves that cannot be empty; the others may be null.

    Helm takes a key that is given as null away, so such a leaf would silently be none, zero or off. In an upgrade with
    `--reuse-values` it is null.
    """
    if "description" in schema:
        return schema
    members = schema["properties"]
    required = [key for key, member in members.items() if _is_needed(member, defaults[key])]
    inside = {
        key: demanding_schema(member if key in required else _or_null(member), defaults[key])
        for key, member in members.items()
    }
    rest = {key: value for key, value in schema.items() if key not in {"required", "properties"}}
    return rest | ({"required": required} if required else {}) | {"properties": inside}


def _is_needed(schema: dict[str, Any], default: object) -> bool:
    is_section, may_be_null = "description" not in schema, "null" in schema.get("type", ())
    has_default = bool(default) and not isinstance(default, list | dict)
    return is_section or "minItems" in schema or (has_default and not may_be_null)


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a leaf that also takes null."""
    choices = {"enum": [*(choice for choice in schema["enum"] if choice is not None), None]} if "enum" in schema else {}
    kinds = schema.get("type", [])
    others = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]
    return schema | choices | ({"type": [*others, "null"]} if others else {})


def config_schema() -> dict[str, Any]:
    """Return the members that `config` may have, by the names of the settings, each with the form of a single value.

    Those of `http` are refused by a template, whatever they are.
    """
    sections: dict[str, Any] = {}
    for (*way, name), field in describe_settings(Settings):
        members = sections
        for section in way:
            empty = {"type": "object", "additionalProperties": False, "properties": {}}
            members = members.setdefault(section, empty)["properties"]
        members[name] = {"description": field.description} | ({} if "http" in way else _form(field))
    return sections


def _form(field: FieldInfo) -> dict[str, Any]:
    """Return type and limits of a setting that is a single value; nothing of a list or a map, which have two forms."""
    kind: Any = Annotated[field.annotation, *field.metadata, None]
    schema = TypeAdapter[Any](kind).json_schema()
    [form, *others] = [each for each in schema.get("anyOf", [schema]) if each["type"] != "null"]
    if others or form["type"] in {"array", "object"}:
        return {}
    return _or_null({key: value for key, value in form.items() if key in _LIMITS})


def schema_text() -> str:
    """Return `values.schema.json` with the descriptions that `values.yaml` and the settings give now."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    schema["properties"]["config"]["properties"] = config_schema()
    descriptions = {value.path: value.description for value in documented_values()}
    described = described_schema(schema, descriptions)
    defaults = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
    return json.dumps(demanding_schema(described, defaults), indent=2, ensure_ascii=False) + "\n"


def readme_text() -> str:
    """Return the chart's README with the table of values that `values.yaml` gives now."""
    rows = [
        f"| `{'.'.join(value.path)}` | `{value.default}` | {value.description} |".replace("``", "")
        for value in documented_values()
    ]
    table = "\n".join(("| value | default | meaning |", "| --- | --- | --- |", *rows))
    return _BLOCK.sub(lambda match: f"{match[1]}{table}\n{match[2]}", README.read_text(encoding="utf-8"))
