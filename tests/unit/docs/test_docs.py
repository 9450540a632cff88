"""The reference pages say what the code does: tables, examples, names and links."""

import ast
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fastavro.validation import validate

from connector.batch.results import DeadReason
from connector.configuration import describe_settings
from connector.coverage.gap import GapCause
from connector.events.batch import BATCH_TYPES
from connector.events.catalog import BY_NAME, EVENT_TYPES, EventType
from connector.events.decode import Reason
from connector.events.schemas import batch_schema, event_schema
from connector.kafka.topics import topic_specs
from connector.settings import KafkaSettings, RunSettings, variable_name
from connector.source.connect_limiter import WaitReason
from connector.telemetry.status import MODES, PartitionStatus, ServiceStatus, State, Statuses
from connector.x.backoff import Curve
from connector.x.failures import MIN_RATE_LIMIT_WAIT_S
from tests.rig.event_id_recipe import event_id
from tests.unit.docs.tables import (
    PAGES,
    PREFIX,
    ROOT,
    VECTORS,
    avro_fields,
    block_names,
    generated,
    own_fields,
    type_name,
)

ACCESS, CONTRACT, DEPENDENCIES, EVENTS, *_ = (page.read_text(encoding="utf-8") for page in PAGES)
OVERVIEW = "| event | what happened | what X asks of everyone who stores the content | undone by |"
COMMON = "| field | type | meaning |"
TIMES = ("event_at", "received_at")
TYPES = pytest.mark.parametrize("event_type", EVENT_TYPES, ids=lambda event_type: event_type.name)


def _section(page: str, heading: str) -> str:
    """Return the text under `heading`, up to the next one of its level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    _, _, rest = page.partition(f"\n{heading}\n")
    return re.split(rf"\n#{{1,{level}}} ", rest, maxsplit=1)[0]


def _rows(text: str, header: str) -> list[list[str]]:
    """Return the cells of the table whose first line is `header`."""
    _, _, table = text.partition(f"{header}\n")
    lines = table.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def _example(event_type: EventType) -> dict[str, Any]:
    [block] = re.findall(r"```json\n(.*?)```", _section(EVENTS, f"## {event_type.name}"), re.DOTALL)
    example: dict[str, Any] = json.loads(block)
    return example


def _x_body(event_type: EventType, record: dict[str, Any]) -> dict[str, Any]:
    """Return X's body that `record` was made from."""
    body: dict[str, Any] = {"event_at": record["event_at"]}
    for field in event_type.fields:
        node = body
        for name in field.path[:-1]:
            node = node.setdefault(name, {})
        node[field.path[-1]] = record[field.name]
    return body


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_metrics_page_has_every_field_and_word_of_the_status() -> None:
    """And no others: the page is what an operator reads /status by."""
    section = _section(Path("docs/metrics.md").read_text(encoding="utf-8"), "## Status")
    process, partition = (
        {name for cell, _ in rows for name in re.findall(r"`(\w+)`", cell)}
        for rows in (_rows(table, "| field | meaning |") for table in section.split("Of a stream partition:"))
    )
    assert process == set(ServiceStatus(Statuses([]), 0, None, 0).as_json())
    assert partition == set(PartitionStatus().as_json())
    words = set(re.findall(r"`([a-z-]+)`", section))
    assert {*State, *MODES, *(reason.value for reason in WaitReason)} <= words


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_blocks_are_what_the_code_generates(page: Path) -> None:
    """`python -m tests.unit.docs.tables` would change nothing."""
    text = page.read_text(encoding="utf-8")
    assert block_names(text)
    assert text.count("<!-- generated:") == text.count("<!-- end -->") == len(block_names(text))
    assert generated(text) == text


def test_index_leads_to_every_page() -> None:
    """Each page of `docs/` is in docs/README.md, but for those that it reaches through another index."""
    linked = set(re.findall(r"\]\(([^)#]+)", (ROOT / "docs/README.md").read_text(encoding="utf-8")))
    pages = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in {".md", ".yaml"}}
    assert pages - {"README.md", "glossary.md"} <= linked


def test_generated_blocks_of_a_stale_page_are_filled_again() -> None:
    """What is between the markers does not survive, what is around them does."""
    stale = "before\n<!-- generated: canonical-example -->\nold\n<!-- end -->\nafter\n"
    assert generated(stale) == stale.replace("old\n", f"```json\n{VECTORS['events'][0]['canonical']}\n```\n")


