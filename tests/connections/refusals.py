"""An X that refuses a request with a status, and then is good."""

import json
from collections.abc import Callable
from typing import Any

from connector.simulator.faults import Refuse
from tests.connections.row import WHERE, good
from tests.connections.x import Bare, Simulated, X
from tests.rig.peer import Peer, answering


def refusing(status: int, *, times: int = 1, **more: Any) -> Callable[[], X]:  # noqa: ANN401 - of the fault
    """Return what makes a simulator that answers so `times` times, and then is good."""
    return lambda: Simulated(Refuse(status=status, times=times, **WHERE, **more), good=times + 1)


def answering_once(status: str, body: object = b"", *headers: tuple[str, str]) -> Callable[[], X]:
    """Return what makes an X that gives this answer once, and then is good."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda: Bare(Peer(answering(status, content, *headers), good(1)), events=1)
