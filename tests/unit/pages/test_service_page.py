"""The page of the service: what it says of every state, within bounds, whatever others wrote."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest

from connector.events.catalog import STREAM_PARTITIONS
from connector.events.times import US_PER_S
from connector.pages.overview import MOST_DEAD_LETTERS, MOST_GAPS, MOST_STATES, Overview, make_overview
from connector.pages.service_page import KEPT_S, ServicePage
from connector.pages.words import instant
from connector.telemetry.coverage_records import Covered
from connector.telemetry.group_states import GroupState, TopicLag, WatchedGroup
from connector.telemetry.open_gaps import RecordedGap
from connector.telemetry.status import Look, ServiceStatus, State, Statuses
from connector.x.clock import wall_us
from tests.rig.crowded import HOSTILE, crowded_status

_NOW = 1_800_000_000 * US_PER_S
_MIN = 60 * US_PER_S
_ONE, _OTHER = STREAM_PARTITIONS[:2]
_MOST_BYTES = 400 * 1024


def _status(*coverage: Covered) -> ServiceStatus:
    """Return the status of a service for two stream partitions, the first of which it owns."""
    status = ServiceStatus(Statuses((_ONE, _OTHER)), 1, None, _NOW - 60 * _MIN)
    status.partitions.renew(_ONE).state = State.RUNNING
    status.coverage = Look(_NOW - 3 * US_PER_S, coverage)
    return status


def _well() -> ServiceStatus:
    return _status(*(Covered(each, _NOW - US_PER_S, "live", _NOW, _NOW - 90 * _MIN) for each in (_ONE, _OTHER)))


def _overview(status: ServiceStatus) -> Overview:
    return make_overview(status, _NOW)


def test_service_that_is_well_says_so_of_all_replicas() -> None:
    """Whichever replica owns what."""
    overview = _overview(_well())
    assert overview.is_well
    assert overview.verdict == "All 2 stream partitions are owned, and complete to within 4 minutes."
    assert [(row.owner, row.state, row.trouble) for row in overview.partitions] == [
        ("this replica", "running", None),
        ("another replica", None, None),
    ]


def test_open_gaps_are_said_beside_a_service_that_is_well() -> None:
    """Those that are reconciled or withdrawn are not."""
    status = _well()
    states = ("lost", "suspected", "withdrawn", "reconciled")
    gaps = [RecordedGap("id", _ONE, 0, 1, state, "c", "d", 0, (), is_reconcilable=False) for state in states]
    status.gaps = Look(_NOW, tuple(gaps))
    assert _overview(status).verdict.endswith(" 2 gaps in which events may be missing: see below.")


@pytest.mark.parametrize("covered_us", [_NOW, _NOW - 6 * _MIN, None])
def test_open_gaps_and_groups_are_said_whatever_the_streams_do(covered_us: int | None) -> None:
    """A stream partition that is behind for an hour, or coverage that cannot be read, hides no missing delete."""
    status = _watched(_well(), WatchedGroup("late", GroupState.GONE, 1, (), ()))
    status.coverage = None if covered_us is None else Look(_NOW, (Covered(_ONE, covered_us, "live", _NOW),))
    gap = RecordedGap("id", _ONE, 0, 1, "lost", "c", "d", 0, (), is_reconcilable=True)
    groups = " 1 consumer group to check: see below."
    for gaps, said in (
        ((gap,), " 1 gap in which events may be missing: see below. A batch run can make up for part of it."),
        (
            (gap, replace(gap, is_reconcilable=False)),
            " 2 gaps in which events may be missing: see below. A batch run can make up for part of 1 of them.",
        ),
    ):
        status.gaps = Look(_NOW, gaps)
        assert _overview(status).verdict.endswith(f"{said}{groups}")


@pytest.mark.parametrize(
    ("state", "is_reconcilable", "title"),
    [
        ("lost", True, "Streams are well, work to do"),
        ("partly-reconciled", True, "Streams are well, work to do"),
        ("partly-reconciled", False, "Well"),
        ("withdrawn", False, "Well"),
    ],
)
def test_gap_that_a_batch_run_can_make_up_for_is_loud(state: str, title: str, *, is_reconcilable: bool) -> None:
    """In the title of the browser's tab, too; a gap for which no run can do more is only counted."""
    status = _well()
    gap = RecordedGap("id", _ONE, 0, 1, state, "c", "d", 0, (), is_reconcilable=is_reconcilable)
    now_us = wall_us()
    status.coverage = Look(now_us, tuple(Covered(each, now_us, "live", now_us) for each in (_ONE, _OTHER)))
    status.gaps = Look(now_us, (gap,))
    page = _page(status)
    assert f"<title>{title}: X compliance connector</title>" in page
    assert ('<p class="verdict loud">' in page) == (title != "Well")


