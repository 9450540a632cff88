"""Who shares a transaction with whom, and what becomes of each part when one fails."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import ConnectorError, DependencyUnavailableError, FencedError, HungError, WriterLostError
from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.kafka.commits import SUSPECTED_S, Commits, PartitionWriter
from connector.kafka.group_commit import GATHER_S, SETTLE_S, SLOW_COMMIT_S, GroupCommit, ReplacementCause
from connector.kafka.restore import Tail
from connector.kafka.transaction import Committed, MisplacedError, Part, Record, TransactionalWriter, UndeliveredError
from tests.rig.process import wait_until

_PATIENCE_S = 10.0
_A, _B, _C = STREAM_PARTITIONS[:3]


class _Records(list[Record]):
    """Records that can be watched."""


class _Fate(Enum):
    """What becomes of an attempt to commit."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    ANSWER_LOST = "committed, but the answer is lost"
    NOT_WRITTEN = "nothing reached the log"


@dataclass
class _Log:
    """One ledger partition: what stands at each offset, None for markers and what was aborted."""

    places: list[bytes | None] = field(default_factory=list)

    def append(self, value: bytes, *, is_committed: bool) -> None:
        """Write an entry and its marker."""
        self.places += [value if is_committed else None, None]

    @property
    def committed(self) -> list[bytes]:
        """What a reader is shown."""
        return [value for value in self.places if value is not None]


class _Kafka:
    """Ledgers, and producers whose attempts meet with `fates`, and then succeed."""

    def __init__(self) -> None:
        self.logs = {partition: _Log() for partition in STREAM_PARTITIONS}
        self.fates: list[_Fate | Exception] = []
        self.transactions: list[list[StreamPartition]] = []
        self.refused: set[bytes] = set()
        self.made = 0
        self.failures_to_make: list[Exception] = []
        self.tail_error: ConnectorError | None = None
        self.now_s = 1000.0
        self.attempt_takes_s = 0.1
        self.hold: Callable[[], object] = list
        self.polled = threading.Event()
        self.poll_error: Exception | None = None
        self.report_error: Exception | None = None
        self.replaced: list[tuple[ReplacementCause, str]] = []

    def make_writer(self) -> TransactionalWriter:
        """Make a producer."""
        if self.failures_to_make:
            raise self.failures_to_make.pop(0)
        self.made += 1
        return cast("TransactionalWriter", self)

    def poll(self) -> None:
        """Call nothing back, or fail once."""
        self.polled.set()
        if (error := self.poll_error) is not None:
            self.poll_error = None
            raise error

    def commit(self, parts: Sequence[Part]) -> float:
        """Attempt it: written are the entries of all parts, or none."""
        self.transactions.append([part.partition for part in parts])
        self.hold()
        self.now_s += self.attempt_takes_s
        misplaced = {
            part.partition: "misplaced" for part in parts if len(self.logs[part.partition].places) != part.place
        }
        fate = self.fates.pop(0) if self.fates else _Fate.COMMITTED
        if isinstance(fate, Exception):
            raise fate
        if fate is _Fate.NOT_WRITTEN:
            raise WriterLostError("not written")
        is_refused = any(part.entry.value in self.refused for part in parts)
        is_committed = not misplaced and not is_refused and fate is not _Fate.ABORTED
        for part in parts:
            self.logs[part.partition].append(part.entry.value, is_committed=is_committed)
        if misplaced:
            raise MisplacedError(misplaced)
        if is_refused or fate is not _Fate.COMMITTED:
            raise WriterLostError("refused" if is_refused else fate.value)
        return self.attempt_takes_s

    def read_tail(self, partition: StreamPartition, place: int, should_stop: Callable[[], bool]) -> Tail:
        """Return what is committed from `place` on."""
        if self.tail_error is not None:
            raise self.tail_error
        assert not should_stop()
        places = self.logs[partition].places
        found = [(offset, value) for offset, value in enumerate(places) if value is not None and offset >= place]
        return Tail(list[tuple[int, bytes | None]](found), len(places))


