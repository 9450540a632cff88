"""Words of Kafka's and librdkafka's: a broker may repeat a password, so none is used as it is."""

import ast
from collections.abc import Iterator
from pathlib import Path

from connector.kafka import clients

_FOLDER = Path(clients.__file__).parent


def _calls(tree: ast.AST) -> Iterator[tuple[ast.Call, ast.AST]]:
    """Yield each call, and what it is in."""
    for parent in ast.walk(tree):
        for child in ast.iter_child_nodes(parent):
            if isinstance(child, ast.Call):
                yield child, parent


def _is_shown(parent: ast.AST) -> bool:
    return isinstance(parent, ast.Call) and ast.unparse(parent.func) in {"shown", "_without_values"}


def test_words_of_an_error_of_kafka_s_are_shown_without_secrets() -> None:
    """Wherever there are any; comparing them shows nothing."""
    words = [
        (path.name, ast.unparse(parent), _is_shown(parent) or isinstance(parent, ast.Compare))
        for path in sorted(_FOLDER.glob("*.py"))
        for call, parent in _calls(ast.parse(path.read_text(encoding="utf-8")))
        if ast.unparse(call.func).endswith(".str") and not ast.unparse(call).startswith("KafkaError(")
    ]
    assert len(words) > 10
    assert [place for *place, is_safe in words if not is_safe] == []
