"""The official AsyncAPI parser accepts `docs/asyncapi.yaml`, the Avro schemas in it included."""

import copy
import json
import shutil
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.compose import ROOT

_PROJECT = ROOT / "tests/asyncapi"
_FILES = ("package.json", "package-lock.json", ".npmrc", "validate.mjs")
_DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text(encoding="utf-8"))
_TIMEOUT_S = 300

Parse = Callable[[dict[str, Any]], dict[str, list[str]]]


@pytest.fixture(name="parse", scope="module")
def _parse() -> Parse:
    """Give what calls the parser, installed once for each state of its lock."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are needed, to run the official AsyncAPI parser")
    digest = sha256(b"".join((_PROJECT / name).read_bytes() for name in _FILES)).hexdigest()
    folder = ROOT / ".work" / "asyncapi" / digest[:16]
    if not (folder / "installed").exists():
        _install(npm, folder)

    def parse(document: dict[str, Any]) -> dict[str, list[str]]:
        said: dict[str, list[str]] = json.loads(_output([node, "validate.mjs"], folder, json.dumps(document)))
        return said

    return parse


def _install(npm: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copy(_PROJECT / name, folder)
    _output([npm, "ci", "--ignore-scripts"], folder)
    (folder / "installed").touch()


def _output(command: list[str], folder: Path, given: str = "") -> str:
    done = subprocess.run(  # noqa: S603 - the commands are ours
        command, cwd=folder, input=given, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_document_has_no_errors_and_no_warnings(parse: Parse) -> None:
    """The parser finds all channels, and its Avro parser reads every payload."""
    assert parse(_DOCUMENT) == {"channels": [*_DOCUMENT["channels"]], "problems": []}


def _spoil_type(document: dict[str, Any]) -> None:
    document["components"]["messages"]["tweet.delete"]["payload"]["schema"]["fields"][0]["type"] = "text"


def _spoil_schema(document: dict[str, Any]) -> None:
    del document["components"]["messages"]["tweet.delete"]["payload"]["schema"]["fields"]


def _spoil_reference(document: dict[str, Any]) -> None:
    document["operations"]["send.gap"]["messages"][0]["$ref"] = "#/channels/coverage/messages/coverage"


def _spoil_binding(document: dict[str, Any]) -> None:
    document["channels"]["gap"]["bindings"]["kafka"]["partitions"] = "one"


@pytest.mark.parametrize("spoil", [_spoil_type, _spoil_schema, _spoil_reference, _spoil_binding])
def test_parser_finds_what_is_wrong(parse: Parse, spoil: Callable[[dict[str, Any]], None]) -> None:
    """In Avro, in a reference and in a binding: so that it finds nothing in the document says something."""
    document = copy.deepcopy(_DOCUMENT)
    spoil(document)
    assert parse(document)["problems"]


def test_lock_names_no_registry() -> None:
    """The packages come from the registry that npm is set to, and are known by their hashes."""
    packages = json.loads((_PROJECT / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert all("integrity" in package and "resolved" not in package for path, package in packages.items() if path)
