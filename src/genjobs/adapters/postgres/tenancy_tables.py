"""The tables of keys, plans and counts in SQLAlchemy's words; see ``tables``."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from genjobs.adapters.postgres.tables import metadata, tenants

__all__ = [
    "api_keys",
    "issuer_keys",
    "metadata",
    "plans",
    "tenant_load",
    "token_cutoffs",
    "user_load",
]

_TIME: Final = DateTime(timezone=True)

api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant_id", UUID, ForeignKey(tenants.c.id), nullable=False),
    Column("name", Text, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("secret_sha256", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("expires_at", _TIME),
    Column("revoked_at", _TIME),
    Column("last_used_at", _TIME),
    CheckConstraint("octet_length(secret_sha256) = 32"),
)
Index("api_keys_tenant", api_keys.c.tenant_id)

issuer_keys: Final = Table(
    "issuer_keys",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("kid", Text, primary_key=True),
    Column("tenant_id", UUID, ForeignKey(tenants.c.id), nullable=False),
    Column("algorithm", Text, nullable=False),
    Column("public_key", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("revoked_at", _TIME),
    CheckConstraint("algorithm IN ('EdDSA', 'ES256', 'RS256')"),
)
Index("issuer_keys_tenant", issuer_keys.c.tenant_id)

token_cutoffs: Final = Table(
    "token_cutoffs",
    metadata,
    Column("tenant_id", UUID, ForeignKey(tenants.c.id), primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("not_before", _TIME, nullable=False),
)

plans: Final = Table(
    "plans",
    metadata,
    Column("tenant_id", UUID, ForeignKey(tenants.c.id), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("limits", JSONB, nullable=False),
)


def _load_columns(ready: str) -> list[Column[Any] | CheckConstraint]:
    """Return what both tables of loads hold; ``ready`` counts what may be dispatched."""
    return [
        Column("queued", Integer, nullable=False, server_default=text("0")),
        Column("in_flight", Integer, nullable=False, server_default=text("0")),
        Column(ready, Integer, nullable=False, server_default=text("0")),
        Column("weight", Double, nullable=False, server_default=text("1")),
        Column("max_in_flight", Integer),
        Column("served", BigInteger, nullable=False, server_default=text("0")),
        Column("arrival", _TIME, nullable=False, server_default=text("'-infinity'")),
        Column("day", Date, nullable=False, server_default=text("'-infinity'")),
        Column("jobs_today", Integer, nullable=False, server_default=text("0")),
        Column("bytes_today", BigInteger, nullable=False, server_default=text("0")),
        Column("uploads", Integer, nullable=False, server_default=text("0")),
        Column("share", Double, Computed("in_flight / weight", persisted=True)),
        Column(
            "pickable",
            Boolean,
            Computed(
                f"{ready} > 0 AND (max_in_flight IS NULL OR in_flight < max_in_flight)",
                persisted=True,
            ),
        ),
        CheckConstraint("weight > 0"),
    ]


_LOAD_STORAGE: Final = {
    "fillfactor": 50,
    "autovacuum_vacuum_scale_factor": 0,
    "autovacuum_vacuum_threshold": 500,
}

tenant_load: Final = Table(
    "tenant_load",
    metadata,
    Column("tenant_id", UUID, ForeignKey(tenants.c.id), primary_key=True),
    *_load_columns("ready_users"),
    postgresql_with=_LOAD_STORAGE,
)
Index(
    "tenant_load_next",
    *(tenant_load.c.share, tenant_load.c.served),
    postgresql_where=text("pickable"),
)

user_load: Final = Table(
    "user_load",
    metadata,
    Column("tenant_id", UUID, ForeignKey(tenants.c.id), primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("plan", Text),
    *_load_columns("ready"),
    postgresql_with=_LOAD_STORAGE,
)
Index(
    "user_load_next",
    *(user_load.c.tenant_id, user_load.c.share, user_load.c.served),
    postgresql_where=text("pickable"),
)
Index(
    "user_load_idle",
    user_load.c.day,
    postgresql_where=text("queued = 0 AND in_flight = 0 AND uploads = 0 AND plan IS NULL"),
)