def test_events_page_describes_every_type_once_in_catalog_order() -> None:
    """One section with its generated block for each event type, and one row for it in the overview."""
    names = [event_type.name for event_type in EVENT_TYPES]
    overview = [re.findall(r"\[`(.+?)`\]\(#(.+?)\)", row[0]) for row in _rows(EVENTS, OVERVIEW)]
    assert overview == [[(name, name.replace(".", ""))] for name in names]
    assert block_names(EVENTS) == names
    for name in names:
        assert block_names(_section(EVENTS, f"## {name}")) == [name]


def test_events_page_pairs_undo_each_other() -> None:
    """The type that undoes another is a real one and names the other in turn."""
    undone_by = {row[0].split("`")[1]: re.findall(r"^`(.+)`$", row[3]) for row in _rows(EVENTS, OVERVIEW)}
    pairs = {name: by[0] for name, by in undone_by.items() if by}
    assert len(pairs) == 8
    assert {BY_NAME[by].name: name for name, by in pairs.items()} == pairs


@TYPES
def test_own_fields_lie_between_the_common_ones(event_type: EventType) -> None:
    """The common fields come first, `unknown_fields` last, the type's own between; the table shows all of those."""
    names = [field["name"] for field in avro_fields(event_schema(event_type))]
    common = [row[0].strip("`") for row in _rows(CONTRACT, COMMON)]
    own = [field["name"] for field in own_fields(event_type)]
    assert names == [*common[:-1], *own, common[-1]]


@TYPES
def test_common_fields_table_gives_the_types_of_every_schema(event_type: EventType) -> None:
    """The hand-written table of common fields agrees with the schema of each type."""
    types = {field["name"]: type_name(field["type"]) for field in avro_fields(event_schema(event_type))}
    for name, kind, _ in _rows(CONTRACT, COMMON):
        assert types[name.strip("`")] == kind


@TYPES
def test_example_is_a_record_of_its_schema(event_type: EventType) -> None:
    """The example has all fields of the schema in their order, with values that fit."""
    example = _example(event_type)
    assert list(example) == [field["name"] for field in avro_fields(event_schema(event_type))]
    record = example | {name: datetime.fromisoformat(example[name]) for name in TIMES}
    assert validate(record, event_schema(event_type).parsed, strict=True)
    assert record["event_at"] <= record["received_at"]
    assert f"{example['stream']}.{event_type.event}" == example["event_type"] == event_type.name


@TYPES
def test_example_id_follows_from_its_content(event_type: EventType) -> None:
    """The example's `event_id` is the one the recipe gives to its body."""
    example = _example(event_type)
    body = json.dumps(_x_body(event_type, example))
    assert event_id(event_type.stream, event_type.x_type, body) == example["event_id"]


def test_examples_have_an_id_and_a_place_of_their_own() -> None:
    """No two examples share an id, or a sequence in one stream partition."""
    examples = [_example(event_type) for event_type in EVENT_TYPES]
    places = {(example["stream"], example["stream_partition"], example["sequence"]) for example in examples}
    assert len({example["event_id"] for example in examples}) == len(places) == len(EVENT_TYPES)


def test_own_topics_table_names_every_topic_outside_the_events_prefix() -> None:
    """The table lists exactly the connector's own topics, in the order in which they are provisioned."""
    specs = topic_specs(KafkaSettings(bootstrap_servers="localhost:9092"))
    rows = _rows(CONTRACT, "| topic | for | key | value |")
    assert [row[0].strip("`") for row in rows] == [spec.name for spec in specs if spec.name.startswith(f"{PREFIX}-")]


def test_batch_user_differs_from_batch_tweet_in_its_id_alone() -> None:
    """One table of fields covers both records, as the page says."""
    tweet, user = (
        [(field["name"], field["type"]) for field in avro_fields(batch_schema(batch_type))]
        for batch_type in BATCH_TYPES
    )
    assert [("tweet_id" if name == "user_id" else name, kind) for name, kind in user] == tweet


def test_sources_and_types_of_batch_headers_are_those_of_the_table() -> None:
    """The page names them one by one."""
    section = _section(CONTRACT, "## Batch results")
    for batch_type in BATCH_TYPES:
        assert f"`{batch_type.source}`" in section
        assert f"`{PREFIX}.{batch_type.name}`" in section


