"""What a reader reports: one call for each event between it and X. Must not know logs or metrics."""

from typing import Protocol

from connector.coverage.messages import EndReason, Verdict
from connector.coverage.plan import Plan
from connector.source.connect_limiter import WaitReason


class ReaderObserver(Protocol):
    """Receives what happens between one reader and X; every method returns at once."""

    def connected(self, plan: Plan, clock_offset_us: int) -> None:
        """X granted a connection."""

    def connect_failed(self, reason: str, detail: str, delay_s: float) -> None:
        """An attempt to connect failed; the next one comes after `delay_s` seconds."""

    def plan_refused(self, plan: Plan, detail: str, *, is_believed: bool) -> None:
        """X refused the parameters of a plan, or ignored them; a refusal is believed the second time in a row."""

    def waiting_to_connect(self, reason: WaitReason | None, at_least_s: float | None, waited_s: float) -> None:
        """The attempt has waited another `waited_s` seconds for a permit; called about once a second."""

    def postponed(self, delay_s: float) -> None:
        """The next attempt comes after `delay_s` seconds or more."""

    def disconnected(self, reason: EndReason, tail_bytes: int) -> None:
        """A connection ended; `tail_bytes` of an unfinished line were dropped."""

    def slice_ended(self, verdict: Verdict) -> None:
        """A replay slice ended."""

    def system_message(self, problem: str, detail: str) -> None:
        """X sent an in-stream system message."""

    def secrets_hidden(self, lines: int) -> None:
        """X repeated a secret of the request in this many lines, and the secret was hidden in them."""

    def read(self, size_bytes: int, at_us: int) -> None:
        """Bytes were read."""

    def failed(self, error: Exception) -> None:
        """An unexpected exception ended an attempt."""
