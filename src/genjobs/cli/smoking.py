"""
The smoke job: one job through the public API, as a site sends it, and how it went.

A client like any other: it needs a tenant's key and an address. What it sends is kept for minutes.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx

from genjobs.cli.demonstration import sample_picture
from genjobs.domain.errors import ConfigurationError
from genjobs.settings.smoke import SmokeSettings

_POLL_SECONDS: Final = 1.0
_MOST_JSON: Final = 1024 * 1024
_MOST_OUTPUT: Final = 256 * 1024 * 1024
#: Seconds that outputs are kept: the least there is.
_RETENTION: Final = 300
_FINAL: Final = frozenset({"completed", "failed", "cancelled"})


class SmokeFailed(Exception):
    """The deployment did not do the job; ``code`` tells programs at which step."""

    def __init__(self, code: str, message: str, job: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.job = job


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoke:
    """How a job went that completed; seconds."""

    job: str
    total_seconds: float
    #: From being eligible to being started: on an idle deployment, what a cold start costs a job.
    queue_seconds: float
    render_seconds: float
    gpu_seconds: float
    outputs: int
    bytes: int


async def smoke(
    settings: SmokeSettings,
    said: Callable[[str], None],
    *,
    poll: float = _POLL_SECONDS,
) -> Smoke:
    """
    Run one job and fetch what it made; a job that takes too long is cancelled.

    Raises:
        ConfigurationError: there is no address, no key, or no such workflow.
        SmokeFailed: anything else than a job whose outputs are whole.
    """
    if settings.url is None or settings.key is None:
        raise ConfigurationError(
            "a smoke job needs GENJOBS_SMOKE_KEY, and GENJOBS_SMOKE_URL where Modal cannot tell it"
        )
    headers = {"Authorization": f"Bearer {settings.key.get_secret_value()}"}
    if settings.proxy_key is not None and settings.proxy_secret is not None:
        headers["Modal-Key"] = settings.proxy_key.get_secret_value()
        headers["Modal-Secret"] = settings.proxy_secret.get_secret_value()
    body = _request(settings)
    timeout = httpx.Timeout(30.0)
    async with (
        httpx.AsyncClient(
            base_url=str(settings.url), headers=headers, timeout=timeout, trust_env=False
        ) as http,
        # Links carry their own signature: no key of ours may go to where files are.
        httpx.AsyncClient(timeout=timeout, trust_env=False) as files,
    ):
        job = _Job(http=http, files=files, user=settings.user_id, said=said, poll=poll)
        return await job.run(body, settings.seconds)


@dataclass(slots=True, kw_only=True)
class _Job:
    http: httpx.AsyncClient
    files: httpx.AsyncClient
    user: str
    said: Callable[[str], None]
    poll: float
    id: str | None = None

    async def run(self, body: dict[str, Any], seconds: float) -> Smoke:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                await self._ready()
                job = await self._submitted(body)
                job = await self._ended(job)
                sizes = [await self._fetched(output) for output in job["outputs"]]
        except TimeoutError:
            await self._cancel()
            raise SmokeFailed(
                "smoke_timed_out", f"it was not done in {seconds:g} s, and is cancelled", self.id
            ) from None
        if not sizes:
            raise SmokeFailed("smoke_without_output", "the job delivered nothing", self.id)
        timings = {name: value or 0.0 for name, value in job["timings"].items()}
        return Smoke(
            job=job["id"],
            total_seconds=round(time.monotonic() - begun, 2),
            queue_seconds=timings.get("queue_seconds", 0.0),
            render_seconds=timings.get("render_seconds", 0.0),
            gpu_seconds=timings.get("gpu_seconds", 0.0),
            outputs=len(sizes),
            bytes=sum(sizes),
        )

    async def _ready(self) -> None:
        """Wait for an API that is being started: its first answer may take a while."""
        answer = await self._asked(lambda: self.http.get("/readyz"))
        if answer.status_code != 200:
            raise SmokeFailed("smoke_not_ready", f"/readyz answers {answer.status_code}")

    async def _submitted(self, body: dict[str, Any]) -> dict[str, Any]:
        key = {"Idempotency-Key": f"smoke-{uuid.uuid4()}"}  # so that a repeat makes no second job
        answer = await self._asked(lambda: self.http.post("/v1/jobs", json=body, headers=key))
        if answer.status_code != 202:
            raise SmokeFailed("smoke_refused", f"the submit is refused: {_problem(answer)}")
        job = _document(answer)
        self.id = str(job["id"])
        self.said(f"submitted {self.id}")
        return job

    async def _ended(self, job: dict[str, Any]) -> dict[str, Any]:
        shown = ""
        while job["status"] not in _FINAL:
            await asyncio.sleep(self.poll)
            answer = await self._asked(
                lambda: self.http.get(f"/v1/jobs/{self.id}", params={"user_id": self.user})
            )
            if answer.status_code != 200:
                raise SmokeFailed(
                    "smoke_refused", f"a read is refused: {_problem(answer)}", self.id
                )
            job = _document(answer)
            phase = f"{job['status']} {job['phase'] or ''}".strip()
            if phase != shown:
                self.said(phase)
                shown = phase
        if job["status"] != "completed":
            error = job["error"] or {}
            told = f"{job['status']}: {error.get('code')}: {error.get('message')}"
            raise SmokeFailed("smoke_job_failed", told, self.id)
        return job

    async def _fetched(self, output: dict[str, Any]) -> int:
        """Fetch an output by its link and return its size; its digest must be the recorded one."""
        digest, size = hashlib.sha256(), 0
        try:
            async with self.files.stream("GET", output["url"]) as answer:
                if answer.status_code != 200:
                    status = answer.status_code
                    raise SmokeFailed("smoke_link_refused", f"a link answers {status}", self.id)
                async for chunk in answer.aiter_bytes():
                    digest.update(chunk)
                    size += len(chunk)
                    if size > _MOST_OUTPUT:
                        raise SmokeFailed("smoke_output_differs", "an output is too large", self.id)
        except httpx.HTTPError as exc:
            told = f"a link cannot be followed: {type(exc).__name__}"
            raise SmokeFailed("smoke_link_refused", told, self.id) from exc
        if (digest.hexdigest(), size) != (output["sha256"], output["bytes"]):
            raise SmokeFailed("smoke_output_differs", "a link delivers something else", self.id)
        return size

    async def _cancel(self) -> None:
        """Ask once that nobody goes on with it; a deployment that is away cannot be asked."""
        if self.id is None:
            return
        try:
            await self.http.delete(f"/v1/jobs/{self.id}", params={"user_id": self.user}, timeout=10)
        except httpx.HTTPError as exc:
            self.said(f"could not be cancelled: {type(exc).__name__}")

    async def _asked(self, request: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        """Return an answer; where there is none, as in mid-deployment, ask until time is up."""
        said = False
        while True:
            try:
                answer = await request()
            except httpx.HTTPError as exc:
                reason = type(exc).__name__
            else:
                if answer.status_code != 429 and answer.status_code < 500:
                    return answer
                reason = str(answer.status_code)
            if not said:
                self.said(f"no answer yet ({reason})")
                said = True
            await asyncio.sleep(self.poll)


def _request(settings: SmokeSettings) -> dict[str, Any]:
    request: dict[str, Any] = {
        "user_id": settings.user_id,
        "metadata": {"source": "smoke"},
        "retention_seconds": _RETENTION,
    }
    if settings.workflow is None:
        picture = base64.b64encode(sample_picture()).decode()
        return request | {
            "workflow": {
                "1": {"class_type": "LoadImage", "inputs": {"image": "smoke.png"}},
                "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
                "9": {
                    "class_type": "SaveImage",
                    "inputs": {"images": ["2", 0], "filename_prefix": "smoke"},
                },
            },
            "media": [{"name": "smoke.png", "data": picture}],
        }
    try:
        workflow = json.loads(settings.workflow.read_text())
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"GENJOBS_SMOKE_WORKFLOW is no JSON file: {exc}") from None
    return request | {"workflow": workflow}


def _document(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json() if len(answer.content) <= _MOST_JSON else None
    except ValueError:
        found = None
    if not isinstance(found, dict) or "status" not in found:
        raise SmokeFailed("smoke_not_ours", "what answers is not genjobs")
    return found


def _problem(answer: httpx.Response) -> str:
    """Return status and code of a refusal."""
    try:
        code = answer.json().get("code")
    except (ValueError, AttributeError):
        code = None
    return f"{answer.status_code} {code or 'without a code'}"
