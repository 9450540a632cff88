"""Owns how the tests build and run the examples in Java: one Maven project in each folder."""

import os
import shutil
from pathlib import Path

import pytest

from tests.integration.examples.published import run
from tests.rig.java import RigError, find_java

_OLDEST_JAVA = 17


def build(folder: Path) -> None:
    """Compile a project and collect its libraries under `target`; skips the test where that cannot be done."""
    maven = shutil.which("mvn")
    if maven is None:
        pytest.skip("Maven (mvn) is not installed")
    try:
        home = find_java(_OLDEST_JAVA, "javac").parents[1]
    except RigError as error:
        pytest.skip(str(error))
    command = [maven, "--quiet", "--batch-mode", "compile", "dependency:copy-dependencies"]
    run(command, folder, os.environ | {"JAVA_HOME": str(home)})


def java_command(main: str, *options: str) -> list[str | Path]:
    """Return the command that runs a main class in the folder of a built project."""
    return [find_java(_OLDEST_JAVA), *options, "-cp", "target/classes:target/dependency/*", main]
