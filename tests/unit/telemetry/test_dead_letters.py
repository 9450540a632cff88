"""Dead letters by their headers."""

from connector.kafka.reading import ReadRecord
from connector.telemetry.dead_letters import DeadLetter, by_reason, read_dead_letter

_HEADERS = {
    "reason": b"not-json",
    "detail": b"no object",
    "event-id": b"ab",
    "stream": b"tweet",
    "stream-partition": b"2",
}


def _record(headers: dict[str, bytes]) -> ReadRecord:
    return ReadRecord("t", 0, 0, 5_000, b"k", b"secret bytes", headers)


def test_letter_is_what_its_headers_say() -> None:
    """Dated by the clock of the topic; nothing of its bytes is kept."""
    letter = read_dead_letter(_record(_HEADERS))
    assert letter == DeadLetter(5_000, "tweet/2", "not-json", "no object", "ab")


def test_letter_of_others_may_say_anything() -> None:
    """No header, bytes that are no text, and any length are words on one line."""
    assert read_dead_letter(_record({})) == DeadLetter(5_000, "not said/not said", *["not said"] * 3)
    long = read_dead_letter(_record(dict.fromkeys(_HEADERS, b"\xff\n\x1b[2Jx" * 10_000)))
    assert all(map(str.isprintable, (long.place, long.reason, long.detail, long.event_id)))
    assert len(long.place) + len(long.reason) + len(long.detail) + len(long.event_id) < 300


def test_letters_are_counted_by_reason_the_most_frequent_first() -> None:
    """As the page lists them."""
    letters = [DeadLetter(0, "", reason, "", "") for reason in ("a", "b", "b")]
    assert by_reason(letters) == [("b", 2), ("a", 1)]
