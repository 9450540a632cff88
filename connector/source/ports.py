"""What the reader needs of others: what became of its deliveries, and somebody to tell what happens."""

from typing import Protocol

from connector.coverage.plan import Plan, Replay
from connector.coverage.session import Doubt
from connector.events.decode import SystemMessage


class Progress(Protocol):
    """What the reader must know of what became of its deliveries."""

    @property
    def covered_until_us(self) -> int:
        """Coverage as committed."""

    @property
    def system_message(self) -> SystemMessage | None:
        """What X said about the latest connection, if anything."""

    @property
    def doubt(self) -> Doubt | None:
        """Why the latest connection casts doubt on what came before, if it does."""

    @property
    def again(self) -> Replay | None:
        """The stretch that X has to bring once more, before anything else."""


class Report(Protocol):
    """Is told what happens between the reader and X."""

    def connected(self, plan: Plan, clock_offset_us: int) -> None:
        """X granted a connection."""

    def replanned(self) -> None:
        """X granted a connection, and its time shows that a better plan can be made."""

    def connect_failed(self, reason: str, detail: str, delay_s: float) -> None:
        """An attempt to connect did not succeed; the next one comes after `delay_s` seconds."""

    def postponed(self, delay_s: float | None) -> None:
        """The next attempt comes after `delay_s` seconds or more, or at a time that is not known yet."""

    def disconnected(self, reason: str, tail_bytes: int) -> None:
        """A connection ended; `tail_bytes` of an unfinished line were dropped."""

    def slice_ended(self, *, is_whole: bool) -> None:
        """A replay slice came to its end, as X has it or as it was cut off."""

    def system_message(self, problem: str, detail: str) -> None:
        """X spoke of the connection within the stream."""

    def doubted(self, doubt: str) -> None:
        """What X brought shows that an earlier stretch may not have been whole."""

    def read(self, size_bytes: int, at_us: int) -> None:
        """Bytes came."""

    def failed(self, error: Exception) -> None:
        """Something happened that nobody foresaw."""
