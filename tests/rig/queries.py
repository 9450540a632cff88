"""What a PromQL query asks for, the metrics it selects by name and labels, and which labels its answer has.

Knows the variables of the dashboard; must not know which metrics there are.
"""

import re
from collections.abc import Callable, Mapping

import promql_parser
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    MatchOp,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    StringLiteral,
    VectorSelector,
)

OF_PROMETHEUS = frozenset({"up", "ALERTS"})
"""Metrics that Prometheus makes itself."""

_VARIABLES = {"$__rate_interval": "5m", "$__range": "1h"}


def filled_in(query: str, duration: str = "") -> str:
    """Return a panel's query with its variables filled in: all of everything, over `duration` or what is usual."""
    for name, usual in _VARIABLES.items():
        query = query.replace(name, duration or usual)
    return re.sub(r"\$\w+", ".*", query)


def selectors(query: str) -> list[VectorSelector]:
    """Return what the query selects. Raises `ValueError` when it is no PromQL."""
    found: list[VectorSelector] = []

    def visit(expression: Expr) -> bool:
        if isinstance(expression, VectorSelector):
            found.append(expression)
        return True

    promql_parser.walk(promql_parser.parse(query), visit)
    return found


def selects(selector: VectorSelector, name: str, labels: Mapping[str, str]) -> bool:
    """Tell whether the selector selects the sample."""
    return selector.name == name and all(
        _matches(matcher.op, matcher.value, labels.get(matcher.name, "")) for matcher in selector.matchers.matchers
    )


def _matches(op: MatchOp, wanted: str, value: str) -> bool:
    is_meant = op in (MatchOp.Equal, MatchOp.Re)
    is_equal = value == wanted if op in (MatchOp.Equal, MatchOp.NotEqual) else bool(re.fullmatch(wanted, value))
    return is_equal is is_meant


def labels_of(expression: Expr, of_metric: Callable[[str], frozenset[str]]) -> frozenset[str] | None:
    """Return the labels that all samples of the answer have, None for a number; `of_metric` knows those of a metric."""
    match expression:
        case VectorSelector():
            return of_metric(str(expression.name))
        case MatrixSelector() | ParenExpr():
            inner = expression.vector_selector if isinstance(expression, MatrixSelector) else expression.expr
            return labels_of(inner, of_metric)
        case AggregateExpr():
            kept = expression.modifier.labels if expression.modifier else ()
            return (labels_of(expression.expr, of_metric) or frozenset()) & frozenset(kept)
        case Call():
            return _labels_of_call(expression, of_metric)
        case BinaryExpr():
            return _labels_of_pair(expression, of_metric)
    assert isinstance(expression, NumberLiteral), expression
    return None


def _labels_of_pair(pair: BinaryExpr, of_metric: Callable[[str], frozenset[str]]) -> frozenset[str] | None:
    left, right = (labels_of(side, of_metric) for side in (pair.lhs, pair.rhs))
    if left is None or right is None:
        return right if left is None else left
    return left & right if str(pair.op) == "or" else left


def _labels_of_call(call: Call, of_metric: Callable[[str], frozenset[str]]) -> frozenset[str] | None:
    if call.func.name == "time":
        return None
    if call.func.name == "absent":
        return frozenset()
    [vector, *others] = call.args
    added = {others[0].val} if call.func.name == "label_replace" and isinstance(others[0], StringLiteral) else set()
    return (labels_of(vector, of_metric) or frozenset()) | added
