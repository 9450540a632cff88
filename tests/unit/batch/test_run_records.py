"""Records of a batch run as a whole: what it came to, what it vouches for, and its entries in the ledger."""

import json
from dataclasses import replace
from typing import Any

import pytest

from connector.batch.accounting import MOST_KINDS, OTHER, UnaccountedError
from connector.batch.ids import IdSource
from connector.batch.ledger import BatchLedgerEntry, read_entry
from connector.batch.records import RunAccount, RunStatus
from connector.errors import OwnCorruptionError
from connector.kafka.records import UnencodableError
from connector.x.batch_api import JobType
from tests.fakes.partition import value_of
from tests.fakes.x import NOW_US
from tests.unit.batch.record_builder import builder, by_kind

ENTRY = BatchLedgerEntry(7, JobType.USERS, "a1b2c3d4e5f6", "host-0, process 17", '{"shards":[]}', 3, 3, NOW_US)
ACCOUNT = RunAccount(
    run_id="a1b2c3d4e5f6",
    source=IdSource.TOPIC,
    status=RunStatus.DONE,
    started_us=NOW_US,
    finished_us=NOW_US + 5_000_999,
    ids=1000,
    clean=900,
    rejected=1,
    unclear=2,
    by_action=[("rehydrate", None, 9), ("delete", "deleted", 90)],
    shards=3,
    checked_from_us=NOW_US + 1_000,
    covers_all=True,
    last_sequence=99,
    dead_letters=4,
)


@by_kind
def test_run_record_says_what_was_asked_and_what_came_of_it(kind: JobType, entity: str) -> None:
    """Every field of the contract; the largest counts first."""
    record = builder(kind).run(ACCOUNT)
    assert (record.topic, record.key, record.headers, record.partition) == ("p-batch", b"a1b2c3d4e5f6", None, -1)
    assert value_of(record) == {
        "run_id": "a1b2c3d4e5f6",
        "type": f"{entity}s",
        "source": "topic",
        "state": "done",
        "started_at": NOW_US // 1000,
        "finished_at": NOW_US // 1000 + 5000,
        "ids": 1000,
        "clean": 900,
        "rejected": 1,
        "unclear": 2,
        "counts": [
            {"action": "delete", "reason": "deleted", "count": 90},
            {"action": "rehydrate", "reason": None, "count": 9},
        ],
        "shards": 3,
        "checked_from": NOW_US // 1000 + 1,
        "covers_all": True,
        "first_sequence": 1,
        "last_sequence": 99,
        "dead_letters": 4,
    }


def test_run_record_at_the_beginning_claims_nothing() -> None:
    """No job yet, no end, no result."""
    account = RunAccount(
        run_id="r",
        source=IdSource.FILE,
        status=RunStatus.RUNNING,
        started_us=NOW_US,
        ids=5,
        shards=1,
        covers_all=False,
    )
    values = value_of(builder().run(account))
    assert (values["state"], values["finished_at"], values["checked_from"]) == ("running", None, None)
    assert (values["counts"], values["first_sequence"], values["last_sequence"]) == ([], 1, 0)


def test_counts_of_a_run_are_bounded_and_add_up() -> None:
    """Words without end must not outgrow the record: the smallest counts come together."""
    kinds = [(f"{number}" + "\N{GRINNING FACE}" * 196, "\N{GRINNING FACE}" * 200, number) for number in range(1, 2001)]
    account = replace(ACCOUNT, status=RunStatus.RUNNING, by_action=[*kinds, (*OTHER, 5), kinds[-1]])
    values = value_of(builder().run(account))
    counts = {(each["action"], each["reason"]): each["count"] for each in values["counts"]}
    assert len(counts) == len(values["counts"]) == MOST_KINDS + 1
    assert sum(counts.values()) == sum(range(1, 2001)) + 5 + 2000
    assert counts[kinds[-1][:2]] == 4000
    assert OTHER in counts


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"clean": 899}, "the run asked about 1000 ids, but 999 are accounted for"),
        ({"by_action": [("delete", None, 99)] * 2}, "the run asked about 1000 ids, but 1099 are accounted for"),
        ({"last_sequence": 98}, "99 ids have a finding, but 98 are published"),
    ],
)
def test_run_that_leaves_an_id_out_is_not_called_done(changes: dict[str, Any], problem: str) -> None:
    """Absence would be taken for clean; until the end, sums need not add up."""
    with pytest.raises(UnaccountedError, match=problem):
        builder().run(replace(ACCOUNT, **changes))
    assert value_of(builder().run(replace(ACCOUNT, **changes, status=RunStatus.FAILED)))["state"] == "failed"


_SOUND = replace(ACCOUNT, rejected=0, unclear=0, dead_letters=0, clean=901)


def test_run_vouches_for_all_that_is_held_if_it_knows_of_each_id() -> None:
    """Whatever it found."""
    assert _SOUND.vouches_for_all


@pytest.mark.parametrize(
    "changes",
    [
        {"covers_all": False},
        {"rejected": 1},
        {"unclear": 1},
        {"dead_letters": 1},
        {"checked_from_us": None},
        *({"status": status} for status in RunStatus if status is not RunStatus.DONE),
    ],
    ids=lambda changes: " ".join(map(str, changes.values())) + " " + next(iter(changes)),
)
def test_run_vouches_for_nothing(changes: dict[str, Any]) -> None:
    """Where one id may not have been asked about, or its answer was not understood; nor if no job was made at all."""
    assert not replace(_SOUND, **changes).vouches_for_all


@by_kind
def test_ledger_entry_goes_to_the_place_of_its_kind(kind: JobType, entity: str) -> None:
    """And reads back as itself, whichever builder made it."""
    entry = replace(ENTRY, kind=kind)
    record = builder(JobType.TWEETS).ledger(entry)
    place = {"tweet": 0, "user": 1}[entity]
    assert (record.topic, record.key, record.partition) == ("p-batch-ledger", f"{entity}s".encode(), place)
    assert value_of(record)["written_at"] == NOW_US // 1000
    assert read_entry(record.value, kind, lambda _: value_of(record)) == entry


def test_ledger_entry_that_could_not_be_read_back_is_not_written() -> None:
    """It would stop every run to come."""
    with pytest.raises(OwnCorruptionError, match="users entry 7: the runner is not a short printable text"):
        builder().ledger(replace(ENTRY, runner="two\nlines"))


def test_state_over_the_topic_s_limit_is_unencodable() -> None:
    """It would poison each transaction that holds it."""
    state = json.dumps({"text": "x" * 5000})
    assert len(builder(p_batch_ledger=6000).ledger(replace(ENTRY, state=state)).value) > 5000
    with pytest.raises(UnencodableError, match="limit of 5550"):
        builder(p_batch_ledger=5550).ledger(replace(ENTRY, state=state))
    with pytest.raises(UnencodableError, match="limit of 600"):
        builder(p_batch=600).run(ACCOUNT)
