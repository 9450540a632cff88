"""The two transfers of a batch job: ids up, results down.

Today a transfer URL is on X's own host and needs the bearer token as well; before September 2026 it was a signed URL of
Google's storage, which refused any other authorization. This module decides where the token and the ids may go.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_plus

import httpx

from connector.errors import ConnectorError
from connector.events.times import US_PER_S
from connector.files import replace_private
from connector.network import is_loopback
from connector.quoting import LEAST_IN_DATA, keep_secret, shown
from connector.settings import variable_name
from connector.x.batch_api import BatchApi, CallFailedError, Job, Transfer, refused, unanswered
from connector.x.clock import wall_us
from connector.x.failures import HTTP_FAILURES
from connector.x.head import MAX_WAIT_S, Head
from connector.x.response import decoder_of, is_delimited, read_beginning
from connector.x.transport import Wire
from connector.x.way import Way

Progress = Callable[[int], None]
"""Called now and then with the number of bytes transferred."""

_BLOCK_BYTES = 256 * 1024
_LEAST_UPLOAD_S = 1.0
_NO_RESULTS = ("text/html", "application/problem+json")
"""Content types of answers other than results; X documents none for results."""


class TransferNotAllowedError(ConnectorError):
    """X gave a transfer URL that must not be used."""

    exit_code = os.EX_CONFIG


@dataclass(frozen=True, slots=True)
class _Place:
    """The target of a transfer, and the client for it."""

    way: Way
    url: httpx.URL
    is_of_x: bool


class _Blocks:
    """A file of `size_bytes` being sent: `sent_bytes` are gone."""

    def __init__(self, file: BinaryIO, on_progress: Progress) -> None:
        self._file = file
        self._on_progress = on_progress
        self.size_bytes = os.fstat(file.fileno()).st_size
        self.sent_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield the file at its initial size. Raises `CallFailedError` if it has become shorter."""
        while left_bytes := self.size_bytes - self.sent_bytes:
            block = self._file.read(min(left_bytes, _BLOCK_BYTES))
            if not block:
                raise CallFailedError("the file with the ids became shorter while it was sent")
            yield block
            self.sent_bytes += len(block)
            self._on_progress(self.sent_bytes)


class Transfers:
    """Uploads and downloads files. Every method raises `CallFailedError` and `TransferNotAllowedError`."""

    def __init__(self, api: BatchApi) -> None:
        self._api = api
        self._other_origins = set(map(_origin, api.transfer_origins))

    def upload(self, job: Job, ids: Path, on_progress: Progress = lambda _: None) -> None:
        """Upload a file of ids, within the window that X gives for it. Raises `OSError` if it cannot be read."""
        with ids.open("rb") as file, self._place(job, job.upload) as place:
            blocks = _Blocks(file, on_progress)
            headers = {"Content-Type": "text/plain", "Content-Length": str(blocks.size_bytes)}
            wire = Wire()
            with _answering(), place.way.attempt(wire, self._left_s(job.upload)):
                response = self._send(place, wire, "PUT", headers, blocks)
                head = self._api.read_head(response, "PUT")
                body = read_beginning(response, head)
        if not httpx.codes.is_success(head.status):
            raise refused(head, body)
        if blocks.sent_bytes != blocks.size_bytes:
            raise CallFailedError("X answered before the upload was complete", head.status)

    def download(self, job: Job, target: Path, on_progress: Progress = lambda _: None) -> None:
        """Download the results into a file with mode 0600, replacing any that is there; if that fails, none is left.

        A body with neither a length nor an end marker is refused, as its truncation would go unnoticed. Raises
        `OSError` if the disk is full.
        """
        wire = Wire()
        with self._place(job, job.download) as place, place.way.attempt(wire, self._api.attempt_time_s):
            with _answering():
                response = self._send(place, wire, "GET", {"Accept-Encoding": "gzip"})
                head = self._api.read_head(response, "GET")
                _check_results(response, head)
            wire.unlimit()
            with closing(response):
                _write(response, head, target, on_progress)

    def _send(
        self, place: _Place, wire: Wire, method: str, headers: dict[str, str], content: Iterable[bytes] | None = None
    ) -> httpx.Response:
        """Send a request, with the token if it is for X."""
        token = self._api.bearer(wire) if place.is_of_x else {}
        request = place.way.client.build_request(
            method, place.url, content=content, headers={**headers, **token}, extensions={"wire": wire}
        )
        return place.way.client.send(request, stream=True)

    @contextmanager
    def _place(self, job: Job, transfer: Transfer | None) -> Iterator[_Place]:
        """Yield the target of a transfer, and the client for it."""
        if transfer is None:
            raise CallFailedError("X gave no URL for the transfer")
        url = self._allowed(job, transfer)
        if self._is_of_x(url):
            yield _Place(self._api.way, url, is_of_x=True)
            return
        with closing(Way(self._api.settings, url.copy_with(raw_path=b"/"), self._api.network)) as way:
            yield _Place(way, url, is_of_x=False)

    def _allowed(self, job: Job, transfer: Transfer) -> httpx.URL:
        """Return the URL of a transfer. Raises `TransferNotAllowedError` unless it may be used."""
        url = _parsed(transfer.url)
        secrets = [secret for secret in _secrets_of(url) if len(secret) >= LEAST_IN_DATA]
        self._api.transfer_secrets.extend(secrets)
        keep_secret("transfer URL", *secrets)
        origin = _origin(url)
        is_encrypted = url.scheme == "https" or _is_local_http(url)
        if not url.host or url.userinfo or not (is_encrypted or self._is_of_x(url)):  # an operator may take X in plain
            raise TransferNotAllowedError(
                f"refused a transfer URL from X: {shown(origin)} must be https, with a host and without a user name"
            )
        if self._is_of_x(url):
            if f"/jobs/{job.id}/" not in f"{url.raw_path.decode().partition('?')[0]}/":
                raise TransferNotAllowedError(f"refused a transfer URL from X: it is not one of job {job.id}")
        elif origin not in self._other_origins:
            name = variable_name(("x", "transfer_origins"))
            raise TransferNotAllowedError(f"refused a transfer URL from X: {shown(origin)} is not in {name}")
        return url

    def _is_of_x(self, url: httpx.URL) -> bool:
        return _origin(url) == _origin(self._api.url)

    def _left_s(self, transfer: Transfer | None) -> float:
        """Return the seconds left for an upload: to the end of its window, by X's clock."""
        if transfer is None or transfer.expires_us is None:
            return MAX_WAIT_S
        left_s = (transfer.expires_us - (self._api.date_us or wall_us())) / US_PER_S
        return min(max(left_s, _LEAST_UPLOAD_S), MAX_WAIT_S)


