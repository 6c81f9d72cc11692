"""Cancel a job: record the request; whoever runs the job stops it and writes the receipt."""

from __future__ import annotations

from dataclasses import dataclass

from genjobs.application.query import JobView, LinkSigner
from genjobs.domain.attempts import Assignment
from genjobs.domain.errors import NotFound
from genjobs.domain.ids import JobId
from genjobs.domain.ports import Clock, JobStore, Signals
from genjobs.domain.tenancy import Reach


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelJob:
    """The use case; repeating it is harmless."""

    jobs: JobStore
    clock: Clock
    signals: Signals
    signer: LinkSigner

    async def __call__(self, reach: Reach, job_id: JobId) -> JobView:
        """
        Return the job as it is after the request: final, or still being stopped.

        Raises:
            NotFound: there is no such job within ``reach``.
            Unavailable: nothing is known of the outcome; repeating is safe.
        """
        now = self.clock.now()
        job = await self.jobs.request_cancel(reach, job_id, now=now)
        if job is None:
            raise NotFound
        self.signals.wake()  # a freed slot is for the next job, a flag for the running one
        if job.cancellation is not None and job.cancellation.requested_at == now:
            # Only by the request that counted: repeats say nothing new.
            attempt = Assignment(owner=job.owner, job_id=job.id, attempt=job.attempt)
            self.signals.recall([attempt])
        return self.signer.view(job)
