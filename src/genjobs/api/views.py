"""From a job view to the JSON of the contract, as bytes; nothing is decided here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

from genjobs.application.query import JobPage, JobView, SignedOutput
from genjobs.domain.ids import job_text
from genjobs.domain.job import Job
from genjobs.domain.lifecycle import JobStatus


def job_json(view: JobView) -> bytes:
    """Return a job as JSON."""
    return to_json(_job(view))


def page_json(page: JobPage) -> bytes:
    """Return a page of jobs as JSON."""
    return to_json(
        {
            "data": [_job(view) for view in page.views],
            "has_more": page.next_cursor is not None,
            "next_cursor": page.next_cursor,
        }
    )


def _job(view: JobView) -> dict[str, Any]:
    job = view.job
    text = job_text(job.id)
    path = f"/v1/jobs/{text}"
    running = job.status is JobStatus.RUNNING
    failed = job.status is JobStatus.FAILED
    return {
        "id": text,
        "object": "job",
        "status": job.status.value,
        "phase": job.phase.value if running and job.phase else None,
        "user_id": job.owner.user_id,
        "attempt": job.attempt,
        "priority": job.priority,
        "created_at": time_text(job.created_at),
        "started_at": time_text(job.started_at),
        "finished_at": time_text(job.finished_at),
        "purged_at": time_text(job.purged_at),
        "progress": _progress(job) if running else None,
        "queue": {"position": job.queue_position} if job.status is JobStatus.QUEUED else None,
        "outputs": [_output(signed) for signed in view.outputs],
        "error": _error(job) if failed else None,
        "cancellation": _cancellation(job),
        "timings": {
            "queue_seconds": _seconds(job.timings.queue_seconds),
            "prepare_seconds": _seconds(job.timings.prepare_seconds),
            "render_seconds": _seconds(job.timings.render_seconds),
            "upload_seconds": _seconds(job.timings.upload_seconds),
            "gpu_seconds": _seconds(job.timings.gpu_seconds),
        },
        "metadata": dict(job.metadata),
        "urls": {"self": path, "cancel": f"{path}/cancel"},
    }


def _progress(job: Job) -> dict[str, Any] | None:
    progress = job.progress
    if progress is None:
        return None
    return {
        "fraction": round(progress.fraction, 4),
        "node_id": progress.node_id,
        "node_class": progress.node_class,
        "step": progress.step,
        "steps": progress.steps,
        "nodes_done": progress.nodes_done,
        "nodes_total": progress.nodes_total,
    }


def _output(signed: SignedOutput) -> dict[str, Any]:
    output = signed.output
    return {
        "id": output.id,
        "node_id": output.node_id,
        "name": output.name,
        "kind": output.kind.value,
        "content_type": output.content_type,
        "bytes": output.bytes,
        "sha256": output.sha256,
        "width": output.width,
        "height": output.height,
        "url": signed.url,
        "url_expires_at": time_text(signed.expires_at),
    }


def _error(job: Job) -> dict[str, Any] | None:
    error = job.error
    if error is None:
        return None
    return {
        "code": error.code,
        "message": error.message,
        "node_id": error.node_id,
        "node_class": error.node_class,
        "retryable": error.retryable,
    }


def _cancellation(job: Job) -> dict[str, Any] | None:
    receipt = job.cancellation
    if receipt is None:
        return None
    return {
        "requested_at": time_text(receipt.requested_at),
        "method": receipt.method.value if receipt.method else None,
        "stopped_at": time_text(receipt.stopped_at),
        "gpu_seconds_after_request": _seconds(receipt.gpu_seconds_after_request),
    }


def time_text(value: datetime | None) -> str | None:
    """Return a time as the contract writes it: UTC, in milliseconds."""
    if value is None:
        return None
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