class _Bench:
    """A group over such a Kafka, and threads that commit."""

    def __init__(self, exits: ExitStack, *failures_to_make: Exception) -> None:
        self.kafka = _Kafka()
        self.kafka.failures_to_make += failures_to_make
        self.suspects: set[StreamPartition] = set()
        self.group = self.make_group(self.suspects)
        self.group.start()
        exits.callback(self.group.close)
        self._pool = exits.enter_context(ThreadPoolExecutor(10))

    def make_group(self, suspects: set[StreamPartition], is_common: bool = True) -> GroupCommit:  # noqa: FBT001, FBT002
        """Return a group over this Kafka."""
        del is_common

        def replaced(cause: ReplacementCause, detail: str) -> None:
            if self.kafka.report_error is not None:
                raise self.kafka.report_error
            self.kafka.replaced.append((cause, detail))

        def pause(seconds: float) -> None:
            self.kafka.now_s += seconds

        kafka = self.kafka
        return GroupCommit(
            kafka.make_writer, kafka.read_tail, replaced, suspects, monotonic_s=lambda: kafka.now_s, pause=pause
        )

    def writer(self, partition: StreamPartition) -> PartitionWriter:
        """Return what `partition` commits through, once there is a producer."""
        self.group.join()
        return PartitionWriter(partition, self.group)

    def join(self, *partitions: StreamPartition) -> list[PartitionWriter]:
        """Return writers that expect their first entries at the ends of the logs."""
        writers = [self.writer(partition) for partition in partitions]
        self.expect(*zip(partitions, writers, strict=True))
        return writers

    def expect(self, *writers: tuple[StreamPartition, PartitionWriter]) -> None:
        """Let writers expect their next entries at the ends of the logs."""
        for partition, writer in writers:
            writer.expect_entry_at(len(self.kafka.logs[partition].places))

    def start(self, writer: PartitionWriter, value: bytes, records: Sequence[Record] = ()) -> "Future[Committed]":
        """Commit an entry in a thread."""
        return self._pool.submit(writer.commit, records, Record("ledger", b"k", value))

    def together(self, *writers: PartitionWriter) -> "list[Future[Committed]]":
        """Have entries `0`, `1` and so on committed in one transaction, or try to."""
        for writer in writers:
            writer.is_due_at(self.kafka.now_s)
        commits = [self.start(writer, b"%d" % number) for number, writer in enumerate(writers)]
        wait(commits, _PATIENCE_S)
        assert len(self.kafka.transactions[0]) == len(writers)
        return commits

    @property
    def causes(self) -> list[ReplacementCause]:
        """Why producers were replaced."""
        return [cause for cause, _ in self.kafka.replaced]


@pytest.fixture
def bench() -> Iterator[_Bench]:
    """Give a group at work."""
    with ExitStack() as exits:
        yield _Bench(exits)


def test_parts_that_are_due_together_share_a_transaction(bench: _Bench) -> None:
    """Each learns where its own entry stands; the next one comes behind Kafka's marker."""
    a, b = bench.join(_A, _B)
    b.expect_entry_at(0)
    first, second = bench.together(a, b)
    assert (first.result(), second.result()) == (Committed(0, 0.1), Committed(0, 0.1))
    assert (a.next_offset, b.next_offset) == (2, 2)
    assert bench.start(a, b"next").result(_PATIENCE_S).ledger_offset == 2
    assert [sorted(each) for each in bench.kafka.transactions] == [sorted([_A, _B]), [_A]]
    assert bench.kafka.made == 1


def test_part_waits_for_nobody_who_is_due_later(bench: _Bench) -> None:
    """As the end of a connection, which is committed at once."""
    a, b = bench.join(_A, _B)
    b.is_due_at(bench.kafka.now_s + 0.001)
    assert bench.start(a, b"a").result(_PATIENCE_S).ledger_offset == 0
    assert bench.kafka.transactions == [[_A]]


def test_part_waits_in_vain_for_a_moment_and_never_again(bench: _Bench) -> None:
    """Who is due and does not come is overdue then, and holds nobody up."""
    a, b = bench.join(_A, _B)
    b.is_due_at(bench.kafka.now_s)
    commit = bench.start(a, b"a")
    wait_until(lambda: bench.kafka.transactions == [] and not commit.done(), "the part waits")
    bench.kafka.now_s += GATHER_S
    assert commit.result(_PATIENCE_S).ledger_offset == 0
    assert bench.start(a, b"more").result(_PATIENCE_S).ledger_offset == 2


