"""What is generated of `docs/x-connection.md`: from the moves that tests play, the policies, and the rows."""

from collections import Counter
from collections.abc import Iterator

from connector.source import rate_budget as limits
from connector.x.backoff import Curve, Exponential, Linear
from tests.connections.rows import TABLES
from tests.unit.source.lifecycle import MEANINGS, MOVES, Step

_CURVES = {
    Curve.NETWORK: "the network fails, or a connection ends that has delivered nothing",
    Curve.HTTP: (
        "5xx, 408, 425; 200 that is not a stream; 400, 403, 404 not in X's format; 400, 403 for a temporary state; "
        "a first refusal"
    ),
    Curve.RATE_LIMIT: "429, the budget is spent; never before `x-rate-limit-reset`",
    Curve.TOO_MANY_CONNECTIONS: "429 or a message, `TooManyConnections`, with budget left",
    Curve.CONFIGURATION: "X's own 400, 403 and 404, 401, and other answers that only a person can resolve; no token",
}


def states() -> Iterator[tuple[str, str]]:
    """Yield each step of a reader with its meaning."""
    for step, meaning in MEANINGS.items():
        yield f"`{step}`", meaning


def picture() -> str:
    """Return the life of a reader as a diagram; an arrow says what happened."""
    lines = [f"    {move.at} --> {move.to}: {move.when}{' *' if move.resets_delays else ''}" for move in MOVES]
    text = "\n".join(["stateDiagram-v2", f"    [*] --> {Step.WAITING}", *lines, f"    {Step.STOPPED} --> [*]"])
    return f"```mermaid\n{text}\n```\n"


def delays() -> Iterator[tuple[str, str, str, str]]:
    """Yield each back-off policy."""
    for curve, after in _CURVES.items():
        policy: Linear | Exponential = curve.value
        first, then = (
            (policy.step_s, f"{_seconds(policy.step_s)} more each time")
            if isinstance(policy, Linear)
            else (policy.first_s, "doubled each time")
        )
        yield after, _seconds(first), then, _seconds(policy.max_s)


def budget() -> Iterator[tuple[str, str]]:
    """Yield the figures of the connect budget."""
    yield "X's window", _seconds(limits.WINDOW_S)
    yield "may go at once at the beginning of a window", f"{limits.AT_ONCE:.0%} of the limit"
    yield "never spent", f"{limits.RESERVE:.0%} of the limit"
    yield (
        "left by partitions that had their fair share to those that had not",
        f"{limits.MARGIN:.0%} of the limit",
    )
    yield "fair share of one of four partitions, with a limit of 100", f"a connect in {limits.Budget(4).share_s(0):g} s"
    yield "one attempt at a time while X's latest figures are older than", _seconds(limits.FRESH_S)
    yield "and then the next attempt waits for an answer at most", _seconds(limits.ANSWER_S)
    assumed = limits.ASSUMED_LIMIT * (1 - limits.ASSUMED_RESERVE)
    yield "without a limit from X, attempts in any window, across all partitions", f"{assumed:.0f}"


def rows(name: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of one table."""
    for row in TABLES[name]:
        counted = ", ".join(
            f"`{counter}`{f', {times} times' if times > 1 else ''}" for counter, times in Counter(row.counted).items()
        )
        yield row.does, row.we, _next_attempts(row.delays_s), counted


def _next_attempts(delays_s: tuple[float, ...]) -> str:
    if not delays_s:
        return "the connection stays"
    return ", then ".join("at once" if delay_s == 0 else f"after {_seconds(delay_s)}" for delay_s in delays_s)


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:g} s"
