"""Examples of the OpenAPI document, whole and of a kind; a test holds each to its schema."""

from __future__ import annotations

from typing import Any, Final

SAMPLE_WORKFLOW: Final[dict[str, Any]] = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}},
}
JOB_CREATE: Final[dict[str, Any]] = {
    "user_id": "u_42",
    "workflow": SAMPLE_WORKFLOW,
    "media": [
        {
            "name": "photo.png",  # one pixel
            "data": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGM4IScHAAK2AQU0pnWq"
            "AAAAAElFTkSuQmCC",
        }
    ],
    "metadata": {"order": "123"},
}
UPLOAD_CREATE: Final[dict[str, Any]] = {
    "user_id": "u_42",
    "filename": "photo.png",
    "content_type": "image/png",
    "bytes": 1048576,
}
TOKEN_CREATE: Final[dict[str, Any]] = {"user_id": "u_42", "ttl_seconds": 900}
_PATH: Final = "/v1/jobs/job_01kb3v9m2xf0wtq7m8e5n4d3rc"
JOB: Final[dict[str, Any]] = {
    "id": "job_01kb3v9m2xf0wtq7m8e5n4d3rc",
    "object": "job",
    "status": "completed",
    "phase": None,
    "user_id": "u_42",
    "attempt": 1,
    "priority": 0,
    "created_at": "2026-11-27T14:00:00.000Z",
    "started_at": "2026-11-27T14:00:01.200Z",
    "finished_at": "2026-11-27T14:00:05.700Z",
    "purged_at": None,
    "progress": None,
    "queue": None,
    "outputs": [
        {
            "id": "out_01kb3v9m2xf0wtq7m8e5n4d3rd",
            "node_id": "3",
            "name": "photo.png",
            "kind": "image",
            "content_type": "image/png",
            "bytes": 69,
            "sha256": "a32393543759cd58a1b5dbb5078eccd45fd69814cd60e3773e37e259f068e4ae",
            "width": 1,
            "height": 1,
            "url": "https://files.example.com/inverted_00001_.png?signature=...",
            "url_expires_at": "2026-11-27T15:00:00.000Z",
        }
    ],
    "error": None,
    "cancellation": None,
    "timings": {
        "queue_seconds": 1.2,
        "prepare_seconds": 0.1,
        "render_seconds": 4.0,
        "upload_seconds": 0.3,
        "gpu_seconds": 4.0,
    },
    "metadata": {"order": "123"},
    "urls": {"self": _PATH, "cancel": f"{_PATH}/cancel"},
}
JOB_PAGE: Final[dict[str, Any]] = {"data": [JOB], "has_more": False, "next_cursor": None}
UPLOAD: Final[dict[str, Any]] = {
    **UPLOAD_CREATE,
    "id": "upl_01kb3v9m2xf0wtq7m8e5n4d3rc",
    "object": "upload",
    "method": "PUT",
    "url": "https://files.example.com/upl_01kb3v9m2xf0wtq7m8e5n4d3rc?signature=...",
    "headers": {"Content-Type": "image/png"},
    "url_expires_at": "2026-11-27T14:15:00.000Z",
    "created_at": "2026-11-27T14:00:00.000Z",
    "expires_at": "2026-11-28T14:00:00.000Z",
}
TOKEN: Final[dict[str, Any]] = {
    "object": "token",
    "token": "eyJ...",
    "user_id": "u_42",
    "scopes": ["jobs:read"],
    "expires_at": "2026-11-27T14:15:00.000Z",
}
_USED: Final = {
    "limits": {
        "submits_per_second": 5.0,
        "submit_burst": 20,
        "max_queued": 20,
        "max_uploads": 50,
        "max_in_flight": 2,
        "jobs_per_day": 100,
        "bytes_per_day": None,
        "max_priority": 0,
        "max_run_seconds": 600.0,
        "retention_seconds": None,
        "max_retention_seconds": None,
        "weight": 1.0,
        "browser_writes": False,
    },
    "used": {"queued": 1, "in_flight": 1, "jobs_today": 7, "bytes_today": 2097152, "uploads": 0},
}
USAGE: Final[dict[str, Any]] = {
    "object": "usage",
    "tenant": None,
    "user": {"plan": "free", **_USED},
}
ERASURE: Final[dict[str, Any]] = {
    "id": "era_01kb3v9m2xf0wtq7m8e5n4d3rc",
    "object": "erasure",
    "kind": "user",
    "status": "completed",
    "requested_at": "2026-11-27T14:00:00.000Z",
    "finished_at": "2026-11-27T14:00:05.000Z",
    "erased": {"jobs": 12, "files": 31, "uploads": 2, "idempotency_keys": 12},
}
