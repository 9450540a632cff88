"""The page at `/`: rendered from memory on request, and cached for a moment, so that many requests cost no more."""

import socket
import time
from collections.abc import Callable
from http import HTTPStatus

from connector import __version__
from connector.pages.overview import make_overview
from connector.pages.picture import WORDS
from connector.pages.rendering import content_policy, render
from connector.telemetry import dead_letters
from connector.telemetry.connections import Answer
from connector.telemetry.status import ServiceStatus
from connector.x.clock import wall_us

KEPT_S = 2.0
"""How long a rendered page is served again."""
_REFRESH_S = 30
_LINKS = ("/metrics", "/status", "/livez", "/readyz")


class ServicePage:
    """Serves the page of `status`."""

    def __init__(self, status: ServiceStatus, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._status = status
        self._monotonic = monotonic
        self._answer: Answer | None = None
        self._made_at = float("-inf")

    def answer(self) -> Answer:
        """Return the page, at most `KEPT_S` seconds old."""
        if self._answer is None or self._monotonic() - self._made_at > KEPT_S:
            self._answer = _answer(self._make())
            self._made_at = self._monotonic()
        return self._answer

    def _make(self) -> str:
        status = self._status
        return render(
            "service.html",
            overview=make_overview(status, wall_us()),
            status=status,
            host=socket.gethostname(),
            version=__version__,
            legend=WORDS,
            dead_letter_days=dead_letters.DAYS,
            links=_LINKS,
            refresh_s=_REFRESH_S,
        )


def _answer(page: str) -> Answer:
    headers = (
        ("Content-Security-Policy", f"{content_policy()}; frame-ancestors 'none'"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"),
    )
    return Answer(HTTPStatus.OK, page.encode(errors="replace"), "text/html; charset=utf-8", headers)