def test_groups_that_are_not_well_are_said_beside_a_service_that_is() -> None:
    """It is still well: what groups do is not the service's."""
    groups = [WatchedGroup(f"{each}", state, 1, (), ()) for each, state in enumerate(GroupState)]
    overview = _overview(_watched(_well(), *groups))
    assert overview.is_well
    assert overview.verdict.endswith(" within 4 minutes. 5 consumer groups to check: see below.")


def test_replica_outside_the_group_says_that_it_reads_nothing() -> None:
    """As while Kafka is away."""
    status = _status()
    status.coverage = None
    assert "This replica is not in the consumer group, and reads nothing from X now." in _overview(status).verdict


def test_old_error_is_not_shown_where_all_is_well() -> None:
    """It explains nothing any more."""
    status = _well()
    status.partitions[_ONE].last_error = "X said no"
    for age_us, shown in ((9 * _MIN, "X said no"), (11 * _MIN, None)):
        status.partitions[_ONE].last_error_at_us = _NOW - age_us
        assert _overview(status).partitions[0].last_error == shown


@pytest.mark.parametrize(
    ("covered", "owner", "trouble"),
    [
        (Covered(_OTHER, _NOW, "live", _NOW - 61 * US_PER_S), "no owner", "no owner: no update for 1 min 1 s"),
        (Covered(_OTHER, _NOW, "live", _NOW - 59 * US_PER_S), "another replica", None),
        (Covered(_OTHER, _NOW - 6 * _MIN, "replay", _NOW), "another replica", "6 min behind"),
        (Covered(_OTHER, _NOW + _MIN, "live", _NOW + _MIN), "another replica", None),
        (Covered(_OTHER, _NOW + 6 * _MIN, "live", _NOW), "another replica", "dated 6 min ahead of the clock"),
        (None, "not known", "no coverage was recorded in the last 8 days"),
    ],
)
def test_partition_of_others_is_judged_by_its_newest_record(
    covered: Covered | None, owner: str, trouble: str | None
) -> None:
    """A clock that is a little ahead is no trouble."""
    ours = Covered(_ONE, _NOW, "live", _NOW)
    overview = _overview(_status(ours, *([covered] if covered else [])))
    assert (overview.partitions[1].owner, overview.partitions[1].trouble) == (owner, trouble)
    assert overview.is_well == (trouble is None)
    assert (str(_OTHER) in overview.verdict) == (trouble is not None)


def test_partition_that_has_stopped_says_so_though_its_last_record_is_new() -> None:
    """With the latest error and how old it is."""
    status = _well()
    ours = status.partitions[_ONE]
    ours.state, ours.last_error, ours.last_error_at_us = State.CORRUPT, "cannot be read", _NOW - _MIN
    row = _overview(status).partitions[0]
    assert (row.trouble, row.last_error, row.last_error_ago_us) == ("stopped: corrupt", "cannot be read", _MIN)


def test_partition_that_is_behind_says_what_it_waits_for_and_until_when() -> None:
    """In its own row, in sentences; a row without anything to say has no label for it."""
    now_us = wall_us()
    status = _status(Covered(_ONE, now_us - 6 * _MIN, "disconnected", now_us), Covered(_OTHER, now_us, "live", now_us))
    ours = status.partitions[_ONE]
    ours.waits_for, ours.next_attempt_us = "cooldown", now_us + _MIN
    ours.last_end, ours.last_end_at_us = "network", now_us - _MIN
    page = _page(status)
    said = (
        f"</strong> Waits for cooldown. Next attempt to connect at {instant(now_us + _MIN)}. "
        "Last connection ended 1 min ago: network. "
    )
    assert f'<td data-label="Notes"><strong class="loud">6 min behind.{said}' in " ".join(page.split())
    assert page.count('data-label="Notes"') == 1
    ours.next_attempt_us = now_us - 1
    assert "Next attempt" not in _page(status)


def test_topics_that_cannot_be_read_are_not_known_rather_than_empty() -> None:
    """No number of a look before is left."""
    status = _well()
    status.coverage = None
    overview = _overview(status)
    assert not overview.is_well
    assert "not known at present" in overview.verdict
    assert (overview.pictures, overview.coverage_age_us, overview.partitions[0].complete_until_us) == ((), None, None)
    page = _page(status)
    assert page.count("Not known at present.") == 4
    assert "None recorded" not in page


def _text(status: ServiceStatus) -> str:
    """Return the words of the page, without its tags."""
    page = ServicePage(status).answer().content.decode()
    return " ".join(unescape(re.sub("<[^>]+>", " ", page.partition("</style>")[2])).split())


def _watched(status: ServiceStatus, *groups: WatchedGroup) -> ServiceStatus:
    status.watched_groups = ("deletes", "edits")
    status.groups = Look(wall_us(), groups)
    return status


