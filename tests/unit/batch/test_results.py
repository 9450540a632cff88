"""What a result line is, and whether a download is one of results."""

import io
import tracemalloc
from collections.abc import Generator, Iterable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.batch.results import (
    LINE_LIMIT_BYTES,
    DeadReason,
    DeadResult,
    Finding,
    NotWholeError,
    Rejection,
    read_line,
    read_results,
)
from connector.quoting import Secrets
from tests.unit.batch.joined import ended, joined, line, sort_in_memory


def test_documented_line_is_a_finding() -> None:
    """Each member has its field, times as X writes them."""
    text = (
        b'{"id":"1","action":"delete","created_at":"2026-09-25T10:11:12.000Z",'
        b'"redacted_at":"2026-09-26T01:02:03.000Z","reason":"deleted"}'
    )
    expected = Finding("1", "delete", "deleted", "2026-09-25T10:11:12.000Z", "2026-09-26T01:02:03.000Z", None)
    assert read_line(text, "1") == expected


@pytest.mark.parametrize("action", ["rehydrate", "scrub_geo", "an_action_to_come", "x" * 200])
def test_action_of_any_name_is_a_finding(action: str) -> None:
    """Actions are an open set."""
    assert read_line(line("1", action, None), "1") == Finding("1", action, None, None, None, None)


@pytest.mark.parametrize(
    ("members", "redacted_at"),
    [
        ({"deleted_at": "then"}, "then"),
        ({"redacted_at": None, "deleted_at": "then"}, "then"),
        ({"redacted_at": "then", "deleted_at": None}, "then"),
        ({"redacted_at": None, "deleted_at": None}, None),
    ],
)
@pytest.mark.parametrize("extra", [{}, {"error": None}])
def test_deleted_at_is_an_alias(members: dict[str, object], redacted_at: str | None, extra: dict[str, object]) -> None:
    """X writes the same time under either name."""
    expected = Finding("1", "delete", "deleted", None, redacted_at, None)
    assert read_line(line("1", **members, **extra), "1") == expected


def test_members_that_no_field_holds_are_kept_sorted() -> None:
    """Those that X adds, and those of a known name that are not what they were."""
    text = line(
        "1", z=[{"b": 1, "a": None}], created_at=17, redacted_at="x" * 201, error="invalid_id", deleted_at="then"
    )
    kept = '{"created_at":17,"error":"invalid_id","redacted_at":"' + "x" * 201 + '","z":[{"a":null,"b":1}]}'
    assert read_line(text, "1") == Finding("1", "delete", "deleted", None, "then", kept)


@pytest.mark.parametrize("text", [b'{"id":"1","error":"invalid_id"}', line("1", None, None, error="invalid_id", x=1)])
def test_invalid_id_is_a_rejection(text: bytes) -> None:
    """X says so in place of an action."""
    assert read_line(text, "1") == Rejection("1")


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        (b'{"id":"1"}', DeadReason.INVALID_RESULT, "action: expected text of 1 to 200 characters"),
        (line("1", None), DeadReason.INVALID_RESULT, "action: expected text of 1 to 200 characters"),
        (line("1", ""), DeadReason.INVALID_RESULT, "action: expected text of 1 to 200 characters"),
        (line("1", 5), DeadReason.INVALID_RESULT, "action: expected text of 1 to 200 characters"),
        (line("1", "x" * 201), DeadReason.INVALID_RESULT, "action: expected text of 1 to 200 characters"),
        (line("1", "delete", ["x"]), DeadReason.INVALID_RESULT, "reason: expected text of at most 200 characters"),
        (line("1", "delete", "x" * 201), DeadReason.INVALID_RESULT, "reason: expected text of at most 200 characters"),
        (b'{"id":"1","error":"busy"}', DeadReason.INVALID_RESULT, "action: expected text of 1 to 200 characters"),
        (line("1", x=0)[:-2] + b"1e999}", DeadReason.UNREADABLE, "Number out of range - at `$[...]`"),
        (line("1", x="-").replace(b"-", b"\xff"), DeadReason.UNREADABLE, None),
        (line("1", x="-").replace(b'"-"', b"[" * 20000 + b"]" * 20000), DeadReason.UNREADABLE, "nested too deep"),
    ],
)
def test_line_that_says_nothing_clear_is_a_dead_result(text: bytes, reason: DeadReason, detail: str | None) -> None:
    """It is kept byte by byte, with the reason."""
    dead = read_line(text, "1")
    assert isinstance(dead, DeadResult)
    assert (dead.reason, dead.line, dead.length) == (reason, text, len(text))
    assert detail in {None, dead.detail}


