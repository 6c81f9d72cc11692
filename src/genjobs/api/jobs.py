"""
``/v1/jobs``: the job routes. They translate between HTTP and use cases, and decide nothing.

Those that read are a router of their own, which an API that only reads has as well.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from genjobs.api import problems
from genjobs.api.answers import JobOut, JobPageOut
from genjobs.api.auth import requires
from genjobs.api.context import context_of, reader_of
from genjobs.api.openapi import body_of
from genjobs.api.refusals import GUARDED, JSON_BODY, headers, refusals
from genjobs.api.routing import TextRoute
from genjobs.api.schemas import JobCreate, JobListQuery
from genjobs.api.throttle import NOT_MODIFIED_DISCOUNT, fields, used_up
from genjobs.api.views import job_json, page_json
from genjobs.application.query import JobView
from genjobs.domain.errors import NotFound, RateLimited, ScopeMissing
from genjobs.domain.ids import JobId, job_text, parse_job_id
from genjobs.domain.tenancy import Principal, Scope

router = APIRouter(prefix="/v1", tags=["jobs"], route_class=TextRoute)
reading = APIRouter(prefix="/v1", tags=["jobs"], route_class=TextRoute)

#: Above this a body is parsed and decoded in a thread, so that other requests are not held up.
_BIG_BODY: Final = 128 * 1024
_POLL_AFTER: Final = "1"  # seconds
_FRESH: Final = {"Cache-Control": "private, no-cache"}

#: What a submit may be refused for besides.
_SUBMIT: Final = (
    *("not_found", "user_being_erased", "idempotency_mismatch", "plan_limit", "unknown_plan"),
    *("workflow_invalid", "workflow_ui_format", "workflow_cycle", "workflow_dangling_link"),
    *("workflow_no_output", "workflow_too_large", "workflow_node_not_allowed"),
    *("workflow_input_not_allowed", "workflow_limit"),
    *("media_invalid", "media_too_many", "media_too_large", "media_not_base64"),
    *("media_type_refused", "media_content_refused", "media_unknown", "url_not_allowed"),
    *("upload_unknown", "upload_incomplete", "upload_mismatch"),
    *("quota_exceeded", "queue_full"),
)

UserId = Annotated[
    str | None,
    Query(description="Your end user; may be left out with a key that has tenant:read"),
]


@router.post(
    "/jobs",
    operation_id="jobs_create",
    summary="Submit a job",
    status_code=202,
    response_class=Response,
    responses={
        202: {
            "model": JobOut,
            "description": "The job, with its address in Location",
            "headers": headers(
                Location="Where to read it",
                Idempotency_Replayed="`true` when this key was used before; the job is that one",
                RateLimit="What is left of the user's rate of submits",
                RateLimit_Policy="The user's rate of submits",
            ),
        },
        **refusals(*GUARDED, *JSON_BODY, *_SUBMIT),
    },
    openapi_extra=body_of("JobCreate"),
)
@requires(Scope.JOBS_WRITE, throttled=False)
async def create_job(
    request: Request,
    principal: Principal,
    idempotency_key: Annotated[
        str | None, Header(description="Repeating a submit with the same key makes no second job")
    ] = None,
) -> Response:
    """Accept a job and queue it."""
    if not problems.is_json(request):
        return problems.of_http_code("unsupported_media_type")
    raw = await request.body()
    if len(raw) > _BIG_BODY:
        user_id, submission = await asyncio.to_thread(_parse, raw, idempotency_key)
    else:
        user_id, submission = _parse(raw, idempotency_key)
    use = context_of(request).genjobs
    if submission.plan is not None and principal.user_id is not None:
        raise ScopeMissing("An end user's token may not name a plan.")
    try:
        created = await use.submit_job(principal.owner(user_id), submission)
    except RateLimited as refusal:
        problems.add_to_refusal(request, used_up("submits", refusal.retry_after))
        raise
    headers = {"Location": f"/v1/jobs/{job_text(created.job.id)}", **_FRESH}
    if created.replayed:
        headers["Idempotency-Replayed"] = "true"
    if created.allowance is not None:
        headers |= fields("submits", created.allowance)
    return _answer(use.get_job.signer.view(created.job), status=202, headers=headers)


@reading.get(
    "/jobs/{job_id}",
    operation_id="jobs_get",
    summary="Read a job",
    response_class=Response,
    responses={
        200: {
            "model": JobOut,
            "description": "The job with freshly signed output URLs",
            "headers": headers(
                ETag="Send it as If-None-Match with the next read",
                Retry_After="Seconds until another read is worth while; not when the job is final",
            ),
        },
        304: {"description": "Unchanged, and the URLs handed out with this ETag still work"},
        **refusals(*GUARDED, "not_found", "invalid_request"),
    },
)
@requires(Scope.JOBS_READ)
async def get_job(
    request: Request, principal: Principal, job_id: str, user_id: UserId = None
) -> Response:
    """Return a job as it is now."""
    view = await reader_of(request).genjobs.get(principal.reach(user_id), job_id_of(job_id))
    etag = f'W/"{view.revision}"'
    headers = {**_FRESH, "ETag": etag}
    if not view.job.status.final:
        headers["Retry-After"] = _POLL_AFTER
    if _matches(request.headers.get("if-none-match"), etag):
        reader_of(request).throttle.give_back(principal, NOT_MODIFIED_DISCOUNT)
        return Response(status_code=304, headers=headers)
    return _answer(view, status=200, headers=headers)


@reading.get(
    "/jobs",
    operation_id="jobs_list",
    summary="List jobs, newest first",
    response_class=Response,
    responses={
        200: {"model": JobPageOut, "description": "One page"},
        **refusals(*GUARDED, "not_found", "invalid_request", "invalid_cursor"),
    },
)
@requires(Scope.JOBS_READ)
async def list_jobs(
    request: Request,
    principal: Principal,
    user_id: UserId = None,
    status: Annotated[
        list[str] | None, Query(description="Only these; repeat it or separate by commas")
    ] = None,
    created_after: Annotated[str | None, Query(description="RFC 3339, inclusive")] = None,
    created_before: Annotated[str | None, Query(description="RFC 3339, exclusive")] = None,
    limit: Annotated[str, Query(description="1 to 100")] = "20",
    cursor: Annotated[str | None, Query(description="next_cursor of the page before")] = None,
) -> Response:
    """Return one page of jobs."""
    reach = principal.reach(user_id)
    # Checked here and not by FastAPI, so that a refusal looks as it does everywhere else.
    query = JobListQuery.model_validate(
        {
            "status": [name for part in status or () for name in part.split(",")],
            "created_after": created_after,
            "created_before": created_before,
            "limit": limit,
        }
    )
    page = await reader_of(request).genjobs.list(
        reach, query.filter(), limit=query.limit, cursor=cursor
    )
    return Response(page_json(page), media_type="application/json", headers=_FRESH)


@router.delete(
    "/jobs/{job_id}",
    operation_id="jobs_cancel",
    summary="Cancel a job",
    response_class=Response,
    responses={
        200: {"model": JobOut, "description": "The job is final"},
        202: {"model": JobOut, "description": "The engine is being stopped"},
        **refusals(*GUARDED, "not_found", "invalid_request"),
    },
)
@requires(Scope.JOBS_WRITE)
async def cancel_job(
    request: Request, principal: Principal, job_id: str, user_id: UserId = None
) -> Response:
    """Stop a job; repeating it is harmless."""
    view = await context_of(request).genjobs.cancel(principal.reach(user_id), job_id_of(job_id))
    return _answer(view, status=200 if view.job.status.final else 202, headers=_FRESH)


router.post(
    "/jobs/{job_id}/cancel",
    operation_id="jobs_cancel_post",
    summary="Cancel a job",
    response_class=Response,
    responses={
        200: {"model": JobOut, "description": "The job is final"},
        202: {"model": JobOut, "description": "The engine is being stopped"},
        **refusals(*GUARDED, "not_found", "invalid_request"),
    },
)(cancel_job)


@reading.get(
    "/jobs/{job_id}/outputs/{output_id}",
    operation_id="jobs_output",
    summary="Go to an output",
    status_code=302,
    response_class=Response,
    responses={
        302: {
            "description": "Redirects to a freshly signed URL; store this address, not that one",
            "headers": headers(Location="The signed URL"),
        },
        **refusals(*GUARDED, "not_found", "invalid_request"),
    },
)
@requires(Scope.JOBS_READ)
async def get_output(
    request: Request, principal: Principal, job_id: str, output_id: str, user_id: UserId = None
) -> Response:
    """Redirect to a fresh link."""
    signed = await reader_of(request).genjobs.output(
        principal.reach(user_id), job_id_of(job_id), output_id
    )
    return Response(
        status_code=302, headers={"Location": signed.url, "Cache-Control": "private, no-store"}
    )


def _parse(raw: bytes, idempotency_key: str | None) -> tuple[str | None, Any]:
    body = JobCreate.model_validate_json(raw)
    return body.user_id, body.submission(idempotency_key)


def _answer(view: JobView, *, status: int, headers: dict[str, str]) -> Response:
    return Response(
        job_json(view), status_code=status, media_type="application/json", headers=headers
    )


def job_id_of(text: str) -> JobId:
    """Return the job id in a path; ``NotFound`` when it is none."""
    try:
        return parse_job_id(text)
    except ValueError:
        raise NotFound from None  # what cannot exist is answered like what does not


def _matches(header: str | None, etag: str) -> bool:
    """Compare weakly, as RFC 9110 section 13.1.2 says for If-None-Match."""
    if header is None:
        return False
    wanted = etag.removeprefix("W/")
    return any(
        part.strip() == "*" or part.strip().removeprefix("W/") == wanted
        for part in header.split(",")
    )
