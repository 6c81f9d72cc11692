"""Steps that the suites of limits and plans share."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from genjobs.domain.attempts import Completed
from genjobs.domain.errors import (
    GenjobsError,
    LimitReached,
    PlanLimit,
    UnknownPlan,
)
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import Created, Job, Timings
from genjobs.domain.plans import Used
from genjobs.domain.tenancy import Owner, Reach
from genjobs.testing.clock import BEGINNING, SequentialIds
from genjobs.testing.contracts.ledger_steps import completed
from genjobs.testing.contracts.tenancy_backend import TenancyBackend
from genjobs.testing.factories import a_new_job

NOW = BEGINNING
_ids = SequentialIds()


def rate(per_second: float, burst: int) -> dict[str, Any]:
    """Return the limits of a rate."""
    return {"submits_per_second": per_second, "submit_burst": burst}


def whole(backend: TenancyBackend) -> Reach:
    """Return the reach of the first tenant, all of it."""
    return Reach(tenant_id=backend.tenant, user_id=None)


def counts(used: Used) -> tuple[int, int, int]:
    """Return jobs queued, in flight, and of today."""
    return used.queued, used.in_flight, used.jobs_today


async def submit(
    backend: TenancyBackend, owner: Owner, *, plan: str | None = None, **parts: Any
) -> Created:
    """Create a job of the owner."""
    new = dataclasses.replace(a_new_job(owner, **parts), plan=plan)
    return await backend.jobs.store.create(new)


async def refused(backend: TenancyBackend, owner: Owner, **parts: Any) -> GenjobsError:
    """Return why a job of the owner is refused; it must be for a limit or a plan."""
    with pytest.raises(GenjobsError) as caught:
        await submit(backend, owner, **parts)
    assert isinstance(caught.value, LimitReached | PlanLimit | UnknownPlan)
    return caught.value


async def complete(backend: TenancyBackend, job: Job, size: int) -> None:
    """Run the job to an output of ``size`` bytes; others in line go first."""
    while True:
        [assignment] = await backend.jobs.ledger.dispatch(now=NOW, limit=1)
        started = await backend.jobs.ledger.start(assignment, ExecutionId(_ids.uuid4()), now=NOW)
        if assignment.job_id == job.id:
            break
    made = completed(started.execution)
    output = dataclasses.replace(made.outputs[0], bytes=size)
    await backend.jobs.ledger.finish(
        started.execution, Completed(outputs=(output,), timings=Timings()), now=NOW
    )
