"""A model of Kafka's transactions: logs with markers, a coordinator, and a producer that lacks KIP-890.

The coordinator keeps an epoch for each transactional id, ends what takes too long, and writes markers in its own time.
Requests are held up and come late, answers are lost, and partitions are offline. That the epoch of a producer stays
the same from one transaction to the next is what lets a late request end the wrong one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

from confluent_kafka import KafkaError, KafkaException

from tests.unit.kafka.transactions.turns import Turns

_TRANSACTION_TIMEOUT_S = 15.0
_SENT_AGAIN_AFTER_S = 1.2
_HELD_UP_S = (0.5, 3.0, 10.0, 20.0)
_TIMED_OUT = KafkaError._TIMED_OUT  # noqa: SLF001 - the client's public name for its own codes begins so

Where = tuple[str, int]
"""A topic and a partition."""


def _error(code: int, *, is_retriable: bool = False, is_fatal: bool = False) -> KafkaException:
    return KafkaException(KafkaError(code, KafkaError(code).str(), is_fatal, is_retriable, False))  # noqa: FBT003


class Log:
    """One partition: records and markers, each at an offset."""

    def __init__(self) -> None:
        self.end = 0
        self.offline_until_s = 0.0
        self.epochs: dict[int, int] = {}
        self._open: dict[int, dict[int, bytes]] = {}
        self._committed: dict[int, bytes] = {}

    def append(self, producer: int, epoch: int, value: bytes) -> int:
        """Write a record; return its offset."""
        self.epochs[producer] = epoch
        self._open.setdefault(producer, {})[self.end] = value
        self.end += 1
        return self.end - 1

    def mark(self, producer: int, epoch: int, *, is_commit: bool) -> None:
        """Write a marker, which ends the transaction of a producer."""
        self.epochs[producer] = epoch
        ended = self._open.pop(producer, {})
        if is_commit:
            self._committed |= ended
        self.end += 1

    @property
    def stable_end(self) -> int:
        """The last stable offset: where the first open transaction begins."""
        return min((next(iter(records)) for records in self._open.values()), default=self.end)

    def committed(self) -> list[tuple[int, bytes]]:
        """Return what a consumer is shown that reads what is committed."""
        stable_end = self.stable_end
        return [(offset, value) for offset, value in sorted(self._committed.items()) if offset < stable_end]


class _State(Enum):
    """What the coordinator knows of a transactional id."""

    EMPTY = "empty"
    ONGOING = "ongoing"
    COMMITTING = "committing"
    ABORTING = "aborting"
    COMPLETE = "complete"


_ENDING = (_State.COMMITTING, _State.ABORTING)


class _Answer(Enum):
    """What the coordinator says to a request to commit."""

    OK = "ok"
    BUSY = "busy"
    FENCED = "fenced"
    INVALID = "invalid"


@dataclass
class _Coordinated:
    """One transactional id at its coordinator; `wheres` has the partitions of its transaction, in order."""

    name: str
    producer: int
    epoch: int = -1
    state: _State = _State.EMPTY
    wheres: dict[Where, None] = field(default_factory=dict)
    began_s: float = 0.0

    def begin(self, now_s: float) -> None:
        """Begin a transaction."""
        self.state, self.began_s, self.wheres = _State.ONGOING, now_s, {}

    def abort(self) -> None:
        """Abort the transaction, and let its producer do nothing more."""
        self.epoch += 1
        self.state = _State.ABORTING

    def commit(self, epoch: int) -> _Answer:
        """Answer a request to commit by a producer of that epoch, whichever transaction it meant."""
        if epoch != self.epoch:
            return _Answer.FENCED
        if self.state is _State.ONGOING:
            self.state = _State.COMMITTING
            return _Answer.OK
        answers = {_State.COMMITTING: _Answer.BUSY, _State.COMPLETE: _Answer.OK}
        return answers.get(self.state, _Answer.INVALID)


class Kafka:
    """The logs, the coordinator, and requests that are still under way."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.logs: dict[Where, Log] = {}
        self.is_faulty = True
        self._ids: dict[str, _Coordinated] = {}
        self._late: list[tuple[float, Callable[[], _Answer]]] = []

    def log(self, where: Where) -> Log:
        """Return the log of a partition."""
        return self.logs.setdefault(where, Log())

    def coordinated(self, name: str) -> _Coordinated:
        """Return what the coordinator knows of a transactional id."""
        return self._ids.setdefault(name, _Coordinated(name, len(self._ids)))

    def is_bad_luck(self, chance: float) -> bool:
        """Draw whether something goes wrong."""
        return self.is_faulty and self.turns.random.random() < chance

    def hold_up(self, request: Callable[[], _Answer]) -> None:
        """Deliver a request later."""
        self._late.append((self.turns.now_s + self.turns.random.choice(_HELD_UP_S), request))

    def act(self) -> None:
        """Do one of the things that are due: time a transaction out, write a marker, or deliver a late request."""
        due: list[Callable[[], None]] = []
        for each in self._ids.values():
            if each.state is _State.ONGOING and self.turns.now_s - each.began_s >= _TRANSACTION_TIMEOUT_S:
                due.append(partial(self._time_out, each))
            elif each.state in _ENDING:
                due += [partial(self._mark, each, where) for where in each.wheres if self.is_online(where)]
        due += [partial(self._deliver, late) for late in self._late if late[0] <= self.turns.now_s]
        if due:
            self.turns.random.choice(due)()

    def is_online(self, where: Where) -> bool:
        """Whether a partition can be written to."""
        return self.log(where).offline_until_s <= self.turns.now_s

    def _time_out(self, each: _Coordinated) -> None:
        self.turns.note(f"the transaction of {each.name} takes too long")
        each.abort()

    def _mark(self, each: _Coordinated, where: Where) -> None:
        self.log(where).mark(each.producer, each.epoch, is_commit=each.state is _State.COMMITTING)
        del each.wheres[where]
        if not each.wheres:
            each.state = _State.COMPLETE

    def _deliver(self, late: tuple[float, Callable[[], _Answer]]) -> None:
        self._late.remove(late)
        self.turns.note(f"a late request to commit: {late[1]().value}")


