"""Group commit when a transaction fails, is fenced, or its partition is lost."""

import pytest

from connector.errors import FencedError, WriterLostError
from connector.kafka.current_writer import TRANSACTION_TIMEOUT_S, ReplacementCause
from tests.unit.kafka.group import PATIENCE_S, A, B, Bench, C, Fate


def test_commit_whose_answer_is_lost_is_found_in_the_ledger(bench: Bench) -> None:
    """Nothing is committed again, and nothing restores."""
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


def test_part_that_kafka_refuses_affects_no_other(bench: Bench) -> None:
    """It fails by itself; the others are committed, and there is a producer for later parts."""
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
    """Another writer committed there, or it was created again: its partition restarts, the others continue."""
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
    """No producer is made until a partition starts again: the process with our id would be fenced in turn."""
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
        with pytest.raises(FencedError, match="was paused for 15 s during a transaction"):
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
