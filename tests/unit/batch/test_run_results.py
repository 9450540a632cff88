"""A run whose result lines are odd: what is understood counts, the rest is a dead letter, and every line is counted."""

import json
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from connector.batch.accounting import UnaccountedError
from connector.batch.sorting import sorted_lines
from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.batch.faults import BatchLines, Lines, Transfer
from connector.x.batch_api import CallFailedError, JobType
from tests.unit.batch.runs import PLAIN, TOKEN, Found, KilledError, Operator, Row

_AGAIN = {"download": 1, "get": 1}
_MOST_EXACT = 2**53 - 1


def _lines(how: Lines, lines: int = 1, after: int = 0, times: int = 1) -> BatchLines:
    return BatchLines(how=how, lines=lines, after=after, times=times)


def _apart(operator: Operator) -> tuple[Found, Found]:
    """Return what the results lack of the truth, and what they have beside it."""
    truth, found = operator.truth(), operator.results()
    return [each for each in truth if each not in found], [each for each in found if each not in truth]


@pytest.mark.parametrize(
    "row",
    [
        Row(faults=(_lines("shuffled"),)),
        Row(faults=(_lines("doubled", 5),)),
        Row(faults=(_lines("extra-members", 5),)),
        Row(faults=(_lines("deleted-at", 5),)),
        Row(faults=(_lines("garbage"),), more=_AGAIN, says="is not a JSON object with an id: upstream connect error"),
    ],
    ids=lambda row: row.faults[0].how,
)
def test_results_are_the_same_although_their_lines_are(operator: Operator, row: Row) -> None:
    """In another order, there twice, longer or in other words; what is no result at all is fetched again."""
    row.play(operator)


def test_lines_that_come_twice_are_counted(operator: Operator) -> None:
    """And reported once."""
    operator.arm(_lines("doubled", 5))
    report = operator.run()
    operator.check(report)
    assert (report.outcome.repeated, report.outcome.lines) == (5, len(operator.truth()) + 5)


def test_unknown_members_are_kept(operator: Operator) -> None:
    """As JSON, beside those that are known."""
    operator.arm(_lines("extra-members"))
    operator.check(operator.run())
    (unknown,) = [result["unknown_fields"] for result in operator.lines() if result["unknown_fields"]]
    assert json.loads(str(unknown)).keys() == {"severity", "labels"}


@pytest.mark.parametrize("how", ["unknown-action", "null-members", "missing-members", "old-reasons", "changed"])
def test_action_and_reason_are_reported_in_the_words_of_x(operator: Operator, how: Lines) -> None:
    """Of any kind, or none at all; they are counted, too."""
    operator.arm(_lines(how, 3))
    report = operator.run()
    lost, found = _apart(operator)
    operator.check(report, but=sorted([*(each for each in operator.truth() if each not in lost), *found]))
    assert [id_ for id_, *_ in lost] == [id_ for id_, *_ in found]
    assert len(found) == 3
    counted = Counter((action, reason) for _, action, reason, _ in operator.results())
    assert counted == {(action, reason): count for action, reason, count in report.outcome.by_action}
    if how == "unknown-action":
        assert {each[1:3] for each in found} == {("quarantine", "unheard_of")}


@pytest.mark.parametrize(
    ("how", "reason", "is_known"),
    [
        ("null-action", "invalid-result", True),
        ("missing-action", "invalid-result", True),
        ("number-id", "malformed-id", False),
        ("long", "too-long", False),
    ],
)
def test_line_that_is_not_understood_is_a_dead_letter(
    operator: Operator, how: Lines, reason: str, *, is_known: bool
) -> None:
    """With what came of it; its id counts as clean, and is in doubt if the line tells which one it is."""
    operator.arm(_lines(how, 20))
    report = operator.run()
    lost, found = _apart(operator)
    operator.check(report, but=[each for each in operator.truth() if each not in lost])
    assert found == []
    assert how != "number-id" or all(int(id_) > _MOST_EXACT for id_, *_ in lost)
    assert how == "number-id" or len(lost) == 20
    dead = operator.dead_letters()
    assert {letter["reason"] for letter in dead} == {reason}
    assert len(dead) == len(lost) > 0
    assert all(any(id_ in str(letter["line"]) for letter in dead) for id_, *_ in lost)
    assert report.outcome.unclear == (len(lost) if is_known else 0)
    assert any("not understood" in line for line in report.lines())


def test_id_that_is_a_number_is_taken_where_it_is_exact(tmp_path: Path) -> None:
    """As those of older users are."""
    with Simulator(SimulatorConfig(token=TOKEN)) as sim:
        body = {"event_at": "2026-09-25T10:00:00.000Z", "user": {"id": str(_MOST_EXACT)}}
        sim.emit_line("user", 1, json.dumps({"data": {"user_delete": body}}).encode(), "event")
        operator = Operator(sim, tmp_path, JobType.USERS)
        Row(faults=(_lines("number-id"),)).play(operator)
    assert operator.results() == [(str(_MOST_EXACT), "delete", "deactivated", body["event_at"])]


def test_id_that_was_never_sent_is_a_dead_letter(operator: Operator) -> None:
    """It changes nothing for the ids that were."""
    operator.arm(_lines("foreign-id", 3))
    operator.check(operator.run())
    assert [letter["reason"] for letter in operator.dead_letters()] == ["not-sent"] * 3


