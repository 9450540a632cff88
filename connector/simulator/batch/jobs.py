"""Owns the jobs of batch compliance: their slots, windows and states by the simulated clock. Knows nothing of HTTP.

Plays X by X's guide to batch compliance and OpenAPI 2.168.
"""

import itertools
import secrets
import threading
from dataclasses import dataclass, field

import msgspec

from connector.simulator.batch.faults import BatchForeignJob, BatchJob, JobType, Transfer
from connector.simulator.board import FaultBoard
from connector.simulator.clock import NANOS, SimulatedClock
from connector.simulator.config import SimulatorConfig

ENDED = frozenset({"complete", "failed", "expired", "vanished"})
"""The states of a job that has no slot."""

EPOCH_MS = 1_288_834_974_657
"""When the ids of X begin, in ms since 1970."""


@dataclass(frozen=True, slots=True)
class Detour:
    """A status that a job has between two times of the simulated clock; `end_ns` None is never."""

    status: str
    start_ns: int
    end_ns: int | None

    @classmethod
    def of(cls, fault: BatchJob, since_ns: int) -> "Detour":
        """Return what `fault` makes of a job that was created, or whose ids arrived, at `since_ns`."""
        start_ns = since_ns + round(fault.after_s * NANOS)
        return cls(fault.status, start_ns, None if fault.seconds is None else start_ns + round(fault.seconds * NANOS))

    def is_on(self, now_ns: int) -> bool:
        """Return whether it hides the job's own status."""
        return self.start_ns <= now_ns and (self.end_ns is None or now_ns < self.end_ns)


@dataclass(slots=True, eq=False, kw_only=True)
class Job:
    """A job as X has it; times are simulated ns. `results` are whole lines, and there once `uploaded_ns` is."""

    id: str
    job_type: JobType
    name: str | None
    created_ns: int
    upload_expires_ns: int
    download_expires_ns: int
    takes_ns: int
    tokens: dict[Transfer, str]
    uploaded_ns: int | None = None
    ids: int = 0
    results: bytes = b""
    downloads: int = 0
    is_cancelled: bool = False
    detours: list[Detour] = field(default_factory=list)

    def status(self, now_ns: int) -> str:
        """Return its status; `vanished` when X knows nothing of it."""
        if self.is_cancelled:
            return "failed"
        if detour := next((detour for detour in reversed(self.detours) if detour.is_on(now_ns)), None):
            return detour.status
        if self.uploaded_ns is None:
            return "created" if now_ns < self.upload_expires_ns else "expired"
        return "in_progress" if now_ns < self.uploaded_ns + self.takes_ns else "complete"


class JobView(msgspec.Struct, frozen=True):
    """A job at a glance: times are simulated ns, `ids` the lines that arrived, `downloads` the requests granted."""

    id: str
    job_type: JobType
    name: str | None
    status: str
    created_at: int
    uploaded_at: int | None
    ids: int
    downloads: int


class Jobs:
    """All jobs, of which one of each type has a slot."""

    def __init__(self, config: SimulatorConfig, clock: SimulatedClock, faults: FaultBoard) -> None:
        self._config = config
        self._clock = clock
        self._faults = faults
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._jobs: dict[str, Job] = {}

    def create(self, job_type: JobType, name: str | None) -> Job | None:
        """Return a new job; None when another one of its type has the slot."""
        now_ns = self._clock.now_ns()
        with self._lock:
            if foreign := self._faults.take(BatchForeignJob, job_type, would_act=lambda _: self._is_free(job_type)):
                self._add_foreign(foreign, job_type, now_ns)
            if not self._is_free(job_type):
                return None
            job = self._add(job_type, name, now_ns)
            if detour := self._faults.take(BatchJob, job_type, would_act=lambda fault: fault.since == "create"):
                job.detours.append(Detour.of(detour, now_ns))
            return job

    def find(self, job_id: str) -> Job | None:
        """Return a job that X knows of."""
        with self._lock:
            job = self._jobs.get(job_id)
        return job if job is not None and self.status(job) != "vanished" else None

    def listed(self, job_type: str, status: str | None) -> list[Job]:
        """Return the jobs of a type that X knows of, those of one status (None: all), the newest first."""
        with self._lock:
            jobs = [job for job in self._jobs.values() if job.job_type == job_type]
        wanted = [job for job in jobs if self.status(job) != "vanished" and status in {None, self.status(job)}]
        return sorted(wanted, key=lambda job: job.created_ns, reverse=True)

    def cancel(self, job: Job) -> bool:
        """Free the slot of a job; False when it has none."""
        with self._lock:
            if self.status(job) in ENDED:
                return False
            job.is_cancelled = True
            return True

    def accept(self, job: Job, ids: int, results: bytes) -> bool:
        """Store the result of an upload; False if the job does not wait for it."""
        now_ns = self._clock.now_ns()
        with self._lock:
            if job.uploaded_ns is not None or self.status(job) in ENDED:
                return False
            job.uploaded_ns, job.ids, job.results = now_ns, ids, results
            if detour := self._faults.take(BatchJob, job.job_type, would_act=lambda fault: fault.since == "upload"):
                job.detours.append(Detour.of(detour, now_ns))
            return True

    def count_download(self, job: Job) -> int:
        """Return how many downloads of a job were granted before this one."""
        with self._lock:
            job.downloads += 1
            return job.downloads - 1

    def status(self, job: Job) -> str:
        """Return the status of a job now."""
        return job.status(self._clock.now_ns())

    def snapshot(self) -> list[JobView]:
        """Return all jobs, those that vanished included, in the order in which they were made."""
        with self._lock:
            return [
                JobView(
                    id=job.id,
                    job_type=job.job_type,
                    name=job.name,
                    status=self.status(job),
                    created_at=job.created_ns,
                    uploaded_at=job.uploaded_ns,
                    ids=job.ids,
                    downloads=job.downloads,
                )
                for job in self._jobs.values()
            ]

    def _is_free(self, job_type: JobType) -> bool:
        return all(job.job_type != job_type or self.status(job) in ENDED for job in self._jobs.values())

    def _add(self, job_type: JobType, name: str | None, created_ns: int) -> Job:
        job = Job(
            id=str((created_ns // 1_000_000 - EPOCH_MS << 22) + next(self._numbers)),
            job_type=job_type,
            name=name,
            created_ns=created_ns,
            upload_expires_ns=created_ns + round(self._config.batch_upload_window_s * NANOS),
            download_expires_ns=created_ns + round(self._config.batch_download_window_s * NANOS),
            takes_ns=round(self._config.batch_job_s * NANOS),
            tokens={"upload": secrets.token_urlsafe(24), "download": secrets.token_urlsafe(24)},
        )
        self._jobs[job.id] = job
        return job

    def _add_foreign(self, fault: BatchForeignJob, job_type: JobType, now_ns: int) -> None:
        job = self._add(job_type, fault.name, now_ns - round(fault.age_s * NANOS))
        job.uploaded_ns = job.created_ns
        end_ns = None if fault.seconds is None else now_ns + round(fault.seconds * NANOS)
        job.detours.append(Detour(fault.status, job.created_ns, end_ns))
