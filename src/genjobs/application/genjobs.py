"""
Genjobs: the use cases that the API, the command line and scripts hold.

Scripts and the API call the same objects; nothing here knows HTTP.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from genjobs.application.cancel import CancelJob
from genjobs.application.create_upload import CreateUpload, NewUpload, UploadDeclaration
from genjobs.application.erase import EraseJob, EraseUser, GetErasure
from genjobs.application.mint_token import MintToken
from genjobs.application.query import (
    GetJob,
    GetOutput,
    JobFilter,
    JobPage,
    JobView,
    ListJobs,
    SignedOutput,
)
from genjobs.application.submission import Submission
from genjobs.application.submit import SubmitJob
from genjobs.application.usage import GetUsage
from genjobs.domain.erasure import Erasure
from genjobs.domain.ids import ErasureId, JobId, TenantId
from genjobs.domain.job import Job
from genjobs.domain.ports import ArtifactStore, Authenticator, JobStore
from genjobs.domain.tenancy import Owner, Reach

_FIRST_POLL: Final = 0.05  # seconds
_SLOWEST_POLL: Final = 1.0  # seconds
_EVERYTHING: Final = JobFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What a caller can read of jobs; nothing here holds a use case that writes."""

    get_job: GetJob
    get_output: GetOutput
    list_jobs: ListJobs
    authenticator: Authenticator
    jobs: JobStore
    artifacts: ArtifactStore

    async def get(self, reach: Reach, job_id: JobId) -> JobView:
        """
        Return one job with freshly signed links; nothing is changed by it.

        Raises:
            NotFound: it is not within ``reach``.
            Unavailable: the database cannot be reached.
        """
        return await self.get_job(reach, job_id)

    async def list(
        self,
        reach: Reach,
        wanted: JobFilter = _EVERYTHING,
        *,
        limit: int = 20,
        cursor: str | None = None,
    ) -> JobPage:
        """
        Return one page of jobs, newest first: up to ``limit`` of them, at most 100.

        ``cursor`` is the ``next_cursor`` of the page before; it is None on the last page.

        Raises:
            InvalidRequest: ``limit`` is out of range.
            InvalidCursor: the cursor was made by another listing.
            Unavailable: the database cannot be reached.
        """
        return await self.list_jobs(reach, wanted, limit=limit, cursor=cursor)

    async def output(self, reach: Reach, job_id: JobId, output_id: str) -> SignedOutput:
        """
        Return one output with a fresh link.

        Raises:
            NotFound: the job is not within ``reach``, or has no such output any more.
            Unavailable: the database cannot be reached.
        """
        return await self.get_output(reach, job_id, output_id)

    async def check(self) -> None:
        """Raise ``Unavailable`` unless database and artifact store can serve."""
        await self.jobs.check()
        await self.artifacts.check()


@dataclass(frozen=True, slots=True, kw_only=True)
class Genjobs(Reads):
    """Everything a caller can do, in one object."""

    submit_job: SubmitJob
    cancel_job: CancelJob
    create_upload: CreateUpload
    mint_token: MintToken
    get_usage: GetUsage
    erase_user: EraseUser
    erase_job: EraseJob
    get_erasure: GetErasure
    #: The tenant that scripts act for; see :meth:`owner` and :meth:`reach`.
    tenant_id: TenantId

    def owner(self, user_id: str) -> Owner:
        """Return this deployment's tenant with one of its users, to submit for."""
        return Owner(tenant_id=self.tenant_id, user_id=user_id)

    def reach(self, user_id: str | None = None) -> Reach:
        """Return this deployment's tenant, all of it or one user, to read and cancel within."""
        return Reach(tenant_id=self.tenant_id, user_id=user_id)

    async def submit(self, owner: Owner, submission: Submission) -> Job:
        """
        Submit a job and return it, queued; see :class:`~genjobs.application.submit.SubmitJob`.

        With the ``idempotency_key`` of an earlier submit of this owner's, that job is returned.

        Raises:
            InvalidInput: the request cannot be accepted; ``code`` and ``pointer`` say why.
            LimitReached: try again after ``retry_after`` seconds.
            UserBeingErased: all that is the owner's is being removed; this passes.
            Unavailable: nothing is known of the outcome; repeat it with the same key.
        """
        return (await self.submit_job(owner, submission)).job

    async def upload(self, owner: Owner, declaration: UploadDeclaration) -> NewUpload:
        """
        Declare a file that is about to be put, by any HTTP client, to the URL that is returned.

        See :class:`~genjobs.application.create_upload.CreateUpload`.
        """
        return await self.create_upload(owner, declaration)

    async def cancel(self, reach: Reach, job_id: JobId) -> JobView:
        """
        Ask for the job to be stopped and return it as it is then; repeating it is harmless.

        A job that had not started is ``cancelled`` at once. Of one that runs,
        ``job.cancellation`` tells what came of it once it is final: :meth:`wait` for that.

        Raises:
            NotFound: it is not within ``reach``.
            Unavailable: nothing is known of the outcome; repeat it.
        """
        return await self.cancel_job(reach, job_id)

    async def erasure(self, tenant_id: TenantId, erasure_id: ErasureId) -> Erasure:
        """
        Return how far an erasure is: the receipt, once it has ended.

        Raises:
            NotFound: the tenant has no such erasure.
            Unavailable: the database cannot be reached.
        """
        return await self.get_erasure(tenant_id, erasure_id)

    async def wait(
        self, reach: Reach, job_id: JobId, *, timeout: timedelta = timedelta(hours=1)
    ) -> JobView:
        """
        Return the job once it is final.

        Raises:
            TimeoutError: it was not final in time; the job goes on.
            NotFound: it is not within ``reach``.
            Unavailable: the database cannot be reached; the job goes on.
        """
        pause = _FIRST_POLL
        async with asyncio.timeout(timeout.total_seconds()):
            while True:
                view = await self.get_job(reach, job_id)
                if view.job.status.final:
                    return view
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _SLOWEST_POLL)
