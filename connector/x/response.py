"""The body of an answer that is not a stream, bounded in size; its attempt bounds the time.

The limit applies to the bytes received and to the inflated ones; an encoding that was not requested is left undecoded.
"""

from collections.abc import Iterator

import httpx

from connector.x.decoders import Decoder, GzipDecoder, IdentityDecoder
from connector.x.failures import HTTP_FAILURES
from connector.x.head import Head

BODY_LIMIT = 64 * 1024
_DELIMITERS = {"content-length", "transfer-encoding"}


def decoder_of(head: Head) -> Decoder:
    """Return the decoder of the body that follows `head`; one in any other encoding stays as it is."""
    return GzipDecoder() if head.is_gzip else IdentityDecoder()


def is_delimited(response: httpx.Response) -> bool:
    """Return whether the end of the body can be distinguished from a cut."""
    return not _DELIMITERS.isdisjoint(response.headers)


def read_body(response: httpx.Response, head: Head, limit_bytes: int = BODY_LIMIT) -> bytes:
    """Return the body up to the limit, and close the response.

    Raises one of `HTTP_FAILURES` if the body breaks off or takes too long.
    """
    return b"".join(_bounded(response, head, limit_bytes))


def read_beginning(response: httpx.Response, head: Head) -> bytes:
    """Return the same, or the part before the body breaks off: enough to judge and to quote an answer."""
    body = bytearray()
    try:
        for piece in _bounded(response, head, BODY_LIMIT):
            body += piece
    except HTTP_FAILURES:
        return bytes(body)
    return bytes(body)


def _bounded(response: httpx.Response, head: Head, limit_bytes: int) -> Iterator[bytes]:
    is_gzip_asked = "gzip" in response.request.headers.get("accept-encoding", "")
    decoder = decoder_of(head) if is_gzip_asked else IdentityDecoder()
    left = raw_left = limit_bytes
    try:
        for chunk in response.iter_raw():
            for piece in decoder.decode(chunk[:raw_left]):
                yield piece[:left]
                left -= len(piece)
                if left <= 0:
                    return
            raw_left -= len(chunk)
            if raw_left <= 0:
                return
    finally:
        response.close()
