"""The ``/api/jobs`` view of the queue and the history: job documents, filters, order, pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genjobs.simulator.queue import PromptQueue, QueueItem

Job = dict[str, Any]

STATUSES = ("pending", "in_progress", "completed", "failed", "cancelled")
SORTS = ("created_at", "execution_duration")

_ENDS = ("execution_success", "execution_error", "execution_interrupted")
_PREVIEWABLE = ("images", "video", "audio", "3d", "text")
_TEXT_PREVIEW_CHARACTERS = 1024


class BadJobsQueryError(ValueError):
    """A query parameter of ``GET /api/jobs`` is refused; the text is the answer's."""


def find_job(queue: PromptQueue, job_id: str) -> Job | None:
    """Return one job with its outputs, or None."""
    history = queue.history_of(job_id)
    if history:
        return _finished_job(job_id, history[job_id], detailed=True)
    running, pending = queue.snapshot()
    for status, items in (("in_progress", running), ("pending", pending)):
        for item in items:
            if item.prompt_id == job_id:
                return _queued_job(item, status)
    return None


def list_jobs(queue: PromptQueue, query: Mapping[str, str]) -> dict[str, Any]:
    """
    Return a page of jobs.

    Raises:
        BadJobsQueryError: a parameter is not understood.

    """
    wanted = _statuses(query.get("status"))
    sort_by = _one_of(query, "sort_by", SORTS, "created_at")
    descending = _one_of(query, "sort_order", ("asc", "desc"), "desc") == "desc"
    limit = _integer(query, "limit")
    if limit is not None and limit <= 0:
        raise BadJobsQueryError("limit must be a positive integer")
    offset = max(0, _integer(query, "offset") or 0)
    running, pending = queue.snapshot()
    jobs = [_queued_job(item, "in_progress") for item in running]
    jobs += [_queued_job(item, "pending") for item in pending]
    jobs += [_finished_job(job_id, entry) for job_id, entry in queue.history().items()]
    workflow_id = query.get("workflow_id")
    jobs = [
        job
        for job in jobs
        if job["status"] in wanted and (not workflow_id or job.get("workflow_id") == workflow_id)
    ]
    jobs.sort(key=_duration if sort_by == "execution_duration" else _created, reverse=descending)
    page = jobs[offset:] if limit is None else jobs[offset : offset + limit]
    pagination = {
        "offset": offset,
        "limit": limit,
        "total": len(jobs),
        "has_more": offset + len(page) < len(jobs),
    }
    return {"jobs": page, "pagination": pagination}


def _queued_job(item: QueueItem, status: str) -> Job:
    return _pruned(
        {
            "id": item.prompt_id,
            "status": status,
            "priority": item.number,
            "create_time": item.extra_data.get("create_time"),
            "outputs_count": 0,
            "workflow_id": _workflow_id(item.extra_data),
        }
    )


def _finished_job(job_id: str, entry: dict[str, Any], *, detailed: bool = False) -> Job:
    number, _, prompt, extra_data, _ = entry["prompt"]
    times: dict[str, Any] = {"execution_start": None, "end": None}
    last, error = "", None
    for event, data in entry["status"]["messages"]:
        if event in _ENDS:
            last, times["end"] = event, data["timestamp"]
            error = data if event == "execution_error" else None
        else:
            times[event] = data["timestamp"]
    if entry["status"]["status_str"] == "success":
        status = "completed"
    else:
        status = "cancelled" if last == "execution_interrupted" else "failed"
    count, preview = _summary(entry["outputs"])
    job = _pruned(
        {
            "id": job_id,
            "status": status,
            "priority": number,
            "create_time": extra_data.get("create_time"),
            "execution_start_time": times["execution_start"],
            "execution_end_time": times["end"],
            "execution_error": error,
            "outputs_count": count,
            "preview_output": preview,
            "workflow_id": _workflow_id(extra_data),
        }
    )
    if detailed:
        job["outputs"] = entry["outputs"]
        job["execution_status"] = entry["status"]
        job["workflow"] = {"prompt": prompt, "extra_data": extra_data}
    return job


def _summary(outputs: dict[str, Any]) -> tuple[int, dict[str, Any] | None]:
    """Count the files and choose the preview: a saved file, else a temporary one, else text."""
    count = 0
    candidates: dict[str, dict[str, Any]] = {}
    for node_id, ui in outputs.items():
        for media_type, entries in ui.items():
            for entry in entries if media_type != "animated" else ():
                extra = {"nodeId": node_id, "mediaType": media_type}
                if isinstance(entry, dict):
                    count += 1
                    if media_type in _PREVIEWABLE:
                        kind = "saved" if entry.get("type") == "output" else "temporary"
                        candidates.setdefault(kind, {**entry, **extra})
                elif media_type == "text":
                    content = {"content": entry[:_TEXT_PREVIEW_CHARACTERS]}
                    if len(entry) > _TEXT_PREVIEW_CHARACTERS:
                        extra["truncated"] = True
                    candidates.setdefault("text", {**content, **extra})
    order = ("saved", "temporary", "text")
    return count, next((candidates[kind] for kind in order if kind in candidates), None)


def _statuses(text: str | None) -> set[str]:
    wanted = [each.strip().lower() for each in (text or "").split(",") if each.strip()]
    unknown = [each for each in wanted if each not in STATUSES]
    if unknown:
        raise BadJobsQueryError(
            f"Invalid status value(s): {', '.join(unknown)}. Valid values: {', '.join(STATUSES)}"
        )
    return set(wanted or STATUSES)


def _one_of(query: Mapping[str, str], name: str, choices: tuple[str, str], default: str) -> str:
    value = query.get(name, default).lower()
    if value not in choices:
        raise BadJobsQueryError(f"{name} must be '{choices[0]}' or '{choices[1]}'")
    return value


def _integer(query: Mapping[str, str], name: str) -> int | None:
    if name not in query:
        return None
    try:
        return int(query[name])
    except ValueError as error:
        raise BadJobsQueryError(f"{name} must be an integer") from error


def _workflow_id(extra_data: dict[str, Any]) -> Any:
    return extra_data.get("extra_pnginfo", {}).get("workflow", {}).get("id")


def _created(job: Job) -> int:
    return int(job.get("create_time", 0))


def _duration(job: Job) -> int:
    return int(job.get("execution_end_time") or 0) - int(job.get("execution_start_time") or 0)


def _pruned(job: Job) -> Job:
    return {name: value for name, value in job.items() if value is not None}
