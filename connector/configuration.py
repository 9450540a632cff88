"""Reads settings from their sources, and explains wrong ones.

Sources, the first wins: environment (`CONNECTOR_…`, nesting `__`), the YAML file of `--config`. Proxies are named by
the environment alone (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`): `x.proxy` reads them for X, the registry's
client for itself.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.request import getproxies_environment

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource
from pydantic_settings import SettingsError as PydanticSettingsError

from connector.errors import SettingsError
from connector.files import read_small_file, why_not_a_file
from connector.network import is_plain_http
from connector.properties import is_secret
from connector.quoting import basic_credentials, keep_secret, shown
from connector.settings import ENV_PREFIX, FORM, Settings, SettingValueError, XSettings, variable_name

if TYPE_CHECKING:
    import httpx

S = TypeVar("S", bound=Settings)
SettingPath = tuple[str, ...]
"""The names of a section and of those in it, down to a setting: `("kafka", "sasl", "username")`."""

_ALIKE = 0.9
"""How similar two variables must be, most of whose letters are the same anyway."""
_CA_VARIABLE = "SSL_CERT_FILE"
_CONFIG_LIMIT_BYTES = 1024 * 1024
_PORTS = {None, *range(1, 65536)}
_PROXY_EXAMPLE = "http://proxy.example.com:3128"
_SENT_BY = {"PLAIN": "the password", "OAUTHBEARER": "the access token"}
_TOO_DEEP = "nested too deeply"
_UNCHECKED = {"enable.ssl.certificate.verification": "false", "ssl.endpoint.identification.algorithm": "none"}
"""Properties and values that leave the certificate unchecked."""


@dataclass(frozen=True, slots=True)
class SettingsReading(Generic[S]):
    """What the sources give: every problem found, the settings that have one by their paths, and the file's content.

    `settings` is None if no settings can be made of it.
    """

    settings: S | None
    problems: list[str]
    wrong: AbstractSet[SettingPath]
    content: Mapping[str, Any]


def load_settings(kind: type[S], config_file: Path | None = None) -> S:
    """Read settings of `kind` from the environment and, below it, from the YAML file.

    Raises `SettingsError` with every wrong value or, if there is none, every wrong file that a value names; each with
    the setting and how to correct it.
    """
    reading = read_settings(kind, config_file)
    if reading.problems or reading.settings is None:
        raise SettingsError(reading.problems)
    return reading.settings


def read_settings(kind: type[S], config_file: Path | None = None) -> SettingsReading[S]:
    """Read settings as `load_settings` does, however many problems there are."""
    settings: S | None = None
    content: Mapping[str, Any] = {}

    def name(path: SettingPath) -> str:
        return _given_name(path, config_file, content)

    problems = [*_misspelt_variables(kind, os.environ), *_unusable_proxies(), *_unusable_certificates(os.environ)]
    flat: list[SettingPath] = []
    wrong: set[SettingPath] = set()
    try:
        content = read_config(kind, config_file)
        problems += (f"{config_file}: {problem}" for problem in _otherwise_cased(kind, content))
        flat += _flat_sections(kind, content)
        settings = with_content(kind, content)()
        for path, problem in _unusable_files(settings):
            wrong.add(path)
            problems.append(f"{name(path)}: {problem}")
    except SettingsError as error:
        problems += error.problems
    except ValidationError as error:
        for found in error.errors(include_input=False, include_url=False):
            if found["loc"] not in flat:
                wrong.add(_path(found))
                problems.append(_explain(kind, found, name))
    except PydanticSettingsError as error:
        problems.append(f"cannot be read: {error}")
    except RecursionError:
        problems.append(f"cannot be read: a value is {_TOO_DEEP}")
    problems += [f"{config_file}: {'.'.join(path)}: is a section: give its settings, not a value" for path in flat]
    return SettingsReading(settings, problems, wrong, content)


def with_content(kind: type[S], content: Mapping[str, Any]) -> type[S]:
    """Return `kind` with the content of a file as the last of its sources."""

    def sources(
        _: type[S],
        /,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        **_others: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, InitSettingsSource(settings_cls, dict(content))

    return type(kind.__name__, (kind,), {"settings_customise_sources": classmethod(sources)})


def _given_name(path: SettingPath, config_file: Path | None, content: Mapping[str, Any]) -> str:
    """Return the name of the setting at `path` for its user: file and key if the file sets it and no variable does."""
    variables = {name.upper() for name in os.environ}
    is_variable = any(variable_name(path[:length]) in variables for length in range(1, len(path) + 1))
    node: Any = content
    for part in path:
        if isinstance(node, list):
            break
        if is_variable or not isinstance(node, Mapping) or part not in node:
            return variable_name(path)
        node = node[part]
    return f"{config_file}: {'.'.join(path)}"


def risks(settings: Settings) -> Iterator[str]:
    """Yield settings that are allowed but expose a secret on the network, or to those who may read the settings."""
    kafka, registry = settings.kafka, settings.schema_registry
    sent = _SENT_BY.get(kafka.sasl.mechanism or "")
    if kafka.security_protocol == "SASL_PLAINTEXT" and sent is not None:
        yield f"{variable_name(('kafka', 'security_protocol'))}: SASL_PLAINTEXT sends {sent} unencrypted"
    if registry.username is not None and is_plain_http(registry.url):
        yield f"{variable_name(('schema_registry', 'url'))}: http:// sends the password unencrypted"
    if is_plain_http(settings.x.base_url):
        yield f"{variable_name(('x', 'base_url'))}: http:// sends the token unencrypted"
    properties, given = kafka.all_properties(), variable_name(("kafka", "properties"))
    endpoint = str(properties.get("sasl.oauthbearer.token.endpoint.url", ""))
    if is_plain_http(endpoint):
        yield f"{given}: sasl.oauthbearer.token.endpoint.url sends the client secret unencrypted"
    for name, value in _UNCHECKED.items():
        if str(properties.get(name, "")).lower() == value:
            yield f"{given}: {name}={value} leaves the broker's identity unverified"
    if secret := sorted(filter(is_secret, kafka.properties)):
        yield f"{given}: holds {', '.join(secret)}: give what is secret in kafka.properties_file"


def read_config(kind: type[Settings], config_file: Path | None) -> Mapping[str, Any]:
    """Return the content of the YAML file. Raises `SettingsError`, which never quotes it: it may hold a secret."""
    if config_file is None:
        return {}
    name = f"--config {config_file}"
    if (problem := why_not_a_file(config_file)) is not None:
        raise SettingsError([f"{name}: {problem}"])
    try:
        text = read_small_file(config_file, _CONFIG_LIMIT_BYTES)
        twice = list(_given_twice(yaml.compose(text, yaml.SafeLoader)))
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        problem = f"not YAML{_where(error)}"
    except (yaml.YAMLError, OSError) as error:
        problem = f"cannot be read: {error}"
    except RecursionError:
        problem = _TOO_DEEP
    except Exception:  # noqa: BLE001 - a value that is not what its tag says: the parser raises whatever comes of it
        problem = "contains an invalid date, number or tag"
    else:
        if twice:
            raise SettingsError([f"{name}: {each}" for each in twice])
        if content is None or (isinstance(content, dict) and all(isinstance(key, str) for key in content)):
            return content or {}
        problem = f"must be a map of sections, which are {', '.join(kind.model_fields)}"
    raise SettingsError([f"{name}: {problem}"])


def _otherwise_cased(kind: type[Settings], content: Mapping[str, Any]) -> Iterator[str]:
    """Yield sections of the file that pydantic-settings drops silently because their case is wrong."""
    for name in content:
        if name not in kind.model_fields and name.lower() in kind.model_fields:
            yield f"{shown(name)}: unknown setting; did you mean {name.lower()}?"


def _given_twice(node: yaml.Node | None) -> Iterator[str]:
    """Yield keys that a file has twice: YAML silently keeps the last of them."""
    waiting: deque[tuple[yaml.Node | None, str]] = deque([(node, "")])
    seen: set[int] = set()
    while waiting:
        node, path = waiting.popleft()
        if not isinstance(node, yaml.MappingNode) or id(node) in seen:  # an alias leads to a node that was seen
            continue
        seen.add(id(node))
        lines: dict[str, list[int]] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                name = f"{path}{shown(key.value)}"
                lines.setdefault(name, []).append(key.start_mark.line + 1)
                waiting.append((value, f"{name}."))
        for name, found in lines.items():
            if len(found) > 1:
                yield f"{name} is given at lines {' and '.join(map(str, found))}: merge them, or remove one"


def _unusable_files(section: BaseModel, path: SettingPath = ()) -> Iterator[tuple[SettingPath, str]]:
    """Yield settings that name unreadable files, and why; those for X only if the command needs access to X.

    CA certificates may be in a folder, as for OpenSSL.
    """
    for name, value in section:
        if isinstance(value, BaseModel) and type(value) is not XSettings:
            yield from _unusable_files(value, (*path, name))
        elif isinstance(value, Path) and (problem := why_not_a_file(value, may_be_folder=name == "ca_file")):
            yield (*path, name), f"{as_path(value)}: {problem}"


def as_path(path: Path) -> str:
    """Return a path as it may be shown: text that does not look like one may be the secret that belongs in the file."""
    text = str(path)
    return text if text.startswith(("/", ".", "~")) else "the value given, which does not begin with / or ."


def _unusable_certificates(environment: Mapping[str, str]) -> Iterator[str]:
    """Find the file of CA certificates that the HTTP library takes from the environment, if it is unusable."""
    path = environment.get(_CA_VARIABLE)
    if path and (problem := why_not_a_file(Path(path))):
        yield f"{_CA_VARIABLE}: {path}: {problem}"


def _where(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark
    return "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"


def describe_settings(model: type[BaseModel], path: SettingPath = ()) -> Iterator[tuple[SettingPath, FieldInfo]]:
    """Yield the path and the description of every setting below `model`, in order."""
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from describe_settings(section, (*path, name))
        else:
            yield (*path, name), field


def _flat_sections(model: type[BaseModel], content: Mapping[str, Any], path: SettingPath = ()) -> Iterator[SettingPath]:
    """Yield sections for which the file has a value: a variable of that section would hide the mistake."""
    for name, field in model.model_fields.items():
        section, value = field.annotation, content.get(name)
        if value is None or not (isinstance(section, type) and issubclass(section, BaseModel)):
            continue
        if isinstance(value, Mapping):
            yield from _flat_sections(section, value, (*path, name))
        else:
            yield (*path, name)


def _misspelt_variables(kind: type[Settings], environment: Mapping[str, str]) -> list[str]:
    """Find CONNECTOR_ variables that pydantic would ignore: an unknown section, or one underscore where two belong."""
    known = {variable_name(path) for path, _ in describe_settings(kind)}
    by_single_underscore = {name.replace("__", "_"): name for name in known}
    sections = tuple(variable_name((section,)) for section in kind.model_fields)
    problems = []
    for name in sorted(environment):
        if not name.startswith(ENV_PREFIX) or name in known or name in sections:
            continue
        if right := by_single_underscore.get(name.replace("__", "_")):
            problems.append(f"{name}: unknown setting; did you mean {right}?")
        elif "__" in name and not name.startswith(tuple(f"{section}__" for section in sections)):
            alike = get_close_matches(name, known, n=1, cutoff=_ALIKE)
            hint = f"did you mean {alike[0]}?" if alike else f"sections are {', '.join(kind.model_fields)}"
            problems.append(f"{name}: unknown setting; {hint}")
    return problems


def read_proxy(scheme: str, address: str) -> "httpx.Proxy":
    """Return the proxy for `scheme`, which may be `all`, at this address; an address without a scheme means HTTP.

    Raises `SettingsError` for an address that the HTTP library would refuse, now or when it connects; never shows the
    address, as it may hold a password.
    """
    import httpx  # noqa: PLC0415 - a command starts without it if no proxy is named

    try:
        proxy = httpx.Proxy(address if "://" in address else f"http://{address}")
        proxy.raw_auth  # noqa: B018 - raises for what no header can hold
        is_usable = proxy.url.scheme in {"http", "https"} and bool(proxy.url.host) and proxy.url.port in _PORTS
    except (httpx.InvalidURL, ValueError):
        is_usable = False
    if not is_usable:
        raise SettingsError([f"{scheme.upper()}_PROXY: not an HTTP proxy's address, such as {_PROXY_EXAMPLE}"])
    if proxy.auth is not None:
        keep_secret(f"{scheme} proxy", proxy.auth[1] or proxy.auth[0], basic_credentials(*proxy.auth))
    return proxy


def _unusable_proxies() -> Iterator[str]:
    for scheme, address in getproxies_environment().items():
        if scheme in {"http", "https", "all"}:
            try:
                read_proxy(scheme, address)
            except SettingsError as error:
                yield from error.problems


_PLAIN = {
    "missing": "is required",
    "int_parsing": "is not a whole number",
    "float_parsing": "is not a number",
    "bool_parsing": "is neither true nor false",
}
"""Words for problems by pydantic's names of them."""


