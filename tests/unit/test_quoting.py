"""Words of others: what of them may be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.quoting import QUOTE_LIMIT, shown


@pytest.mark.parametrize(
    "text",
    ["a hush%2Fhush b", "a hush/hush b", "a HUSH%2fHUSH b", r"a hush\/hush b", b"a hush%2Fhush b"],
)
def test_secret_is_hidden_in_each_form_in_which_it_may_come_back(text: str | bytes) -> None:
    """As it was sent, percent-decoded, in other case, or within JSON."""
    assert shown(("hush%2Fhush",), text) == "a [secret] b"


def test_secret_that_needs_encoding_is_hidden_encoded_too() -> None:
    """An API secret goes out percent-encoded."""
    assert shown(("hu+sh",), "a hu%2Bsh b hu+sh") == "a [secret] b [secret]"


@pytest.mark.parametrize("length", [QUOTE_LIMIT - 1, QUOTE_LIMIT - 3, QUOTE_LIMIT])
def test_secret_at_the_limit_of_what_is_shown_is_not_shown_in_part(length: int) -> None:
    """It is hidden before the text is cut."""
    assert "hu" not in shown(("hush",), "x" * length + "hush")


def test_empty_secret_hides_nothing() -> None:
    """There is nothing to hide."""
    assert shown(("",), "as X words it") == "as X words it"


@given(text=st.text() | st.binary(), secrets=st.lists(st.text(max_size=5), max_size=2).map(tuple))
def test_anything_is_one_bounded_line_without_control_characters(text: str | bytes, secrets: tuple[str, ...]) -> None:
    """Neither a log line nor a terminal is at the mercy of an answer."""
    words = shown(secrets, text, 40)
    assert len(words) <= 40
    assert words.isprintable()


def test_page_is_shown_on_one_line() -> None:
    """Line ends, escape sequences and marks that reverse the writing become single spaces."""
    assert (
        shown((), b"<html>\r\n\x1b[31m\xe2\x80\xaered\xff\n</html>")
        == "<html> [31m red\N{REPLACEMENT CHARACTER} </html>"
    )
