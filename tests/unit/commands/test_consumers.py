"""`connector consumers`: which groups it looks at, its exit codes, and what it prints in both forms."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Self

import pytest
from typer.testing import CliRunner, Result

from connector import cli
from connector.commands import consumers
from connector.operations import consumers as operation
from connector.operations.consumers import Consumers
from connector.settings import KafkaSettings, SchemaRegistrySettings, Settings
from connector.telemetry.group_states import HOUR_US, GroupState, TopicLag, WatchedGroup

_AT = 1_800_000_000_000_000
_HOSTILE = "x\x1b[2J\u202e\r\nall 1 are well"
_DONE = TopicLag("p.tweet.delete", 0, is_exact=True, oldest_event_us=None)
_WELL = WatchedGroup("deletes", GroupState.OK, 2, (_DONE,), ())
_LATE = replace(
    _WELL,
    topics=(TopicLag("p.tweet.delete", 1_204, is_exact=False, oldest_event_us=_AT - 20 * HOUR_US), _DONE),
    not_read=("p.tweet.edit",),
)
Run = Callable[..., Result]


@pytest.fixture(name="run")
def _run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command, which finds certain groups, of which the settings name some."""
    asked: list[Sequence[str]] = []

    class Reader:
        """Finds what a test wants."""

        def __init__(self, _: Settings, groups: Sequence[str]) -> None:
            asked.append(groups)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read(self) -> Consumers:
            """Return what there is now."""
            return Consumers(_AT, found, ("a record",))

    found: tuple[WatchedGroup, ...] = ()

    def run(*groups: WatchedGroup, named: Sequence[str] = (), arguments: Sequence[str] = ()) -> Result:
        nonlocal found
        found = groups
        kafka = KafkaSettings(bootstrap_servers="127.0.0.1:9", watched_groups=tuple(named))
        settings = Settings(kafka=kafka, schema_registry=SchemaRegistrySettings(url="http://127.0.0.1:9"))
        monkeypatch.setattr(consumers, "configure", lambda *_: settings)
        monkeypatch.setattr(operation, "ConsumersReader", Reader)
        result = CliRunner().invoke(cli.app, ["consumers", *arguments], color=True)
        result.asked = asked  # type: ignore[attr-defined] # what the test asks about
        return result

    return run


def test_groups_are_those_given_or_else_those_of_the_settings(run: Run) -> None:
    """Each once; without any it is said where to name one."""
    assert run(_WELL, named=["a"], arguments=["b", "c", "b"]).asked == [("b", "c")]  # type: ignore[attr-defined]
    assert run(_WELL, named=["a"]).asked[-1] == ("a",)  # type: ignore[attr-defined]
    result = run(_WELL)
    assert result.exit_code == 2
    assert "name a group, or set CONNECTOR_KAFKA__WATCHED_GROUPS" in result.stderr
    assert run(_WELL, arguments=[" "]).exit_code == 2


@pytest.mark.parametrize(
    ("groups", "exit_code"),
    [
        ((_WELL,), 0),
        ((_WELL, _LATE), 1),
        *(((replace(_WELL, state=state),), 1) for state in GroupState if state is not GroupState.OK),
    ],
)
def test_exit_code_is_0_only_where_all_are_well(run: Run, groups: tuple[WatchedGroup, ...], exit_code: int) -> None:
    """In either form; what is foreign is said beside it."""
    for output in ("table", "json"):
        result = run(*groups, named=["g"], arguments=["--output", output])
        assert result.exit_code == exit_code
        assert "such as a record" in result.stderr


def test_table_says_what_is_unprocessed_how_old_it_is_and_what_is_left(run: Run) -> None:
    """With the topics, and those that the group does not read."""
    lines = run(_WELL, _LATE, replace(_WELL, state=GroupState.PAUSED, members=0), named=["g"]).stdout.splitlines()
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


def test_nothing_is_known_of_a_group_that_is_gone(run: Run) -> None:
    """Nothing unprocessed would be the wrong word."""
    gone = WatchedGroup("lost", GroupState.GONE, None, (), ("p.tweet.delete",))
    row, *others = run(gone, named=["g"]).stdout.splitlines()[3:]
    assert row.split("  ")[0] == "lost"
    assert (row.count("not known"), row.split()[-1]) == (4, "none")
    assert others == ["lost: gone: there is no such group, or it has read no event topic"]
    [found] = json.loads(run(gone, named=["g"], arguments=["--output", "json"]).stdout)["groups"]
    assert (found["unprocessed"], found["left_s"], found["topics"]) == (None, None, [])


def test_json_says_the_same(run: Run) -> None:
    """Instants as text, lengths in seconds."""
    found = json.loads(run(_LATE, named=["g"], arguments=["--output", "json"]).stdout)
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


def test_name_of_a_group_is_text(run: Run) -> None:
    """Anyone may give a group any name."""
    lines = run(replace(_LATE, group=_HOSTILE), named=["g"]).stdout.splitlines()
    assert all(map(str.isprintable, lines))
    assert "all 1 are well" not in lines
