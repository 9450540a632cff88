"""Every id that was sent, and every line that came back, is accounted for."""

import io
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.batch.accounting import MOST_KINDS, OTHER, Tally, UnaccountedError, join
from connector.batch.results import DeadReason, read_results
from connector.batch.sorting import sorted_lines
from tests.unit.batch.joined import Shard, ended, join_all, joined, line, shard_of, sort_in_memory

KNOWN = ["delete", "rehydrate", "scrub_geo"]
GRAVEST_FIRST = [*KNOWN, "an_action_to_come"]
ACTIONS = st.sampled_from(GRAVEST_FIRST)
IDS = st.integers(0, 15).map(str)
REASONS = st.sampled_from(["deleted", "suspended", None])
RESULTS = st.builds(line, IDS, ACTIONS, REASONS)
REJECTIONS = IDS.map(lambda id_: json.dumps({"id": id_, "error": "invalid_id"}).encode())
ANY = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.lists(st.text(max_size=3), max_size=2)
)
ODD = st.builds(line, IDS | IDS.map(int) | ANY, ACTIONS | ANY, REASONS | ANY)
LINES = st.lists(RESULTS | REJECTIONS | ODD, max_size=15)


def actions_by_id(lines: Iterable[bytes]) -> dict[str, set[str]]:
    """Return the readable actions of each id, worked out without sorting or joining; a rejection is an empty one."""
    answers: dict[str, set[str]] = {}
    for text in lines:
        members = json.loads(text)
        id_, action, reason = members["id"], members.get("action"), members.get("reason")
        if type(id_) is int and 0 <= id_ < 2**53:
            id_ = str(id_)
        if not isinstance(id_, str):
            continue
        if action is None and members.get("error") == "invalid_id":
            answers.setdefault(id_, set()).add("")
        elif isinstance(action, str) and 0 < len(action) <= 200 and (reason is None or isinstance(reason, str)):
            answers.setdefault(id_, set()).add(action)
    return answers


def gravest(actions: set[str]) -> set[str]:
    """Return the action that counts, or those that may: of actions that are not known none is graver."""
    return next(({action} for action in KNOWN if action in actions), actions - {""})


def test_findings_come_in_the_order_of_their_ids_and_the_rest_is_clean(tmp_path: Path) -> None:
    """Ids are in byte order, as the shard has them; absence means clean."""
    outcome = joined(
        tmp_path, ["9", "10", "2", "100", "1"], ended(line("2"), line("100"), line("10", "scrub_geo", None))
    )
    assert [finding.id for finding in outcome.findings] == ["10", "100", "2"]
    assert outcome.tally == Tally(
        submitted=5,
        clean=2,
        rejected=0,
        by_action={("delete", "deleted"): 2, ("scrub_geo", None): 1},
        dead=0,
        repeated=0,
        unclear=0,
    )
    assert outcome.tally.acted_on == 3


def test_shard_without_ids_and_lines_has_an_empty_tally(tmp_path: Path) -> None:
    """Nothing was sent, and nothing came back."""
    assert joined(tmp_path, [], b"").tally == Tally(0, 0, 0, {}, 0, 0, 0)


def test_rejected_id_is_counted_and_no_finding(tmp_path: Path) -> None:
    """X did not look at it, so it is not clean."""
    outcome = joined(tmp_path, "12", ended(b'{"id":"1","error":"invalid_id"}'))
    assert (outcome.outcomes, outcome.tally.rejected, outcome.tally.clean) == ([], 1, 1)


@pytest.mark.parametrize("id_", ["0", "15", "3"])
@pytest.mark.parametrize("text", [line("-"), b'{"id":"-","error":"invalid_id"}', b'{"id":"-","action":"\xff"}'])
def test_line_about_an_id_never_sent_is_a_dead_result(tmp_path: Path, id_: str, text: bytes) -> None:
    """Before the first, between two, or after the last; whatever the line says."""
    text = text.replace(b"-", id_.encode())
    outcome = joined(tmp_path, "12", ended(text, line("1")))
    [dead] = outcome.dead
    assert (dead.reason, dead.detail, dead.line) == (DeadReason.NOT_SENT, f"id {id_} was not sent", text)
    assert (outcome.tally.acted_on, outcome.tally.clean) == (1, 1)


