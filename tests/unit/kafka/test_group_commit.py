"""Who shares a transaction with whom, and what becomes of each part when one fails."""

import gc
import threading
import weakref
from concurrent.futures import wait
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import ConnectorError, DependencyUnavailableError, FencedError, HungError, WriterLostError
from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.kafka.group_commit import GATHER_S, RESOLVE_S, SLOW_COMMIT_S, TRANSACTION_TIMEOUT_S, ReplacementCause
from connector.kafka.transaction import Committed, Record, UndeliveredError
from tests.rig.process import wait_until
from tests.unit.kafka.group import PATIENCE_S, A, B, Bench, C, Fate, Records


def test_parts_that_are_due_together_share_a_transaction(bench: Bench) -> None:
    """Each learns where its own entry stands; the next one comes behind Kafka's marker."""
    a, b = bench.join(A, B)
    b.expect_entry_at(0)
    first, second = bench.together(a, b)
    assert (first.result(), second.result()) == (Committed(0, 0.1), Committed(0, 0.1))
    assert (a.next_offset, b.next_offset) == (2, 2)
    assert bench.start(a, b"next").result(PATIENCE_S).ledger_offset == 2
    assert [sorted(each) for each in bench.kafka.transactions] == [sorted([A, B]), [A]]
    assert bench.kafka.made == 1


def test_part_waits_for_nobody_who_is_due_later(bench: Bench) -> None:
    """As the end of a connection, which is committed at once."""
    a, b = bench.join(A, B)
    b.is_due_at(bench.kafka.now_s + 0.001)
    assert bench.start(a, b"a").result(PATIENCE_S).ledger_offset == 0
    assert bench.kafka.transactions == [[A]]


def test_part_waits_in_vain_for_a_moment_and_never_again(bench: Bench) -> None:
    """Who is due and does not come is overdue then, and holds nobody up."""
    a, b = bench.join(A, B)
    b.is_due_at(bench.kafka.now_s)
    commit = bench.start(a, b"a")
    wait_until(lambda: bench.kafka.transactions == [] and not commit.done(), "the part waits")
    bench.kafka.now_s += GATHER_S
    assert commit.result(PATIENCE_S).ledger_offset == 0
    assert bench.start(a, b"more").result(PATIENCE_S).ledger_offset == 2


@pytest.mark.parametrize("way", ["leaves", "commits"])
def test_part_does_not_wait_for_who_has_left_or_been(bench: Bench, way: str) -> None:
    """An announcement is good for one commit."""
    a, b = bench.join(A, B)
    b.is_due_at(bench.kafka.now_s)
    if way == "leaves":
        b.leave()
    else:
        bench.start(b, b"b").result(PATIENCE_S)
    assert bench.start(a, b"a").result(PATIENCE_S).ledger_offset == 0


def test_parts_that_come_during_a_transaction_share_the_next(bench: Bench) -> None:
    """Nobody waits for more than the one that is under way."""
    a, b, c = bench.join(A, B, C)
    goes_on = threading.Event()
    bench.kafka.hold = goes_on.wait
    commits = [bench.start(a, b"a")]
    wait_until(lambda: bool(bench.kafka.transactions), "a transaction is under way")
    commits += [bench.start(b, b"b"), bench.start(c, b"c")]
    waiting = bench.group
    wait_until(lambda: waiting.waiting == 2, "two parts wait")
    goes_on.set()
    wait(commits, PATIENCE_S)
    assert [len(transaction) for transaction in bench.kafka.transactions] == [1, 2]


def test_two_parts_of_one_partition_never_share_a_transaction(bench: Bench) -> None:
    """An owner that let go too late and its successor: the place of the entry decides."""
    old, new, b = bench.join(A, A, B)
    goes_on = threading.Event()
    bench.kafka.hold = goes_on.wait
    begun = bench.start(b, b"b")
    wait_until(lambda: bool(bench.kafka.transactions), "a transaction is under way")
    commits = [bench.start(old, b"old"), bench.start(new, b"new")]
    wait_until(lambda: bench.group.waiting == 2, "both wait")
    goes_on.set()
    wait([begun, *commits], PATIENCE_S)
    assert bench.kafka.transactions[1:] == [[A], [A]]
    assert sorted(str(type(commit.exception())) for commit in commits) == sorted([str(type(None)), str(FencedError)])
    assert len(bench.kafka.logs[A].committed) == 1


