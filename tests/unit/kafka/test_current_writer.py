"""The current producer: why there is none, and when another one is made. The group commit's tests play it at work."""

from collections.abc import Iterable

import pytest

from connector.errors import DependencyUnavailableError, FencedError, WriterLostError
from connector.kafka.current_writer import CurrentWriter, ReplacementCause
from connector.kafka.threads import Threads
from tests.unit.kafka.group import FakeKafka

_NO_ANSWER = DependencyUnavailableError("no answer")


def _writer(kafka: FakeKafka, failures_to_make: Iterable[Exception] = ()) -> CurrentWriter:
    kafka.failures_to_make += failures_to_make

    def pause(seconds: float) -> None:
        kafka.now_s += seconds

    return CurrentWriter(
        kafka.make_writer,
        lambda cause, detail: kafka.replaced.append((cause, detail)),
        Threads(lambda: kafka.now_s, pause),
    )


def _never() -> bool:
    return False


def test_there_is_none_until_one_is_made() -> None:
    """Until then nothing can be committed, and the reason says so."""
    writer = _writer(FakeKafka())
    assert not writer.is_there
    with pytest.raises(WriterLostError, match="there is no producer yet"):
        writer.commit([])
    writer.make()
    assert writer.is_there


@pytest.mark.parametrize("error", [FencedError("twin"), WriterLostError("gone"), RuntimeError("odd")])
def test_idle_producer_that_fails_is_dropped_with_its_cause(error: Exception) -> None:
    """One that was fenced is not replaced: it would fence its successor in turn."""
    kafka = FakeKafka()
    writer = _writer(kafka)
    writer.make()
    kafka.poll_error = error
    writer.poll()
    is_fenced = isinstance(error, FencedError)
    cause = ReplacementCause.FENCED if is_fenced else ReplacementCause.FAILED
    assert (writer.is_there, writer.is_fenced, kafka.replaced) == (False, is_fenced, [(cause, str(error))])
    assert type(writer.loss()) is (FencedError if is_fenced else WriterLostError)
    writer.make_until(kafka.now_s + 10, _never)
    assert writer.is_there is not is_fenced


def test_producer_that_was_made_is_no_longer_fenced() -> None:
    """Nor is one that could not be made after that: whoever starts a partition may try again."""
    kafka = FakeKafka()
    writer = _writer(kafka)
    writer.make()
    kafka.fates = [FencedError("twin")]
    with pytest.raises(FencedError):
        writer.commit([])
    kafka.failures_to_make = [_NO_ANSWER]
    writer.make()
    assert (writer.is_fenced, str(writer.loss())) == (False, "no answer")
    writer.make_until(kafka.now_s + 10, _never)
    assert (writer.is_there, writer.is_fenced) == (True, False)


def test_producer_is_made_until_time_is_up_or_none_is_wanted() -> None:
    """One attempt each half second."""
    kafka = FakeKafka()
    writer = _writer(kafka, [_NO_ANSWER] * 100)
    writer.make_until(kafka.now_s + 3, _never)
    assert (writer.is_there, len(kafka.failures_to_make)) == (False, 94)
    writer.make_until(kafka.now_s + 3, lambda: len(kafka.failures_to_make) <= 92)
    assert (writer.is_there, len(kafka.failures_to_make)) == (False, 92)


def test_error_is_a_new_one_each_time() -> None:
    """One that is raised twice would keep alive all that it passed the first time."""
    writer = _writer(FakeKafka())
    assert writer.loss() is not writer.loss()