@pytest.mark.parametrize("graver", range(len(GRAVEST_FIRST)))
@pytest.mark.parametrize("lesser", range(len(GRAVEST_FIRST)))
@pytest.mark.parametrize("reasons", ["ab", "ba"])
def test_gravest_action_counts_and_the_other_line_says_so(
    tmp_path: Path, graver: int, lesser: int, reasons: str
) -> None:
    """In whichever order the lines are sorted; of equally grave ones the first counts."""
    actions = GRAVEST_FIRST[min(graver, lesser)], GRAVEST_FIRST[max(graver, lesser)]
    lines = [
        json.dumps({"reason": reason, "id": "1", "action": action}).encode()
        for reason, action in zip(reasons, actions, strict=True)
    ]
    kept, other = sorted(lines) if graver == lesser else lines
    outcome = joined(tmp_path, "1", ended(*lines))
    [finding], [dead] = outcome.findings, outcome.dead
    assert {"reason": finding.reason, "id": "1", "action": finding.action} == json.loads(kept)
    assert (dead.reason, dead.line) == (DeadReason.CONTRADICTED, other)
    assert dead.detail == f"another line about this id counts: {finding.action}, {finding.reason}"
    assert outcome.tally.by_action == {(finding.action, finding.reason): 1}


@pytest.mark.parametrize("rejection", [b'{"id":"1","error":"invalid_id"}', b'{"error":"invalid_id","id":"1"}'])
def test_finding_counts_before_a_rejection_of_the_same_id(tmp_path: Path, rejection: bytes) -> None:
    """To act without need is the smaller harm."""
    outcome = joined(tmp_path, "1", ended(rejection, line("1", "an_action_to_come")))
    assert ([finding.action for finding in outcome.findings], outcome.tally.rejected) == (["an_action_to_come"], 0)
    assert [dead.line for dead in outcome.dead] == [rejection]


@pytest.mark.parametrize(
    "again",
    [
        line("1"),
        b' {"reason":"deleted", "action":"delete", "id":1, "created_at":null}',
        line("1", error=None, deleted_at=None),
    ],
)
def test_line_that_says_the_same_again_is_counted_and_not_reported(tmp_path: Path, again: bytes) -> None:
    """However X spells it."""
    outcome = joined(tmp_path, "1", ended(line("1"), again, again))
    assert (len(outcome.outcomes), outcome.tally.repeated, outcome.tally.acted_on) == (1, 2, 1)


def test_repeats_of_rejections_dead_results_and_foreign_ids_are_counted(tmp_path: Path) -> None:
    """The same bytes about the same id are reported once."""
    lines = [b'{"id":"1","error":"invalid_id"}', line("2", None), line("3")]
    outcome = joined(tmp_path, "12", ended(*lines, *lines))
    assert (outcome.tally.rejected, outcome.tally.dead, outcome.tally.repeated) == (1, 2, 3)


def test_id_with_dead_results_alone_is_not_known_to_be_clean(tmp_path: Path) -> None:
    """It is counted with the clean ones, and apart."""
    outcome = joined(tmp_path, "123", ended(line("1", None), line("2", None), line("2")))
    assert (outcome.tally.clean, outcome.tally.unclear, outcome.tally.dead) == (2, 1, 2)


def test_kinds_without_number_are_counted_as_other(tmp_path: Path) -> None:
    """An X that puts a time into each reason fills no memory; the sum holds."""
    ids = [f"{number:04}" for number in range(MOST_KINDS + 50)]
    tally = joined(tmp_path, ids, ended(*(line(id_, "delete", id_) for id_ in ids))).tally
    assert (len(tally.by_action), tally.by_action[OTHER], tally.acted_on) == (MOST_KINDS + 1, 50, len(ids))


@pytest.mark.slow
def test_memory_is_bounded_whatever_the_count_of_ids_and_findings(tmp_path: Path) -> None:
    """Twenty times what is sorted in memory is read, sorted and joined in little more."""
    memory_bytes, count = 256 * 1024, 40_000
    sent, download = tmp_path / "shard", tmp_path / "download"
    sent.write_bytes(b"".join(b"%019d\n" % number for number in range(count)))
    download.write_bytes(ended(*(line(f"{number * 7919 % count:019}") for number in range(count))))
    sort = partial(sorted_lines, memory_bytes=memory_bytes)
    tracemalloc.start()
    try:
        with download.open("rb") as file, read_results(file, tmp_path, sort) as results:
            found = sum(1 for _ in join(Shard(sent, count), results))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == count
    assert peak_bytes < 2 * memory_bytes + 1024**2