@given(text=st.binary(), prefix=st.sampled_from([b"", b'{"id":"1","action":', b'{"id":"1","action":"delete","x":"']))
def test_any_bytes_are_something(text: bytes, prefix: bytes) -> None:
    """Reading a line is total."""
    assert isinstance(read_line(prefix + text, "1"), Finding | Rejection | DeadResult)


@pytest.mark.parametrize(
    ("id_", "is_exact"),
    [("7", True), ("0", True), (str(2**53 - 1), True), (str(2**53), False), ("1900000000000000001", False)],
)
def test_id_as_a_number_counts_where_it_is_exact(tmp_path: Path, id_: str, is_exact: bool) -> None:  # noqa: FBT001
    """A larger one may have been rounded, and would delete another Tweet."""
    outcome = joined(tmp_path, [id_], ended(line(int(id_))))
    assert [finding.id for finding in outcome.findings] == ([id_] if is_exact else [])
    assert [dead.reason for dead in outcome.dead] == ([] if is_exact else [DeadReason.MALFORMED_ID])


@pytest.mark.parametrize(
    "id_", ["", "x", "-1", " 1", "1\t2", "1\n", "٣", "1" * 20, 1.0, 1e18, -1, True, None, ["1"], {"id": "1"}]
)
def test_invalid_id_is_a_dead_result(tmp_path: Path, id_: object) -> None:
    """It cannot have been sent."""
    outcome = joined(tmp_path, ["1"], ended(line(id_)))
    assert [(dead.reason, dead.line) for dead in outcome.dead] == [(DeadReason.MALFORMED_ID, line(id_))]
    assert (outcome.findings, outcome.tally.clean) == ([], 1)


@pytest.mark.parametrize("download", [b"", b"\xef\xbb\xbf", b"\r\n \n\n", b"\xef\xbb\xbf\r\n"])
def test_download_without_lines_is_whole(tmp_path: Path, download: bytes) -> None:
    """Absence means clean; whether to believe it is not decided here."""
    outcome = joined(tmp_path, ["1"], download)
    assert (outcome.lines, outcome.tally.clean) == (0, 1)


def test_byte_order_mark_blank_lines_and_either_line_end_are_tolerated(tmp_path: Path) -> None:
    """They change neither the outcome nor the digest."""
    download = b"\xef\xbb\xbf" + line("1") + b"\r\n\r\n\n  \n " + line("2") + b" \n"
    assert joined(tmp_path, "123", download) == joined(tmp_path, "123", ended(line("1"), line("2")))


@pytest.mark.parametrize(
    "download",
    [
        ended(line("1")) + line("2"),
        ended(line("1")) + line("2")[:20],
        ended(line("1")) + line("2")[:20] + b"\n",
        ended(line("1"), line("2", x="y" * 2 * LINE_LIMIT_BYTES))[:-1],
        b"<html>\n<body>Over capacity</body>\n</html>\n",
        b"<html>" + b"x" * 2 * LINE_LIMIT_BYTES + b"\n",
        b'{"title":"Forbidden","status":403,"detail":"x","type":"about:blank"}\n',
        b'{"title":"Forbidden","status":403,"detail":"x","type":"about:blank"}',
        b'{\n  "title": "Forbidden"\n}\n',
        b'[{"id":"1","action":"delete"}]\n',
        b"[" * 20000 + b"\n",
        b'"1"\n',
        b"1\n",
        b"null\n",
        b"\x1f\x8b\x08\n",
        b"\0\n",
        b'{"id":"1"} {"id":"2"}\n',
    ],
)
def test_download_that_is_cut_or_of_something_else_is_not_believed(tmp_path: Path, download: bytes) -> None:
    """Nothing is said about any id, however many lines were good; and the error is one bounded line."""
    with pytest.raises(NotWholeError) as error:
        joined(tmp_path, "12", download)
    assert len(str(error.value)) <= 400
    assert str(error.value).isprintable()


def test_error_quotes_the_line_and_says_which(tmp_path: Path) -> None:
    """An operator sees at once that a proxy answered."""
    with pytest.raises(NotWholeError) as error:
        joined(tmp_path, "1", ended(line("1"), b"<html>\x1b[31mOver capacity</html>"))
    expected = "line 2 of the download is not a JSON object with an id: <html> [31mOver capacity</html>"
    assert str(error.value) == expected