def test_commit_whose_answer_is_lost_is_found_in_the_ledger(bench: Bench) -> None:
    """Nothing is committed again, and nobody restores."""
    bench.kafka.fates = [Fate.ANSWER_LOST]
    a, b = bench.join(A, B)
    commits = bench.together(a, b)
    assert [commit.result().ledger_offset for commit in commits] == [0, 0]
    assert [round(commit.result().duration_s, 3) for commit in commits] == [0.1, 0.1]
    assert len(bench.kafka.transactions) == 1
    assert bench.causes == [ReplacementCause.FAILED]
    assert bench.start(a, b"next").result(PATIENCE_S).ledger_offset == 2


@pytest.mark.parametrize(("fate", "place"), [(Fate.ABORTED, 2), (Fate.NOT_WRITTEN, 0)])
def test_transaction_that_failed_is_committed_part_by_part(bench: Bench, fate: Fate, place: int) -> None:
    """Behind what the first attempt left in the log."""
    bench.kafka.fates = [fate]
    a, b = bench.join(A, B)
    commits = bench.together(a, b)
    assert [commit.result().ledger_offset for commit in commits] == [place, place]
    assert [len(transaction) for transaction in bench.kafka.transactions] == [2, 1, 1]
    assert (a.next_offset, b.next_offset) == (place + 2, place + 2)
    assert (bench.kafka.made, bench.causes) == (2, [ReplacementCause.FAILED])


def test_part_that_kafka_refuses_is_nobody_elses_trouble(bench: Bench) -> None:
    """It fails by itself; the others are committed, and there is a producer for whoever comes."""
    bench.kafka.refused = {b"1"}
    a, b, c = bench.join(A, B, C)
    first, refused, last = bench.together(a, b, c)
    assert (first.result().ledger_offset, last.result().ledger_offset) == (2, 2)
    assert isinstance(refused.exception(), WriterLostError)
    assert bench.start(a, b"next").result(PATIENCE_S).ledger_offset == 4
    assert [log.committed for log in bench.kafka.logs.values()][:3] == [[b"0", b"next"], [], [b"2"]]


def test_entry_out_of_place_fences_its_own_partition_alone(bench: Bench) -> None:
    """It is not tried again: another writer is at work there. The others are."""
    a, b = bench.join(A, B)
    bench.kafka.logs[B].append(b"rival", is_committed=False)
    good, misplaced = bench.together(a, b)
    assert isinstance(misplaced.exception(), FencedError)
    assert good.result().ledger_offset == 2
    assert bench.kafka.logs[B].committed == []


@pytest.mark.parametrize(
    ("places", "kind", "words"),
    [([b"rival", None], FencedError, "an entry of another writer"), ([], WriterLostError, "but ends at 0")],
)
def test_ledger_that_is_not_what_it_was_is_not_written_on(
    bench: Bench, places: list[bytes | None], kind: type[Exception], words: str
) -> None:
    """Somebody else committed there, or it was created again: its partition begins again, the others go on."""
    bench.kafka.logs[B].append(b"before", is_committed=True)
    a, b = bench.join(A, B)
    bench.kafka.fates = [Fate.NOT_WRITTEN]

    def change() -> None:
        bench.kafka.logs[B].places[:] = [b"before", None, *places] if places else []

    bench.kafka.hold = change
    good, bad = bench.together(a, b)
    assert good.result().ledger_offset == 0
    with pytest.raises(kind, match=words):
        bad.result()
    assert type(bad.exception()) is kind


def test_entry_that_is_out_of_place_when_tried_alone_is_fenced(bench: Bench) -> None:
    """The other writer came between the look at the ledger and the second attempt."""
    bench.kafka.fates = [Fate.ABORTED]
    [a] = bench.join(A)

    def rival() -> None:
        if len(bench.kafka.transactions) == 2:
            bench.kafka.logs[A].append(b"rival", is_committed=True)

    bench.kafka.hold = rival
    with pytest.raises(FencedError, match="misplaced"):
        bench.start(a, b"a").result(PATIENCE_S)


def test_process_that_is_fenced_leaves_the_field(bench: Bench) -> None:
    """No producer is made until somebody begins again: who has our name would be fenced in turn."""
    bench.kafka.fates = [FencedError("twin")]
    a, b = bench.join(A, B)
    with pytest.raises(FencedError, match="twin"):
        bench.start(a, b"a").result(PATIENCE_S)
    with pytest.raises(FencedError, match="twin"):
        bench.start(b, b"b").result(PATIENCE_S)
    assert (bench.kafka.made, bench.causes) == (1, [ReplacementCause.FENCED])
    [again] = bench.join(A)
    assert bench.start(again, b"again").result(PATIENCE_S).ledger_offset == 0
    assert bench.kafka.made == 2


