"""The producer that a group commit uses at the moment, and its replacement.

A producer is dropped as soon as it may be unfit for the next transaction: it failed, was fenced, or was slow. Its
successor ends what it left open. A producer that was fenced is not replaced at once: another process has its
transactional id, and would be fenced in turn.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum

from connector.errors import ConnectorError, FencedError, WriterLostError
from connector.kafka.clients import TRANSACTION_TIMEOUT_MS
from connector.kafka.threads import Threads
from connector.kafka.transaction import Part, TransactionalWriter

SLOW_COMMIT_S = 1.0
"""A commit that took longer is followed by a new producer.

librdkafka lacks KIP-890: a delayed request to end this transaction could end the next one of the same producer. A new
producer raises the epoch, so that Kafka refuses the request. It is sent a second time only after the producer's retry
back-off, which is longer than this.
"""
TRANSACTION_TIMEOUT_S = TRANSACTION_TIMEOUT_MS / 1000
"""How long Kafka keeps an uncommitted transaction open; a new owner waits that long for its end."""
_LONG_S = 5.0
"""During a longer attempt the whole process may have been paused, and may have lost stream partitions."""
_NEWS_S = 1.0
"""How long to wait after a long attempt for the consumer group to report partitions that were lost."""
_RETRY_S = 0.5
"""How long after a failure to make a producer the next one is tried."""


class ReplacementCause(StrEnum):
    """Why a producer was replaced: a closed set, public."""

    SLOW_COMMIT = "slow-commit"
    FAILED = "failed"
    FENCED = "fenced"


class CurrentWriter:
    """The producer in use, or the reason why there is none; for one thread.

    `make_writer` raises a `ConnectorError`; `on_replaced` receives why a producer was dropped, and the details.
    """

    def __init__(
        self,
        make_writer: Callable[[], TransactionalWriter],
        on_replaced: Callable[[ReplacementCause, str], None],
        threads: Threads,
    ) -> None:
        self._make_writer = make_writer
        self._on_replaced = on_replaced
        self._monotonic_s = threads.monotonic_s
        self._pause = threads.pause
        self._writer: TransactionalWriter | None = None
        self._is_fenced = False
        self._reason = "there is no producer yet"

    @property
    def is_there(self) -> bool:
        """Whether there is a producer."""
        return self._writer is not None

    @property
    def is_fenced(self) -> bool:
        """Whether there is no producer because another process has our transactional id, or may have our partitions."""
        return self._writer is None and self._is_fenced

    def loss(self) -> WriterLostError:
        """Return why there is no producer, as a new error: one raised twice would keep its first traceback alive."""
        return FencedError(self._reason) if self._is_fenced else WriterLostError(self._reason)

    def make(self) -> None:
        """Try once to make a producer if there is none."""
        if self._writer is None:
            try:
                self._writer = self._make_writer()
            except ConnectorError as error:
                self._note(str(error))
            except Exception as error:  # noqa: BLE001 - the waiting committer needs the outcome, whatever failed
                self._note(f"{type(error).__name__}: {error}")

    def make_until(self, until_s: float, should_stop: Callable[[], bool]) -> None:
        """Make a producer if there is none, trying until `until_s`; give up at once if the last one was fenced."""
        while self._writer is None and not self._is_fenced:
            if should_stop() or self._monotonic_s() >= until_s:
                return
            self.make()
            if self._writer is None:
                self._pause(_RETRY_S)

    def drop(self) -> None:
        """Drop the producer; the next one ends the transaction that it left open."""
        self._writer = None

    def poll(self) -> None:
        """Poll the idle producer for callbacks; one that fails at that is dropped."""
        if self._writer is not None:
            try:
                self._writer.poll()
            except Exception as error:  # noqa: BLE001 - whatever a callback raises, the thread must live
                self._lose(_cause_of(error), str(error))

    def commit(self, parts: Sequence[Part]) -> float:
        """Commit these parts; drop the producer if that fails or takes long. Raises what `TransactionalWriter` raises.

        An attempt may take `transaction.DEADLINE_S`. One that took as long as Kafka keeps a transaction open was
        paused, with the whole process, and its partitions may have other owners by now: it counts as fenced.
        """
        if self._writer is None:
            raise self.loss()
        began_s = self._monotonic_s()
        try:
            duration_s = self._writer.commit(parts)
        except Exception as error:
            if (took_s := self._monotonic_s() - began_s) >= TRANSACTION_TIMEOUT_S:
                text = f"the process was paused for {took_s:.0f} s during a transaction: {error}"
                self._lose(ReplacementCause.FENCED, text)
                raise self.loss() from None
            self._lose(_cause_of(error), str(error))
            raise
        finally:
            if self._monotonic_s() - began_s >= _LONG_S:
                self._pause(_NEWS_S)
        if duration_s > SLOW_COMMIT_S:
            self._lose(ReplacementCause.SLOW_COMMIT, f"a commit took {duration_s:.1f} s")
        return duration_s

    def _lose(self, cause: ReplacementCause, text: str) -> None:
        self._writer = None
        self._note(text, is_fenced=cause is ReplacementCause.FENCED)
        self._on_replaced(cause, text)

    def _note(self, reason: str, *, is_fenced: bool = False) -> None:
        self._reason, self._is_fenced = reason, is_fenced


def _cause_of(error: Exception) -> ReplacementCause:
    return ReplacementCause.FENCED if isinstance(error, FencedError) else ReplacementCause.FAILED
