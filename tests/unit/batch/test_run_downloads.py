"""A run whose results do not come down whole at the first try: in both generations of transfers."""

import os
from collections import Counter

import pytest

from connector.batch.run import JobsFailedError
from connector.simulator.batch.faults import BatchAnswer, BatchCut, BatchDownload, BatchFault, Download
from connector.x.batch_api import CallFailedError
from tests.unit.batch.runs import PLAIN, Operator, Row

_AGAIN = {"download": 1, "get": 1}
_TRIED_AGAIN = "shard 1 of 1: the download failed; retrying in 5 s: "
_WEEK_S = 7 * 86_400

_NOT_WHOLE: dict[Download, str] = {
    "cut": "peer closed connection without sending complete message body",
    "reset": "ReadError",
    "no-end": "peer closed connection without sending complete message body",
    "long-length": "peer closed connection without sending complete message body",
    "unframed": "results with neither a length nor an end marker",
    "unframed-cut": "results with neither a length nor an end marker",
    "last-line-cut": "the download ends in the middle of a line",
    "last-line-open": "the download ends in the middle of a line",
    "gzip-cut": "the compressed body ends within a member",
    "gzip-unlabelled": "is not a JSON object with an id",
    "html": "not results but text/html",
    "problem": "not results but application/problem+json, which begins: ",
}
_UNUSUAL: tuple[Download, ...] = ("blank-lines", "bom", "chunked", "crlf", "gzip")


def _download(status: int, **more: object) -> BatchFault:
    return BatchAnswer(call="download", status=status, **more)  # type: ignore[arg-type]


_ROWS = (
    {how: Row(faults=(BatchDownload(how=how),), more=_AGAIN, says=f"{_TRIED_AGAIN}") for how in _NOT_WHOLE}
    | {how: Row(faults=(BatchDownload(how=how),)) for how in _UNUSUAL}
    | {
        f"the connection is closed at the {at}": Row(
            faults=(BatchCut(call="download", at=at),), more=_AGAIN, says=_TRIED_AGAIN
        )
        for at in ("request", "answer", "mid-answer")
    }
    | {
        str(status): Row(faults=(_download(status),), more=_AGAIN, says=f"HTTP {status}")
        for status in (307, 401, 403, 404, 410, 429, 500, 503)
    }
    | {
        "204": Row(faults=(_download(204, body=""),), more=_AGAIN, says="HTTP 204"),
        "is not whole four times": Row(
            faults=(BatchDownload(how="cut", times=2), BatchDownload(how="html", times=2)),
            more={"download": 4, "get": 4},
            says="retrying in 40 s",
        ),
    }
)


@pytest.mark.slow
@pytest.mark.parametrize("row", _ROWS.values(), ids=_ROWS.keys())
def test_run_comes_to_its_end_although_its_download(anywhere: Operator, row: Row) -> None:
    """What is not whole is fetched again, and what is only unusual is taken."""
    row.play(anywhere)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "words"), _NOT_WHOLE.items())
def test_download_that_is_never_whole_ends_the_run_and_says_why(operator: Operator, how: Download, words: str) -> None:
    """After five tries; the next run goes on with the same job."""
    fired = operator.arm(BatchDownload(how=how, times=5))
    with pytest.raises(CallFailedError) as caught:
        operator.run()
    assert words in str(caught.value)
    assert (caught.value.exit_code, operator.sim.fired) == (os.EX_UNAVAILABLE, fired)
    assert sum(operator.waits) == 30 + 5 + 10 + 20 + 40
    assert not operator.output.exists()
    operator.check(operator.run())
    assert operator.calls() == PLAIN + Counter(download=5, get=5)


def test_results_that_are_no_longer_there_are_asked_for_by_another_job(anywhere: Operator) -> None:
    """A run may go on a week later, when the URL has expired."""

    def sleep_long(text: str) -> None:
        if text == "waits 30 s" and len(anywhere.jobs()) == 1:
            anywhere.sim.advance(_WEEK_S)

    anywhere.on_point = sleep_long
    anywhere.check(anywhere.run())
    assert [status for _, status in anywhere.jobs()] == ["complete", "complete"]
    assert anywhere.says("creating another job: the results of job")


@pytest.mark.slow
@pytest.mark.parametrize("status", [403, 410])
def test_results_that_x_refuses_are_asked_for_by_another_job(operator: Operator, status: int) -> None:
    """Also if it does not say that the URL has expired; three jobs are as many as it gets."""
    fired = operator.arm(_download(status, times=15))
    with pytest.raises(JobsFailedError, match=f"giving up after 3 jobs: the results of job [0-9]+ .* HTTP {status}"):
        operator.run()
    assert operator.sim.fired == fired
    operator.check(operator.run())


def _many(operator: Operator) -> None:
    operator.ids = sorted({*operator.ids, *(str(10**18 + number) for number in range(10_000))})


def test_results_of_0_bytes_are_fetched_again(operator: Operator) -> None:
    """If there are enough ids for that to be odd; a difference is reported."""
    _many(operator)
    Row(
        faults=(BatchDownload(how="empty"),),
        more=_AGAIN,
        says="differ; the second one counts",
    ).play(operator)


def test_results_of_0_bytes_that_stay_so_are_believed(operator: Operator) -> None:
    """With a warning; so they are at once for few ids, of which there may be nothing to say."""
    few = [str(number) for number in range(9_999)]
    for operator.ids, more, is_warned in ((few, {}, False), ([*few, "9999"], _AGAIN, True)):
        operator.ids.sort()
        report = operator.run()
        operator.check(report)
        assert operator.calls() == PLAIN + Counter(more)
        assert operator.says("are empty, for 10,000 ids") == is_warned


def test_second_download_that_is_not_whole_is_fetched_again(operator: Operator) -> None:
    """As the first is."""
    _many(operator)
    Row(
        faults=(BatchDownload(how="empty"), BatchDownload(how="cut", after=1)),
        more={"download": 2, "get": 2},
        says="differ; the second one counts",
    ).play(operator)


def test_download_of_a_proper_length_that_lacks_lines_cannot_be_told(operator: Operator) -> None:
    """X counts nothing for us: what lies within the length that it gives is the download."""
    operator.arm(BatchDownload(how="short-length"))
    report = operator.run()
    found = operator.results()
    assert found == operator.truth()[: len(found)]
    operator.check(report, but=found)