@dataclass(frozen=True, slots=True)
class _Delivered:
    """A message that was written."""

    at: int

    def offset(self) -> int:
        """Return where it stands."""
        return self.at


_Note = Callable[[KafkaError | None, _Delivered], None] | None


class Producer:
    """librdkafka's transactional producer. Whatever it calls takes turns with the other threads."""

    def __init__(self, kafka: Kafka, properties: Mapping[str, str]) -> None:
        self._kafka = kafka
        self._turns = kafka.turns
        self._id = kafka.coordinated(properties["transactional.id"])
        self._epoch = -1
        self._queue: dict[Where, list[tuple[bytes, _Note]]] = {}
        self._added: set[Where] = set()
        self._error: KafkaException | None = None

    def init_transactions(self, timeout_s: float) -> None:
        """End what the predecessor left open, and fence it."""
        until_s = self._turns.now_s + timeout_s
        while True:
            self._step(until_s)
            if self._kafka.is_bad_luck(0.02):
                continue
            if self._id.state is _State.ONGOING:
                self._id.abort()
            elif self._id.state not in _ENDING:
                self._id.epoch += 1
                self._id.state = _State.EMPTY
                self._epoch = self._id.epoch
                self._turns.note(f"has {self._id.name}, epoch {self._epoch}")
                return

    def begin_transaction(self) -> None:
        """Begin one."""
        self._check()
        self._added, self._queue = set(), {}

    def produce(
        self,
        topic: str,
        value: bytes,
        _key: bytes,
        partition: int,
        note: _Note,
        _partitioner: None,
        _timestamp: int,
        _headers: object,
    ) -> None:
        """Queue a record; one without a partition goes to the first."""
        self._queue.setdefault((topic, max(partition, 0)), []).append((value, note))

    def poll(self, _timeout_s: float) -> None:
        """Call nothing back."""

    def flush(self, timeout_s: float) -> int:
        """Write what is queued, one partition after the other; return for how many there was no time."""
        until_s = self._turns.now_s + timeout_s
        todo = list(self._queue)
        self._turns.random.shuffle(todo)
        while todo:
            self._turns.step()
            if self._turns.now_s > until_s:
                return len(todo)
            if self._kafka.is_bad_luck(0.01):
                self._error = _error(KafkaError.MSG_SIZE_TOO_LARGE)
            elif todo[0] not in self._added:
                self._add(todo[0])
            elif self._kafka.is_online(todo[0]):
                self._write(todo[0])
                del todo[0]
            if self._error is not None:
                break
        return 0

    def _add(self, where: Where) -> None:
        """Tell the coordinator that the transaction has this partition, too, unless it is busy with the last one."""
        if self._id.epoch != self._epoch:
            self._error = _error(KafkaError.PRODUCER_FENCED, is_fatal=True)
        elif self._id.state not in _ENDING:
            if self._id.state is not _State.ONGOING:
                self._id.begin(self._turns.now_s)
            self._id.wheres[where] = None
            self._added.add(where)

    def _write(self, where: Where) -> None:
        """Write to one partition, which asks the coordinator whether the transaction has it."""
        log = self._kafka.log(where)
        if log.epochs.get(self._id.producer, -1) > self._epoch:
            self._error = _error(KafkaError.INVALID_PRODUCER_EPOCH)
        elif self._id.epoch != self._epoch or self._id.state is not _State.ONGOING or where not in self._id.wheres:
            self._error = _error(KafkaError.INVALID_TXN_STATE)
        else:
            placed = [(log.append(self._id.producer, self._epoch, value), note) for value, note in self._queue[where]]
            for offset, note in placed:
                if note is not None:
                    note(None, _Delivered(offset))

    def commit_transaction(self, timeout_s: float) -> None:
        """Commit; a request that is not answered is sent again."""
        until_s = self._turns.now_s + timeout_s
        self._turns.step()
        self._check()
        while True:
            answer = self._ask_to_commit()
            if answer is _Answer.OK:
                return
            if answer in {_Answer.FENCED, _Answer.INVALID}:
                is_fenced = answer is _Answer.FENCED
                code = KafkaError.PRODUCER_FENCED if is_fenced else KafkaError.INVALID_TXN_STATE
                self._error = _error(code, is_fatal=True)
                self._check()
            again_s = self._turns.now_s + _SENT_AGAIN_AFTER_S
            while self._turns.now_s < again_s:
                self._step(until_s)

    def _ask_to_commit(self) -> _Answer | None:
        """Return the answer, None if there is none."""
        coordinated, epoch = self._id, self._epoch
        if self._kafka.is_bad_luck(0.03):
            self._kafka.hold_up(lambda: coordinated.commit(epoch))
            return None
        answer = coordinated.commit(epoch)
        return None if self._kafka.is_bad_luck(0.03) else answer

    def _step(self, until_s: float) -> None:
        self._turns.step()
        if self._turns.now_s > until_s:
            raise _error(_TIMED_OUT, is_retriable=True)

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
