"""Valid values with little writing; every part can be given."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from genjobs.domain.artifacts import InputFile, input_key
from genjobs.domain.graph import canonical_json
from genjobs.domain.ids import JobId, TenantId, UploadId, upload_text
from genjobs.domain.ingests import PendingMedia, Uploaded
from genjobs.domain.job import Idempotency, NewJob
from genjobs.domain.media import MediaKind
from genjobs.domain.tenancy import Owner, Principal, Scope
from genjobs.domain.uploads import Upload
from genjobs.testing.clock import BEGINNING, SequentialIds

_ids = SequentialIds()


def a_tenant_id() -> TenantId:
    """Return a new tenant id."""
    return TenantId(_ids.uuid7(BEGINNING))


def an_owner(user_id: str = "u_1", tenant_id: TenantId | None = None) -> Owner:
    """Return an owner, of a new tenant unless one is given."""
    return Owner(tenant_id=tenant_id or a_tenant_id(), user_id=user_id)


def a_principal(
    *scopes: Scope, tenant_id: TenantId | None = None, user_id: str | None = None
) -> Principal:
    """Return the holder of a key, with every scope unless some are given."""
    return Principal(
        tenant_id=tenant_id or a_tenant_id(),
        key_id="key_1",
        scopes=frozenset(scopes or Scope),
        user_id=user_id,
    )


def an_input(owner: Owner, job_id: JobId, *, index: int = 0, name: str = "photo.png") -> InputFile:
    """Return a stored picture of a job."""
    content = png_bytes()
    return InputFile(
        name=name,
        key=input_key(owner, job_id, index),
        content_type="image/png",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def a_workflow(**inputs: Any) -> dict[str, Any]:
    """Return a workflow of core nodes that renders an empty picture of 64 x 64."""
    size = {"width": 64, "height": 64, "batch_size": 1, "color": 0}
    return {
        "1": {"class_type": "EmptyImage", "inputs": {**size, **inputs}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "9": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "picture"},
        },
    }


def a_new_job(
    owner: Owner,
    *,
    at: datetime = BEGINNING,
    priority: int = 0,
    queue_timeout: timedelta = timedelta(minutes=30),
    key: str | None = None,
    fingerprint: bytes = b"f" * 32,
    job_id: UUID | None = None,
    workflow: dict[str, Any] | None = None,
    inputs: Sequence[str] = (),
    pending: Sequence[str] = (),
    uploads: Sequence[Upload] = (),
    ingest_timeout: timedelta = timedelta(minutes=15),
    metadata: Mapping[str, str] | None = None,
) -> NewJob:
    """
    Return what a submit would write.

    ``inputs`` are names of stored pictures, ``pending`` of such that are still to be fetched;
    ``uploads`` are used under the names ``0.png``, ``1.png``, ...
    """
    wait = ingest_timeout if pending or uploads else timedelta()
    new_id = JobId(job_id or _ids.uuid7(at))
    return NewJob(
        id=new_id,
        owner=owner,
        workflow=canonical_json(workflow or a_workflow()),
        inputs=tuple(
            an_input(owner, new_id, index=index, name=name) for index, name in enumerate(inputs)
        ),
        priority=priority,
        metadata={"order": "1"} if metadata is None else metadata,
        created_at=at,
        queue_deadline=at + wait + queue_timeout,
        run_timeout=timedelta(minutes=10),
        retention=timedelta(days=7),
        idempotency=Idempotency(key=key, fingerprint=fingerprint) if key else None,
        pending=tuple(
            PendingMedia(
                index=len(inputs) + index,
                name=name,
                url=f"https://example.com/{name}",
                kinds=frozenset({MediaKind.IMAGE}),
            )
            for index, name in enumerate(pending)
        )
        + tuple(
            PendingMedia(
                index=len(inputs) + len(pending) + index,
                name=f"{index}.png",
                upload=Uploaded(id=upload_text(upload.id), key=upload.key, bytes=upload.bytes),
                kinds=frozenset({MediaKind.IMAGE}),
            )
            for index, upload in enumerate(uploads)
        ),
        ingest_deadline=at + wait if wait else None,
    )


def an_upload(
    owner: Owner,
    *,
    upload_id: UUID | None = None,
    filename: str = "photo.png",
    length: int = 100,
    at: datetime = BEGINNING,
    life: timedelta = timedelta(days=1),
) -> Upload:
    """Return an upload as it is declared."""
    return Upload(
        id=UploadId(upload_id or _ids.uuid7(at)),
        owner=owner,
        filename=filename,
        content_type="image/png",
        bytes=length,
        created_at=at,
        expires_at=at + life,
    )


def png_bytes(
    width: int = 8, height: int = 8, *, rgb: tuple[int, int, int] = (200, 30, 30)
) -> bytes:
    """Return a small PNG of one colour (8-bit RGB, no filter), made without any library."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\x00" + bytes(rgb) * width) * height
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