def test_reasons_table_is_the_closed_set() -> None:
    """The dead-letter reasons in the tables are those of the code, of lines of streams and of batch results."""
    assert [row[0].strip("`") for row in _rows(CONTRACT, "| reason | what X sent |")] == [*Reason]
    assert [row[0].strip("`") for row in _rows(CONTRACT, "| reason | what X answered |")] == [*DeadReason]


def test_causes_table_is_the_closed_set() -> None:
    """The causes of a gap in the table are those of the code."""
    assert [row[0].strip("`") for row in _rows(CONTRACT, "| cause | what happened |")] == [*GapCause]


def test_waits_after_refusals_are_those_of_the_curves() -> None:
    """The numbers in the table of refusals come from the back-off curves."""
    network, http, configuration = Curve.NETWORK.value, Curve.HTTP.value, Curve.CONFIGURATION.value
    crowd, rate = Curve.TOO_MANY_CONNECTIONS.value, Curve.RATE_LIMIT.value
    assert f"{network.step_s * 1000:g} ms more at each attempt, up to {network.max_s:g} seconds" in ACCESS
    assert f"waits {http.first_s:g} seconds, doubling up to {http.max_s:g}" in ACCESS
    assert (
        f"retries after a minute, then less and less often,\ndown to every {configuration.max_s / 60:g} min" in ACCESS
    )
    assert (configuration.first_s, rate.first_s, MIN_RATE_LIMIT_WAIT_S, crowd.max_s) == (60, 60, 60, 60)


def test_settings_named_in_the_pages_exist() -> None:
    """Every `CONNECTOR_…` name is a setting."""
    known = {variable_name(path) for path, _ in describe_settings(RunSettings)}
    named = set(re.findall(r"CONNECTOR_[A-Z_0-9]+", ACCESS + CONTRACT + EVENTS))
    assert len(named) > 10
    assert named <= known


def test_number_of_partitions_in_the_contract_is_the_default() -> None:
    """The number given beside the setting is its default."""
    assert f"`CONNECTOR_KAFKA__PARTITIONS` ({KafkaSettings.model_fields['partitions'].default})" in CONTRACT


def test_patterns_in_the_contract_catch_what_it_says() -> None:
    """That for events catches them alone, searched for as in librdkafka or matched as in Java; the wide one more."""
    topics = [spec.name for spec in topic_specs(KafkaSettings(bootstrap_servers="localhost:9092"))]
    events = {f"{PREFIX}.{event_type.name}" for event_type in EVENT_TYPES}
    batch = {f"{PREFIX}.{batch_type.name}" for batch_type in BATCH_TYPES}
    narrow, wide, java = re.findall(r"`(\^?x\\.compliance\\.[^`]*)`", _section(CONTRACT, "## What a consumer must set"))
    assert {topic for topic in topics if re.search(narrow, topic)} == events
    assert {topic for topic in topics if re.search(wide, topic)} == events | batch
    assert {topic for topic in topics if re.fullmatch(java, topic)} == events


def test_reader_example_compiles_and_has_twelve_lines() -> None:
    """The code block is Python of the promised length and takes its addresses from `KAFKA` and `REGISTRY`."""
    [code] = re.findall(r"```python\n(.*?)```", _section(CONTRACT, "## Reading in twelve lines"), re.DOTALL)
    assert len(code.splitlines()) == 12
    subscripts = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Subscript)]
    names = {ast.unparse(node.slice) for node in subscripts if ast.unparse(node.value) == "os.environ"}
    assert names == {"'KAFKA'", "'REGISTRY'"}
    assert repr(f"{PREFIX}.tweet.delete") in ast.unparse(ast.parse(code))


@pytest.mark.parametrize(
    "page",
    [
        *PAGES,
        ROOT / "SECURITY.md",
        *(ROOT / "docs" / name for name in ("batch.md", "consuming.md", "platforms.md", "vectors/README.md")),
    ],
    ids=str,
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Every relative link names a page and a heading that exist."""
    links = re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", page.read_text(encoding="utf-8"))
    assert links
    for target, anchor in links:
        linked = page.parent / target if target else page
        assert linked.is_file()
        assert not anchor or anchor in _anchors(linked)
