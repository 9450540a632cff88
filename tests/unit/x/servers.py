"""A client of X, and servers that answer it with any bytes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from connector.events.catalog import StreamPartition
from connector.settings import XSettings
from connector.x.client import Connection, XClient
from connector.x.errors import ConnectFailedError

TWEET_1 = StreamPartition("tweet", 1)
DEADLINE_S = 30.0
PROBLEM = b'{"title":"t","detail":"d","type":"https://api.x.com/2/problems/invalid-request"}'
"""A body in which X itself objects to a request."""


@contextmanager
def make_client(base_url: str, **given: Any) -> Iterator[XClient]:  # noqa: ANN401 - any setting
    """Give a client with these settings and a token that the simulator takes."""
    settings = {"base_url": base_url, "bearer_token": "simulator-token", "silence_timeout_s": 22}
    client = XClient(XSettings.model_validate(settings | given))
    try:
        yield client
    finally:
        client.close()


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Serve one connection with the bytes of `answer`, and close it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as peer:
                peer.recv(65536)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join(DEADLINE_S)


def read(connection: Connection, outcome: list[object]) -> None:
    """Read to the end; `outcome` gets the chunks, and the failure that ended them."""
    try:
        outcome.extend(connection.chunks())
    except ConnectFailedError as error:
        outcome.append(error)
