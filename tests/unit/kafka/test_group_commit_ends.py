"""Group commit: producers that are replaced, threads that die, and what a failure leaves behind."""

import gc
import threading
import weakref
from concurrent.futures import wait
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import ConnectorError, DependencyUnavailableError, HungError, WriterLostError
from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.kafka.current_writer import SLOW_COMMIT_S, ReplacementCause
from connector.kafka.group_commit import RESOLVE_S
from connector.kafka.transaction import Record, UndeliveredError
from tests.rig.process import wait_until
from tests.unit.kafka.group import PATIENCE_S, A, B, Bench, C, Fate, Records


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


def test_producer_that_cannot_be_made_fails_all_that_need_one() -> None:
    """With the reason; the next who joins has it tried again."""
    at_start, first, second = WriterLostError("too early"), DependencyUnavailableError("no limits"), RuntimeError("odd")
    with ExitStack() as exits:
        bench = Bench(exits, at_start, first, second)
        for words in ("no limits", "RuntimeError: odd"):
            with pytest.raises(ConnectorError, match=words):
                bench.join(A)
        [a] = bench.join(A)
        assert bench.start(a, b"a").result(PATIENCE_S).ledger_offset == 0


def test_producer_is_renewed_once(bench: Bench) -> None:
    """Whoever joins after that is given the new one."""
    bench.join(A)
    bench.group.renew()
    bench.join(A, B)
    assert bench.kafka.made == 2


@pytest.mark.slow
def test_process_ends_what_it_left_open_before_it_is_given_anything(bench: Bench) -> None:
    """There is a producer from the start on, and one that is idle is polled."""
    wait_until(lambda: bench.kafka.made == 1, "a producer is made")
    assert bench.kafka.polled.wait(PATIENCE_S)


@pytest.mark.slow
def test_error_of_a_callback_costs_an_idle_producer_and_nothing_else(bench: Bench) -> None:
    """The thread lives on, with another one."""
    bench.kafka.poll_error = RuntimeError("odd")
    wait_until(lambda: bench.kafka.poll_error is None, "it is polled")
    [a] = bench.join(A)
    assert bench.start(a, b"a").result(PATIENCE_S).ledger_offset == 0
    assert (bench.kafka.made, bench.causes) == (2, [ReplacementCause.FAILED])
    bench.group.check()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_that_has_died_is_noticed(bench: Bench) -> None:
    """Nothing can be committed any more: the process must end."""
    bench.group.check()
    threads = [thread for thread in threading.enumerate() if thread.name == "group-commit"]
    bench.kafka.report_error = RuntimeError("cannot be told")
    bench.kafka.poll_error = RuntimeError("odd")

    def has_died() -> bool:
        try:
            bench.group.check()
        except HungError:
            return True
        return False

    wait_until(has_died, "it is noticed")
    for thread in threads:  # pytest finds the exception of one that has ended
        thread.join(PATIENCE_S)


def test_group_that_was_closed_has_not_died(bench: Bench) -> None:
    """It ends as it should."""
    bench.group.close()
    with pytest.raises(WriterLostError, match="the process ends"):
        bench.group.join()
    bench.group.check()


def test_parts_that_wait_for_a_producer_share_a_transaction(bench: Bench) -> None:
    """None can be made for a while: what is due then is committed at once, and no ledger is looked up."""
    a, b = bench.join(A, B)
    bench.kafka.attempt_takes_s = SLOW_COMMIT_S + 0.1
    bench.kafka.failures_to_make = [DependencyUnavailableError("no answer")] * 60
    assert bench.start(a, b"first").result(PATIENCE_S)
    bench.kafka.tail_error = DependencyUnavailableError("must not be asked")
    for writer in (a, b):
        writer.announce(bench.kafka.now_s)
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
    """No stream partition restarts because Kafka did not answer once."""
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


def test_part_that_waits_when_the_process_ends_gets_an_error() -> None:
    """No thread stays behind."""
    with ExitStack() as exits:
        bench = Bench(exits)
        a, b = bench.join(A, B)
        first, second = bench.behind((a, b"a"), (b, b"b"), meanwhile=bench.group.close)
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


def test_none_is_suspected_if_no_ledger_entry_could_be_written(bench: Bench) -> None:
    """Kafka itself was away: each part is tried again."""
    bench.kafka.fates = [UndeliveredError([A, B])]
    commits = bench.together(*bench.join(A, B))
    assert [commit.result().ledger_offset for commit in commits] == [0, 0]
    assert bench.suspects == set()


@pytest.mark.slow
@given(
    st.lists(st.sampled_from(Fate), max_size=12),
    st.lists(st.sampled_from(STREAM_PARTITIONS[:4]), max_size=3),
    st.integers(1, 6),
)
def test_every_entry_is_committed_once_or_its_partition_begins_again(
    fates: list[Fate], rivals: list[StreamPartition], rounds: int
) -> None:
    """Whatever becomes of each attempt, and whatever else writes: the reported outcome is the one in the ledger."""
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
