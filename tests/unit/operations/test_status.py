"""The status of all replicas: what is said of a stream partition, from what group, topics and replicas say."""

import json
import socket
import threading
from collections.abc import Callable

import pytest

from connector.events.catalog import StreamPartition
from connector.operations.status import (
    Evidence,
    FleetStatus,
    PartitionState,
    Replica,
    ReplicaPartition,
    ask_replicas,
    judge,
)
from connector.telemetry.coverage_records import Covered
from connector.telemetry.open_gaps import RecordedGap

_S = 10**6
_NOW = 1_800_000_000 * _S
_ONE, _OTHER = StreamPartition("tweet", 1), StreamPartition("tweet", 2)
_FRESH = Covered(_ONE, _NOW - _S, "live", _NOW)


def _evidence(covered: Covered | None = _FRESH, *, is_owned: bool = True, state: str | None = None) -> Evidence:
    said = {
        "last_error": "e",
        "last_error_at": "2027-01-15T07:00:00Z",
        "last_end": "silent",
        "last_end_at": "2027-01-15T07:30:00Z",
        "waits_for": "w",
        "next_attempt": "2027-01-15T08:00:09Z",
    }
    replicas = () if state is None else (Replica({"tweet/1": ReplicaPartition(state, **said)}, {"tweet": 3}),)
    return Evidence({_ONE: "a"} if is_owned else {}, {_ONE: covered} if covered else {}, (), replicas)


@pytest.mark.parametrize(
    ("evidence", "trouble"),
    [
        (_evidence(), None),
        (_evidence(state="running"), None),
        (_evidence(is_owned=False), "NO OWNER"),
        (_evidence(None), "NO COVERAGE"),
        (_evidence(Covered(_ONE, _NOW - 241 * _S, "replay", _NOW)), "BEHIND"),
        (_evidence(Covered(_ONE, _NOW - 239 * _S, "replay", _NOW)), None),
        (_evidence(Covered(_ONE, _NOW - 121 * _S, "disconnected", _NOW)), "BEHIND"),
        (_evidence(Covered(_ONE, _NOW - 90 * _S, "live", _NOW - 90 * _S)), "no update for 1 min 30 s"),
        (_evidence(Covered(_ONE, _NOW + 299 * _S, "live", _NOW)), None),
        (_evidence(Covered(_ONE, _NOW + 301 * _S, "live", _NOW)), "CLOCK 5 min 1 s ahead"),
        (_evidence(Covered(_ONE, _NOW, "live", _NOW, dated_us=_NOW - 360 * _S)), "CLOCK 6 min ahead"),
        (_evidence(state="corrupt"), "STOPPED: corrupt"),
        (_evidence(state="topics-changed"), "STOPPED: topics-changed"),
        (_evidence(None, is_owned=False, state="corrupt"), "NO OWNER"),
    ],
)
def test_trouble_is_the_gravest_of_what_is_wrong(evidence: Evidence, trouble: str | None) -> None:
    """Nothing is said of a stream partition that is well."""
    assert judge(_ONE, evidence, _NOW).trouble == trouble


def test_words_of_a_replica_count_only_where_it_is_the_owner() -> None:
    """Another one knows nothing of it."""
    owner, other = judge(_ONE, _evidence(state="running"), _NOW), judge(_ONE, _evidence(state="not-owned"), _NOW)
    assert (owner.state, owner.details) == (
        "running",
        (
            "waits for: w; next attempt: 2027-01-15T08:00:09Z; connection ended at 2027-01-15T07:30:00Z: silent; "
            "last error at 2027-01-15T07:00:00Z: e"
        ),
    )
    assert (other.state, other.details) == (None, "")
    assert judge(_OTHER, _evidence(state="running"), _NOW).state is None


def test_gaps_that_are_open_count() -> None:
    """Of the stream partition itself; a state that is not known here is open."""
    states = ("lost", "suspected", "partly-reconciled", "reconciled", "withdrawn", "of-a-later-release")
    gaps = [RecordedGap("id", _ONE, 0, 1, state, "c", "d", 0, (), is_reconcilable=False) for state in states]
    gaps.append(RecordedGap("id", _OTHER, 0, 1, "lost", "c", "d", 0, (), is_reconcilable=False))
    evidence = Evidence({}, {}, gaps, ())
    assert (judge(_ONE, evidence, _NOW).open_gaps, judge(_OTHER, evidence, _NOW).open_gaps) == (4, 1)


def test_json_has_instants_as_text_and_lengths_in_seconds() -> None:
    """On one line."""
    states = (judge(_ONE, _evidence(), _NOW), PartitionState(_OTHER, None, None, None, None, 0, "NO OWNER"))
    text = FleetStatus(_NOW, ("a",), states, {}, ("u: away",), ("r",)).as_json()
    assert "\n" not in text
    found = json.loads(text)
    assert (found["is_well"], found["at"], found["foreign_records"]) == (False, "2027-01-15T08:00:00.000000Z", 1)
    assert found["partitions"][0] == {
        "partition": "tweet/1",
        "owner": "a",
        "mode": "live",
        "complete_until": "2027-01-15T07:59:59.000000Z",
        "behind_s": 1,
        "open_gaps": 0,
        "trouble": None,
        "state": None,
        "last_error": None,
        "last_error_at": None,
        "last_end": None,
        "last_end_at": None,
        "waits_for": None,
        "next_attempt": None,
    }


def _serve(answer: bytes) -> tuple[str, Callable[[], None]]:
    """Answer one request on a port; return its address, and what waits for the end."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with listener, listener.accept()[0] as connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))

    thread = threading.Thread(target=run)
    thread.start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", thread.join


@pytest.mark.parametrize("answer", [b"", b"<p>", b"[]", b'{"partitions": {"tweet/1": 7}, "connects_left": {}}'])
def test_what_answers_and_is_no_connector_is_said(answer: bytes) -> None:
    """As one that does not answer is."""
    url, join = _serve(answer)
    found, unreachable = ask_replicas([url])
    join()
    assert found == {}
    assert unreachable[0].startswith(f"{url}: not a connector: ")


def test_replica_that_answers_is_known_by_its_address() -> None:
    """With what X's window has left."""
    url, join = _serve(b'{"partitions": {"tweet/1": {"state": "running"}}, "connects_left": {"tweet": 3}, "more": 1}')
    found, unreachable = ask_replicas([url])
    join()
    assert (found[url].connects_left, unreachable) == ({"tweet": 3}, [])
