"""Owns what X does when a job is created, looked up, listed or cancelled. Knows nothing of the transfers."""

from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from connector.simulator.answers import JSON
from connector.simulator.batch.answers import Reply, plain_problem, problem
from connector.simulator.batch.exchange import Exchange, data
from connector.simulator.batch.faults import JOB_TYPES, JobType

_STATUSES = ("created", "in_progress", "failed", "complete")
_LIST_PARAMETERS = {"type", "status", "compliance_job.fields"}
_OK = int(HTTPStatus.OK)


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """What a job is created from; X's schema has `resumable` too, which it refuses."""

    type: JobType
    name: Annotated[str, Meta(max_length=64)] | msgspec.UnsetType = msgspec.UNSET


def type_wanted(body: bytes) -> JobType | None:
    """Return the type of job that a body requests, even if it is otherwise invalid."""
    try:
        given: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    wanted = given.get("type") if isinstance(given, dict) else None
    return next((job_type for job_type in JOB_TYPES if job_type == wanted), None)


def act_on_call(exchange: Exchange) -> Reply:
    """Apply X's rules in X's order and do what is asked."""
    if not exchange.is_authorized:
        return plain_problem(exchange.call, 401)
    budget = exchange.world.batch_limiter.spend(exchange.call, exchange.world.clock.now_ns())
    reply = plain_problem(exchange.call, 429) if budget.is_spent else _act(exchange)
    return replace(reply, headers=(*reply.headers, *budget.headers()))


def _act(exchange: Exchange) -> Reply:
    match exchange.call:
        case "create":
            return _create(exchange)
        case "list":
            return _list(exchange)
    job = exchange.job
    if job is None:
        return plain_problem(exchange.call, 404)
    if exchange.call == "cancel" and not exchange.world.jobs.cancel(job):
        return plain_problem(exchange.call, 409)
    (document,) = exchange.jobs_as_json([job])
    return Reply(_OK, data(document), (JSON,))


def _create(exchange: Exchange) -> Reply:
    try:
        wanted = msgspec.json.decode(exchange.request.body, type=_Wanted)
    except msgspec.DecodeError as error:
        return problem(400, str(error))
    job = exchange.world.jobs.create(wanted.type, wanted.name or None)
    if job is None:
        return plain_problem(exchange.call, 409)
    (document,) = exchange.jobs_as_json([job])
    return Reply(_OK, data(document), (JSON,))


def _list(exchange: Exchange) -> Reply:
    query = exchange.request.query
    if unknown := sorted(query.keys() - _LIST_PARAMETERS):
        return problem(400, f"The query parameter [{unknown[0]}] is not known")
    for name, values in (("type", JOB_TYPES), ("status", (*_STATUSES, None))):
        if query.get(name) not in values:
            return problem(400, f"The `{name}` query parameter must be one of [{','.join(filter(None, values))}]")
    documents = exchange.jobs_as_json(exchange.world.jobs.listed(query["type"], query.get("status")))
    meta = {"result_count": len(documents)}
    return Reply(_OK, data(documents, meta=meta) if documents else msgspec.json.encode({"meta": meta}), (JSON,))
