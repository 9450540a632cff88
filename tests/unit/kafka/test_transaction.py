"""Transactions over a played producer: what each error means, and that nothing is taken for granted."""

from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from confluent_kafka import KafkaError, KafkaException

from connector.errors import FencedError, WriterLostError
from connector.events.catalog import StreamPartition
from connector.kafka.transaction import (
    DEADLINE_S,
    Headers,
    MisplacedError,
    Part,
    Record,
    TransactionalWriter,
    UndeliveredError,
)

_ENTRY = Record("ledger", b"tweet/1", b"entry", None, 3)
_OTHER_ENTRY = Record("ledger", b"user/4", b"other entry", None, 7)
_RECORDS = [Record("events", b"1", b"a", {"h": "v"}), Record("events", b"2", b"b")]
_PLACE = 71
_PART = Part(StreamPartition("tweet", 1), _RECORDS, _ENTRY, _PLACE)
_OTHER = Part(StreamPartition("user", 4), [], _OTHER_ENTRY, _PLACE)


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
                reports = self._bench.reports
                callback(*(reports.pop(0) if len(reports) > 1 else reports[0]))
        return 0


class _Bench:
    """How the producers must behave, and the calls made to them."""

    def __init__(self) -> None:
        self.errors: dict[str, list[Exception | None]] = {}
        self.calls: list[str] = []
        self.timeouts: list[float] = []
        self.produced: list[Record] = []
        self.producers: list[_Producer] = []
        self.reports: list[tuple[KafkaError | None, _Message]] = [(None, _Message(_PLACE))]
        """How each entry is reported; the last report stays in store."""
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

    def _make(self, properties: dict[str, Any]) -> Any:  # noqa: ANN401 - plays as much of it as is asked for
        """Make a producer."""
        assert properties == {"transactional.id": "t"}
        self.producers.append(_Producer(self))
        return self.producers[-1]

    def writer(self) -> TransactionalWriter:
        """Return a writer over such a producer."""
        return TransactionalWriter({"transactional.id": "t"}, lambda: self.now_s, self._make)

    def stands_at(self, *offsets: int) -> None:
        """Report these places of the next entries."""
        self.reports = [(None, _Message(offset)) for offset in offsets]


@pytest.fixture
def bench() -> _Bench:
    """Give a played client."""
    return _Bench()


def test_writer_fences_its_predecessor_before_anything_else(bench: _Bench) -> None:
    """Within the deadline."""
    bench.writer()
    assert bench.calls == ["init_transactions"]
    assert bench.timeouts[0] <= DEADLINE_S


def test_commit_puts_all_parts_into_one_transaction(bench: _Bench) -> None:
    """The records of each and then its entry, on its own partition; the answer says how long it took."""
    duration_s = bench.writer().commit([_PART, _OTHER])
    assert bench.calls[1:] == ["begin_transaction", *["produce"] * 4, "flush", "commit_transaction"]
    assert bench.produced == [*_RECORDS, _ENTRY, _OTHER_ENTRY]
    assert duration_s == 7.0


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


@pytest.mark.parametrize("call", ["begin_transaction", "produce", "flush", "commit_transaction"])
@pytest.mark.parametrize("error", [*_FENCINGS, *_LOSSES], ids=lambda error: str(error.args[0].name()))
def test_error_at_any_call_ends_the_writer(bench: _Bench, call: str, error: KafkaException) -> None:
    """Fenced is distinct; abortable, fatal and unknown are treated alike; nothing is called again."""
    writer = bench.writer()
    bench.errors[call] = [error]
    with pytest.raises(WriterLostError, match="told") as caught:
        writer.commit([_PART])
    assert isinstance(caught.value, FencedError) == (error in _FENCINGS)
    assert bench.calls.count(call) == 1
    assert caught.value.__cause__ is error


def _pending(error: KafkaException) -> SystemError:
    """Return what a callback fails with that C calls while this error is pending."""
    try:
        raise SystemError("<method 'offset'> returned a result with an exception set") from error  # noqa: TRY301 - it has a cause
    except SystemError as failed:
        return failed


