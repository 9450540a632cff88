"""Dead letters by their headers."""

from connector.kafka.reading import ReadRecord
from connector.telemetry.dead_letters import DeadLetter, by_reason, open_letters, read_dead_letter

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
    assert read_dead_letter(_record({})) == DeadLetter(5_000, "not said/not said", "not said", "not said", "not said")
    long = read_dead_letter(_record(dict.fromkeys(_HEADERS, b"\xff\n\x1b[2Jx" * 10_000)))
    assert all(map(str.isprintable, (long.place, long.reason, long.detail, long.event_id)))
    assert len(long.place) + len(long.reason) + len(long.detail) + len(long.event_id) < 300


def test_letter_that_was_replayed_is_open_no_more() -> None:
    """A mark is an empty record with a reason of its own; one with bytes and that word is a letter."""
    records = [
        read_dead_letter(_record(_HEADERS)),
        read_dead_letter(_record(_HEADERS | {"event-id": b"cd"})),
        read_dead_letter(_record(_HEADERS | {"reason": b"replayed"})._replace(value=b"")),
        read_dead_letter(_record(_HEADERS | {"reason": b"replayed", "event-id": b"ef"})),
        read_dead_letter(_record(_HEADERS)),
    ]
    assert {letter.event_id for letter in open_letters(records, 0)} == {"cd", "ef"}


def test_letter_with_several_records_counts_once() -> None:
    """By the newest, if that is new enough."""
    records = [DeadLetter(at_us, place, "r", "d", "ab") for at_us, place in ((1, "a/1"), (2, "a/2"), (3, "a/1"))]
    assert [(letter.at_us, letter.place) for letter in open_letters(records, 2)] == [(3, "a/1"), (2, "a/2")]
    assert open_letters(records, 4) == []


def test_letters_are_counted_by_reason_the_most_frequent_first() -> None:
    """As the page lists them."""
    letters = [DeadLetter(0, "", reason, "", "") for reason in ("a", "b", "b")]
    assert by_reason(letters) == [("b", 2), ("a", 1)]
