"""
genjobs runs ComfyUI workflows as jobs on GPU workers for the users of a SaaS site.

This page is the public vocabulary: values, states and errors. Importing it loads no third-party
package. To do something, open genjobs::

    from genjobs.bootstrap import open_genjobs

    async with open_genjobs() as g:
        job = await g.submit(g.owner("u_42"), Submission(workflow=graph))
        view = await g.wait(g.reach("u_42"), job.id)

Test doubles and contract suites for other teams are in :mod:`genjobs.testing`.
"""

from __future__ import annotations

from genjobs.application.create_upload import UploadDeclaration
from genjobs.application.submission import InlineMedia, MediaByUpload, MediaByUrl, Submission
from genjobs.domain.artifacts import InputFile, Output
from genjobs.domain.erasure import Erased, Erasure, ErasureKind
from genjobs.domain.errors import GenjobsError
from genjobs.domain.ids import (
    ErasureId,
    JobId,
    TenantId,
    UploadId,
    job_text,
    parse_job_id,
    parse_upload_id,
    upload_text,
)
from genjobs.domain.job import Cancellation, CancelMethod, Job, JobError, Progress, Timings
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.domain.tenancy import Owner, Principal, Reach, Scope

__all__ = [
    "CancelMethod",
    "Cancellation",
    "Erased",
    "Erasure",
    "ErasureId",
    "ErasureKind",
    "GenjobsError",
    "InlineMedia",
    "InputFile",
    "Job",
    "JobError",
    "JobId",
    "JobStatus",
    "MediaByUpload",
    "MediaByUrl",
    "Output",
    "Owner",
    "Phase",
    "Principal",
    "Progress",
    "Reach",
    "Scope",
    "Submission",
    "TenantId",
    "Timings",
    "UploadDeclaration",
    "UploadId",
    "job_text",
    "parse_job_id",
    "parse_upload_id",
    "upload_text",
]
