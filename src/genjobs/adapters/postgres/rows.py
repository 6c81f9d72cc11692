"""Rows to domain values and back; no SQL and no rule is here."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from asyncpg import Record

from genjobs.domain.artifacts import ArtifactKey, InputFile, Output
from genjobs.domain.attempts import Rescue
from genjobs.domain.ids import JobId, TenantId
from genjobs.domain.ingests import PendingMedia, Uploaded
from genjobs.domain.job import Cancellation, CancelMethod, Job, JobError, NewJob, Progress, Timings
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.domain.media import MediaKind
from genjobs.domain.tenancy import Owner

#: Half surrogate pairs, which no UTF-8 text holds.
_HALVES: Final = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
#: NUL as ``json.dumps`` writes it, unless the backslash is itself an escaped one.
_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")

#: What a reader of ``job_views`` selects, the queue position apart.
JOB_COLUMNS: Final = (
    "tenant_id, id, user_id, status, eligible, eligible_at, attempt, priority, created_at, "
    "started_at, finished_at, purged_at, queue_deadline, run_timeout, retention, "
    "cancel_requested_at, cancel_method, cancel_stopped_at, cancel_gpu_seconds, "
    "inputs, outputs, error, timings, metadata, version, phase, progress, beat"
)


def job_of(row: Record, *, queue_position: int | None) -> Job:
    """Return the job of a ``job_views`` row."""
    progress = _load(row["progress"])
    error = _load(row["error"])
    return Job(
        id=JobId(row["id"]),
        owner=owner_of(row),
        status=JobStatus(row["status"]),
        eligible=row["eligible"],
        attempt=row["attempt"],
        priority=row["priority"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        purged_at=row["purged_at"],
        queue_deadline=row["queue_deadline"],
        run_timeout=row["run_timeout"],
        retention=row["retention"],
        phase=Phase(row["phase"]) if row["phase"] else None,
        progress=Progress(**progress) if progress else None,
        queue_position=queue_position,
        inputs=inputs_of(row["inputs"]),
        outputs=_outputs_of(row["outputs"]),
        error=JobError(**error) if error else None,
        cancellation=_cancellation_of(row),
        timings=_timings_of(row),
        metadata=_load(row["metadata"]),
        version=f"{row['version']}.{row['beat'] or 0}",
    )


def created_job(new: NewJob, row: Record) -> Job:
    """Return a job as it is right after its creation, of which ``row`` is the answer."""
    return Job(
        id=new.id,
        owner=new.owner,
        status=JobStatus.QUEUED,
        eligible=not new.pending,
        attempt=0,
        priority=new.priority,
        created_at=new.created_at,
        queue_deadline=new.queue_deadline,
        run_timeout=row["run_timeout"],
        retention=row["retention"],
        queue_position=row["queue_position"],
        inputs=new.inputs,
        metadata=new.metadata,
        version="1.0",
    )


def rescue_of(row: Record) -> Rescue:
    """Return what the supervisor did with one job."""
    return Rescue(
        owner=owner_of(row),
        job_id=JobId(row["job_id"]),
        attempt=row["attempt"],
        status=JobStatus(row["status"]),
    )


def inputs_of(text: str) -> tuple[InputFile, ...]:
    """Return the inputs of a job from its row."""
    return tuple(InputFile(**{**item, "key": ArtifactKey(item["key"])}) for item in _load(text))


def dump_pending(media: Sequence[PendingMedia]) -> str:
    """Return media that are still to be fetched as JSON text."""
    return dump([_pending(item) for item in media])


def _pending(item: PendingMedia) -> dict[str, object]:
    fields = {**dataclasses.asdict(item), "kinds": sorted(item.kinds)}
    if item.upload is None:
        del fields["upload"]  # a process of before uploads can read it, and so do statements
    return fields


def pending_of(text: str) -> tuple[PendingMedia, ...]:
    """Return the media of an ingest from its row."""
    return tuple(
        PendingMedia(
            index=item["index"],
            name=item["name"],
            url=item["url"],
            upload=_uploaded(item.get("upload")),
            kinds=frozenset(map(MediaKind, item["kinds"])),
        )
        for item in _load(text)
    )


def _uploaded(item: Mapping[str, Any] | None) -> Uploaded | None:
    if item is None:
        return None
    return Uploaded(id=item["id"], key=ArtifactKey(item["key"]), bytes=item["bytes"])


def dump(value: object) -> str:
    """
    Return a frozen value, or several, as JSON text that ``jsonb`` takes.

    What it refuses, NUL and half surrogate pairs, becomes U+FFFD: node ids and engine messages are
    other people's text, and a job whose end cannot be written would take its worker along.
    """
    text = json.dumps(_jsonable(value), ensure_ascii=False).translate(_HALVES)
    return _NUL.sub("\\1\ufffd", text)


def _jsonable(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return [_jsonable(item) for item in value]
    return dataclasses.asdict(value)  # type: ignore[call-overload]


def _outputs_of(text: str) -> tuple[Output, ...]:
    return tuple(
        Output(**{**item, "key": ArtifactKey(item["key"]), "kind": MediaKind(item["kind"])})
        for item in _load(text)
    )


def _cancellation_of(row: Record) -> Cancellation | None:
    if row["cancel_requested_at"] is None:
        return None
    method = row["cancel_method"]
    return Cancellation(
        requested_at=row["cancel_requested_at"],
        method=CancelMethod(method) if method else None,
        stopped_at=row["cancel_stopped_at"],
        gpu_seconds_after_request=row["cancel_gpu_seconds"],
    )


def _timings_of(row: Record) -> Timings:
    waited = None
    if row["started_at"] is not None and row["eligible_at"] is not None:
        waited = max(0.0, (row["started_at"] - row["eligible_at"]).total_seconds())
    return Timings(**{**_load(row["timings"]), "queue_seconds": waited})


def owner_of(row: Record) -> Owner:
    """Return tenant and user of a row."""
    return Owner(tenant_id=TenantId(row["tenant_id"]), user_id=row["user_id"])


def _load(text: str | None) -> Any:
    return None if text is None else json.loads(text)