@pytest.mark.parametrize("call", ["produce", "flush", "commit_transaction"])
@pytest.mark.parametrize("error", [_FENCINGS[0], _LOSSES[2]], ids=lambda error: str(error.args[0].name()))
def test_fatal_error_is_found_behind_the_callback_that_failed_on_it(
    bench: _Bench, call: str, error: KafkaException
) -> None:
    """The client raises it from any call that serves callbacks, and calls the next one all the same."""
    writer = bench.writer()
    bench.errors[call] = [_pending(error)]
    with pytest.raises(WriterLostError, match="told") as caught:
        writer.commit([_PART])
    assert isinstance(caught.value, FencedError) == (error in _FENCINGS)
    assert bench.calls.count(call) == 1


def test_other_error_in_a_callback_is_raised_as_it_is(bench: _Bench) -> None:
    """It is not the client's, so nothing is known of the producer."""
    failed = SystemError("a defect")
    writer = bench.writer()
    bench.errors["flush"] = [failed]
    with pytest.raises(SystemError) as caught:
        writer.commit([_PART])
    assert caught.value is failed


@pytest.mark.parametrize("error", [*_FENCINGS, *_LOSSES], ids=lambda error: str(error.args[0].name()))
def test_error_at_the_fencing_ends_the_writer(bench: _Bench, error: KafkaException) -> None:
    """Fenced is distinct; the producer is dropped, not closed, since nothing of it may be aborted."""
    bench.errors["init_transactions"] = [error]
    with pytest.raises(WriterLostError) as caught:
        bench.writer()
    assert isinstance(caught.value, FencedError) == (error in _FENCINGS)
    assert bench.calls == ["init_transactions"]


def test_commit_that_times_out_is_resumed_within_the_deadline(bench: _Bench) -> None:
    """The same call, with the time that is left."""
    writer = bench.writer()
    bench.errors["commit_transaction"] = [_TIMED_OUT, _TIMED_OUT, None]
    writer.commit([_OTHER])
    assert bench.calls.count("commit_transaction") == 3
    assert bench.timeouts[-3:] == sorted(bench.timeouts[-3:], reverse=True)
    assert max(bench.timeouts) <= DEADLINE_S


@pytest.mark.parametrize("call", ["init_transactions", "commit_transaction"])
def test_call_that_goes_on_timing_out_ends_the_writer_at_the_deadline(bench: _Bench, call: str) -> None:
    """Its outcome is unknown, and the wait is bounded."""
    bench.errors[call] = [_TIMED_OUT]
    with pytest.raises(WriterLostError, match="_TIMED_OUT"):
        bench.writer().commit([_OTHER])
    assert bench.now_s <= 2 * DEADLINE_S + 3
    assert bench.calls.count(call) > 1


def test_full_queue_is_served_until_there_is_room(bench: _Bench) -> None:
    """And the record is produced then."""
    writer = bench.writer()
    bench.errors["produce"] = [BufferError(), BufferError(), None]
    writer.commit([_PART])
    assert bench.calls.count("poll") == 2
    assert [record.topic for record in bench.produced] == ["events", "events", "ledger"]


def test_queue_that_stays_full_ends_the_writer_at_the_deadline(bench: _Bench) -> None:
    """Kafka takes nothing any more."""
    writer = bench.writer()
    bench.errors["produce"] = [BufferError()]
    with pytest.raises(WriterLostError, match="queue stayed full"):
        writer.commit([_PART])
    assert bench.now_s <= DEADLINE_S + 5


def test_commit_without_the_offset_of_an_entry_ends_the_writer(bench: _Bench) -> None:
    """It could not be written, and yet the commit went through: what became of it is for the ledger to tell."""
    bench.reports = [(None, _Message(_PLACE)), (KafkaError(KafkaError.UNKNOWN), _Message(_PLACE))]
    with pytest.raises(WriterLostError, match="without the ledger entry's offset"):
        bench.writer().commit([_PART, _OTHER])


def test_entry_of_unknown_offset_is_never_committed(bench: _Bench) -> None:
    """It need not be its place."""
    bench.reports = [(None, _Message(_PLACE)), (None, _Message(None))]
    with pytest.raises(MisplacedError) as caught:
        bench.writer().commit([_PART, _OTHER])
    assert set(caught.value.misplaced) == {_OTHER.partition}
    assert bench.calls[-1] == "flush"


