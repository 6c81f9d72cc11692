"""
Erasure: removing a user with all that is theirs, or one job, and the receipt of it.

A receipt says what was removed and when, and nothing of whom. How it goes on from step to step is
in ``application.erasing``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from genjobs.domain.ids import ErasureId, JobId, TenantId
from genjobs.domain.tenancy import Owner


class ErasureKind(StrEnum):
    """What is erased."""

    USER = "user"
    JOB = "job"


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """How much was removed so far."""

    jobs: int = 0
    #: Of jobs: inputs, outputs, and what attempts had left behind.
    files: int = 0
    #: Each with its file.
    uploads: int = 0
    idempotency_keys: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """A receipt."""

    id: ErasureId
    tenant_id: TenantId
    kind: ErasureKind
    requested_at: datetime
    #: None while it goes on.
    finished_at: datetime | None = None
    erased: Erased = field(default_factory=Erased)


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasing:
    """An erasure that goes on, as supervisors see it."""

    id: ErasureId
    owner: Owner
    #: The one job that is erased; None for all that is the owner's.
    job_id: JobId | None
    requested_at: datetime
    #: When a job of it was last seen going on.
    busy_at: datetime | None = None