@pytest.mark.parametrize("way", ["leaves", "commits"])
def test_part_does_not_wait_for_who_has_left_or_been(bench: _Bench, way: str) -> None:
    """An announcement is good for one commit."""
    a, b = bench.join(_A, _B)
    b.is_due_at(bench.kafka.now_s)
    if way == "leaves":
        b.leave()
    else:
        bench.start(b, b"b").result(_PATIENCE_S)
    assert bench.start(a, b"a").result(_PATIENCE_S).ledger_offset == 0


def test_parts_that_come_during_a_transaction_share_the_next(bench: _Bench) -> None:
    """Nobody waits for more than the one that is under way."""
    a, b, c = bench.join(_A, _B, _C)
    goes_on = threading.Event()
    bench.kafka.hold = goes_on.wait
    commits = [bench.start(a, b"a")]
    wait_until(lambda: bool(bench.kafka.transactions), "a transaction is under way")
    commits += [bench.start(b, b"b"), bench.start(c, b"c")]
    waiting = bench.group
    wait_until(lambda: waiting.waiting == 2, "two parts wait")
    goes_on.set()
    wait(commits, _PATIENCE_S)
    assert [len(transaction) for transaction in bench.kafka.transactions] == [1, 2]


def test_two_parts_of_one_partition_never_share_a_transaction(bench: _Bench) -> None:
    """An owner that let go too late and its successor: the place of the entry decides."""
    old, new, b = bench.join(_A, _A, _B)
    goes_on = threading.Event()
    bench.kafka.hold = goes_on.wait
    begun = bench.start(b, b"b")
    wait_until(lambda: bool(bench.kafka.transactions), "a transaction is under way")
    commits = [bench.start(old, b"old"), bench.start(new, b"new")]
    wait_until(lambda: bench.group.waiting == 2, "both wait")
    goes_on.set()
    wait([begun, *commits], _PATIENCE_S)
    assert bench.kafka.transactions[1:] == [[_A], [_A]]
    assert sorted(str(type(commit.exception())) for commit in commits) == sorted([str(type(None)), str(FencedError)])
    assert len(bench.kafka.logs[_A].committed) == 1


def test_commit_whose_answer_is_lost_is_found_in_the_ledger(bench: _Bench) -> None:
    """Nothing is committed again, and nobody restores."""
    bench.kafka.fates = [_Fate.ANSWER_LOST]
    a, b = bench.join(_A, _B)
    commits = bench.together(a, b)
    assert [commit.result().ledger_offset for commit in commits] == [0, 0]
    assert [round(commit.result().duration_s, 3) for commit in commits] == [0.1, 0.1]
    assert len(bench.kafka.transactions) == 1
    assert bench.causes == [ReplacementCause.FAILED]
    assert bench.start(a, b"next").result(_PATIENCE_S).ledger_offset == 2


@pytest.mark.parametrize(("fate", "place"), [(_Fate.ABORTED, 2), (_Fate.NOT_WRITTEN, 0)])
def test_transaction_that_failed_is_committed_part_by_part(bench: _Bench, fate: _Fate, place: int) -> None:
    """Behind what the first attempt left in the log."""
    bench.kafka.fates = [fate]
    a, b = bench.join(_A, _B)
    commits = bench.together(a, b)
    assert [commit.result().ledger_offset for commit in commits] == [place, place]
    assert [len(transaction) for transaction in bench.kafka.transactions] == [2, 1, 1]
    assert (a.next_offset, b.next_offset) == (place + 2, place + 2)
    assert (bench.kafka.made, bench.causes) == (2, [ReplacementCause.FAILED])


def test_part_that_kafka_refuses_is_nobody_elses_trouble(bench: _Bench) -> None:
    """It fails by itself; the others are committed, and there is a producer for whoever comes."""
    bench.kafka.refused = {b"1"}
    a, b, c = bench.join(_A, _B, _C)
    first, refused, last = bench.together(a, b, c)
    assert (first.result().ledger_offset, last.result().ledger_offset) == (2, 2)
    assert isinstance(refused.exception(), WriterLostError)
    assert bench.start(a, b"next").result(_PATIENCE_S).ledger_offset == 4
    assert [log.committed for log in bench.kafka.logs.values()][:3] == [[b"0", b"next"], [], [b"2"]]


