"""Owns what the tests of runs share: an operator who asks a simulated X about the ids that it has.

The run is the real one and speaks HTTP. Only its waits are made up: they set the simulator's clock forward.
"""

import io
import json
import os
import re
import shutil
import socket
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import certifi
import msgspec
import pytest

from connector.batch.calls import Tools
from connector.batch.command import Report, Request, run_batch
from connector.batch.ids import FileIds
from connector.batch.pace import Pace
from connector.batch.sorting import sorted_lines
from connector.quoting import forget_secrets
from connector.settings import XSettings
from connector.simulator import Simulator
from connector.simulator.batch.faults import BatchFault
from connector.simulator.world import LoggedRequest
from connector.x.batch_api import BatchApi, JobType

if TYPE_CHECKING:
    from connector.batch.results import Sort

HOUR_S = 3600.0
TOKEN = "bearer-token-of-the-tests"
PLAIN = Counter(list=2, create=1, upload=1, get=2, download=1)
"""The requests of a run to which nothing happens."""
NOBODYS_IDS = ("1", "17", "9223372036854775807", "9999999999999999999")
"""X has nothing to say of them."""

_TELLING = 12
"""A run of this many characters of a secret must not be shown."""
_PATHS = re.compile("upload\\?|download\\?")
"""How the secret part of a transfer's URL begins."""

Found = list[tuple[str, str, str | None, str | None]]
"""Id, action, reason and time of redaction, in the order of the ids."""


class Operator:
    """Runs batch jobs in a folder of its own about all that X knows, and a few ids that belong to nothing.

    Checks after each run, however it ends, that nothing it leaves or shows holds a secret. `on_point` is called
    whenever the run says or shows something, waits, or has got an answer. `sort` sorts result lines.
    """

    def __init__(self, sim: Simulator, folder: Path, kind: JobType = JobType.TWEETS, **settings: object) -> None:
        self.sim = sim
        self.kind = kind
        self.ids = sorted([*sim.population.ids(kind.value), *NOBODYS_IDS])
        self.home = folder
        self.folder = folder / "run"
        self.output = folder / "results.jsonl"
        self.said: list[str] = []
        self.shown: list[str] = []
        self.waits: list[float] = []
        self.on_point: Callable[[str], None] = lambda _: None
        self.sort: Sort = sorted_lines
        self.settings = XSettings.model_validate(
            {"base_url": sim.base_url, "bearer_token": TOKEN, "ca_file": _one_certificate(folder)} | settings
        )
        self._secrets = {TOKEN, sim.config.api_key_secret}
        self._requests_before = len(sim.requests)
        self._checked = 0, 0
        self._now_s = 0.0

    # --- what an operator does

    def arm(self, *faults: BatchFault) -> Counter[str]:
        """Let faults wait for the jobs of this operator's type, and return what `fired` is once all have happened."""
        for fault in faults:
            self.sim.inject(msgspec.structs.replace(fault, job_type=self.kind.value))
        return sum((Counter({fault.kind: fault.times or 0}) for fault in faults), Counter())

    def run(
        self,
        ids: bytes | None = None,
        *,
        source: BinaryIO | None = None,
        is_fresh: bool = False,
        skip_invalid: bool = False,
        time_s: float = 48 * HOUR_S,
    ) -> Report:
        """Run a batch as a new process does, of all ids unless some are given. Raises what it raises."""
        forget_secrets()
        given = self.as_lines(self.ids) if ids is None else ids
        request = Request(
            kind=self.kind,
            ids=FileIds(source or io.BytesIO(given), skip_invalid=skip_invalid),
            results=self.output,
            folder=self.folder,
            is_fresh=is_fresh,
        )
        pace = Pace(time_s, sleep=self._sleep, monotonic_s=lambda: self._now_s)
        try:
            with BatchApi(self.settings, self._answered) as api:
                report = run_batch(request, Tools(api, pace, self, self.sort))
        except BaseException as error:
            self.check_secrets(*traceback.format_exception(error), repr(error))
            raise
        self.check_secrets(repr(report), *report.lines())
        return report

    @staticmethod
    def as_lines(ids: list[str]) -> bytes:
        """Return ids as an operator gives them."""
        return "".join(f"{id_}\n" for id_ in ids).encode()

    # --- what the run sees of its operator

    def say(self, text: str) -> None:
        """Take what the run says."""
        self.said.append(text)
        self.on_point(text)

    def show(self, text: str) -> None:
        """Take what the run shows."""
        self.shown.append(text)
        self.on_point(text)

    def _sleep(self, seconds: float) -> None:
        self.on_point(f"waits {seconds:.0f} s")
        self.waits.append(seconds)
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        """Set the clocks forward, X's and the run's."""
        self._now_s += seconds
        self.sim.advance(seconds)

    def _answered(self, method: str, status: int) -> None:
        self._learn_secrets()
        self.on_point(f"{method} is answered {status}")

    # --- what came of it

    def calls(self) -> Counter[str]:
        """Return how often each call was made since this was last asked; `foreign` is anything not X's."""
        new = self.sim.requests[self._requests_before :]
        self._requests_before += len(new)
        return Counter(map(_call_of, new))

    def says(self, words: str) -> bool:
        """Return whether something was said that holds these words."""
        return any(words in text for text in self.said)

    def jobs(self) -> list[tuple[str | None, str]]:
        """Return the name and the state of each job that there ever was, in the order in which they were made."""
        return [(job.name, job.status) for job in self.sim.jobs.snapshot() if job.job_type == self.kind.value]

    def truth(self) -> Found:
        """Return what X must say of all ids."""
        findings = self.sim.population.findings(self.kind.value)
        return [
            (id_, found.action, found.reason, found.at if found.action == "delete" else None)
            for id_ in self.ids
            if (found := findings.get(id_)) is not None
        ]

    def lines(self) -> list[dict[str, Any]]:
        """Return what is in the output."""
        return _json_lines(self.output)

    def results(self) -> Found:
        """Return what is in the output, as `truth` has it."""
        return [(line["id"], line["action"], line["reason"], line["redacted_at"]) for line in self.lines()]

    def dead_letters(self) -> list[dict[str, Any]]:
        """Return the result lines that were not understood."""
        path = self.output.with_name(f"{self.output.name}.dead-letters")
        return _json_lines(path) if path.exists() else []

    def check(self, report: Report, *, but: Found | None = None) -> None:
        """Check that the results are X's truth, or what is given in place of it, and that each id is accounted for."""
        expected = self.truth() if but is None else but
        assert self.results() == expected
        outcome = report.outcome
        acted_on = sum(count for *_, count in outcome.by_action)
        assert acted_on == len(expected)
        assert outcome.clean + acted_on + outcome.rejected == report.ids == len(self.ids)
        assert outcome.dead == len(self.dead_letters())
        assert not self.folder.exists()

    def check_secrets(self, *texts: str) -> None:
        """Check that no secret is in anything that was said, shown or left, nor in `texts`."""
        self._learn_secrets()
        files = [path for path in self.home.rglob("*") if path.is_file() and path.suffix != ".pem"]
        contents = (path.read_bytes().decode(errors="replace") for path in files if path.name != "token")
        told = (*self.said[self._checked[0] :], *self.shown[self._checked[1] :])
        self._checked = len(self.said), len(self.shown)
        for text in (*texts, *told, *contents, *map(str, files)):
            assert not any(secret[:_TELLING] in text for secret in self._secrets), text
            assert not _PATHS.search(text), text

    def _learn_secrets(self) -> None:
        for job in self.sim.jobs.listed(self.kind.value, None):
            self._secrets.update(job.tokens.values())