def test_process_that_is_fenced_while_it_resolves_leaves_the_field(bench: Bench) -> None:
    """Whose part has not been resolved by then restores."""
    bench.kafka.fates = [Fate.ABORTED, FencedError("twin")]
    commits = bench.together(*bench.join(A, B))
    assert [type(commit.exception()) for commit in commits] == [FencedError, FencedError]
    assert bench.kafka.made == 2


def test_process_that_stood_still_within_a_transaction_leaves_the_field(bench: Bench) -> None:
    """Kafka has ended it by then, and others own what it owned, even if they have not committed yet."""
    bench.kafka.attempt_takes_s = TRANSACTION_TIMEOUT_S
    bench.kafka.fates = [Fate.ABORTED]
    a, b = bench.join(A, B)
    for writer in (a, b):
        with pytest.raises(FencedError, match="was paused for 15 s within a transaction"):
            bench.start(writer, b"x").result(PATIENCE_S)
    assert (bench.kafka.made, bench.causes) == (1, [ReplacementCause.FENCED])


def test_process_that_stood_still_while_it_resolves_leaves_the_field(bench: Bench) -> None:
    """The parts that are still to come are not tried."""
    bench.kafka.fates = [Fate.ABORTED, Fate.ABORTED]
    a, b = bench.join(A, B)

    def stand_still() -> None:
        if len(bench.kafka.transactions) == 2:
            bench.kafka.now_s += TRANSACTION_TIMEOUT_S

    bench.kafka.hold = stand_still
    commits = bench.together(a, b)
    assert [type(commit.exception()) for commit in commits] == [FencedError, FencedError]
    assert len(bench.kafka.transactions) == 2


@pytest.mark.parametrize("fate", [Fate.COMMITTED, Fate.ABORTED])
def test_part_of_a_partition_that_was_lost_is_not_tried(bench: Bench, fate: Fate) -> None:
    """It waited for another transaction, or was in one that failed: its entry would take the next owner's place."""
    lost, b = bench.join(A, B)
    goes_on = threading.Event()
    bench.kafka.hold = goes_on.wait
    bench.kafka.fates = [fate]
    if fate is Fate.ABORTED:
        for writer in (lost, b):
            writer.is_due_at(bench.kafka.now_s)
        commits = [bench.start(b, b"b"), bench.start(lost, b"a")]
        wait_until(lambda: bool(bench.kafka.transactions), "a transaction of both is under way")
    else:
        commits = [bench.start(b, b"b")]
        wait_until(lambda: bool(bench.kafka.transactions), "a transaction is under way")
        commits.append(bench.start(lost, b"a"))
        wait_until(lambda: bench.group.waiting == 1, "the part waits")
    lost.lose()
    goes_on.set()
    wait(commits, PATIENCE_S)
    assert commits[0].exception() is None
    with pytest.raises(WriterLostError, match="lost to another process"):
        commits[1].result()
    assert bench.kafka.transactions[1:] == ([[B]] if fate is Fate.ABORTED else [])


def test_partition_may_be_lost_in_the_moment_after_a_long_transaction(bench: Bench) -> None:
    """A process that was paused learns of it only then; what waited is not tried."""
    lost, b = bench.join(A, B)
    bench.kafka.attempt_takes_s = 6.0
    bench.on_pause = lost.lose
    goes_on = threading.Event()
    bench.kafka.hold = goes_on.wait
    first = bench.start(b, b"b")
    wait_until(lambda: bool(bench.kafka.transactions), "a transaction is under way")
    second = bench.start(lost, b"a")
    wait_until(lambda: bench.group.waiting == 1, "the part waits")
    goes_on.set()
    assert first.result(PATIENCE_S).ledger_offset == 0
    with pytest.raises(WriterLostError, match="lost to another process"):
        second.result(PATIENCE_S)


def test_slow_commit_is_followed_by_a_new_producer(bench: Bench) -> None:
    """Though it succeeded; a quick one is not."""
    [a] = bench.join(A)
    bench.kafka.attempt_takes_s = SLOW_COMMIT_S
    assert bench.start(a, b"1").result(PATIENCE_S).ledger_offset == 0
    assert bench.kafka.made == 1
    bench.kafka.attempt_takes_s = 1.1
    assert bench.start(a, b"2").result(PATIENCE_S).ledger_offset == 2
    assert bench.start(a, b"3").result(PATIENCE_S).ledger_offset == 4
    assert (bench.kafka.made, bench.kafka.replaced[0]) == (2 + 1, (ReplacementCause.SLOW_COMMIT, "a commit took 1.1 s"))


