"""The control endpoints: the library's calls over HTTP, for who may call them, with clear errors."""

from typing import Any, get_args

import httpx
import msgspec
import pytest

from connector.network import is_loopback
from connector.simulator import Emitted, Simulator, SimulatorConfig
from connector.simulator.batch.faults import BATCH_FAULTS
from connector.simulator.clock import NANOS
from connector.simulator.control import ENDPOINTS, Endpoint
from connector.simulator.faults import Fault
from tests.unit.simulator.reader import LIKE, ask, connected, eventually, get

_FAULTS = (*get_args(Fault), *BATCH_FAULTS)


def _post(sim: Simulator, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
    content = None if body is None else msgspec.json.encode(body)
    return ask(sim, "POST", f"/control/{path}", content=content)


def test_status_tells_the_whole_state_at_a_glance(sim: Simulator) -> None:
    """Time, emission, faults, connections and answers in one JSON object."""
    _post(sim, "burst", {"events": 3, "stream": "like", "partition": 1})
    _post(sim, "faults", {"kind": "drop", "stream": "tweet", "partition": 4})
    with connected(sim, LIKE):
        status = ask(sim, "GET", "/control/status").json()
    assert abs(status["now"] - sim.clock.now_ns() / NANOS) < 5
    assert (status["emitted"]["like/1"], status["emitted"]["tweet/1"]) == (3, 0)
    assert (status["armed"], status["fired"], status["answers"]) == ({"drop": 1}, {}, {"200": 1})
    assert [(c["stream"], c["mode"]) for c in status["connected"]] == [("like", "live")]


def test_record_streams_every_line_as_ndjson() -> None:
    """What comes back, decoded, is the record of the library, bytes that are no text included."""
    with Simulator(SimulatorConfig(streams=("like", "label"))) as sim:
        sim.emit(2500)
        sim.emit_line("like", 1, b"\xff\xfe", "broken")
        body = ask(sim, "GET", "/control/record").content
        decode = msgspec.json.Decoder(Emitted).decode
        assert [decode(line) for line in body.splitlines()] == sim.record()
        assert len(body.splitlines()) == 2501


def test_faults_arms_and_fires(sim: Simulator) -> None:
    """An armed fault ends the connection; an emission fault happens at once."""
    with connected(sim, LIKE) as reader:
        assert _post(sim, "faults", {"kind": "close", "stream": "like"}).status_code == 200
        assert reader.rest() == b""
    answer = _post(sim, "faults", {"kind": "broken", "stream": "like"}).json()
    assert answer == {"armed": {}, "fired": {"close": 1, "broken": 1}}
    assert [emitted.kind for emitted in sim.record()] == ["broken"]


def test_clock_skips_time_with_emission_or_without(sim: Simulator) -> None:
    """The clock moves; only when asked do events fill the time."""
    before_ns = sim.clock.now_ns()
    assert _post(sim, "clock", {"advance_seconds": 3600}).status_code == 200
    assert sim.clock.now_ns() - before_ns >= 3600 * NANOS
    assert sim.record() == []
    _post(sim, "clock", {"advance_seconds": 100, "emitting": True, "rate": 2})
    assert len(sim.record()) == 200


def test_burst_without_a_target_spreads_over_all(sim: Simulator) -> None:
    """The realistic mix, at once."""
    assert _post(sim, "burst", {"events": 500}).json() == {"emitted": 500}
    assert {emitted.stream for emitted in sim.record()} >= {"tweet", "user", "like"}


def test_stop_emitting_ends_the_record() -> None:
    """Once it has answered, the record stays as it is, even if the emitting thread was in arrears."""
    with Simulator(SimulatorConfig(rate=1_000_000)) as sim:
        assert eventually(lambda: len(sim.record()) > 10)
        status = _post(sim, "stop-emitting").json()
        assert status["rate"] == 0
        assert not eventually(lambda: len(sim.record()) != sum(status["emitted"].values()), deadline_s=0.1)


def test_release_ends_a_stall(sim: Simulator) -> None:
    """The stalled connection goes on."""
    _post(sim, "faults", {"kind": "stall", "stream": "like"})
    with connected(sim, LIKE) as reader:
        assert eventually(lambda: sim.fired["stall"] == 1)
        _post(sim, "burst", {"events": 1, "stream": "like", "partition": 1})
        assert _post(sim, "release").status_code == 200
        assert reader.lines(1) == [sim.record()[0].line]


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("faults", {"kind": "dorp"}, "dorp"),
        ("faults", {"kind": "drop", "stream": "tweets"}, "tweets"),
        ("faults", {"kind": "drop", "rset": True}, "rset"),
        ("clock", {}, "advance_seconds"),
        ("clock", {"advance_seconds": -1}, "advance_seconds"),
        ("burst", {"events": 0}, "events"),
        ("burst", {"events": 1, "stream": "tweet"}, "both stream and partition"),
        ("burst", {"events": 1, "stream": "tweet", "partition": 9}, "tweet/9"),
        ("stop-emitting", {"now": True}, "now"),
    ],
)
def test_request_that_cannot_be_obeyed_answers_400_saying_why(
    sim: Simulator, path: str, body: dict[str, object], word: str
) -> None:
    """The member at fault is named, and nothing happened."""
    response = _post(sim, path, body)
    assert response.status_code == 400
    assert word in response.json()["error"]
    assert (sim.record(), sim.status().armed) == ([], {})


