"""Transactions over a played producer: what each error means, and that nothing is taken for granted."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from connector.errors import FencedError, WriterLostError
from connector.kafka import transaction
from connector.kafka.transaction import DEADLINE_S, Headers, Record, TransactionalWriter

_ENTRY = Record("ledger", b"tweet/1", b"entry", None, 3)
_RECORDS = [Record("events", b"1", b"a", {"h": "v"}), Record("events", b"2", b"b")]


def _error(code: int, *, fatal: bool = False, retriable: bool = False, abort: bool = False) -> KafkaException:
    return KafkaException(KafkaError(code, "told", fatal, retriable, abort))


_TIMED_OUT = _error(KafkaError._TIMED_OUT, retriable=True)  # noqa: SLF001 - the client's public name


class _Message:
    def __init__(self, offset: int | None) -> None:
        self._offset = offset

    def offset(self) -> int | None:
        """Return where the record stands."""
        return self._offset


class _Producer:
    """Plays the client: each call raises what is in store for it, and takes a second."""

    def __init__(self, bench: "_Bench") -> None:
        self._bench = bench
        self._callbacks: list[Any] = []
        self.commits = 0

    def init_transactions(self, timeout: float) -> None:
        """Fence the predecessor."""
        self._bench.called("init_transactions", timeout)

    def begin_transaction(self) -> None:
        """Begin."""
        self._bench.called("begin_transaction")

    def produce(  # noqa: PLR0913, PLR0917 - the client's signature
        self,
        topic: str,
        value: bytes,
        key: bytes,
        partition: int,
        callback: Callable[..., None] | None,
        on_delivery: None,
        timestamp: int,
        headers: Headers | None,
    ) -> None:
        """Take a record."""
        assert (on_delivery, timestamp) == (None, 0)
        self._bench.called("produce")
        self._callbacks.append(callback)
        self._bench.produced.append(Record(topic, key, value, headers, partition))

    def flush(self, timeout: float) -> int:
        """Deliver what there is, unless Kafka is slow."""
        self._bench.called("flush", timeout)
        return len(self._callbacks) if self._bench.is_slow else self._deliver(timeout)

    def poll(self, timeout: float) -> int:
        """Serve callbacks."""
        self._bench.called("poll", timeout)
        return 0

    def commit_transaction(self, timeout: float) -> None:
        """Commit."""
        self._bench.called("commit_transaction", timeout)
        self.commits += 1
        self._deliver(timeout)

    def close(self) -> None:
        """Abort what is open."""
        self._bench.called("close")

    def _deliver(self, _: float) -> int:
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            if callback is not None:
                callback(*self._bench.report)
        return 0


class _Bench:
    """What the producers are told to do, and what was asked of them."""

    def __init__(self) -> None:
        self.errors: dict[str, list[Exception | None]] = {}
        self.calls: list[str] = []
        self.timeouts: list[float] = []
        self.produced: list[Record] = []
        self.producers: list[_Producer] = []
        self.report: tuple[KafkaError | None, _Message] = (None, _Message(71))
        self.now_s = 0.0
        self.is_slow = False

    def called(self, name: str, timeout: float | None = None) -> None:
        """Note a call, and raise what is in store for it; the last error stays in store."""
        self.calls.append(name)
        self.now_s += 1.0
        if timeout is not None:
            self.timeouts.append(timeout)
        errors = self.errors.get(name, [])
        error = errors.pop(0) if len(errors) > 1 else (errors[0] if errors else None)
        if error is not None:
            raise error

    def make(self, properties: dict[str, Any]) -> _Producer:
        """Make a producer."""
        assert properties == {"transactional.id": "t"}
        self.producers.append(_Producer(self))
        return self.producers[-1]

    def writer(self) -> TransactionalWriter:
        """Return a writer over such producers, whose next entry must stand where the report says."""
        writer = TransactionalWriter({"transactional.id": "t"}, lambda: self.now_s)
        writer.expect_entry_at(71)
        return writer


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> _Bench:
    """Give a played client."""
    bench = _Bench()
    monkeypatch.setattr(transaction, "Producer", bench.make)
    return bench


def test_writer_fences_its_predecessor_before_anything_else(bench: _Bench) -> None:
    """Within the deadline."""
    bench.writer()
    assert bench.calls == ["init_transactions"]
    assert bench.timeouts[0] <= DEADLINE_S


def test_commit_puts_all_records_and_the_entry_into_one_transaction(bench: _Bench) -> None:
    """The entry last, on its own partition; the answer says where it stands and how long it took."""
    committed = bench.writer().commit(_RECORDS, _ENTRY)
    assert bench.calls[1:] == ["begin_transaction", "produce", "produce", "produce", "flush", "commit_transaction"]
    assert bench.produced == [*_RECORDS, _ENTRY]
    assert (committed.ledger_offset, committed.duration_s) == (71, 6.0)


_FENCINGS = [
    _error(KafkaError._FENCED, fatal=True),  # noqa: SLF001 - the client's public name
    _error(KafkaError.INVALID_PRODUCER_EPOCH, abort=True),
    _error(KafkaError.PRODUCER_FENCED, fatal=True),
]
_LOSSES = [
    _error(KafkaError._STATE),  # noqa: SLF001 - the client's public name
    _error(KafkaError.INVALID_TXN_STATE, abort=True),
    _error(KafkaError.CLUSTER_AUTHORIZATION_FAILED, fatal=True),
    _error(KafkaError.MSG_SIZE_TOO_LARGE),
    _error(KafkaError.UNKNOWN),
]


@pytest.mark.parametrize("call", ["begin_transaction", "produce", "commit_transaction"])
@pytest.mark.parametrize("error", [*_FENCINGS, *_LOSSES], ids=lambda error: str(error.args[0].name()))
def test_error_at_any_call_ends_the_writer(bench: _Bench, call: str, error: KafkaException) -> None:
    """Fenced is told apart; abortable, fatal and unknown are all the same; nothing is called again."""
    writer = bench.writer()
    bench.errors[call] = [error]
    with pytest.raises(WriterLostError, match="told") as caught:
        writer.commit(_RECORDS, _ENTRY)
    assert isinstance(caught.value, FencedError) == (error in _FENCINGS)
    assert bench.calls.count(call) == 1
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [*_FENCINGS, *_LOSSES], ids=lambda error: str(error.args[0].name()))
def test_error_at_the_fencing_ends_the_writer(bench: _Bench, error: KafkaException) -> None:
    """Fenced is told apart; the producer is dropped, not closed, since nothing of it may be aborted."""
    bench.errors["init_transactions"] = [error]
    with pytest.raises(WriterLostError) as caught:
        bench.writer()
    assert isinstance(caught.value, FencedError) == (error in _FENCINGS)
    assert bench.calls == ["init_transactions"]


def test_commit_that_times_out_is_resumed_within_the_deadline(bench: _Bench) -> None:
    """The same call, with the time that is left."""
    writer = bench.writer()
    bench.errors["commit_transaction"] = [_TIMED_OUT, _TIMED_OUT, None]
    assert writer.commit([], _ENTRY).ledger_offset == 71
    assert bench.calls.count("commit_transaction") == 3
    assert bench.timeouts[-3:] == sorted(bench.timeouts[-3:], reverse=True)
    assert max(bench.timeouts) <= DEADLINE_S


@pytest.mark.parametrize("call", ["init_transactions", "commit_transaction"])
def test_call_that_goes_on_timing_out_ends_the_writer_at_the_deadline(bench: _Bench, call: str) -> None:
    """What became of it is unknown, and nobody waits for ever."""
    bench.errors[call] = [_TIMED_OUT]
    with pytest.raises(WriterLostError, match="_TIMED_OUT"):
        bench.writer().commit([], _ENTRY)
    assert bench.now_s <= 2 * DEADLINE_S + 3
    assert bench.calls.count(call) > 1


def test_full_queue_is_served_until_there_is_room(bench: _Bench) -> None:
    """And the record is produced then."""
    writer = bench.writer()
    bench.errors["produce"] = [BufferError(), BufferError(), None]
    writer.commit(_RECORDS, _ENTRY)
    assert bench.calls.count("poll") == 2
    assert [record.topic for record in bench.produced] == ["events", "events", "ledger"]


def test_queue_that_stays_full_ends_the_writer_at_the_deadline(bench: _Bench) -> None:
    """Kafka takes nothing any more."""
    writer = bench.writer()
    bench.errors["produce"] = [BufferError()]
    with pytest.raises(WriterLostError, match="queue stayed full"):
        writer.commit(_RECORDS, _ENTRY)
    assert bench.now_s <= DEADLINE_S + 5


@pytest.mark.parametrize(
    "report", [(KafkaError(KafkaError.UNKNOWN), _Message(71)), (None, _Message(None))], ids=["error", "no offset"]
)
def test_commit_that_does_not_say_where_the_entry_stands_ends_the_writer(
    bench: _Bench, report: tuple[KafkaError | None, _Message]
) -> None:
    """Without the offset the next restore could not be told where to begin."""
    bench.report = report
    with pytest.raises(WriterLostError, match="without the ledger entry's offset"):
        bench.writer().commit([], _ENTRY)


def test_entries_that_stand_one_behind_the_other_are_committed(bench: _Bench) -> None:
    """Each is looked at before its commit; Kafka's marker takes the offset between two."""
    writer = bench.writer()
    for offset in (71, 73, 75):
        bench.report = (None, _Message(offset))
        assert writer.commit([], _ENTRY).ledger_offset == offset
        assert bench.calls[-2:] == ["flush", "commit_transaction"]
    assert writer.next_offset == 77


