"""Owns where the ids of a job go and its results come from: URLs that are right, and URLs that lead elsewhere.

Two generations: `bearer`, on X's own port, whose URLs have a token and need the App's as well; `presigned`, on the port
of X's storage, whose URLs have a signature and want no `Authorization` header. Knows nothing of who may use them.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from connector.simulator.batch.faults import Transfer, Url
from connector.simulator.batch.jobs import Job
from connector.simulator.http import HttpRequest, Origin

JOBS = "/2/compliance/jobs"
BUCKET = "/x-compliance"

_SECRETS: dict[Origin, str] = {"api": "token", "storage": "X-Goog-Signature"}
SECRET_PARAMETERS = frozenset(_SECRETS.values())
"""What in a query makes a URL a secret."""

_NO_URL = "see the developer portal"


def secret_of(request: HttpRequest) -> str:
    """Return what makes the URL of a transfer a secret; empty when it is missing."""
    return request.query.get(_SECRETS.get(request.origin, ""), "")


def transfer_urls(job: Job, request: HttpRequest, origins: Mapping[Origin, str]) -> dict[Transfer, str]:
    """Return the URLs of a job for the client that sent `request`; on the port of X's storage if there is one."""
    host = request.headers.get("host", "")
    if "storage" not in origins:
        return {
            transfer: f"http://{host}{JOBS}/{job.id}/{transfer}?{_SECRETS['api']}={secret}"
            for transfer, secret in job.tokens.items()
        }
    at = urlsplit(f"//{host}").hostname
    storage = f"http://{at}:{urlsplit(origins['storage']).port}{BUCKET}"
    parameters = f"X-Goog-Algorithm=GOOG4-RSA-SHA256&{_SECRETS['storage']}"
    return {transfer: f"{storage}/{job.id}/{transfer}?{parameters}={secret}" for transfer, secret in job.tokens.items()}


def lead_astray(url: str, how: Url, job_id: str, other_id: str, foreign_origin: str) -> str:
    """Return the URL of a job as changed by a fault; `other_id` is another job's."""
    parts = urlsplit(url)
    foreign = urlsplit(foreign_origin).netloc
    match how:
        case "foreign-host":
            parts = parts._replace(netloc=foreign)
        case "host-as-user":
            parts = parts._replace(netloc=f"{parts.netloc}@{foreign}")
        case "user-info":
            parts = parts._replace(netloc=f"user:password@{parts.netloc}")
        case "plain-http":
            parts = parts._replace(scheme="http", netloc="transfers.invalid")
        case "other-job":
            parts = parts._replace(path=parts.path.replace(job_id, other_id))
        case "relative":
            parts = parts._replace(scheme="", netloc="")
        case "nonsense":
            return _NO_URL
    return urlunsplit(parts)
