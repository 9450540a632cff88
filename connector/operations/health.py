"""The health of a running service, by its own answers, with reasons."""

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
    """Return the text of a service's 200 answer at `path`.

    Raises `DependencyUnavailableError` with the reasons in its /status for any other answer, or with why there is none.
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
    """Yield why a service is not ready, as far as its status shows."""
    if not status.has_joined_group:
        yield "not a member of the consumer group"
    well = {State.RUNNING.value, State.NOT_OWNED.value}
    yield from (
        f"{shown(name)} is {shown(each.state)}" for name, each in status.partitions.items() if each.state not in well
    )
    if status.last_error:
        yield f"last error: {shown(status.last_error)}"