@pytest.mark.parametrize("offset", [0, 71, 72, 74, 75])
def test_later_entry_that_does_not_stand_behind_the_one_before_is_never_committed(bench: _Bench, offset: int) -> None:
    """The ledger was created again or cut short, or has another writer."""
    writer = bench.writer()
    writer.commit([], _ENTRY)
    bench.report = (None, _Message(offset))
    with pytest.raises(WriterLostError, match=f"known up to 73, but the next entry stands at {offset}"):
        writer.commit(_RECORDS, _ENTRY)
    assert bench.calls[-1] == "flush"
    assert writer.next_offset == 73


def test_renewal_between_two_transactions_moves_no_entry(bench: _Bench) -> None:
    """A new epoch writes no marker where no transaction was open."""
    writer = bench.writer()
    writer.commit([], _ENTRY)
    writer.renew()
    bench.report = (None, _Message(73))
    assert writer.commit([], _ENTRY).ledger_offset == 73


def test_writer_that_was_not_told_where_the_ledger_ends_commits_nothing(bench: _Bench) -> None:
    """Its entry has no place."""
    writer = TransactionalWriter({"transactional.id": "t"}, lambda: bench.now_s)
    with pytest.raises(WriterLostError, match="known up to None"):
        writer.commit([], _ENTRY)