def test_request_that_is_not_json_answers_400(sim: Simulator) -> None:
    """Bytes that are not JSON get an answer."""
    assert ask(sim, "POST", "/control/faults", content=b"\xff{").status_code == 400


@pytest.mark.parametrize(("method", "path"), [("GET", "nothing"), ("POST", "status"), ("GET", "faults")])
def test_request_unknown_answers_404_naming_what_there_is(sim: Simulator, method: str, path: str) -> None:
    """What is not there is said to be not there, and what is there is named."""
    response = ask(sim, method, f"/control/{path}")
    assert response.status_code == 404
    assert all(f"{each.method} {each.path}" in response.json()["error"] for each in ENDPOINTS)


@pytest.mark.parametrize("path", ["/control/", "/control"])
def test_manual_lists_every_endpoint_and_every_fault(sim: Simulator, path: str) -> None:
    """Each with a meaning; the faults are those of the union, with the fields that their classes have."""
    manual = ask(sim, "GET", path).json()
    assert [(each["method"], each["path"]) for each in manual["endpoints"]] == [
        (each.method, each.path) for each in ENDPOINTS
    ]
    assert [each["kind"] for each in manual["faults"]] == [kind.__struct_config__.tag for kind in _FAULTS]
    for kind, fault in zip(_FAULTS, manual["faults"], strict=True):
        assert [field["name"] for field in fault["fields"]] == list(kind.__struct_fields__)
        assert fault["family"] in manual["families"]
    for each in [*manual["endpoints"], *manual["faults"]]:
        assert each["meaning"].endswith(".")


def test_manual_gives_type_and_default_of_each_field(sim: Simulator) -> None:
    """A required field has no default; one whose default is null has that."""
    manual = ask(sim, "GET", "/control/").json()
    (refuse,) = (fault for fault in manual["faults"] if fault["kind"] == "refuse")
    fields = {field["name"]: (field["type"], field["default"]) for field in refuse["fields"]}
    assert fields["status"] == ("integer ≥ 400 and ≤ 599", 503)
    assert fields["reset_unit"] == ('"ms" or "s"', "s")
    assert fields["retry_after_s"] == ("integer ≥ 0 or null", None)
    assert fields["times"] == ("integer ≥ 1 or null", 1)
    (clock,) = (each for each in manual["endpoints"] if each["path"] == "/control/clock")
    assert "default" not in clock["fields"][0]


def test_manual_of_each_fault_makes_that_fault(sim: Simulator) -> None:
    """Every kind with all of its defaults, as listed, is taken."""
    for fault in ask(sim, "GET", "/control/").json()["faults"]:
        given = {field["name"]: field["default"] for field in fault["fields"]}
        response = _post(sim, "faults", {"kind": fault["kind"], **given})
        assert response.status_code == 200, response.text