@pytest.mark.slow
@given(sent=st.sets(IDS), lines=LINES)
def test_every_id_and_every_line_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, sent: set[str], lines: list[bytes]
) -> None:
    """For any ids and any lines, against a plain count of both."""
    outcome = joined(tmp_path_factory.getbasetemp(), sent, ended(*lines))
    tally, answers = outcome.tally, {id_: said for id_, said in actions_by_id(lines).items() if id_ in sent}
    acted_on = {id_: gravest(said) for id_, said in answers.items() if said != {""}}
    assert {finding.id for finding in outcome.findings} == set(acted_on)
    assert all(finding.action in acted_on[finding.id] for finding in outcome.findings)
    assert len(outcome.findings) == len(acted_on) == tally.acted_on
    assert tally.rejected == sum(said == {""} for said in answers.values())
    assert tally.submitted == len(sent) == tally.clean + tally.acted_on + tally.rejected
    assert Counter((finding.action, finding.reason) for finding in outcome.findings) == tally.by_action
    assert len(outcome.dead) == tally.dead
    assert outcome.lines == len(lines) == tally.acted_on + tally.rejected + tally.repeated + tally.dead


@pytest.mark.slow
@given(sent=st.sets(IDS), lines=LINES, random=st.randoms(use_true_random=False))
def test_order_of_the_lines_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, sent: set[str], lines: list[bytes], random: Random
) -> None:
    """A run that goes on with another download counts on the same sequence."""
    folder = tmp_path_factory.getbasetemp()
    shuffled = random.sample(lines, len(lines))
    assert joined(folder, sent, ended(*shuffled)) == joined(folder, sent, ended(*lines))


@pytest.mark.slow
@given(sent=st.sets(IDS, min_size=1), random=st.randoms(use_true_random=False))
def test_line_dropped_or_doubled_shows_in_the_tally(
    tmp_path_factory: pytest.TempPathFactory, sent: set[str], random: Random
) -> None:
    """The checker, checked: of what X should have said, one line is missing, or comes twice."""
    folder = tmp_path_factory.getbasetemp()
    lines = [line(id_) for id_ in sent]
    chosen = random.choice(lines)
    whole = joined(folder, sent, ended(*lines)).tally
    dropped = joined(folder, sent, ended(*(text for text in lines if text != chosen))).tally
    doubled = joined(folder, sent, ended(*lines, chosen)).tally
    assert (whole.acted_on, whole.clean, whole.repeated) == (len(sent), 0, 0)
    assert (dropped.acted_on, dropped.clean, dropped.repeated) == (len(sent) - 1, 1, 0)
    assert doubled == replace(whole, repeated=1)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda rows: rows[1:], "4 result lines were read, but 3 are accounted for"),
        (lambda rows: rows[:-1], "4 result lines were read, but 3 are accounted for"),
        (lambda rows: [rows[0], *rows], "4 result lines were read, but 5 are accounted for"),
        (lambda rows: rows[::-1], "result lines are out of order after sorting"),
        (lambda rows: [*rows, rows[1]], "result lines are out of order after sorting"),
        (lambda rows: rows[1:] + rows[:1], "result lines are out of order after sorting"),
    ],
)
def test_rows_lost_added_or_disordered_by_the_sort_are_noticed(
    tmp_path: Path, damage: Callable[[list[bytes]], list[bytes]], message: str
) -> None:
    """The checker, checked: a full disk or a fault of ours never passes for an answer of X."""

    def sort(lines: Iterable[bytes], _folder: Path) -> Generator[bytes, None, None]:
        yield from damage(sorted(lines))

    with pytest.raises(UnaccountedError, match=message):
        joined(tmp_path, "12345", ended(*map(line, "1235")), sort)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["1", "2", "3"], "4 ids were sent, but 3 are accounted for"),
        (["1", "2", "3", "4", "5"], "4 ids were sent, but 5 are accounted for"),
        (["1", "3", "2", "4"], "the ids of a shard are out of order"),
        (["1", "2", "2", "4"], "the ids of a shard are out of order"),
        (["1", "2", "4", "4"], "the ids of a shard are out of order"),
    ],
)
@pytest.mark.parametrize("answered", ["", "2", "1"])
def test_shard_that_changed_on_disk_is_noticed(tmp_path: Path, ids: list[str], message: str, answered: str) -> None:
    """Ids that are gone must not pass for clean."""
    shard = shard_of(tmp_path, "1234")
    with read_results(io.BytesIO(ended(*map(line, answered))), tmp_path, sort_in_memory) as results:
        shard.path.write_text("".join(f"{id_}\n" for id_ in ids))
        with pytest.raises(UnaccountedError, match=message):
            join_all(shard, results)
