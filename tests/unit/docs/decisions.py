"""The index of the decision records: number, title and status, read from the records themselves."""

import re
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parents[3] / "docs/adr"

_TITLE = re.compile(r"# (\d+)\. (.+)\n")
_LATER = re.compile(r"^\*\*((?:[A-Z]\w+ )?[Ss]uperseded(?: in part)?|Extended)\*\*.*?\[ADR (\d+)\]", re.MULTILINE)


def decision_rows() -> Iterator[tuple[str, str, str]]:
    """Yield number, linked title and status of each decision record.

    Raises:
        ValueError: a record does not begin with `# NUMBER. TITLE`, or its file has another number.

    """
    for path in sorted(FOLDER.glob("[0-9]*.md")):
        text = path.read_text(encoding="utf-8")
        title = _TITLE.match(text)
        if title is None or int(title[1]) != int(path.name[:4]):
            raise ValueError(f"{path.name} does not begin with its number and title")
        later = [f"{change.lower()} by [{number}]({_file(number)})" for change, number in _LATER.findall(text)]
        yield title[1], f"[{title[2]}]({path.name})", "; ".join(later) or "accepted"


def _file(number: str) -> str:
    [path] = FOLDER.glob(f"{int(number):04}-*.md")
    return path.name
