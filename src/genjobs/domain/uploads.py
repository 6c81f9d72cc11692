"""
Uploads: files that a user puts into the artifact store, for any number of that user's jobs.

An upload is declared first; its URL takes one file of the declared length and type. A job gets a
copy of its own, so what becomes of the upload later does not matter to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from genjobs.domain.artifacts import ArtifactKey, upload_key
from genjobs.domain.ids import TenantId, UploadId, parse_upload_id
from genjobs.domain.tenancy import Owner

_FILE: Final = re.compile(
    r"uploads/t/(?P<tenant>[0-9a-f]{32})/u/[0-9a-f]{32}/(?P<upload>upl_[0-9a-z]{26})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRules:
    """The deployment's durations."""

    #: How long the URL takes a file.
    url_life: timedelta = timedelta(minutes=15)
    #: How long an upload is kept that no job was submitted with.
    life: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One upload as it was declared."""

    id: UploadId
    owner: Owner
    #: As the user calls it; shown, and of no effect.
    filename: str
    content_type: str
    bytes: int
    created_at: datetime
    #: Until then a first job may be submitted with it; says nothing once one was.
    expires_at: datetime

    @property
    def key(self) -> ArtifactKey:
        """Where its file is, or will be."""
        return upload_key(self.owner, self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadFile:
    """The file of an upload, as its key says."""

    key: ArtifactKey
    tenant_id: TenantId
    upload_id: UploadId


def upload_file(key: ArtifactKey) -> UploadFile | None:
    """Return whose file ``key`` is, None when it is not that of an upload."""
    found = _FILE.fullmatch(key)
    if found is None:
        return None
    try:
        upload_id = parse_upload_id(found["upload"])
    except ValueError:
        return None
    return UploadFile(key=key, tenant_id=TenantId(UUID(hex=found["tenant"])), upload_id=upload_id)
