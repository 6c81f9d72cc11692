"""Erase a user or a job: begin it, and read its receipt. Supervisors do it, see ``erasing``."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from genjobs.domain.erasure import Erasure
from genjobs.domain.errors import NotFound, Unavailable
from genjobs.domain.ids import ErasureId, JobId, TenantId, erasure_text
from genjobs.domain.ports import Clock, ErasureStore, IdSource
from genjobs.domain.tenancy import Owner, Reach

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseUser:
    """All that is a user's; repeating it returns the erasure that goes on."""

    erasures: ErasureStore
    clock: Clock
    ids: IdSource

    async def __call__(self, owner: Owner) -> Erasure:
        """
        Return the erasure; from now on no submit of the owner's is accepted until it is done.

        Whether there is anything of the owner's makes no difference.

        Raises:
            Unavailable: the database cannot be reached, or does not know the tenant; repeating is
                safe.
        """
        now = self.clock.now()
        erasure = await self.erasures.begin_user(owner, ErasureId(self.ids.uuid7(now)), now=now)
        if erasure is None:
            raise Unavailable("The tenant is not known to the database.")
        _log.info("erasure.requested", erasure_id=erasure_text(erasure.id), kind=erasure.kind.value)
        return erasure


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseJob:
    """One job; the user may go on submitting."""

    erasures: ErasureStore
    clock: Clock
    ids: IdSource

    async def __call__(self, reach: Reach, job_id: JobId) -> Erasure:
        """
        Return the erasure, the one that goes on if it was asked for before.

        Raises:
            NotFound: there is no such job within ``reach``.
            Unavailable: the database cannot be reached; repeating is safe.
        """
        now = self.clock.now()
        erasure = await self.erasures.begin_job(
            reach, job_id, ErasureId(self.ids.uuid7(now)), now=now
        )
        if erasure is None:
            raise NotFound
        _log.info("erasure.requested", erasure_id=erasure_text(erasure.id), kind=erasure.kind.value)
        return erasure


@dataclass(frozen=True, slots=True, kw_only=True)
class GetErasure:
    """A receipt."""

    erasures: ErasureStore

    async def __call__(self, tenant_id: TenantId, erasure_id: ErasureId) -> Erasure:
        """Return the tenant's receipt; ``NotFound`` when it has none of this id."""
        erasure = await self.erasures.get(tenant_id, erasure_id)
        if erasure is None:
            raise NotFound
        return erasure
