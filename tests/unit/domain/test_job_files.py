"""Whose file a key names."""

from __future__ import annotations

from uuid import uuid4

import pytest

from genjobs.domain.artifacts import ArtifactKey, input_key, job_prefix, output_key
from genjobs.domain.ids import OUTPUT_PREFIX, JobId, to_text
from genjobs.domain.job_files import job_file
from genjobs.domain.supervision import JobFile
from genjobs.testing import an_owner

OWNER = an_owner()
JOB = JobId(uuid4())


@pytest.mark.parametrize(
    ("key", "attempt", "claim"),
    [
        (input_key(OWNER, JOB, 0), None, None),
        (input_key(OWNER, JOB, 12, claim=3), None, 3),
        (output_key(OWNER, JOB, 7, to_text(OUTPUT_PREFIX, uuid4())), 7, None),
    ],
)
def test_key_that_a_step_made_is_read_back(
    key: ArtifactKey, attempt: int | None, claim: int | None
) -> None:
    assert job_file(key) == JobFile(
        key=key, tenant_id=OWNER.tenant_id, job_id=JOB, attempt=attempt, claim=claim
    )


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "input_",
        "input_x",
        "input_0/more",
        "other",
        "attempt_1",
        "attempt_1/input_0",
        "attempt_x/out_a",
        "ingest_1/out_a",
        "attempt_99999999999/out_a",
    ],
)
def test_key_of_another_form_is_nobodys(rest: str) -> None:
    assert job_file(ArtifactKey(f"{job_prefix(OWNER, JOB)}{rest}")) is None


def test_key_with_an_impossible_job_id_is_nobodys() -> None:
    key = input_key(OWNER, JOB, 0)
    head, _, tail = key.partition("/job_")
    assert job_file(ArtifactKey(f"{head}/job_z{tail[1:]}")) is None
