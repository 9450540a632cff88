"""Owns the faults of batch compliance. Knows nothing of how they are carried out.

The docstrings are public: `GET /control/` and docs/simulator.md show them.
"""

from typing import Annotated, Literal, get_args

from msgspec import Meta

from connector.simulator.faults import BaseFault, Positive, Seconds

JobType = Literal["tweets", "users"]
JOB_TYPES: tuple[JobType, ...] = get_args(JobType)

Call = Literal["create", "get", "list", "cancel", "upload", "download"]
"""The calls of batch compliance; the last two are the transfers."""

JobCall = Literal["create", "get", "list", "cancel", "upload"]
"""The calls whose answer has jobs in it."""

Transfer = Literal["upload", "download"]

Moment = Literal["request", "answer", "mid-answer"]
"""When something happens to a call: before X acts, after X acted, or half-way through the answer."""

Url = Literal["foreign-host", "host-as-user", "nonsense", "other-job", "plain-http", "relative", "user-info"]

Download = Literal[
    "blank-lines",
    "bom",
    "chunked",
    "crlf",
    "cut",
    "empty",
    "gzip",
    "gzip-cut",
    "gzip-unlabelled",
    "html",
    "last-line-cut",
    "last-line-open",
    "long-length",
    "no-end",
    "problem",
    "reset",
    "short-length",
    "unframed",
    "unframed-cut",
]
"""What is wrong with a download as a body."""

Lines = Literal[
    "changed",
    "contradicted",
    "deleted-at",
    "doubled",
    "dropped",
    "extra-members",
    "foreign-id",
    "garbage",
    "long",
    "missing-action",
    "missing-members",
    "null-action",
    "null-members",
    "number-id",
    "old-reasons",
    "shuffled",
    "unknown-action",
    "valid-as-invalid",
]
"""What is wrong with the lines of a download."""

NotNegative = Annotated[float, Meta(ge=0)]


class BatchFault(BaseFault, frozen=True, kw_only=True):
    """Hits batch compliance jobs of `job_type` (null: both), and waits for each separately."""

    job_type: JobType | None = None

    @property
    def targets(self) -> tuple[JobType, ...]:
        """The types of jobs concerned."""
        return JOB_TYPES if self.job_type is None else (self.job_type,)


class BatchAnswer(BatchFault, frozen=True, kw_only=True, tag="batch-answer"):
    """A `call` is answered with `status`; X still acts on it with `acts`, and otherwise never sees it.

    Without `body` it is X's problem document. A status 3xx leads to `location` (null: the port that is not part of X).
    A 429 reports that nothing remains until `reset_in_s` from now (null: the end of the window), which may be in the
    past, or has no `x-rate-limit` headers, with `has_rate_limit` false. `retry_after_s` adds a `Retry-After`.
    """

    call: Call = "create"
    status: Annotated[int, Meta(ge=200, le=599)] = 503
    acts: bool = False
    body: str | None = None
    content_type: Literal["application/json", "application/problem+json", "text/html"] = "application/problem+json"
    location: Annotated[str, Meta(pattern="^[!-~]+$")] | None = None
    retry_after_s: Annotated[int, Meta(ge=0)] | None = None
    reset_in_s: int | None = None
    has_rate_limit: bool = True


class BatchCut(BatchFault, frozen=True, kw_only=True, tag="batch-cut"):
    """The connection of a `call` is closed abruptly, or `reset`: `at` the request, the answer, or mid-answer.

    At the request X has not acted, and an upload is cut half-way; at the answer X has acted, and nothing is answered.
    """

    call: Call = "create"
    at: Moment = "answer"
    reset: bool = False


class BatchHold(BatchFault, frozen=True, kw_only=True, tag="batch-hold"):
    """A `call` is held for `seconds` (null: until released): `at` the request, the answer, or mid-answer.

    At the request X has not acted, an upload is there whole; at the answer X has acted, and nothing is answered yet.
    """

    call: Call = "create"
    at: Moment = "request"
    seconds: float | None = None


class BatchSlow(BatchFault, frozen=True, kw_only=True, tag="batch-slow"):
    """A transfer, the `call` named, runs at `bytes_per_second`; buffered bytes go faster."""

    call: Transfer = "upload"
    bytes_per_second: Seconds = 1_000_000.0