def test_entry_out_of_place_fences_its_own_partition_alone(bench: _Bench) -> None:
    """It is not tried again: another writer is at work there. The others are."""
    a, b = bench.join(_A, _B)
    bench.kafka.logs[_B].append(b"rival", is_committed=False)
    good, misplaced = bench.together(a, b)
    assert isinstance(misplaced.exception(), FencedError)
    assert good.result().ledger_offset == 2
    assert bench.kafka.logs[_B].committed == []


@pytest.mark.parametrize(
    ("places", "kind", "words"),
    [([b"rival", None], FencedError, "an entry of another writer"), ([], WriterLostError, "but ends at 0")],
)
def test_ledger_that_is_not_what_it_was_is_not_written_on(
    bench: _Bench, places: list[bytes | None], kind: type[Exception], words: str
) -> None:
    """Somebody else committed there, or it was created again: its partition begins again, the others go on."""
    bench.kafka.logs[_B].append(b"before", is_committed=True)
    a, b = bench.join(_A, _B)
    bench.kafka.fates = [_Fate.NOT_WRITTEN]

    def change() -> None:
        bench.kafka.logs[_B].places[:] = [b"before", None, *places] if places else []

    bench.kafka.hold = change
    good, bad = bench.together(a, b)
    assert good.result().ledger_offset == 0
    with pytest.raises(kind, match=words):
        bad.result()
    assert type(bad.exception()) is kind


def test_entry_that_is_out_of_place_when_tried_alone_is_fenced(bench: _Bench) -> None:
    """The other writer came between the look at the ledger and the second attempt."""
    bench.kafka.fates = [_Fate.ABORTED]
    [a] = bench.join(_A)

    def rival() -> None:
        if len(bench.kafka.transactions) == 2:
            bench.kafka.logs[_A].append(b"rival", is_committed=True)

    bench.kafka.hold = rival
    with pytest.raises(FencedError, match="misplaced"):
        bench.start(a, b"a").result(_PATIENCE_S)


def test_process_that_is_fenced_leaves_the_field(bench: _Bench) -> None:
    """No producer is made until somebody begins again: who has our name would be fenced in turn."""
    bench.kafka.fates = [FencedError("twin")]
    a, b = bench.join(_A, _B)
    with pytest.raises(FencedError, match="twin"):
        bench.start(a, b"a").result(_PATIENCE_S)
    with pytest.raises(FencedError, match="twin"):
        bench.start(b, b"b").result(_PATIENCE_S)
    assert (bench.kafka.made, bench.causes) == (1, [ReplacementCause.FENCED])
    [again] = bench.join(_A)
    assert bench.start(again, b"again").result(_PATIENCE_S).ledger_offset == 0
    assert bench.kafka.made == 2


def test_process_that_is_fenced_while_it_settles_leaves_the_field(bench: _Bench) -> None:
    """Who has not been settled by then restores."""
    bench.kafka.fates = [_Fate.ABORTED, FencedError("twin")]
    commits = bench.together(*bench.join(_A, _B))
    assert [type(commit.exception()) for commit in commits] == [FencedError, FencedError]
    assert bench.kafka.made == 2


def test_process_that_stood_still_within_a_transaction_leaves_the_field(bench: _Bench) -> None:
    """Others own by then what it owned, even if they have not committed yet."""
    bench.kafka.attempt_takes_s = SETTLE_S
    bench.kafka.fates = [_Fate.ABORTED]
    a, b = bench.join(_A, _B)
    for writer in (a, b):
        with pytest.raises(FencedError, match="stood still for 20 s within a transaction"):
            bench.start(writer, b"x").result(_PATIENCE_S)
    assert bench.kafka.made == 1


def test_slow_commit_is_followed_by_a_new_producer(bench: _Bench) -> None:
    """Though it succeeded; a quick one is not."""
    [a] = bench.join(_A)
    bench.kafka.attempt_takes_s = SLOW_COMMIT_S
    assert bench.start(a, b"1").result(_PATIENCE_S).ledger_offset == 0
    assert bench.kafka.made == 1
    bench.kafka.attempt_takes_s = 1.1
    assert bench.start(a, b"2").result(_PATIENCE_S).ledger_offset == 2
    assert bench.start(a, b"3").result(_PATIENCE_S).ledger_offset == 4
    assert (bench.kafka.made, bench.kafka.replaced[0]) == (2 + 1, (ReplacementCause.SLOW_COMMIT, "a commit took 1.1 s"))


