"""What errors tell people to do."""

import re
from pathlib import Path

from connector.errors import MissingExtraError

_ROOT = Path(__file__).parents[2]
_PAGES = (_ROOT / "README.md", *(_ROOT / "docs").rglob("*.md"), *(_ROOT / "connector").rglob("*.py"))
_NAME = re.compile(r"pip3? install [^\n`]*?(?<![\w/.-])(?:x[-_]compliance[-_])?connector\b", re.IGNORECASE)


def test_missing_extra_says_how_to_install_it_from_what_is_at_hand() -> None:
    """A checkout or a wheel; in the image it cannot be, so it names what runs instead."""
    told, image = MissingExtraError("demo", ImportError("No module named 'rich'")).lines
    assert "the extra demo is not installed" in told
    assert "pip install '.[demo]'" in told
    assert "image is without the extra demo" in image
    assert "docker compose up" in image
    assert not _NAME.search(told + image)


def test_no_text_says_to_install_from_an_index_by_our_name() -> None:
    """The owner of that name on an index could run code on the reader's machine."""
    assert _NAME.search("$ pip install 'x-compliance-connector[demo]'")
    assert [str(page) for page in _PAGES if _NAME.search(page.read_text(encoding="utf-8"))] == []
