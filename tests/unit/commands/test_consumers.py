"""`connector consumers`: which groups it looks at, its exit codes, and what it prints in both forms."""

import json
from dataclasses import replace

import pytest
import typer
from typer.testing import Result

from connector.commands.consumers import chosen_groups, show
from connector.commands.options import Output
from connector.operations.consumers import Consumers
from connector.settings import KafkaSettings, SchemaRegistrySettings, Settings
from connector.telemetry.group_states import HOUR_US, GroupState, TopicLag, WatchedGroup
from tests.unit.commands.printing import printed

_AT = 1_800_000_000_000_000
_HOSTILE = "x\x1b[2J\u202e\r\nall 1 are well"
_DONE = TopicLag("p.tweet.delete", 0, is_exact=True, oldest_event_us=None)
_WELL = WatchedGroup("deletes", GroupState.OK, 2, (_DONE,), ())
_LATE = replace(
    _WELL,
    topics=(TopicLag("p.tweet.delete", 1_204, is_exact=False, oldest_event_us=_AT - 20 * HOUR_US), _DONE),
    not_read=("p.tweet.edit",),
)


def _shown(*groups: WatchedGroup, output: Output = Output.TABLE) -> Result:
    return printed(lambda: show(Consumers(_AT, groups, ("a record",)), output))


def test_groups_are_those_given_or_else_those_of_the_settings() -> None:
    """Each once; without any it is said where to name one."""
    registry = SchemaRegistrySettings(url="http://127.0.0.1:9")
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:9", watched_groups=("a",))
    settings = Settings(kafka=kafka, schema_registry=registry)
    assert chosen_groups(["b", "c", "b"], settings) == ("b", "c")
    assert chosen_groups([], settings) == ("a",)
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:9")
    nothing_named = Settings(kafka=kafka, schema_registry=registry)
    with pytest.raises(typer.BadParameter, match="name a group, or set CONNECTOR_KAFKA__WATCHED_GROUPS"):
        chosen_groups([], nothing_named)
    with pytest.raises(typer.BadParameter, match="the name of a group is empty"):
        chosen_groups([" "], nothing_named)


@pytest.mark.parametrize(
    ("groups", "exit_code"),
    [
        ((_WELL,), 0),
        ((_WELL, _LATE), 1),
        *(((replace(_WELL, state=state),), 1) for state in GroupState if state is not GroupState.OK),
    ],
)
def test_exit_code_is_0_only_where_all_are_well(groups: tuple[WatchedGroup, ...], exit_code: int) -> None:
    """In either form; what is foreign is said beside it."""
    for output in Output:
        result = _shown(*groups, output=output)
        assert result.exit_code == exit_code
        assert "such as a record" in result.stderr


def test_table_says_what_is_unprocessed_how_old_it_is_and_what_is_left() -> None:
    """With the topics, and those that the group does not read."""
    lines = _shown(_WELL, _LATE, replace(_WELL, state=GroupState.PAUSED, members=0)).stdout.splitlines()
    assert lines == [
        "consumer groups: 2 of 3 need attention",
        "at 2027-01-15T08:00:00Z",
        "GROUP    STATE   UNPROCESSED    OLDEST EVENT  LEFT OF 24 h  TOPICS BEHIND  MEMBERS",
        "deletes  ok      0              none          all           0 of 1         2",
        "deletes  ok      at most 1,204  20 h ago      4 h           1 of 2         2",
        "deletes  paused  0              none          all           0 of 1         0",
        "deletes: p.tweet.delete: at most 1,204, oldest 20 h ago",
        "deletes: 1 topic not read: p.tweet.edit",
        "deletes: paused: it has no members",
    ]


def test_nothing_is_known_of_a_group_that_is_gone() -> None:
    """Nothing unprocessed would be the wrong word."""
    gone = WatchedGroup("lost", GroupState.GONE, None, (), ("p.tweet.delete",))
    row, *others = _shown(gone).stdout.splitlines()[3:]
    assert row.split("  ")[0] == "lost"
    assert (row.count("not known"), row.split()[-1]) == (4, "none")
    assert others == ["lost: gone: there is no such group, or it has read no event topic"]
    [found] = json.loads(_shown(gone, output=Output.JSON).stdout)["groups"]
    assert (found["unprocessed"], found["left_s"], found["topics"]) == (None, None, [])


def test_json_says_the_same() -> None:
    """Instants as text, lengths in seconds."""
    found = json.loads(_shown(_LATE, output=Output.JSON).stdout)
    assert (found["at"], found["is_well"], found["foreign_records"]) == ("2027-01-15T08:00:00.000000Z", False, 1)
    [group] = found["groups"]
    assert group["topics"][0] == {
        "topic": "p.tweet.delete",
        "unprocessed": 1204,
        "is_exact": False,
        "oldest_event_at": "2027-01-14T12:00:00.000000Z",
        "oldest_event_age_s": 72_000,
    }
    del group["topics"]
    assert group == {
        "group": "deletes",
        "state": "ok",
        "is_well": False,
        "members": 2,
        "unprocessed": 1204,
        "is_exact": False,
        "oldest_event_at": "2027-01-14T12:00:00.000000Z",
        "oldest_event_age_s": 72_000,
        "left_s": 14_400,
        "not_read": ["p.tweet.edit"],
    }


def test_name_of_a_group_is_text() -> None:
    """Anyone may give a group any name."""
    lines = _shown(replace(_LATE, group=_HOSTILE)).stdout.splitlines()
    assert all(map(str.isprintable, lines))
    assert "all 1 are well" not in lines
