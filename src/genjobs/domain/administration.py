"""
What an administrator is shown of tenants and credentials: what is stored, never a secret.

Pure values; who may be one's own tenant or key is in ``tenancy`` and ``credentials``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from genjobs.domain.catalogue import Narrowing
from genjobs.domain.ids import TenantId
from genjobs.domain.tenancy import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRecord:
    """A tenant, and what was set for it."""

    id: TenantId
    #: How administrators call it; no two have the same.
    name: str
    created_at: datetime
    #: What differs from the deployment's limits of a tenant as a whole.
    limits: Mapping[str, Any] = field(default_factory=dict)
    narrowing: Narrowing = field(default_factory=Narrowing)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedKey:
    """An API key without its digest."""

    id: str
    #: The name of its tenant.
    tenant: str
    #: What it was called when it was made.
    name: str
    live: bool
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    #: As far as it was noted: up to half a minute ago.
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedIssuerKey:
    """A site's own signing key, the public one."""

    issuer: str
    kid: str
    #: The name of its tenant.
    tenant: str
    algorithm: str
    public_key: str
    scopes: frozenset[Scope]
    created_at: datetime
    revoked_at: datetime | None = None
