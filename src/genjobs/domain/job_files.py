"""Reading back from an artifact's key whose file it is."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.ids import TenantId, parse_job_id
from genjobs.domain.supervision import JobFile

_FILE: Final = re.compile(
    r"t/(?P<tenant>[0-9a-f]{32})/u/[0-9a-f]{32}/(?P<job>job_[0-9a-z]{26})/"
    r"(?:input_[0-9]+|ingest_(?P<claim>[0-9]{1,9})/input_[0-9]+"
    r"|attempt_(?P<attempt>[0-9]{1,9})/out_[0-9a-z_]+)"
)


def job_file(key: ArtifactKey) -> JobFile | None:
    """Return whose file ``key`` is, None when it is of no kind that a job's steps store."""
    found = _FILE.fullmatch(key)
    if found is None:
        return None
    try:
        job_id = parse_job_id(found["job"])
    except ValueError:
        return None
    return JobFile(
        key=key,
        tenant_id=TenantId(UUID(hex=found["tenant"])),
        job_id=job_id,
        attempt=int(found["attempt"]) if found["attempt"] else None,
        claim=int(found["claim"]) if found["claim"] else None,
    )
