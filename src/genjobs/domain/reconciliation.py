"""Reconciliation: files that rows name held against those that the artifact store has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.ids import JobId, TenantId
from genjobs.domain.tenancy import Owner

_FIRST_TENANT: Final = TenantId(UUID(int=0))
_FIRST_JOB: Final = JobId(UUID(int=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlace:
    """Where a job stands in the walk through all jobs; by itself the place before the first."""

    tenant_id: TenantId = _FIRST_TENANT
    job_id: JobId = _FIRST_JOB


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFiles:
    """The files that one job names."""

    owner: Owner
    job_id: JobId
    keys: frozenset[ArtifactKey]

    @property
    def place(self) -> JobPlace:
        """Where the job stands."""
        return JobPlace(tenant_id=self.owner.tenant_id, job_id=self.job_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingFile:
    """A file that a job names and the store has not."""

    tenant_id: TenantId
    job_id: JobId
    key: ArtifactKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What one look held against each other."""

    jobs: int = 0
    #: Seen missing for the first time.
    missing: int = 0
    #: Missing for longer than the grace: their jobs name them no more.
    lost: int = 0