@contextmanager
def _answering() -> Iterator[None]:
    """Raise `CallFailedError` if there is no answer, or one that breaks off."""
    try:
        yield
    except HTTP_FAILURES as error:
        raise unanswered(error) from None


def _parsed(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
        url.host, url.port, url.path  # noqa: B018 - each may raise
    except (httpx.InvalidURL, ValueError):
        raise TransferNotAllowedError("refused a transfer URL from X: it is not a valid URL") from None
    return url


def _secrets_of(url: httpx.URL) -> Iterator[str]:
    """Yield the secrets of a URL, raw and form-encoded, which must not be shown if an answer repeats them."""
    yield url.raw_path.decode()
    for value in (pair.split("=", 1)[-1] for pair in url.query.decode().split("&")):
        yield from (value, unquote_plus(value))


def _origin(url: httpx.URL) -> str:
    """Return scheme, host and port; the default port of the scheme is left out (RFC 6454, 4)."""
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace').lower()}"


def _is_local_http(url: httpx.URL) -> bool:
    return url.scheme == "http" and is_loopback(url.host)


def _check_results(response: httpx.Response, head: Head) -> None:
    """Raise `CallFailedError` for an answer that is not results."""
    if head.status != HTTPStatus.OK:
        raise refused(head, read_beginning(response, head))
    what = next((shown(kind, 80) for kind in head.content_types if kind.lower().startswith(_NO_RESULTS)), None)
    if what is not None:
        begins = shown(read_beginning(response, head))
        raise CallFailedError(f"not results but {what}, which begins: {begins or 'nothing'}", head.status)
    if head.encodings and not head.is_gzip:
        raise CallFailedError(
            f"results with Content-Encoding {shown(head.encodings[0], 80)}, which was not asked for", head.status
        )
    if not is_delimited(response):
        raise CallFailedError(
            "results with neither a length nor an end marker: truncation would go unnoticed", head.status
        )


def _write(response: httpx.Response, head: Head, target: Path, on_progress: Progress) -> None:
    """Write the rest of an answer. Raises `CallFailedError` if it breaks off."""
    file = replace_private(target)
    try:
        with file:
            for piece in _pieces(response, head):
                file.write(piece)
                on_progress(response.num_bytes_downloaded)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _pieces(response: httpx.Response, head: Head) -> Iterator[bytes]:
    decoder = decoder_of(head)
    with _answering():
        for chunk in response.iter_raw():
            yield from decoder.decode(chunk)
        decoder.flush()