@given(parts=st.lists(st.binary(max_size=9) | st.sampled_from([line("1"), line("2"), line(3), line("x"), b"\n"])))
def test_any_download_is_accounted_for_or_not_believed(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]
) -> None:
    """There is no third outcome, whatever bytes come."""
    try:
        outcome = joined(tmp_path_factory.getbasetemp(), "12", b"\n".join([*parts, b""]))
    except NotWholeError:
        return
    assert outcome.tally.acted_on + outcome.tally.dead + outcome.tally.repeated == outcome.lines


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("excess", [-1, 0, 1, 2, 5, 3 * LINE_LIMIT_BYTES])
def test_line_over_the_limit_is_a_dead_result(tmp_path: Path, excess: int, end: bytes) -> None:
    """Its beginning and its length are kept, and its neighbours count."""
    long = line("2", x="")
    long = long[:-2] + b"y" * (LINE_LIMIT_BYTES + excess - len(long)) + b'"}'
    outcome = joined(tmp_path, "123", b"\xef\xbb\xbf" + long + end + ended(line("1"), line("3")))
    if excess <= 0:
        assert ([finding.id for finding in outcome.findings], outcome.dead) == (["1", "2", "3"], [])
    else:
        [dead] = outcome.dead
        assert (dead.reason, dead.line, dead.length) == (DeadReason.TOO_LONG, long[:LINE_LIMIT_BYTES], len(long))
        assert [finding.id for finding in outcome.findings] == ["1", "3"]


def test_line_without_end_takes_bounded_memory(tmp_path: Path) -> None:
    """However long it is, only its beginning is held."""

    class Endless(io.RawIOBase):
        left_bytes = 64 * 1024**2

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override] # all that is passed
            count = min(len(buffer), self.left_bytes)
            buffer[:count] = b"{" * count
            self.left_bytes -= count
            return count

    tracemalloc.start()
    try:
        with (
            pytest.raises(NotWholeError),
            read_results(io.BufferedReader(Endless()), tmp_path, sort_in_memory),
        ):
            pass
        assert tracemalloc.get_traced_memory()[1] < 2 * 1024**2
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@given(
    lines=st.lists(st.integers(0, 5).map(lambda number: line(str(number))), min_size=1),
    random=st.randoms(use_true_random=False),
)
def test_digest_depends_on_content_alone(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], random: Random
) -> None:
    """Neither order nor line ends change it; a line less, a line twice or another line does."""
    folder = tmp_path_factory.getbasetemp()

    def digest(*some: bytes) -> str:
        return joined(folder, "1", ended(*some)).digest

    shuffled = random.sample(lines, len(lines))
    assert digest(*shuffled) == digest(*lines) == digest(*(text + b"\r" for text in lines))
    others = [lines[1:], [lines[0], *lines], [line("9"), *lines[1:]], [lines[0], lines[0], *lines]]
    assert len({digest(*lines), *(digest(*other) for other in others)}) == 5


def test_digest_depends_on_the_end_of_a_long_line(tmp_path: Path) -> None:
    """It is of all bytes, not of those that are kept."""
    first, second = (ended(line("1", x="y" * 3 * LINE_LIMIT_BYTES + last)) for last in "ab")
    assert joined(tmp_path, "1", first).digest != joined(tmp_path, "1", second).digest


@pytest.mark.parametrize("download", [ended(line("1"), line("2")), b"<html>\n", b""])
@pytest.mark.parametrize("rows_read", [0, 1])
def test_sort_is_closed_with_the_results(tmp_path: Path, download: bytes, rows_read: int) -> None:
    """Whether they were read to the end, in part, or turned out not to be results."""
    closed = []

    def sort(lines: Iterable[bytes], folder: Path) -> Generator[bytes, None, None]:
        try:
            yield from sort_in_memory(lines, folder)
        finally:
            closed.append(folder)

    try:
        with read_results(io.BytesIO(download), tmp_path, sort) as results:
            for _ in range(rows_read):
                next(results.rows, None)
    except NotWholeError:
        pass
    assert closed == [tmp_path]


def test_secret_that_a_result_line_repeats_is_hidden_before_the_line_is_read(tmp_path: Path) -> None:
    """In an unknown member, an action, and what is kept of a line that is too long."""
    token = "hush-hush-hush-hush-hush-hush"
    lines = [
        b'{"id":"1","action":"delete","you":"Bearer %s"}' % token.encode(),
        b'{"id":"2","action":"%s"}' % token.encode(),
        b'{"id":"3","action":"delete","x":"%s%s"}' % (token.encode(), b"x" * 70_000),
    ]
    download = io.BytesIO(b"\n".join(lines) + b"\n")
    with read_results(download, tmp_path, sort_in_memory, secrets=Secrets([token])) as results:
        rows = list(results.rows)
    assert len(rows) == 3
    assert b"hush" not in b"".join(rows)
