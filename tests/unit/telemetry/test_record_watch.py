"""Topics that metrics are made from: shown while they can be read, absent while not, and never more than that."""

import threading
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext

import pytest
from structlog.testing import capture_logs

from connector.errors import DependencyUnavailableError, NotProvisionedError
from connector.settings import KafkaSettings, SchemaRegistrySettings, Settings
from connector.telemetry.metrics import Metrics
from connector.telemetry.record_watch import RecordWatch, record_watches
from connector.telemetry.service import ServiceTelemetry
from connector.telemetry.status import Look, ServiceStatus, Statuses

_AWAY = DependencyUnavailableError("Kafka does not answer")
_MISSING = NotProvisionedError("missing: t")


class _Topic:
    """Gives what each look finds, in turn, then sets `stop`; an error is raised, at the opening if that is asked for.

    A find is preceded by an opening, unless the look before it went well.
    """

    def __init__(self, *finds: list[int] | Exception, fails_to_open: bool = False, look_s: float = 0.0) -> None:
        self._look_s = look_s
        self._finds = list(finds)
        self._fails_to_open = fails_to_open
        self.stop = threading.Event()
        self.openings = 0
        self.shown: list[Collection[int] | None] = []

    def open(self) -> AbstractContextManager["_Topic"]:
        """Begin to read."""
        self.openings += 1
        if self._fails_to_open and isinstance(self._finds[0], Exception):
            self.read(self.stop.is_set)
        return nullcontext(self)

    def read(self, _: Callable[[], bool]) -> Collection[int]:
        """Find the next."""
        found = self._finds.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def show(self, found: Collection[int] | None) -> None:
        """Record what is shown."""
        self.shown.append(found)
        if not self._finds:
            self.stop.set()

    def run(self) -> list[tuple[str, str]]:
        """Watch to the end, and return what was logged: level and event."""
        telemetry = ServiceTelemetry(Metrics(), ServiceStatus(Statuses(()), 1, None, 0))
        with capture_logs() as logs:
            RecordWatch("t", self.open, self.show, telemetry, self._look_s).run(self.stop)
        return [(log["log_level"], log["event"]) for log in logs]


class _CutOff(_Topic):
    """Is asked to stop during its first look."""

    def read(self, should_stop: Callable[[], bool]) -> Collection[int]:
        """Find what there is by then."""
        self.stop.set()
        return super().read(should_stop)


class _OneLook(threading.Event):
    """Is set by the first wait."""

    def wait(self, timeout: float | None = None) -> bool:
        """Stop."""
        del timeout
        self.set()
        return True


def test_topic_that_can_be_read_is_opened_once_and_shown_after_each_look() -> None:
    """Without a word in the log."""
    topic = _Topic([], [1], [1, 2])
    assert topic.run() == []
    assert (topic.shown, topic.openings) == ([[], [1], [1, 2]], 1)


@pytest.mark.parametrize("error", [_AWAY, _MISSING, RuntimeError("unforeseen")], ids=repr)
@pytest.mark.parametrize("fails_to_open", [True, False])
def test_topic_that_cannot_be_read_is_absent_and_logged_once(error: Exception, *, fails_to_open: bool) -> None:
    """However long it lasts; once it can be read again it is read from its beginning, and that is logged, too."""
    topic = _Topic([1], error, error, error, [1, 2], [3], error, [4], fails_to_open=fails_to_open)
    assert topic.run() == [("warning", "topic_unreadable"), ("info", "topic_readable")] * 2
    assert topic.shown == [[1], None, None, None, [1, 2], [3], None, [4]]
    assert topic.openings == 5


@pytest.mark.parametrize(
    ("error", "detail"), [(_MISSING, "missing: t"), (RuntimeError("unforeseen"), "RuntimeError: unforeseen")], ids=repr
)
def test_log_says_which_topic_and_why(error: Exception, detail: str) -> None:
    """In the words of the error where it is one of ours."""
    topic = _Topic(error)
    telemetry = ServiceTelemetry(Metrics(), ServiceStatus(Statuses(()), 1, None, 0))
    with capture_logs() as logs:
        RecordWatch("t", topic.open, topic.show, telemetry, 0.0).run(topic.stop)
    assert [(log["topic"], log["detail"]) for log in logs] == [("t", detail)]


def test_look_that_was_cut_off_by_the_end_is_not_shown() -> None:
    """It may have found less than there is."""
    topic = _CutOff([1])
    topic.run()
    assert topic.shown == []


def test_stop_ends_a_wait_at_once() -> None:
    """The process need not wait for the next look."""
    for topic in (_Topic([1], look_s=3600.0), _Topic(_AWAY, look_s=3600.0)):
        thread = threading.Thread(target=topic.run)
        thread.start()
        thread.join(20.0)
        assert not thread.is_alive()


def test_service_that_cannot_read_topics_shows_nothing_of_them() -> None:
    """Each topic is watched by itself, and named as it is in Kafka; clients refuse an unknown property at once."""
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1", topic_prefix="p", properties={"no.property": "x"}),
        schema_registry=SchemaRegistrySettings(url="http://127.0.0.1:1"),
    )
    status = ServiceStatus(
        Statuses(()),
        1,
        None,
        0,
        last_runs={},
        oldest_gaps={},
        coverage=Look(0, ()),
        gaps=Look(0, ()),
        dead_letters=Look(0, ()),
    )
    watches = record_watches(settings, status, ServiceTelemetry(Metrics(), status))
    assert [watch.topic for watch in watches] == ["p-batch", "p-gap", "p-coverage", "p-dead-letter"]
    for watch in watches:
        watch.run(_OneLook())
    assert [getattr(status, name) for name in ("last_runs", "oldest_gaps", "coverage", "gaps", "dead_letters")] == [
        None
    ] * 5