def _path(problem: ErrorDetails) -> SettingPath:
    """Return where to correct a problem."""
    path = tuple(str(part) for part in problem["loc"])
    if isinstance(cause := problem.get("ctx", {}).get("error"), SettingValueError):
        return *path[:-1], *cause.setting.split(".")
    return path


def _explain(kind: type[Settings], problem: ErrorDetails, name_of: Callable[[SettingPath], str]) -> str:
    path = _path(problem)
    message = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    field = dict(describe_settings(kind)).get(path)
    if problem["type"] == "extra_forbidden":
        message = f"unknown setting{_meant(kind, path)}"
    elif problem["type"] in _PLAIN:
        message = _PLAIN[problem["type"]]
    elif problem["type"] == "string_pattern_mismatch" and field and isinstance(field.json_schema_extra, dict):
        message = str(field.json_schema_extra[FORM])
    is_ours = problem["type"] == "value_error"
    hint = "" if field is None or is_ours else f" ({field.description})"
    return f"{name_of(path)}: {message}{hint}"


def _meant(kind: type[Settings], path: SettingPath) -> str:
    """Return a hint at the setting that an unknown one may stand for, by its name in that source."""
    right = _right_path(kind, path)
    if right is None:
        return f"; sections are {', '.join(kind.model_fields)}" if len(path) == 1 else ""
    is_variable = variable_name(path) in {name.upper() for name in os.environ}
    return f"; did you mean {variable_name(right) if is_variable else '.'.join(right)}?"


def _right_path(kind: type[Settings], path: SettingPath) -> SettingPath | None:
    """Return the setting or section with a similar name in the same section, or the only one of that name elsewhere."""
    *above, name = path
    section: type[BaseModel] = kind
    for each in above:
        inner = section.model_fields[each].annotation if each in section.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return None
        section = inner
    if alike := get_close_matches(name.lower(), section.model_fields, n=1):
        return (*above, alike[0])
    elsewhere = [known for known, _ in describe_settings(kind) if known[-1] == name]
    return elsewhere[0] if len(elsewhere) == 1 else None
