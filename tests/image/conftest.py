"""Owns what the tests of the image share: the image, a broker and a registry; without podman it ends the run."""

from collections.abc import Iterator

import pytest

from tests.image.podman import CannotRunError, Podman, build_image
from tests.rig.kafka import KafkaCluster
from tests.rig.registry import Registry


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Podman:
    """Build the image; where that cannot be done, end the run: tests that did not run must not look like success."""
    podman = Podman(tmp_path_factory.mktemp("podman"))
    try:
        build_image(podman)
    except CannotRunError as reason:
        pytest.exit(f"no test of the image ran: {reason}", returncode=1)
    return podman


@pytest.fixture(scope="session")
def kafka(podman: Podman) -> Iterator[KafkaCluster]:  # noqa: ARG001 - no broker is started where no image can be
    """Start a broker."""
    with KafkaCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def registry(podman: Podman) -> Iterator[Registry]:  # noqa: ARG001 - no registry is started where no image can be
    """Start a registry."""
    with Registry() as server:
        yield server
