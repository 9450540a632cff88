"""Words of others: what of them may be shown."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.quoting import QUOTE_LIMIT, Secrets, basic_credentials, keep_secret, shown, without_secrets

_TOKEN = "AAAAAAAAAAAAAAAAAAAAAMLheAAAAAAA0%2BuSeid%2BULvsea4JtiGRiSDSJSI%3DEUifiRBkKG5E2XzM/x"


@pytest.mark.parametrize(
    "text",
    [
        "a hush%2Fhush b",
        "a hush/hush b",
        "a HUSH%2fHUSH b",
        r"a hush\/hush b",
        b"a hush%2Fhush b",
        r"a hush\u002fhush b",
        r"a \u0068\u0075sh%2Fhush b",
    ],
)
def test_secret_is_hidden_in_each_form_in_which_it_may_come_back(text: str | bytes) -> None:
    """As it was sent, percent-decoded, in other case, or within JSON."""
    keep_secret("a kind", "hush%2Fhush")
    assert shown(text) == "a [secret] b"


def test_secret_that_needs_encoding_is_hidden_encoded_too() -> None:
    """An API secret goes out percent-encoded."""
    keep_secret("a kind", "hu+sh")
    assert shown("a hu%2Bsh b hu+sh") == "a [secret] b [secret]"


def test_secret_with_quotes_is_hidden_within_json_too() -> None:
    """JSON has escapes of its own."""
    keep_secret("a kind", 'hu"sh\\')
    assert shown(r'{"a": "hu\"sh\\ b"}') == '{"a": "[secret] b"}'


@pytest.mark.parametrize("text", ["a hu&quot;sh&#x27;é b", r"a hu\"sh'\u00e9 b", str(b"a hu\"sh'\xc3\xa9 b")[2:-1]])
def test_secret_with_odd_letters_is_hidden_as_html_and_python_show_it(text: str) -> None:
    """A page of a proxy's, and an exception of a library's."""
    keep_secret("a kind", "hu\"sh'é")
    assert shown(text).replace("\\'", "") == "a [secret] b"


def test_secrets_that_overlap_are_hidden_to_the_end_of_the_last() -> None:
    """Whichever begins first."""
    keep_secret("a kind", "|hus", "hush+hush/of-the-app-it-is", "the-app-it-is-and-more-of-it")
    assert shown("a |hush+hush/of-the-app-it-is-and-more-of-it b") == "a [secret] b"


def test_only_the_latest_of_a_kind_are_kept() -> None:
    """A token may rotate for years; what else is kept does not suffer from it."""
    keep_secret("password", "hush-password")
    for number in range(100):
        keep_secret("token", f"hush-{number}-token")
    assert shown("hush-password hush-99-token hush-92-token") == "[secret] [secret] [secret]"
    assert shown("hush-2-token") == "hush-2-token"


def test_secret_that_is_in_every_word_hides_nothing() -> None:
    """There would be nothing left to read."""
    keep_secret("a kind", "e", "he")
    assert shown("the server") == "the server"


@pytest.mark.parametrize(
    "secret", ["a" * 60_000, "A" * 14_999 + "B" + "C" * 15_000, "é" * 20_000, "\ud800" * 100, ".*", "[secret]"]
)
def test_no_secret_makes_hiding_slow(secret: str) -> None:
    """For any text: a line of the longest, and a page."""
    keep_secret("a kind", secret)
    began = time.process_time()
    for text in ("A" * 524_288, secret[:512] * 1000, "x" * 20_000_000):
        shown(text)
    Secrets([secret]).hide("A" * 524_288)
    assert time.process_time() - began < 5


def test_short_form_of_a_secret_does_not_count_where_only_long_ones_do() -> None:
    """Percent-decoded it may be in every line."""
    secrets = Secrets(["%22%3A%7B%22", "administrator-24"], 12)
    line = b'{"data":{"delete":{"note":"I am the administrator of it"}}}'
    assert not secrets.are_in(line)
    assert secrets.hide_in(line) == line


def test_pair_is_hidden_as_its_header_holds_it() -> None:
    """An answer that quotes the header quotes neither name nor password as they are."""
    keep_secret("a kind", basic_credentials("me", "hush:hush"))
    assert shown(f"you sent Basic {base64.b64encode(b'me:hush:hush').decode()}.") == "you sent Basic [secret]."


@pytest.mark.parametrize("length", [len(_TOKEN) // 2, len(_TOKEN) - 1])
def test_secret_that_is_cut_off_after_half_of_it_is_hidden(length: int) -> None:
    """A server that quotes the beginning of a header gives half of it away, and the rest can be tried."""
    keep_secret("a kind", _TOKEN)
    assert shown(f"you sent Bearer {_TOKEN[:length]}...") == "you sent Bearer [secret]..."


def test_what_all_tokens_begin_with_is_no_secret() -> None:
    """Those of X begin with twenty times the same letter."""
    keep_secret("a kind", _TOKEN)
    assert shown("A" * 25) == "A" * 25


@pytest.mark.parametrize("length", [QUOTE_LIMIT - 1, QUOTE_LIMIT - 3, QUOTE_LIMIT])
def test_secret_at_the_limit_of_what_is_shown_is_not_shown_in_part(length: int) -> None:
    """It is hidden before the text is cut."""
    keep_secret("a kind", "hush")
    assert "hu" not in shown("x" * length + "hush")


def test_secrets_are_kept_beside_those_before() -> None:
    """A rotated token may be repeated for as long as an answer to it is on its way."""
    keep_secret("a kind", "hush-1")
    keep_secret("a kind", "hush-2", "hush-1")
    assert without_secrets("hush-1 hush-2 hush-3") == "[secret] [secret] hush-3"


def test_empty_secret_hides_nothing() -> None:
    """There is nothing to hide."""
    keep_secret("a kind", "")
    assert shown("as X words it") == "as X words it"


@given(text=st.text() | st.binary(), secrets=st.lists(st.text(max_size=5), max_size=2))
def test_anything_is_one_bounded_line_without_control_characters(text: str | bytes, secrets: list[str]) -> None:
    """Neither a log line nor a terminal is at the mercy of an answer."""
    keep_secret("a kind", *secrets)
    words = shown(text, 40)
    assert len(words) <= 40
    assert words.isprintable()


@given(before=st.text(max_size=20), secret=st.text(min_size=1, max_size=40), after=st.text(max_size=20))
def test_no_text_holds_a_secret_after_it_was_hidden(before: str, secret: str, after: str) -> None:
    """Whatever is around it, and whatever it is made of, except for what replaces it."""
    hidden = Secrets([secret]).hide(before + secret + after)
    assert secret not in hidden.replace("[secret]", "")


@given(data=st.binary(max_size=60), secret=st.text(min_size=1, max_size=40))
def test_bytes_without_a_secret_stay_as_they_are(data: bytes, secret: str) -> None:
    """A line that is no text is a dead letter, byte by byte."""
    secrets = Secrets([secret])
    if not secrets.are_in(data) and secret.lower() not in data.decode(errors="surrogateescape").lower():
        assert secrets.hide_in(data) == data


def test_secret_is_found_in_bytes_and_hidden_there() -> None:
    """A line that repeats the token is published without it."""
    secrets = Secrets([_TOKEN])
    line = b'{"data": "\xff' + _TOKEN.encode() + b'"}'
    assert secrets.are_in(line)
    assert secrets.hide_in(line) == b'{"data": "\xff[secret]"}'
    assert not secrets.are_in(secrets.hide_in(line))


def test_page_is_shown_on_one_line() -> None:
    """Line ends, escape sequences and marks that reverse the writing become single spaces."""
    assert (
        shown(b"<html>\r\n\x1b[31m\xe2\x80\xaered\xff\n</html>") == "<html> [31m red\N{REPLACEMENT CHARACTER} </html>"
    )
