"""What the connector installs, and why: read from pyproject.toml, the lock, the imports and each package's metadata.

Shows what applies on Linux, with CPython 3.13 as in the image.
"""

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).parents[3]
_PROJECT = "x-compliance-connector"
_LINUX = {
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
}
_VIA = re.compile(r"^    #(?: via|  ) (?!-c )(\S+)", re.MULTILINE)
_READ = {"jinja2": "BSD-3-Clause"}
"""Licences of packages whose metadata does not say which of several it is; the text in the package does."""
_SPDX = {"Apache Software License": "Apache-2.0", "ISC License": "ISC", "MIT License": "MIT"}

REASONS = {
    "confluent-kafka": "Kafka with transactions; the client of the registry comes as its extra `schemaregistry`",
    "fastavro": "reads and writes Avro, in compiled code",
    "h11": "parses HTTP where we hold the socket: the HTTP port, and the simulator",
    "httpcore": "the sockets below httpx: bounds on time, and reads that can be ended",
    "httpx": "speaks HTTP to X",
    "jinja2": "HTML: the page of the service and the coverage report, every text escaped",
    "msgspec": "reads and writes JSON, exactly and in a fixed order; structs",
    "prometheus-client": "`/metrics`",
    "pydantic-settings": "settings from the environment and YAML, with every mistake at once",
    "structlog": "logs",
    "typer": "the command line",
    "noida-db": "only with the extra `demo`: a small broker, run as a program",
    "rich": "only with the extra `demo`: the table on a terminal; typer brings it anyway",
}
"""What each dependency is for."""

BROUGHT = {
    "markupsafe": "jinja2",
    "pydantic": "pydantic-settings",
    "pydantic-core": "pydantic-settings",
    "pyyaml": "pydantic-settings",
}
"""What is imported although another dependency brings it: its mark of what is HTML, its models and its YAML."""


def declared() -> list[str]:
    """Return the names of all run-time dependencies in pyproject.toml, those of the extra last."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(text).name for text in project["dependencies"] + project["optional-dependencies"]["demo"]]


def locked(name: str) -> dict[str, list[str]]:
    """Return each package of the lock file `name` that applies on Linux, with what needs it."""
    packages = {}
    for block in re.split(r"\n(?=\w)", (_ROOT / "requirements" / name).read_text(encoding="utf-8")):
        requirement = Requirement(block.partition(" \\\n")[0])
        if requirement.marker is None or requirement.marker.evaluate(_LINUX):
            packages[requirement.name] = _VIA.findall(block)
    return packages


def imports() -> dict[str, set[str]]:
    """Return the packages that the connector imports, each with the first-level modules that do."""
    owners = metadata.packages_distributions()
    found: dict[str, set[str]] = defaultdict(set)
    for path in (_ROOT / "connector").rglob("*.py"):
        place = path.relative_to(_ROOT / "connector").parts[0]
        for module in _imported(ast.parse(path.read_text(encoding="utf-8"))):
            for owner in owners[module]:
                found[canonicalize_name(owner)].add(place)
    return found


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            module = name.partition(".")[0]
            if module != "connector" and module not in sys.stdlib_module_names:
                yield module


def licence(name: str) -> str:
    """Return the licence that the package's metadata states, as an SPDX expression where that is known."""
    if name in _READ:
        return _READ[name]
    about = metadata.metadata(name)
    classifiers = [text.rpartition(" :: ")[2] for text in about.get_all("Classifier") or [] if "License ::" in text]
    [stated, *_] = [*(about.get_all("License-Expression") or about.get_all("License") or []), *classifiers]
    return _SPDX.get(stated, str(stated))


def reason_rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield each dependency with what it is for, where it is imported and its licence."""
    places = imports()
    for name in declared():
        brought = [other for other, bringer in BROUGHT.items() if bringer == name]
        used = sorted(set().union(*(places.get(each, set()) for each in (name, *brought))))
        yield name, REASONS[name], ", ".join(f"`{place}`" for place in used) or "none", licence(name)


def third_party_rows() -> Iterator[tuple[str, str, str]]:
    """Yield each package that is installed with its licence and what needs it."""
    for name, needed_by in locked("demo.txt").items():
        yield name, licence(name), ", ".join("the connector" if by == _PROJECT else by for by in needed_by)
