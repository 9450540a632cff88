"""A client of the simulator's batch compliance for tests: an App with the bearer token."""

from typing import Any

import httpx
import msgspec

from connector.simulator import Simulator
from tests.unit.simulator.reader import BEARER, ask, get, new_client

JOBS = "/2/compliance/jobs"
TEXT = {"content-type": "text/plain"}

Json = dict[str, Any]


class App:
    """Calls and transfers as X's guide has them; what comes back is whatever the simulator says."""

    def __init__(self, sim: Simulator, transfer_headers: dict[str, str] | None = None) -> None:
        self._sim = sim
        self._transfer_headers = BEARER if transfer_headers is None else transfer_headers

    def ask(self, method: str, path: str, content: bytes | None = None) -> httpx.Response:
        """Ask with the token."""
        return ask(self._sim, method, path, headers=BEARER, content=content)

    def create(self, **members: object) -> httpx.Response:
        """Ask for a job; the members are `type` `tweets` unless given otherwise."""
        return self.ask("POST", JOBS, msgspec.json.encode({"type": "tweets"} | members))

    def created(self, **members: object) -> Json:
        """Create a job and return it."""
        return _data(self.create(**members))

    def get(self, job: Json) -> httpx.Response:
        """Look a job up."""
        return self.ask("GET", f"{JOBS}/{job['id']}")

    def status(self, job: Json) -> str:
        """Return the status of a job that X knows of."""
        return str(_data(self.get(job))["status"])

    def listed(self, **query: str) -> httpx.Response:
        """List jobs, of `type` `tweets` unless given otherwise."""
        return get(self._sim, JOBS, **({"type": "tweets"} | query))

    def cancel(self, job: Json) -> httpx.Response:
        """Cancel a job."""
        return self.ask("DELETE", f"{JOBS}/{job['id']}")

    def upload(self, job: Json, ids: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        """Send the ids of a job; `headers` replace those that the transfer has."""
        headers = self._transfer_headers | TEXT if headers is None else headers
        with new_client() as client:
            return client.put(job["upload_url"], content=ids, headers=headers)

    def download(self, job: Json, headers: dict[str, str] | None = None) -> httpx.Response:
        """Fetch the results of a job; `headers` replace those that the transfer has."""
        with new_client() as client:
            return client.get(job["download_url"], headers=self._transfer_headers if headers is None else headers)

    def complete(self, ids: bytes, **members: object) -> Json:
        """Create a job, send its ids and let the time pass that it takes."""
        job = self.created(**members)
        assert self.upload(job, ids).status_code == 200
        self._sim.advance(self._sim.config.batch_job_s)
        return job

    def results(self, ids: bytes, **members: object) -> list[Json]:
        """Return what a whole job says of these ids."""
        return results_of(self.download(self.complete(ids, **members)))


def results_of(response: httpx.Response) -> list[Json]:
    """Return the lines of a download that was granted."""
    assert response.status_code == 200, response.text
    return [msgspec.json.decode(line) for line in response.content.splitlines()]


def lines(*ids: str) -> bytes:
    """Return a file of ids."""
    return "".join(f"{each}\n" for each in ids).encode()


def _data(response: httpx.Response) -> Json:
    assert response.status_code == 200, response.text
    document: Json = response.json()["data"]
    return document
