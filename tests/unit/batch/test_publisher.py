"""What a publisher counts of findings that no record takes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connector.batch.accounting import MOST_KINDS, OTHER
from connector.batch.bus_ledger import BusLedger
from connector.batch.gaps import GapTopic
from connector.batch.publish import Publisher
from connector.batch.records import BatchRecords
from connector.batch.results import Finding
from connector.batch.state import Outcome, RunFolder, RunState, ShardState
from connector.events.avro import AvroDecoder, split_prefix
from connector.events.schemas import BATCH_RUN
from connector.kafka.topics import TopicNames
from connector.kafka.transaction import Part, Record
from connector.x.batch_api import JobType

pytestmark = pytest.mark.slow

_NAMES = TopicNames("p")
_NO_GAPS = GapTopic.__new__(GapTopic)
"""Is not asked: a run that vouches for nothing reconciles nothing."""
_TOPICS = [*_NAMES.schemas(), _NAMES.dead_letter]


class _Ledger(BusLedger):
    """Keeps what is committed."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.states: list[bytes] = []

    def save(
        self, state: RunState, records: Sequence[Record] = (), more: Callable[[], Sequence[Part]] = lambda: ()
    ) -> None:
        """Commit."""
        assert not more()
        self.records += records
        self.states.append(msgspec.json.encode(state))


def _publish(folder: RunFolder, findings: list[Finding], outcome: Outcome, limit_bytes: int) -> tuple[_Ledger, int]:
    """Publish the findings of a run; return what is committed, and the size of the state at its largest."""
    folder.make()
    shard = ShardState(1, len(findings), 0, "")
    state = RunState("a1", JobType.TWEETS, "", 0, 0, 0, [shard])
    folder.findings(shard).write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in findings))
    folder.dead(shard).touch()
    limits = dict.fromkeys(_TOPICS, 10**6) | {_NAMES.batch("tweets"): limit_bytes}
    records = BatchRecords(JobType.TWEETS, _NAMES, dict.fromkeys(_TOPICS, 1), limits, has_headers=True)
    ledger = _Ledger()
    publisher = Publisher(ledger, records, folder, _NO_GAPS)
    publisher.deliver(state, shard, outcome)
    publisher.end(state, outcome, is_done=True)
    return ledger, max(map(len, ledger.states))


def _run_record(ledger: _Ledger) -> dict[str, Any]:
    _, body = split_prefix(ledger.records[-1].value)
    return AvroDecoder(BATCH_RUN.parsed).decode(body)


def _outcome(by_action: list[tuple[str, str | None, int]]) -> Outcome:
    return Outcome("9", 5_000_000, "d", 0, 0, 0, 0, 0, 0, by_action)


@pytest.mark.parametrize("kinds", [1, MOST_KINDS + 50])
def test_findings_that_no_record_takes_are_dead_letters_and_in_doubt(tmp_path: Path, kinds: int) -> None:
    """Each is counted where it was; kinds beyond those that are counted separately are counted together."""
    findings = [Finding(str(n), f"act-{n % kinds}", None, None, None, "x" * 5000) for n in range(2000)]
    counted = [(f"act-{n}", None, 2000 // min(kinds, 250)) for n in range(min(kinds, MOST_KINDS))]
    rest = 2000 - sum(count for *_, count in counted)
    outcome = _outcome([*counted, *([(*OTHER, rest)] if rest else [])])
    ledger, state_bytes = _publish(RunFolder(tmp_path), findings, outcome, limit_bytes=1000)
    run = _run_record(ledger)
    assert [record.topic for record in ledger.records[:-1]] == [_NAMES.dead_letter] * 2000
    assert (run["clean"], run["unclear"], run["dead_letters"], run["counts"]) == (2000, 2000, 2000, [])
    assert run["last_sequence"] == 0
    assert state_bytes < 20_000, "the state does not grow with the findings"
