"""What the documentation shows: code blocks and the commands in them."""

import re
from collections.abc import Iterator


def code_blocks(page: str, language: str) -> Iterator[str]:
    """Give the code blocks of a language, without the indentation of a list that they stand in."""
    for match in re.finditer(rf"^( *)```{language}\n(.*?)^ *```", page, re.DOTALL | re.MULTILINE):
        yield "\n".join(line.removeprefix(match[1]) for line in match[2].splitlines())


def command_lines(page: str) -> list[list[str]]:
    """Return the commands that each block of the page has one type, those over several lines as one."""
    blocks = []
    for block in code_blocks(page, "console"):
        joined = re.sub(r"\\\n\s*", "", block)
        blocks.append([line[2:] for line in joined.splitlines() if line.startswith("$ ")])
    return blocks
