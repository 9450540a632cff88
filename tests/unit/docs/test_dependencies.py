"""What is installed at run time is needed, declared, and under a licence that we accept."""

import re
import subprocess
import sys
from importlib import metadata

import pytest
from packaging.utils import canonicalize_name

from tests.unit.docs.dependencies import BROUGHT, REASONS, declared, imports, licence, locked

pytestmark = pytest.mark.slow

_ACCEPTED = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0"}
_IMPORT_ALL = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1:]:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import connector
from confluent_kafka.schema_registry import avro
for module in pkgutil.walk_packages(connector.__path__, "connector."):
    if module.name != "connector.__main__" and not module.name.startswith("connector.demo."):
        importlib.import_module(module.name)
        print(module.name)
"""


def test_every_dependency_has_a_reason() -> None:
    """And nothing else has one."""
    assert declared() == list(REASONS)


def test_every_dependency_is_imported_and_every_import_declared() -> None:
    """Other than a broker that is run as a program, and what comes as a part of a dependency."""
    assert set(imports()) - set(BROUGHT) == set(declared()) - {"noida-db"}


def test_all_modules_and_the_reader_of_the_contract_import_with_the_runtime_lock_alone() -> None:
    """Whatever else the development environment holds is kept away; the demo has an extra."""
    runtime = locked("runtime.txt")
    owners = metadata.packages_distributions()
    absent = [
        module
        for module in owners
        if not {canonicalize_name(name) for name in owners[module]} & {*runtime, "x-compliance-connector"}
    ]
    assert {"avro", "requests", "urllib3"} <= set(absent)
    command = [sys.executable, "-c", _IMPORT_ALL, *absent]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the command is ours
    assert (done.returncode, done.stderr) == (0, "")
    assert {"connector.app", "connector.kafka.registry"} < set(done.stdout.split())


def test_every_licence_is_one_that_we_accept() -> None:
    """Permissive, or like certifi's of single files that we do not change."""
    stated = {name: re.split(" OR | AND ", licence(name)) for name in locked("demo.txt")}
    assert {name: words for name, words in stated.items() if not set(words) <= _ACCEPTED} == {}
