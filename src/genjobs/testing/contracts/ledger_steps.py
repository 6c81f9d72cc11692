"""What the ledger's suites share: times, outcomes, and taking a job to where a test begins."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

from genjobs.domain.artifacts import Output, output_key
from genjobs.domain.attempts import (
    Beat,
    BeatReply,
    Completed,
    Execution,
    Failed,
    StartedJob,
)
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import CancelMethod, Job, JobError, Timings
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.domain.media import MediaKind
from genjobs.testing.clock import BEGINNING
from genjobs.testing.contracts.job_store import JobsBackend, reach_of

NOW = BEGINNING
DEADLINES = Deadlines()
SECOND = timedelta(seconds=1)
LOST = DEADLINES.lease + SECOND
BROKEN = JobError(code="node_error", message="Node 3 failed.", node_id="3")
TIMINGS = Timings(prepare_seconds=0.1, render_seconds=2.0, upload_seconds=0.3, gpu_seconds=2.0)


async def start(
    jobs: JobsBackend, at: datetime = NOW, call_id: str | None = None
) -> tuple[Execution, StartedJob]:
    """Dispatch the next job and start it, in the worker of that name."""
    [assignment] = await jobs.ledger.dispatch(now=at, limit=1)
    execution_id = ExecutionId(uuid4())
    started = await jobs.ledger.start(assignment, execution_id, now=at, call_id=call_id)
    return started.execution, started


async def beat(
    jobs: JobsBackend, execution: Execution, at: datetime = NOW, phase: Phase = Phase.RENDERING
) -> BeatReply:
    """Send one sign of life and return its answer."""
    beat = Beat(execution=execution, phase=phase, progress=None)
    return (await jobs.ledger.heartbeat([beat], now=at))[execution.execution_id]


async def cancelling(jobs: JobsBackend) -> tuple[Job, Execution]:
    """Return a running job whose cancel was requested."""
    job = await jobs.submitted()
    execution, _ = await start(jobs)
    await jobs.store.request_cancel(reach_of(job.owner), job.id, now=NOW)
    return job, execution


async def receipt_of(
    jobs: JobsBackend, job: Job, status: JobStatus
) -> tuple[CancelMethod | None, datetime | None, float | None]:
    """Return method, stop time and GPU seconds of a final job's receipt."""
    final = await jobs.read(job)
    assert final.status is status
    assert final.cancellation is not None
    assert final.cancellation.requested_at == NOW
    receipt = final.cancellation
    return receipt.method, receipt.stopped_at, receipt.gpu_seconds_after_request


def completed(execution: Execution) -> Completed:
    """Return an outcome with one output."""
    key = output_key(execution.owner, execution.job_id, execution.attempt, "out_1")
    output = Output(
        id="out_1",
        node_id="9",
        name="künstlich_00001_.png",
        kind=MediaKind.IMAGE,
        content_type="image/png",
        bytes=123,
        sha256="0" * 64,
        key=key,
        width=64,
        height=32,
    )
    return Completed(outputs=(output,), timings=TIMINGS)


def failed() -> Failed:
    """Return an outcome that is the workflow's fault."""
    return Failed(error=BROKEN, timings=TIMINGS)
