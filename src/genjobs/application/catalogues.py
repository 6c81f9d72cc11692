"""The node catalogue of each tenant: the deployment's, less what the tenant does without."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from genjobs.application.remembering import Remembered
from genjobs.domain.catalogue import Narrowing, NodeCatalogue
from genjobs.domain.ids import TenantId
from genjobs.domain.ports import Clock, TenantDirectory

_REMEMBERED_SECONDS: Final = 4.0
_MOST_TENANTS: Final = 10_000
_MOST_CATALOGUES: Final = 64
_WHOLE: Final = Narrowing()


class Catalogues:
    """Looks a tenant's narrowing up and remembers it for some seconds."""

    def __init__(self, whole: NodeCatalogue, tenants: TenantDirectory, clock: Clock) -> None:
        self._whole = whole
        self._narrowings = Remembered[TenantId, Narrowing](
            tenants.narrowing, clock, seconds=_REMEMBERED_SECONDS, most=_MOST_TENANTS
        )
        self._narrowed = lru_cache(_MOST_CATALOGUES)(whole.narrowed)

    async def of(self, tenant_id: TenantId) -> NodeCatalogue:
        """Return which node classes the tenant's workflows may use."""
        narrowing = await self._narrowings.get(tenant_id)
        return self._whole if narrowing == _WHOLE else self._narrowed(narrowing)