@pytest.mark.parametrize("body", [{"kind": "dorp"}, {"kind": ["drop"]}, {"kind": None}, {}, [], 7])
def test_fault_unknown_answers_400_naming_the_kinds(sim: Simulator, body: Any) -> None:  # noqa: ANN401 - any JSON
    """A kind that does not exist, no kind, or no object at all."""
    response = ask(sim, "POST", "/control/faults", content=msgspec.json.encode(body))
    assert response.status_code == 400
    assert all(kind.__struct_config__.tag in response.json()["error"] for kind in _FAULTS)


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("faults", {"kind": "straggler", "late": 5}, ("late_s", "events", "every_s", "times")),
        ("faults", {"kind": "wrong-date", "offset_s": "1 h"}, ("offset_s (number", "text", "on", "mode")),
        ("disarm", {"fault": "drop"}, ("kind (text or null)",)),
        ("clock", {"seconds": 1}, ("advance_seconds (number ≥ 0)", "emitting", "rate")),
        ("release", {"now": True}, ("the fields are none",)),
    ],
)
def test_field_wrong_answers_400_naming_the_fields(
    sim: Simulator, path: str, body: dict[str, object], fields: tuple[str, ...]
) -> None:
    """All of those that this request takes, with their types."""
    response = _post(sim, path, body)
    assert response.status_code == 400
    assert all(field in response.json()["error"] for field in fields)


def test_disarm_forgets_one_kind_or_all(sim: Simulator) -> None:
    """What is left is in the answer; a kind that does not exist is named with those that do."""
    for body in ({"kind": "drop", "times": None}, {"kind": "straggler", "every_s": 3600}, {"kind": "close"}):
        _post(sim, "faults", {**body, "stream": "like"})
    assert _post(sim, "disarm", {"kind": "drop"}).json()["armed"] == {"straggler": 1, "close": 1}
    response = _post(sim, "disarm", {"kind": "dorp"})
    assert (response.status_code, "straggler" in response.json()["error"]) == (400, True)
    assert _post(sim, "disarm").json()["armed"] == {}


def _is_nowhere_near(_: str) -> bool:
    """Take every client for another machine."""
    return False


@pytest.mark.parametrize("endpoint", [*ENDPOINTS, None])
@pytest.mark.parametrize("authorization", [None, "Bearer simulator-token", "Bearer None", "Bearer"])
def test_control_is_closed_to_other_machines_without_a_token_of_its_own(
    endpoint: Endpoint | None, authorization: str | None
) -> None:
    """The token of the streams is no secret; nothing is changed, or told of what there is."""
    method, path = (endpoint.method, endpoint.path) if endpoint else ("GET", "/control/nothing")
    headers = {} if authorization is None else {"authorization": authorization}
    with Simulator(is_local=_is_nowhere_near) as sim:
        answer = ask(sim, method, path, headers=headers)
        assert (answer.status_code, "--control-token" in answer.json()["error"]) == (403, True)
        assert get(sim, LIKE, partition=9).status_code == 400
        assert not sim.record()


@pytest.mark.parametrize(
    ("authorization", "status"), [("Bearer open", 200), ("Bearer ope", 403), ("bearer open", 403), (None, 403)]
)
def test_control_with_a_token_is_open_to_who_has_it(authorization: str | None, status: int) -> None:
    """From another machine; the streams have theirs."""
    headers = {} if authorization is None else {"authorization": authorization}
    with Simulator(SimulatorConfig(control_token="open"), _is_nowhere_near) as sim:
        assert ask(sim, "GET", "/control/status", headers=headers).status_code == status


def test_control_with_a_token_is_open_to_this_machine_without() -> None:
    """It is for others."""
    with Simulator(SimulatorConfig(control_token="open")) as sim:
        assert ask(sim, "GET", "/control/status").status_code == 200


@pytest.mark.parametrize(
    ("peer", "is_ours"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("172.17.0.1", False), ("8.8.8.8", False)],
)
def test_loopback_address_is_this_machine(peer: str, *, is_ours: bool) -> None:
    """And no other is, be it one of this machine's."""
    assert is_loopback(peer) is is_ours


def test_empty_control_token_is_none() -> None:
    """Anyone would have it."""
    with pytest.raises(ValueError, match="control_token must not be empty"):
        SimulatorConfig(control_token="")
