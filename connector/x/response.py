"""The body of an answer that is not a stream, bounded in size and time: whatever comes, somebody waits for it."""

import httpx

from connector.events.times import US_PER_S
from connector.x.clock import monotonic_us

BODY_LIMIT = 64 * 1024
BODY_TIME_US = 5 * US_PER_S


def read_body(response: httpx.Response) -> bytes:
    """Return what came of the body within the limits, and close the response.

    Takes one read longer than `BODY_TIME_US` at most. Raises `httpx.HTTPError` and `OSError` where the body breaks off.
    """
    body = bytearray()
    began_us = monotonic_us()
    try:
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > BODY_LIMIT or monotonic_us() - began_us > BODY_TIME_US:
                break
    finally:
        response.close()
    return bytes(body)
