"""The output of `connector config example`: a YAML file of every setting, with its meaning and default.

Pure. Required settings have example values; the rest is commented out, so that defaults stay those of the release.
"""

import json
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from connector.settings import Settings

_GIVEN = {
    ("x", "bearer_token_file"): "/run/secrets/x-token",
    ("kafka", "bootstrap_servers"): "localhost:9092",
    ("schema_registry", "url"): "http://localhost:8081",
}
_HEAD = (
    "## Settings of the connector. Lines with a single # in the first column are settings, commented out: delete the #",
    "## of a setting and of its section, and nothing else. The values are the defaults. CONNECTOR_ variables override",
    "## this file. Prefer files for secrets.",
)


def settings_example() -> Iterator[str]:
    """Yield the lines of a file that `connector check --config` accepts once the token file exists."""
    yield from _HEAD
    for name, field in Settings.model_fields.items():
        section = _section(field)
        if section is not None:
            yield ""
            yield from _lines_of_section(section, (name,))


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _lines_of_section(section: type[BaseModel], path: tuple[str, ...]) -> Iterator[str]:
    indent = "  " * (len(path) - 1)
    is_given = any(given[: len(path)] == path for given in _GIVEN)
    yield f"{indent or '#'}# {(section.__doc__ or '').splitlines()[0]}"
    yield f"{'' if is_given else '#'}{indent}{path[-1]}:"
    for name, field in section.model_fields.items():
        inner = _section(field)
        if inner is not None:
            yield from _lines_of_section(inner, (*path, name))
        else:
            yield from _lines_of_setting(field, (*path, name))


def _lines_of_setting(field: FieldInfo, path: tuple[str, ...]) -> Iterator[str]:
    indent = "  " * (len(path) - 1)
    yield f"{indent}# {field.description}{' Required.' if field.is_required() else ''}"
    if path in _GIVEN:
        yield f"{indent}{path[-1]}: {_GIVEN[path]}"
    else:
        yield f"#{indent}{path[-1]}:{_default(field)}"


def _default(field: FieldInfo) -> str:
    """Return the default as YAML, which takes all JSON; nothing for a setting without one."""
    default = field.get_default(call_default_factory=True, validated_data={})
    return "" if default is None or default is PydanticUndefined else f" {json.dumps(default)}"