def test_groups_are_on_the_page_with_what_is_left_of_the_day() -> None:
    """One that is done, one that is late, and one whose time is over."""
    now_us = wall_us()
    done, late, over = (
        WatchedGroup(name, state, 1, (TopicLag("p.t", records, is_exact=exact, oldest_event_us=oldest_us),), ())
        for name, state, records, exact, oldest_us in (
            ("done", GroupState.OK, 0, True, None),
            ("late", GroupState.STALLED, 5_000, False, now_us - 20 * 60 * _MIN),
            ("over", GroupState.PAUSED, 1, True, now_us - 25 * 60 * _MIN),
        )
    )
    gone = WatchedGroup("gone", GroupState.GONE, None, (), ())
    text = _text(_watched(_well(), done, late, over, gone))
    assert "event topic not known not known not known" in text
    assert "done ok: nothing is unprocessed, or it advances 0 records none all" in text
    assert "late stalled : it does not advance at most 5,000 records 20 h ago 3 h 59 min p.t" in text
    assert "over paused : it has no members 1 record 1 d 1 h ago over p.t" in text
    assert "Not known: deletes, edits. The log says why." in text


def test_groups_that_are_not_known_here_are_said_to_be_so() -> None:
    """None is watched; another replica does; this one cannot."""
    assert "None is watched: name them in kafka.watched_groups ." in _text(_well())
    unread = _watched(_well())
    unread.groups = None
    assert "The groups cannot be read, or have not been yet" in _text(unread)
    elsewhere = _watched(_well(), WatchedGroup("deletes", GroupState.OK, 1, (), ()))
    elsewhere.partitions.renew(_ONE)
    assert "Another replica watches deletes, edits: the one that owns the first stream partition." in _text(elsewhere)


def test_age_of_a_look_is_on_the_page() -> None:
    """A look that hangs leaves what it had, with its age."""
    assert _overview(_well()).coverage_age_us == 3 * US_PER_S
    status = _well()
    status.coverage = Look(wall_us() - 10 * _MIN, ())
    assert "Read from Kafka 10 min ago." in _page(status)


def _page(status: ServiceStatus) -> str:
    return ServicePage(status).answer().content.decode()


class _Found(HTMLParser):
    """Collects the names of elements and of attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take one."""
        self.elements.add(tag)
        self.attributes.update(name for name, _ in attrs)


def test_words_of_others_are_text_on_the_page() -> None:
    """Nothing of them is an element, an attribute or a mark that reverses the writing."""
    page = _page(crowded_status(wall_us(), gaps=50))
    plain = _Found(_page(crowded_status(wall_us(), gaps=50, words="plain")))
    found = _Found(page)
    assert (found.elements, found.attributes) == (plain.elements, plain.attributes)
    assert not {"script", "img"} & found.elements
    assert "{{ 7 * 7 }}" in page
    assert not set("\u202e\u200b") & set(page)
    assert HOSTILE not in page


def test_page_of_ten_thousand_gaps_is_bounded_and_says_what_it_leaves_out() -> None:
    """Of each state the newest, and of the states those that most gaps are in."""
    status = crowded_status(wall_us())
    overview = make_overview(status, wall_us())
    assert len(overview.gaps) == MOST_STATES
    assert {group.count for group in overview.gaps[:4]} == {2_000}
    assert all(len(group.newest) <= MOST_GAPS for group in overview.gaps)
    first = overview.gaps[0]
    newest_first = sorted((gap.recorded_us for gap in first.newest), reverse=True)
    assert [gap.recorded_us for gap in first.newest] == newest_first
    assert overview.dead_letters.count == 10_000
    assert len(overview.dead_letters.newest) == MOST_DEAD_LETTERS
    page = _page(status)
    assert len(page.encode()) < _MOST_BYTES
    assert "and 1,980 more, older ones" in page
    assert "and 9,980 more, older ones" in page
    assert page.count("There may be more: ") == 2
    assert "There may be more" not in _page(crowded_status(wall_us(), gaps=9_999))


def test_page_is_made_again_only_when_it_is_too_old() -> None:
    """Requests in between get the same page."""
    now_s, status = 0.0, _well()
    page = ServicePage(status, lambda: now_s)
    first = page.answer()
    status.last_error, status.last_error_at_us = "later", _NOW
    now_s = KEPT_S
    assert page.answer() is first
    now_s = KEPT_S + 0.1
    assert b"later" in page.answer().content


def test_headers_allow_nothing_but_the_style_sheet_of_the_page() -> None:
    """By its hash; no script, no frame, and nothing is kept."""
    answer = ServicePage(_well()).answer()
    headers = dict(answer.headers)
    policy = headers["Content-Security-Policy"]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/=]{44}'; img-src data:; base-uri 'none'; form-action 'none'; "
        r"frame-ancestors 'none'",
        policy,
    )
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
    assert headers["Cache-Control"] == "no-store"
    assert b"://" not in answer.content
