"""Tests of every type, and what may be done to a good line: shared by those of the long way and of the short one."""

import json
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.fakes.bodies import EVENT_AT, SAMPLES, Sample

by_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just(EVENT_AT),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "author_id", "tweet", "event_at", "data", "a"]), inner, max_size=4)
    ),
    max_leaves=8,
)


def mutated(sample: Sample, data: st.DataObject, value: object) -> bytes:
    """Return the line of `sample` with `value` in the place of one of its members, at any depth."""
    message: dict[str, Any] = json.loads(sample.line)
    node: Any = message
    while True:
        name = data.draw(st.sampled_from(sorted(node)))
        if not isinstance(node[name], dict) or data.draw(st.booleans()):
            node[name] = value
            return json.dumps(message).encode()
        node = node[name]
