"""The words of librdkafka's errors, made plain."""

import pytest
from confluent_kafka import KafkaError

from connector.kafka.outages import cause, outage

_REFUSED = "127.0.0.1:9/bootstrap: Connect to ipv4#127.0.0.1:9 failed: Connection refused (after 0ms in state CONNECT)"
_CODE = KafkaError._TIMED_OUT  # noqa: SLF001 - public name
_TIMED_OUT = "Failed while waiting for controller: Local: Timed out"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (_REFUSED, "connection refused"),
        (_REFUSED.replace("CONNECT)", "CONNECT, 5 identical error(s) suppressed)"), "connection refused"),
        ("[thrd:b:9/1]: b:9/1: Disconnected (after 3ms in state UP)", "disconnected"),
        (
            "b:9/bootstrap: Failed to resolve 'b:9': Name or service not known (after 3ms in state CONNECT)",
            "failed to resolve 'b:9': Name or service not known",
        ),
        (
            "sasl_ssl://b:9/bootstrap: SASL authentication error: wrong (after 3ms in state AUTH_REQ)",
            "SASL authentication error: wrong",
        ),
        ("", ""),
    ],
)
def test_cause_is_what_a_person_can_act_on(text: str, plain: str) -> None:
    """Without the broker, which the sentence names, and the state of the connection."""
    assert cause(text) == plain


def test_request_that_timed_out_is_explained_by_its_connection() -> None:
    """One that was refused is explained by both."""
    assert outage(_CODE, _TIMED_OUT, _REFUSED) == "connection refused"
    assert outage(_CODE, _TIMED_OUT, "") == "failed while waiting for controller: Local: Timed out"
    assert outage(KafkaError.NOT_CONTROLLER, "Not controller", _REFUSED) == "not controller (connection refused)"