def test_id_that_x_calls_invalid_is_rejected(operator: Operator) -> None:
    """Though it is valid: neither clean nor acted on."""
    operator.arm(_lines("valid-as-invalid", 3))
    report = operator.run()
    lost, found = _apart(operator)
    operator.check(report, but=[each for each in operator.truth() if each not in lost])
    assert (found, len(lost), report.outcome.rejected) == ([], 3, 3)


def test_lines_that_contradict_each_other_come_to_the_gravest(operator: Operator) -> None:
    """The other one is a dead letter that says so."""
    operator.arm(_lines("contradicted", 5))
    report = operator.run()
    _, found = _apart(operator)
    operator.check(report, but=operator.results())
    assert {action for _, action, *_ in found} <= {"delete"}
    assert [id_ for id_, *_ in operator.results()] == [id_ for id_, *_ in operator.truth()]
    assert [letter["reason"] for letter in operator.dead_letters()] == ["contradicted"] * 5


def test_line_that_x_leaves_out_cannot_be_told(operator: Operator) -> None:
    """Absence means clean."""
    operator.arm(_lines("dropped"))
    report = operator.run()
    lost, found = _apart(operator)
    operator.check(report, but=[each for each in operator.truth() if each not in lost])
    assert (len(lost), found) == (1, [])


def test_lines_that_are_never_results_end_the_run(operator: Operator) -> None:
    """After five tries; the next run goes on with the same job."""
    operator.arm(_lines("garbage", times=5))
    with pytest.raises(CallFailedError, match="is not a JSON object with an id: upstream connect error") as caught:
        operator.run()
    assert caught.value.exit_code == os.EX_UNAVAILABLE
    operator.check(operator.run())
    assert operator.calls() == PLAIN + Counter(download=5, get=5)


def test_results_of_a_run_that_was_killed_are_those_of_its_last_download(operator: Operator) -> None:
    """Though X has changed its mind meanwhile: nothing is left of the first one."""

    def kill(text: str) -> None:
        if text.endswith("bytes downloaded"):
            raise KilledError

    operator.on_point = kill
    with pytest.raises(KilledError):
        operator.run()
    operator.on_point = lambda _: None
    fired = operator.arm(_lines("changed", 3, after=1))
    report = operator.run()
    lost, found = _apart(operator)
    assert (len(lost), len(found), operator.sim.fired) == (3, 3, fired)
    operator.check(report, but=operator.results())


# --- the checker checked


def _dropping(rows: Iterable[bytes]) -> Iterator[bytes]:
    yield from list(rows)[1:]


def _doubling(rows: Iterable[bytes]) -> Iterator[bytes]:
    first, *rest = rows
    yield from (first, first, *rest)


def _swapping(rows: Iterable[bytes]) -> Iterator[bytes]:
    first, second, *rest = rows
    yield from (second, first, *rest)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_dropping, "47 result lines were read, but 46 are accounted for"),
        (_doubling, "47 result lines were read, but 48 are accounted for"),
        (_swapping, "result lines are out of order"),
    ],
)
def test_result_line_that_is_lost_between_download_and_join_is_missed(
    operator: Operator,
    damage: Callable[[Iterable[bytes]], Iterator[bytes]],
    words: str,
) -> None:
    """So is one that is there twice, or out of order: no results are put in their place, and the next run has them."""

    def damaged(lines: Iterable[bytes], folder: Path) -> Generator[bytes, None, None]:
        yield from damage(sorted_lines(lines, folder))

    operator.sort = damaged
    with pytest.raises(UnaccountedError, match=words) as caught:
        operator.run()
    operator.sort = sorted_lines
    assert (caught.value.exit_code, operator.output.exists()) == (os.EX_SOFTWARE, False)
    operator.check(operator.run())
    assert operator.calls() == PLAIN + Counter(get=1, download=1)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_dropping, "91 ids were sent, but 90 are accounted for"),
        (_doubling, "the ids of a shard are out of order"),
        (_swapping, "the ids of a shard are out of order"),
        (lambda ids: [*ids, b"99999999999999999990\n"], "91 ids were sent, but 92 are accounted for"),
    ],
    ids=["dropped", "doubled", "swapped", "added"],
)
def test_id_that_is_lost_between_upload_and_join_is_missed(
    operator: Operator, damage: Callable[[Iterable[bytes]], Iterable[bytes]], words: str
) -> None:
    """So is one that is there twice, out of order or was never sent; the next run has the ids as they were."""
    shard = operator.folder / "shard-00001.ids"
    kept = b""

    def tamper(text: str) -> None:
        nonlocal kept
        if text.endswith("bytes downloaded"):
            kept = shard.read_bytes()
            shard.write_bytes(b"".join(damage(kept.splitlines(keepends=True))))

    operator.on_point = tamper
    with pytest.raises(UnaccountedError, match=words):
        operator.run()
    assert not operator.output.exists()
    operator.on_point = lambda _: None
    shard.write_bytes(kept)
    operator.check(operator.run())


@pytest.mark.parametrize("transfer", get_args(Transfer))
def test_secret_that_is_shown_or_left_is_found(operator: Operator, transfer: Transfer) -> None:
    """By the check that each run of these tests goes through."""
    operator.run()
    secrets = [job.tokens[transfer] for job in operator.sim.jobs.listed("tweets", None)]
    for secret in (TOKEN, *secrets):
        with pytest.raises(AssertionError):
            operator.check_secrets(f"about {secret}")
        (operator.home / "left").write_text(secret)
        with pytest.raises(AssertionError):
            operator.check_secrets()
        (operator.home / "left").unlink()
    operator.check_secrets()
