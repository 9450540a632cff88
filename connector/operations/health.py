"""Whether a running service is well, by its own answers, and why it is not."""

from collections.abc import Iterator, Mapping

import msgspec

from connector.errors import DependencyUnavailableError
from connector.quoting import shown
from connector.telemetry.http import ask
from connector.telemetry.status import State


class _Partition(msgspec.Struct, frozen=True):
    state: str


class ServiceStatus(msgspec.Struct, frozen=True):
    """The part of a /status that says why a service is not ready."""

    has_joined_group: bool
    partitions: Mapping[str, _Partition]
    last_error: str | None = None


def probe(host: str, port: int, path: str) -> str:
    """Return what a service answers with 200 at `path`.

    Raises `DependencyUnavailableError` with the reasons that its /status gives when it answers otherwise, or with why
    it does not answer.
    """
    try:
        return ask(host, port, path)
    except DependencyUnavailableError as error:
        try:
            status = msgspec.json.decode(ask(host, port, "/status"), type=ServiceStatus)
        except (DependencyUnavailableError, ValueError):
            raise error from None
        raise DependencyUnavailableError("; ".join((str(error), *reasons(status)))) from error


def reasons(status: ServiceStatus) -> Iterator[str]:
    """Yield why a service is not ready, as far as its status says."""
    if not status.has_joined_group:
        yield "not a member of the consumer group"
    well = {State.RUNNING.value, State.NOT_OWNED.value}
    yield from (
        f"{shown(name)} is {shown(each.state)}" for name, each in status.partitions.items() if each.state not in well
    )
    if status.last_error:
        yield f"last error: {shown(status.last_error)}"