def test_producer_that_cannot_be_made_fails_whoever_needs_one() -> None:
    """With the reason; the next who joins has it tried again."""
    at_start, first, second = WriterLostError("too early"), DependencyUnavailableError("no limits"), RuntimeError("odd")
    with ExitStack() as exits:
        bench = Bench(exits, at_start, first, second)
        for words in ("no limits", "RuntimeError: odd"):
            with pytest.raises(ConnectorError, match=words):
                bench.join(A)
        [a] = bench.join(A)
        assert bench.start(a, b"a").result(PATIENCE_S).ledger_offset == 0


def test_process_ends_what_it_left_open_before_it_is_given_anything(bench: Bench) -> None:
    """There is a producer from the start on, and one that is idle is polled."""
    wait_until(lambda: bench.kafka.made == 1, "a producer is made")
    assert bench.kafka.polled.wait(PATIENCE_S)


def test_error_of_a_callback_costs_an_idle_producer_and_nothing_else(bench: Bench) -> None:
    """The thread lives on, with another one."""
    bench.kafka.poll_error = RuntimeError("odd")
    wait_until(lambda: bench.kafka.poll_error is None, "it is polled")
    [a] = bench.join(A)
    assert bench.start(a, b"a").result(PATIENCE_S).ledger_offset == 0
    assert (bench.kafka.made, bench.causes) == (2, [ReplacementCause.FAILED])
    bench.group.check()


def test_thread_that_has_died_is_noticed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_group_that_was_closed_has_not_died(bench: Bench) -> None:
    """It ends as it should."""
    bench.group.close()
    with pytest.raises(WriterLostError, match="the process ends"):
        bench.group.join()
    bench.group.check()


def test_parts_that_wait_for_a_producer_share_a_transaction(bench: Bench) -> None:
    """None can be made for a while: what is due then is committed at once, and nobody is looked up."""
    a, b = bench.join(A, B)
    bench.kafka.attempt_takes_s = SLOW_COMMIT_S + 0.1
    bench.kafka.failures_to_make = [DependencyUnavailableError("no answer")] * 60
    assert bench.start(a, b"first").result(PATIENCE_S)
    bench.kafka.tail_error = DependencyUnavailableError("nobody may ask")
    for writer in (a, b):
        writer.is_due_at(bench.kafka.now_s)
    commits = [bench.start(a, b"a"), bench.start(b, b"b")]
    wait(commits, PATIENCE_S)
    assert [commit.exception() for commit in commits] == [None, None]
    assert sorted(bench.kafka.transactions[-1]) == sorted([A, B])


def test_transaction_is_not_resolved_for_ever(bench: Bench) -> None:
    """What is not resolved in time restores, whatever it was that took so long."""
    bench.kafka.attempt_takes_s = RESOLVE_S / 2
    bench.kafka.fates = [Fate.ABORTED, Fate.ABORTED]
    commits = bench.together(*bench.join(A, B, C))
    assert [type(commit.exception()) for commit in commits] == [WriterLostError] * 3
    assert len(bench.kafka.transactions) == 2
    assert "within 20 s" in str(commits[2].exception()) or "within 20 s" in str(commits[0].exception())


def test_part_whose_ledger_cannot_be_read_fails_with_the_reason(bench: Bench) -> None:
    """Nothing is committed of which it is not known whether it was."""
    bench.kafka.fates = [Fate.ABORTED]
    bench.kafka.tail_error = DependencyUnavailableError("no answer")
    [a] = bench.join(A)
    with pytest.raises(DependencyUnavailableError, match="no answer"):
        bench.start(a, b"a").result(PATIENCE_S)
    assert bench.kafka.logs[A].committed == []


def test_unexpected_error_is_the_trouble_of_whose_part_it_is(bench: Bench) -> None:
    """As of a record that the client does not take: the others are committed."""
    bench.kafka.fates = [RuntimeError("odd"), RuntimeError("odd")]
    commits = bench.together(*bench.join(A, B))
    assert sorted(str(commit.exception()) for commit in commits) == ["None", "odd"]
    [again] = bench.join(A)
    assert bench.start(again, b"again").result(PATIENCE_S)


def test_producer_that_cannot_be_made_at_once_is_tried_for_while_there_is_time(bench: Bench) -> None:
    """Nobody restarts because Kafka did not answer once."""
    bench.kafka.fates = [Fate.ABORTED]
    [a, b] = bench.join(A, B)
    bench.kafka.failures_to_make = [DependencyUnavailableError("no answer")] * 20
    commits = bench.together(a, b)
    assert [commit.result().ledger_offset for commit in commits] == [2, 2]