@pytest.mark.parametrize("expected", [0, 70, 72])
def test_entry_that_stands_elsewhere_is_never_committed(bench: _Bench, expected: int) -> None:
    """Something stands before it that was not read, or what was read is gone."""
    writer = bench.writer()
    writer.expect_entry_at(expected)
    with pytest.raises(WriterLostError, match=f"known up to {expected}, but the next entry stands at 71"):
        writer.commit(_RECORDS, _ENTRY)
    assert bench.calls[-1] == "flush"


def test_entry_that_is_not_written_in_time_is_never_committed(bench: _Bench) -> None:
    """Nobody could tell where it would stand."""
    bench.is_slow = True
    writer = bench.writer()
    writer.expect_entry_at(71)
    with pytest.raises(WriterLostError, match="not written in time"):
        writer.commit([], _ENTRY)
    assert bench.calls[-1] == "flush"
    assert bench.timeouts[-1] <= DEADLINE_S


def test_entry_that_cannot_be_written_is_told_by_the_commit(bench: _Bench) -> None:
    """So that who is fenced is told apart, expected entry or not."""
    bench.report = (KafkaError(KafkaError._FENCED), _Message(None))  # noqa: SLF001 - the client's public name
    bench.errors["commit_transaction"] = [_FENCINGS[0]]
    writer = bench.writer()
    writer.expect_entry_at(71)
    with pytest.raises(FencedError, match="commit_transaction"):
        writer.commit([], _ENTRY)


@pytest.mark.parametrize("call", ["begin_transaction", "produce", "commit_transaction"])
def test_producer_whose_transaction_failed_is_dropped_and_never_closed(bench: _Bench, call: str) -> None:
    """Closing aborts, which is wrong while the outcome of the commit is unknown; so does nothing else here."""
    writer = bench.writer()
    bench.errors[call] = [_error(KafkaError.UNKNOWN)]
    with pytest.raises(WriterLostError):
        writer.commit(_RECORDS, _ENTRY)
    assert bench.calls[-1] == call
    assert "close" not in bench.calls


def test_renewal_replaces_the_producer(bench: _Bench) -> None:
    """The new one fences the old one, which is dropped, and commits from then on."""
    writer = bench.writer()
    writer.renew()
    assert bench.calls == ["init_transactions"] * 2
    old, new = bench.producers
    writer.commit([], _ENTRY)
    assert (old.commits, new.commits) == (0, 1)


def test_renewal_that_fails_ends_the_writer(bench: _Bench) -> None:
    """Somebody else may be at work."""
    writer = bench.writer()
    bench.errors["init_transactions"] = [_FENCINGS[0]]
    with pytest.raises(FencedError, match="init_transactions"):
        writer.renew()


def test_client_that_cannot_be_made_is_a_lost_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a property that librdkafka does not take."""

    def fail(_: object) -> None:
        raise _error(KafkaError._INVALID_ARG)  # noqa: SLF001 - the client's public name

    monkeypatch.setattr(transaction, "Producer", fail)
    with pytest.raises(WriterLostError, match="create the producer"):
        TransactionalWriter({})