def _json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _call_of(request: LoggedRequest) -> str:
    if request.origin == "foreign":
        return "foreign"
    if request.path == "/oauth2/token":
        return "token"
    by_method = {"POST": "create", "DELETE": "cancel", "PUT": "upload"}
    if request.method in by_method:
        return by_method[request.method]
    last = request.path.rpartition("/")[2]
    return {"download": "download", "jobs": "list"}.get(last, "get")


def _one_certificate(folder: Path) -> Path:
    """Return a file of one of the certificates that HTTP libraries trust: to read all takes as long as a run."""
    path = folder / "ca.pem"
    end = "-----END CERTIFICATE-----\n"
    path.write_text(Path(certifi.where()).read_text().partition(end)[0] + end)
    return path


@dataclass(frozen=True, kw_only=True)
class Row:
    """What happens to a run that comes to a good end all the same.

    `more` is how many requests it takes beyond `PLAIN`, `says` is a part of what it says about it.
    """

    faults: tuple[BatchFault, ...]
    more: Mapping[str, int] = field(default_factory=dict)
    says: str = ""

    def play(self, operator: Operator) -> None:
        """Let it happen, and check everything: that it did, the results, the requests and what is said."""
        fired = operator.arm(*self.faults)
        operator.check(operator.run())
        assert operator.sim.fired == fired, operator.sim.fired
        made = operator.calls()
        assert made == PLAIN + Counter(self.more), made
        assert operator.says(self.says), operator.said


class KilledError(BaseException):
    """Ends a run at one of its points; nothing handles it."""


def kill_at(operator: Operator, words: str) -> None:
    """Run, and kill the run once it tells something that holds these words."""

    def kill(text: str) -> None:
        if words in text:
            raise KilledError

    operator.on_point = kill
    with pytest.raises(KilledError):
        operator.run()
    operator.on_point = lambda _: None


class Points:
    """Counts what a run does to files and sockets, each before it happens, and has `at_point` called at one of them.

    A message to the operator is a point, too: pass `step` as its `on_point`. The count begins once it is
    told `after`.
    """

    _FILES = ((io, "open"), *((os, name) for name in ("open", "fsync", "replace", "unlink", "mkdir", "rmdir")))
    _SOCKETS = ((socket.socket, "send"), (socket.socket, "recv"))

    def __init__(self, at: int, at_point: Callable[[], None], after: str = "", *, of_files_alone: bool = False) -> None:
        self.is_passed = False
        self._left = at
        self._at_point = at_point
        self._after = after
        self._places = self._FILES if of_files_alone else (*self._FILES, *self._SOCKETS)
        self._patch = pytest.MonkeyPatch()

    def step(self, told: str = "") -> None:
        """Count a point; after the one that was meant, nothing more is counted."""
        if self._after in told:
            self._after = ""
        self._left -= not self._after
        if not self._left and not self.is_passed:
            self.is_passed = True
            self._at_point()

    def __enter__(self) -> Self:
        for owner, name in self._places:
            self._patch.setattr(owner, name, self._counted(getattr(owner, name)))
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that is a point if it is called in this thread: the simulator has others."""
        here = threading.get_ident()

        def call(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - of Python
            if threading.get_ident() == here:
                self.step()
            return function(*arguments, **more)

        return call


@contextmanager
def left_as_it_was(folder: Path) -> Iterator[Callable[[], None]]:
    """Give a function that remembers a folder as it is, and in the end make it so again.

    What was written and not yet given to the operating system is lost, as it is on SIGKILL; so is what a run cleans
    up while the exception passes that stands in for it.
    """
    copy = folder.with_name(f"{folder.name}-copy")

    def remember() -> None:
        shutil.copytree(folder, copy)

    yield remember
    if copy.exists():
        shutil.rmtree(folder)
        copy.rename(folder)