def test_producer_that_cannot_be_made_fails_whoever_needs_one() -> None:
    """With the reason; the next who joins has it tried again."""
    at_start, first, second = WriterLostError("too early"), DependencyUnavailableError("no limits"), RuntimeError("odd")
    with ExitStack() as exits:
        bench = _Bench(exits, at_start, first, second)
        for words in ("no limits", "RuntimeError: odd"):
            with pytest.raises(ConnectorError, match=words):
                bench.join(_A)
        [a] = bench.join(_A)
        assert bench.start(a, b"a").result(_PATIENCE_S).ledger_offset == 0


def test_process_ends_what_it_left_open_before_it_is_given_anything(bench: _Bench) -> None:
    """There is a producer from the start on, and one that is idle is polled."""
    wait_until(lambda: bench.kafka.made == 1, "a producer is made")
    assert bench.kafka.polled.wait(_PATIENCE_S)


def test_error_of_a_callback_costs_an_idle_producer_and_nothing_else(bench: _Bench) -> None:
    """The thread lives on, with another one."""
    bench.kafka.poll_error = RuntimeError("odd")
    wait_until(lambda: bench.kafka.poll_error is None, "it is polled")
    [a] = bench.join(_A)
    assert bench.start(a, b"a").result(_PATIENCE_S).ledger_offset == 0
    assert (bench.kafka.made, bench.causes) == (2, [ReplacementCause.FAILED])
    bench.group.check()


