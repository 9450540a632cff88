"""Findings of an audit, in sentences, with bounded memory and output. Pure."""

from collections.abc import Iterator

_EXAMPLES = 3


class Findings:
    """Counts findings by wording, and keeps the first examples of each."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, list[str]]] = {}

    def add(self, what: str, example: str) -> None:
        """Add a finding; `what` is worded to follow a count, as in `1 out of order, such as …`."""
        count, examples = self._found.get(what, (0, []))
        if len(examples) < _EXAMPLES:
            examples.append(example)
        self._found[what] = count + 1, examples

    def __iter__(self) -> Iterator[str]:
        for what, (count, examples) in self._found.items():
            yield f"{count} {what}, such as {', '.join(examples)}"

    def __bool__(self) -> bool:
        return bool(self._found)