class BatchDocument(BatchFault, frozen=True, kw_only=True, tag="batch-document"):
    """The jobs in the answer to a `call` lack members, have others, or have null or a number in place of text.

    `without` names members that are missing, `null` those that are null; `number_id` makes a number of the id, `extra`
    adds unknown members, and `status` (text) replaces that of each job.
    """

    call: JobCall = "list"
    without: tuple[str, ...] = ()
    null: tuple[str, ...] = ()
    number_id: bool = False
    extra: bool = False
    status: str | None = None


class BatchUrl(BatchFault, frozen=True, kw_only=True, tag="batch-url"):
    """The answer to a `call` (null: any) has a URL of a `transfer` (null: both) that leads elsewhere.

    `foreign-host` and `host-as-user` lead to the port that is not part of X, the latter with X's host as the user;
    `plain-http` to another host over http; `user-info` has a user and a password; `other-job` has another job's path;
    `relative` has no origin, `nonsense` is no URL.
    """

    how: Url = "foreign-host"
    transfer: Transfer | None = None
    call: JobCall | None = None


class BatchJob(BatchFault, frozen=True, kw_only=True, tag="batch-job"):
    """A job has the `status` given, from `after_s` after its creation or upload on, for `seconds` (null: for good).

    Time is simulated. Any text is a status: `in_progress` keeps a job for hours, `created` keeps it past its window,
    `vanished` answers 404 and takes it from the list. The slot is taken unless it is `complete`, `failed`, `expired` or
    `vanished`. `since` says whether the next job that is created, or whose ids arrive, is meant.
    """

    status: str = "failed"
    since: Literal["create", "upload"] = "upload"
    after_s: NotNegative = 0.0
    seconds: NotNegative | None = None


class BatchForeignJob(BatchFault, frozen=True, kw_only=True, tag="batch-foreign-job"):
    """Just before a job is created, another client's job takes the slot, so the answer is 409.

    It has a `name` (null: none), was created `age_s` seconds earlier, and has `status` for `seconds` of simulated time
    (null: until cancelled); then it is complete.
    """

    name: str | None = "nightly"
    status: Literal["created", "in_progress"] = "in_progress"
    age_s: NotNegative = 0.0
    seconds: NotNegative | None = 3600.0


class BatchDownload(BatchFault, frozen=True, kw_only=True, tag="batch-download"):
    """A download is not what it should be as a body; the first `after` downloads of each job are spared.

    Not whole: `cut` or `reset` half-way; `no-end` lacks the last chunk; `long-length` announces more than there is,
    `short-length` less; `unframed-cut` ends where the connection ends, after a part of the lines; `last-line-cut`,
    `last-line-open` and `gzip-cut` are framed properly. Not results: `empty` has 0 bytes, `html` and `problem` come
    with 200. Unusual: `chunked`, `unframed`, `gzip` (asked for or not), `gzip-unlabelled` (no `Content-Encoding`),
    `bom`, `crlf`, `blank-lines`.
    """

    how: Download = "cut"
    after: Annotated[int, Meta(ge=0)] = 0


class BatchLines(BatchFault, frozen=True, kw_only=True, tag="batch-lines"):
    """`lines` lines of a download are wrong; the first `after` downloads of each job are spared, and those too short.

    All lines are `shuffled`; lines are `doubled`, `dropped`, `contradicted` by another one, or `changed` in action and
    reason; `foreign-id` adds lines about ids never sent, `valid-as-invalid` calls ids that are valid `invalid_id`,
    `garbage` adds lines that are not JSON. Members: `unknown-action`, `null-action`, `missing-action`, the others as
    `null-members` or `missing-members`, `extra-members`, `number-id`, `deleted-at` in place of `redacted_at`,
    `old-reasons`; `long` lines have more than 64 KiB.
    """

    how: Lines = "shuffled"
    lines: Positive = 1
    after: Annotated[int, Meta(ge=0)] = 0


BATCH_FAULTS: tuple[type[BatchFault], ...] = (
    BatchAnswer,
    BatchCut,
    BatchHold,
    BatchSlow,
    BatchDocument,
    BatchUrl,
    BatchJob,
    BatchForeignJob,
    BatchDownload,
    BatchLines,
)