def test_thread_that_has_died_is_noticed(bench: _Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be committed any more: the process must end."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    bench.group.check()
    bench.kafka.report_error = RuntimeError("cannot be told")
    bench.kafka.poll_error = RuntimeError("odd")

    def has_died() -> bool:
        try:
            bench.group.check()
        except HungError:
            return True
        return False

    wait_until(has_died, "it is noticed")


def test_group_that_was_closed_has_not_died(bench: _Bench) -> None:
    """It ends as it should."""
    bench.group.close()
    with pytest.raises(WriterLostError, match="the process ends"):
        bench.group.join()
    bench.group.check()


def test_parts_that_wait_for_a_producer_share_a_transaction(bench: _Bench) -> None:
    """None can be made for a while: what is due then is committed at once, and nobody is looked up."""
    a, b = bench.join(_A, _B)
    bench.kafka.attempt_takes_s = SLOW_COMMIT_S + 0.1
    bench.kafka.failures_to_make = [DependencyUnavailableError("no answer")] * 60
    assert bench.start(a, b"first").result(_PATIENCE_S)
    bench.kafka.tail_error = DependencyUnavailableError("nobody may ask")
    for writer in (a, b):
        writer.is_due_at(bench.kafka.now_s)
    commits = [bench.start(a, b"a"), bench.start(b, b"b")]
    wait(commits, _PATIENCE_S)
    assert [commit.exception() for commit in commits] == [None, None]
    assert sorted(bench.kafka.transactions[-1]) == sorted([_A, _B])


def test_transaction_is_not_settled_for_ever(bench: _Bench) -> None:
    """What is not settled in time restores, whatever it was that took so long."""
    bench.kafka.attempt_takes_s = SETTLE_S / 2
    bench.kafka.fates = [_Fate.ABORTED, _Fate.ABORTED]
    commits = bench.together(*bench.join(_A, _B, _C))
    assert [type(commit.exception()) for commit in commits] == [WriterLostError] * 3
    assert len(bench.kafka.transactions) == 2
    assert "within 20 s" in str(commits[2].exception()) or "within 20 s" in str(commits[0].exception())


def test_part_whose_ledger_cannot_be_read_fails_with_the_reason(bench: _Bench) -> None:
    """Nothing is committed of which it is not known whether it was."""
    bench.kafka.fates = [_Fate.ABORTED]
    bench.kafka.tail_error = DependencyUnavailableError("no answer")
    [a] = bench.join(_A)
    with pytest.raises(DependencyUnavailableError, match="no answer"):
        bench.start(a, b"a").result(_PATIENCE_S)
    assert bench.kafka.logs[_A].committed == []


def test_unexpected_error_is_the_trouble_of_whose_part_it_is(bench: _Bench) -> None:
    """As of a record that the client does not take: the others are committed."""
    bench.kafka.fates = [RuntimeError("odd"), RuntimeError("odd")]
    commits = bench.together(*bench.join(_A, _B))
    assert sorted(str(commit.exception()) for commit in commits) == ["None", "odd"]
    [again] = bench.join(_A)
    assert bench.start(again, b"again").result(_PATIENCE_S)


def test_producer_that_cannot_be_made_at_once_is_tried_for_while_there_is_time(bench: _Bench) -> None:
    """Nobody restarts because Kafka did not answer once."""
    bench.kafka.fates = [_Fate.ABORTED]
    [a, b] = bench.join(_A, _B)
    bench.kafka.failures_to_make = [DependencyUnavailableError("no answer")] * 20
    commits = bench.together(a, b)
    assert [commit.result().ledger_offset for commit in commits] == [2, 2]


def test_producer_is_not_tried_for_longer_than_there_is_time(bench: _Bench) -> None:
    """Then all begin again, with the reason."""
    bench.kafka.fates = [_Fate.ABORTED]
    [a, b] = bench.join(_A, _B)
    bench.kafka.failures_to_make = [DependencyUnavailableError("no answer")] * 200
    commits = bench.together(a, b)
    assert all("within 20 s: no answer" in str(commit.exception()) for commit in commits)
    assert all(isinstance(commit.exception(), WriterLostError) for commit in commits)


def test_writer_that_was_not_told_where_the_ledger_ends_commits_nothing(bench: _Bench) -> None:
    """Its entry has no place."""
    writer = bench.writer(_A)
    with pytest.raises(WriterLostError, match="not known where the ledger ends"):
        writer.commit([], Record("ledger", b"k", b"v"))
    assert bench.kafka.transactions == []


def test_whoever_waits_when_the_process_ends_is_told() -> None:
    """No thread stays behind."""
    with ExitStack() as exits:
        bench = _Bench(exits)
        a, b = bench.join(_A, _B)
        goes_on = threading.Event()
        bench.kafka.hold = goes_on.wait
        first = bench.start(a, b"a")
        wait_until(lambda: bool(bench.kafka.transactions), "a transaction is under way")
        second = bench.start(b, b"b")
        wait_until(lambda: bench.group.waiting == 1, "a part waits")
        bench.group.close()
        goes_on.set()
        assert first.result(_PATIENCE_S).ledger_offset == 0
        with pytest.raises(WriterLostError, match="the process ends"):
            second.result(_PATIENCE_S)


def test_failure_leaves_nothing_behind(bench: _Bench) -> None:
    """Neither the producer nor what it was to commit is held on to."""
    bench.kafka.fates = [_Fate.ABORTED, _Fate.ABORTED]
    [a] = bench.join(_A)
    records = _Records()
    commit = bench.start(a, b"a", records)
    assert isinstance(commit.exception(_PATIENCE_S), WriterLostError)
    bench.join(_B)
    failed = weakref.ref(records)
    del commit, records

    def is_gone() -> bool:
        gc.collect()
        return failed() is None

    wait_until(is_gone, "what failed is gone")


def test_what_alone_keeps_a_transaction_from_its_end_fails_at_once(bench: _Bench) -> None:
    """It is suspected, and not tried again with the producer of the others, who are committed before time is up."""
    bench.kafka.attempt_takes_s = SETTLE_S / 2
    bench.kafka.fates = [UndeliveredError([_A])]
    hanging, good = bench.join(_A, _B)
    commits = bench.together(hanging, good)
    assert commits[1].result().ledger_offset == 0
    with pytest.raises(UndeliveredError, match="tweet/1"):
        commits[0].result()
    assert bench.suspects == {_A}
    assert bench.kafka.transactions[1:] == [[_B]]


def test_nobody_is_suspected_where_no_ledger_entry_could_be_written(bench: _Bench) -> None:
    """Kafka itself was away: each part is tried again."""
    bench.kafka.fates = [UndeliveredError([_A, _B])]
    commits = bench.together(*bench.join(_A, _B))
    assert [commit.result().ledger_offset for commit in commits] == [0, 0]
    assert bench.suspects == set()


def test_partition_that_failed_by_itself_has_a_producer_of_its_own_for_a_while(bench: _Bench) -> None:
    """It holds nobody up; when it has committed for some minutes it shares with the others again."""
    bench.kafka.refused = {b"poison"}
    with Commits(bench.make_group, lambda: bench.kafka.now_s) as commits:
        a, b = commits.join(_A), commits.join(_B)
        bench.expect((_A, a), (_B, b))
        assert isinstance(bench.start(a, b"poison").exception(_PATIENCE_S), WriterLostError)
        a.leave()
        again = commits.join(_A)
        bench.expect((_A, again))
        goes_on = threading.Event()
        bench.kafka.hold = goes_on.wait
        own = bench.start(again, b"1")
        wait_until(lambda: len(bench.kafka.transactions) == 3, "its own transaction is under way")
        bench.kafka.hold = list
        assert bench.start(b, b"b").result(_PATIENCE_S).ledger_offset == 0
        assert not own.done()
        goes_on.set()
        assert own.result(_PATIENCE_S)
        made = bench.kafka.made
        bench.kafka.now_s += SUSPECTED_S
        bench.start(again, b"2").result(_PATIENCE_S)
        assert bench.kafka.made == made + 1, "its last marker is awaited before another producer writes behind it"
        again.is_due_at(bench.kafka.now_s)
        b.is_due_at(bench.kafka.now_s)
        both = [bench.start(again, b"3"), bench.start(b, b"c")]
        wait(both, _PATIENCE_S)
        assert sorted(bench.kafka.transactions[-1]) == [_A, _B]
        again.leave()
        commits.join(_A)
        assert bench.kafka.made == made + 1


def test_suspect_that_gets_no_producer_stays_one(bench: _Bench) -> None:
    """It tries for one of its own again."""
    bench.kafka.refused = {b"poison"}
    with Commits(bench.make_group, lambda: bench.kafka.now_s) as commits:
        a = commits.join(_A)
        bench.expect((_A, a))
        assert isinstance(bench.start(a, b"poison").exception(_PATIENCE_S), WriterLostError)
        made = bench.kafka.made
        bench.kafka.failures_to_make = [WriterLostError("at its start"), WriterLostError("none to be had")]
        with pytest.raises(WriterLostError, match="none to be had"):
            commits.join(_A)
        commits.join(_A)
        assert bench.kafka.made == made + 1


def test_suspect_stays_one_until_it_has_committed_for_some_minutes(bench: _Bench) -> None:
    """Whatever ends its life before: a ledger that cannot be read, a rebalance."""
    bench.kafka.refused = {b"poison"}
    with Commits(bench.make_group, lambda: bench.kafka.now_s) as commits:
        a = commits.join(_A)
        bench.expect((_A, a))
        assert isinstance(bench.start(a, b"poison").exception(_PATIENCE_S), WriterLostError)
        made = bench.kafka.made
        for lives in (1, 2):
            commits.join(_A).leave()
            assert bench.kafka.made == made + lives


@given(
    st.lists(st.sampled_from(_Fate), max_size=12),
    st.lists(st.sampled_from(STREAM_PARTITIONS[:4]), max_size=3),
    st.integers(1, 6),
)
def test_every_entry_is_committed_once_or_its_partition_begins_again(
    fates: list[_Fate], rivals: list[StreamPartition], rounds: int
) -> None:
    """Whatever becomes of each attempt, and whoever else writes: what is told is what stands in the ledger."""
    with ExitStack() as exits:
        bench = _Bench(exits)
        bench.kafka.fates = list[_Fate | Exception](fates)
        writers = dict(zip(STREAM_PARTITIONS[:4], bench.join(*STREAM_PARTITIONS[:4]), strict=True))
        told = dict[bytes, tuple[StreamPartition, int]]()
        for number in range(rounds):
            if number == 1:
                for partition in rivals:
                    bench.kafka.logs[partition].append(b"rival", is_committed=True)
            values = {partition: b"%s %d" % (str(partition).encode(), number) for partition in writers}
            commits = {partition: bench.start(writers[partition], values[partition]) for partition in writers}
            wait(commits.values(), _PATIENCE_S)
            for partition, commit in commits.items():
                if commit.exception() is None:
                    told[values[partition]] = (partition, commit.result().ledger_offset)
                else:
                    assert isinstance(commit.exception(), WriterLostError)
                    [writers[partition]] = bench.join(partition)
        for value, (partition, place) in told.items():
            assert bench.kafka.logs[partition].places[place] == value
        for log in bench.kafka.logs.values():
            mine = [value for value in log.committed if value != b"rival"]
            assert len(set(mine)) == len(mine)
