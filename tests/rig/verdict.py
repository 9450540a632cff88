"""Reads what `connector ledger verify` prints. Knows its words; must not know what they rest on."""

from tests.rig.audit import Place


def read_verdict(text: str) -> dict[Place, list[str]]:
    """Return the findings by stream partition, of those that have some; the first line is the verdict."""
    found: dict[Place, list[str]] = {}
    place: Place = ("", 0)
    for line in text.splitlines()[1:]:
        if line.strip().startswith("note: "):
            continue
        if line.startswith(" "):
            found.setdefault(place, []).append(line.strip())
        else:
            stream, _, number = line.split()[0].partition("/")
            place = stream, int(number)
    return found
