"""Run the vectors of docs/vectors on `ComplianceState`: `python vectors.py [FOLDER]`."""

import json
import sys
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

from compliance_state import ComplianceState

FOLDER = Path(__file__).parents[2] / "docs" / "vectors"


def failures(case: dict[str, Any], order: tuple[int, ...]) -> Iterator[str]:
    """Yield what comes out other than `case` expects, with its events in that order."""
    state = ComplianceState()
    for position in order:
        state.apply(case["events"][position])
    for tweet in case.get("tweets", ()):
        expected, got = expected_of(tweet), state.tweet(tweet)
        if {name: got[name] for name in expected} != expected:
            yield f"Tweet {tweet['tweet_id']}: {got}, not {expected}"
    for user in case.get("profiles", ()):
        if (profile := state.profile(user["user_id"])) != user["expect"]:
            yield f"user {user['user_id']}: {profile}"
    for like in case.get("likes", ()):
        if (action := state.like(like)) != like["expect"]:
            yield f"like of {like['tweet_id']} by {like['user_id']}: {action}"


def expected_of(tweet: dict[str, Any]) -> dict[str, Any]:
    """Return what is expected of a Tweet, with the defaults of what its vector leaves out."""
    expected = {"action": "show", "withheld_in": [], "location": "keep", **tweet["expect"]}
    if "quoted" in tweet:
        expected["quoted"] = {"action": "show", "withheld_in": [], **expected.get("quoted", {})}
    return {"action": "delete"} if expected["action"] == "delete" else expected


def orders_of(case: dict[str, Any]) -> list[tuple[int, ...]]:
    """Return the orders of its events in which a case is to be played."""
    if case["orders"] == "any":
        return list(permutations(range(len(case["events"]))))
    return [tuple(order) for order in case["orders"]]


def main() -> int:
    """Print what fails, or how much there was; return the exit code."""
    paths = sorted(Path(sys.argv[1] if len(sys.argv) > 1 else FOLDER).glob("*.json"))
    plays = [
        (f"{path.stem}/{case['name']}", case, order)
        for path in paths
        for case in json.loads(path.read_text(encoding="utf-8"))
        for order in orders_of(case)
    ]
    failed = [f"{name} {order}: {text}" for name, case, order in plays for text in failures(case, order)]
    print(
        "\n".join(
            [*failed, f"{len({name for name, _, _ in plays})} cases, {len(plays)} orders, {len(failed)} failures"]
        )
    )
    return 1 if failed or not plays else 0


if __name__ == "__main__":
    sys.exit(main())