def test_producer_is_not_tried_for_longer_than_there_is_time(bench: Bench) -> None:
    """Then all begin again, with the reason."""
    bench.kafka.fates = [Fate.ABORTED]
    [a, b] = bench.join(A, B)
    bench.kafka.failures_to_make = [DependencyUnavailableError("no answer")] * 200
    commits = bench.together(a, b)
    assert all("within 20 s: no answer" in str(commit.exception()) for commit in commits)
    assert all(isinstance(commit.exception(), WriterLostError) for commit in commits)


def test_writer_that_was_not_told_where_the_ledger_ends_commits_nothing(bench: Bench) -> None:
    """Its entry has no place."""
    writer = bench.writer(A)
    with pytest.raises(WriterLostError, match="not known where the ledger ends"):
        writer.commit([], Record("ledger", b"k", b"v"))
    assert bench.kafka.transactions == []


def test_whoever_waits_when_the_process_ends_is_told() -> None:
    """No thread stays behind."""
    with ExitStack() as exits:
        bench = Bench(exits)
        a, b = bench.join(A, B)
        goes_on = threading.Event()
        bench.kafka.hold = goes_on.wait
        first = bench.start(a, b"a")
        wait_until(lambda: bool(bench.kafka.transactions), "a transaction is under way")
        second = bench.start(b, b"b")
        wait_until(lambda: bench.group.waiting == 1, "a part waits")
        bench.group.close()
        goes_on.set()
        assert first.result(PATIENCE_S).ledger_offset == 0
        with pytest.raises(WriterLostError, match="the process ends"):
            second.result(PATIENCE_S)


def test_failure_leaves_nothing_behind(bench: Bench) -> None:
    """Neither the producer nor what it was to commit is held on to."""
    bench.kafka.fates = [Fate.ABORTED, Fate.ABORTED]
    [a] = bench.join(A)
    records = Records()
    commit = bench.start(a, b"a", records)
    assert isinstance(commit.exception(PATIENCE_S), WriterLostError)
    bench.join(B)
    failed = weakref.ref(records)
    del commit, records

    def is_gone() -> bool:
        gc.collect()
        return failed() is None

    wait_until(is_gone, "what failed is gone")


def test_what_alone_keeps_a_transaction_from_its_end_fails_at_once(bench: Bench) -> None:
    """It is suspected, and not tried again with the producer of the others, who are committed before time is up."""
    bench.kafka.attempt_takes_s = RESOLVE_S / 2
    bench.kafka.fates = [UndeliveredError([A])]
    hanging, good = bench.join(A, B)
    commits = bench.together(hanging, good)
    assert commits[1].result().ledger_offset == 0
    with pytest.raises(UndeliveredError, match="tweet/1"):
        commits[0].result()
    assert bench.suspects == {A}
    assert bench.kafka.transactions[1:] == [[B]]


def test_nobody_is_suspected_where_no_ledger_entry_could_be_written(bench: Bench) -> None:
    """Kafka itself was away: each part is tried again."""
    bench.kafka.fates = [UndeliveredError([A, B])]
    commits = bench.together(*bench.join(A, B))
    assert [commit.result().ledger_offset for commit in commits] == [0, 0]
    assert bench.suspects == set()


@given(
    st.lists(st.sampled_from(Fate), max_size=12),
    st.lists(st.sampled_from(STREAM_PARTITIONS[:4]), max_size=3),
    st.integers(1, 6),
)
def test_every_entry_is_committed_once_or_its_partition_begins_again(
    fates: list[Fate], rivals: list[StreamPartition], rounds: int
) -> None:
    """Whatever becomes of each attempt, and whoever else writes: what is told is what stands in the ledger."""
    with ExitStack() as exits:
        bench = Bench(exits)
        bench.kafka.fates = list[Fate | Exception](fates)
        writers = dict(zip(STREAM_PARTITIONS[:4], bench.join(*STREAM_PARTITIONS[:4]), strict=True))
        told = dict[bytes, tuple[StreamPartition, int]]()
        for number in range(rounds):
            if number == 1:
                for partition in rivals:
                    bench.kafka.logs[partition].append(b"rival", is_committed=True)
            values = {partition: b"%s %d" % (str(partition).encode(), number) for partition in writers}
            commits = {partition: bench.start(writers[partition], values[partition]) for partition in writers}
            wait(commits.values(), PATIENCE_S)
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