@pytest.mark.parametrize("offset", [0, 70, 72, 73, 74])
def test_entry_at_another_offset_is_never_committed(bench: _Bench, offset: int) -> None:
    """Something stands before it that was not read, or what was read is gone; the error says whose entry it is."""
    bench.stands_at(_PLACE, offset)
    expected = f"the ledger of user/4 is known up to 71, but the next entry is at offset {offset}"
    with pytest.raises(MisplacedError, match=expected) as caught:
        bench.writer().commit([_PART, _OTHER])
    assert caught.value.misplaced == {_OTHER.partition: expected}
    assert bench.calls[-1] == "flush"


def test_entry_that_is_not_written_in_time_is_never_committed(bench: _Bench) -> None:
    """Its offset could not be known."""
    bench.is_slow = True
    with pytest.raises(
        UndeliveredError, match=r"not written in time, the ledger entries of tweet/1 among them"
    ) as caught:
        bench.writer().commit([_PART])
    assert list(caught.value.partitions) == [_PART.partition]
    assert bench.calls[-1] == "flush"
    assert bench.timeouts[-1] <= DEADLINE_S


def test_entry_that_cannot_be_written_is_reported_by_the_commit(bench: _Bench) -> None:
    """So that fencing is recognised."""
    bench.reports = [(KafkaError(KafkaError._FENCED), _Message(None))]  # noqa: SLF001 - the client's public name
    bench.errors["commit_transaction"] = [_FENCINGS[0]]
    with pytest.raises(FencedError, match="commit_transaction"):
        bench.writer().commit([_PART])


def test_producer_that_rests_is_served(bench: _Bench) -> None:
    """Without waiting for anything."""
    bench.writer().poll()
    assert (bench.calls[-1], bench.timeouts[-1]) == ("poll", 0)


def test_producer_that_rests_learns_that_it_is_fenced(bench: _Bench) -> None:
    """Any call that serves callbacks raises a fatal error."""
    writer = bench.writer()
    bench.errors["poll"] = [_FENCINGS[0]]
    with pytest.raises(FencedError, match="poll: _FENCED: told"):
        writer.poll()


def test_record_that_is_only_written_is_flushed_and_left_uncommitted(bench: _Bench) -> None:
    """It takes a place."""
    bench.writer().write(_ENTRY)
    assert bench.calls[1:] == ["begin_transaction", "produce", "flush"]
    assert bench.produced == [_ENTRY]


@pytest.mark.parametrize("call", ["begin_transaction", "produce"])
def test_record_that_cannot_be_written_ends_the_writer(bench: _Bench, call: str) -> None:
    """As for a commit."""
    bench.errors[call] = [_LOSSES[-1]]
    with pytest.raises(WriterLostError, match="told"):
        bench.writer().write(_ENTRY)


def test_record_that_is_not_written_in_time_ends_the_writer(bench: _Bench) -> None:
    """It may take a place later on, or none."""
    bench.is_slow = True
    with pytest.raises(WriterLostError, match="not written in time"):
        bench.writer().write(_ENTRY)


@pytest.mark.parametrize("call", ["begin_transaction", "produce", "commit_transaction"])
def test_producer_whose_transaction_failed_is_dropped_and_never_closed(bench: _Bench, call: str) -> None:
    """Closing aborts, which is wrong while the outcome of the commit is unknown; so does nothing else here."""
    writer = bench.writer()
    bench.errors[call] = [_error(KafkaError.UNKNOWN)]
    with pytest.raises(WriterLostError):
        writer.commit([_PART])
    assert bench.calls[-1] == call
    assert "close" not in bench.calls


def test_client_that_cannot_be_made_is_a_lost_writer() -> None:
    """As for a property that librdkafka does not take."""

    def fail(_: object) -> NoReturn:
        raise _error(KafkaError._INVALID_ARG)  # noqa: SLF001 - the client's public name

    with pytest.raises(WriterLostError, match="create the producer"):
        TransactionalWriter({}, make_producer=fail)
