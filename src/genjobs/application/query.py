"""
Read jobs: one, a page of them, and fresh signed links to their outputs.

Nothing here writes; the use cases hold no port that could.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from genjobs.domain import limits
from genjobs.domain.artifacts import Output
from genjobs.domain.errors import InvalidCursor, InvalidRequest, NotFound
from genjobs.domain.ids import JobId
from genjobs.domain.job import Job, JobQuery
from genjobs.domain.lifecycle import JobStatus
from genjobs.domain.ports import ArtifactStore, Clock, JobStore
from genjobs.domain.retention import kept_until
from genjobs.domain.tenancy import Reach

_CURSOR_VERSION: Final = b"\x01"
_FILTER_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedOutput:
    """An output with a URL that works until ``expires_at``."""

    output: Output
    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job as a caller sees it at one moment."""

    job: Job
    outputs: tuple[SignedOutput, ...]
    #: Changes when the job does, and in time before a URL handed out under it expires.
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Part of a listing; ``next_cursor`` is None on the last page."""

    views: Sequence[JobView]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """What a listing shows."""

    statuses: frozenset[JobStatus] = frozenset()
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSigner:
    """
    Signs output links by windows of half a link's life.

    All links of one window expire together, one whole window after its end; so a reader who is
    told "not modified" within the window holds links that work for at least half a life more.
    No link outlives the job's retention, and from then on there are none: whether the files have
    been removed yet makes no difference to a reader.
    """

    artifacts: ArtifactStore
    clock: Clock
    life: timedelta

    def view(self, job: Job) -> JobView:
        """Return the job with freshly signed links."""
        half = self.life.total_seconds() / 2
        now, until = self.clock.now(), kept_until(job)
        window = int(now.timestamp() // half)
        expires_at = datetime.fromtimestamp((window + 2) * half, UTC)
        if until is not None:
            expires_at = min(expires_at, until.replace(microsecond=0))  # stores know whole seconds
        ended = expires_at <= now
        outputs = tuple(
            SignedOutput(
                output=output,
                url=self.artifacts.signed_url(
                    output.key,
                    expires_at=expires_at,
                    filename=output.name,
                    content_type=output.content_type,
                ),
                expires_at=expires_at,
            )
            for output in (() if ended else job.outputs)
        )
        revision = f"{job.version}-{job.queue_position or 0}-{window}{'-ended' * ended}"
        return JobView(job=job, outputs=outputs, revision=revision)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetJob:
    """One job."""

    jobs: JobStore
    signer: LinkSigner

    async def __call__(self, reach: Reach, job_id: JobId) -> JobView:
        """Return the job; ``NotFound`` when there is none within ``reach``."""
        job = await self.jobs.get(reach, job_id)
        if job is None:
            raise NotFound
        return self.signer.view(job)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOutput:
    """A fresh link to one output."""

    get_job: GetJob

    async def __call__(self, reach: Reach, job_id: JobId, output_id: str) -> SignedOutput:
        """Return the signed output; ``NotFound`` when the job or the output is not there."""
        view = await self.get_job(reach, job_id)
        for signed in view.outputs:
            if signed.output.id == output_id:
                return signed
        raise NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class ListJobs:
    """A page of jobs, newest first, by keyset: the cost does not grow with the page number."""

    jobs: JobStore
    signer: LinkSigner

    async def __call__(
        self,
        reach: Reach,
        wanted: JobFilter,
        *,
        limit: int = 20,
        cursor: str | None = None,
    ) -> JobPage:
        """
        Return one page.

        Raises:
            InvalidRequest: ``limit`` is out of range.
            InvalidCursor: the cursor was not made by a listing of this reach and filter.
        """
        if not 1 <= limit <= limits.MAX_PAGE:
            raise InvalidRequest(f"limit must be from 1 to {limits.MAX_PAGE}.", pointer="/limit")
        query = JobQuery(
            limit=limit + 1,  # one more tells whether there is a next page
            before=None if cursor is None else _read_cursor(cursor, reach, wanted),
            statuses=wanted.statuses,
            created_after=wanted.created_after,
            created_before=wanted.created_before,
        )
        found = await self.jobs.list_jobs(reach, query)
        page = found[:limit]
        following = _cursor(page[-1].id, reach, wanted) if len(found) > limit else None
        return JobPage(views=[self.signer.view(job) for job in page], next_cursor=following)


def _cursor(last: JobId, reach: Reach, wanted: JobFilter) -> str:
    raw = _CURSOR_VERSION + last.bytes + _filter_hash(reach, wanted)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _read_cursor(text: str, reach: Reach, wanted: JobFilter) -> JobId:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise InvalidCursor(pointer="/cursor") from None
    if len(raw) != 17 + _FILTER_BYTES or raw[:1] != _CURSOR_VERSION:
        raise InvalidCursor(pointer="/cursor")
    if raw[17:] != _filter_hash(reach, wanted):
        raise InvalidCursor(pointer="/cursor")
    return JobId(UUID(bytes=raw[1:17]))


def _filter_hash(reach: Reach, wanted: JobFilter) -> bytes:
    parts = [
        reach.tenant_id.hex,
        repr(reach.user_id),
        ",".join(sorted(wanted.statuses)),
        repr(wanted.created_after and wanted.created_after.timestamp()),
        repr(wanted.created_before and wanted.created_before.timestamp()),
    ]
    return hashlib.sha256("\n".join(parts).encode()).digest()[:_FILTER_BYTES]
