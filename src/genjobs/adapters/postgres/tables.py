"""
The tables in SQLAlchemy's words: for administration, and to hold the migrations to.

The statements of the hot path are SQL text in ``statements`` and the migrations' functions.
"""

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
    ForeignKeyConstraint,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

SCHEMA: Final = "genjobs"
metadata: Final = MetaData(schema=SCHEMA)

_TIME: Final = DateTime(timezone=True)

tenants: Final = Table(
    "tenants",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("limits", JSONB, nullable=False, server_default=text("'{}'")),
    Column("narrowing", JSONB, nullable=False, server_default=text("'{}'")),
)
Index("tenants_name", tenants.c.name, unique=True)

jobs: Final = Table(
    "jobs",
    metadata,
    Column("tenant_id", UUID, ForeignKey(tenants.c.id), primary_key=True),
    Column("id", UUID, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("eligible", Boolean, nullable=False),
    Column("eligible_at", _TIME),
    Column("not_before", _TIME, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("charged", Integer, nullable=False, server_default=text("0")),
    Column("slot_no", Integer),
    Column("created_at", _TIME, nullable=False),
    Column("queue_deadline", _TIME, nullable=False),
    Column("queue_timeout", Interval, nullable=False),
    Column("run_timeout", Interval, nullable=False),
    Column("retention", Interval, nullable=False),
    Column("started_at", _TIME),
    Column("finished_at", _TIME),
    Column("purged_at", _TIME),
    Column("cancel_requested_at", _TIME),
    Column("cancel_method", Text),
    Column("cancel_stopped_at", _TIME),
    Column("cancel_gpu_seconds", Double),
    Column("inputs", JSONB, nullable=False),
    Column("outputs", JSONB, nullable=False, server_default=text("'[]'")),
    Column("error", JSONB),
    Column("timings", JSONB, nullable=False, server_default=text("'{}'")),
    Column("metadata", JSONB, nullable=False),
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("ingested_by", UUID),
    Column("ready", Boolean, nullable=False, server_default=text("false")),
    Column("rank", SmallInteger, Computed("-priority", persisted=True), nullable=False),
    CheckConstraint("NOT ready OR status = 'queued' AND eligible AND slot_no IS NULL"),
    CheckConstraint("status IN ('queued', 'running', 'completed', 'failed', 'cancelled')"),
    CheckConstraint("slot_no IS NULL OR status IN ('queued', 'running')"),
    CheckConstraint("status <> 'running' OR slot_no IS NOT NULL"),
    postgresql_with={"fillfactor": 85},
)
Index("jobs_ready", jobs.c.not_before, postgresql_where=text("ready"))
Index(
    "jobs_user_ready",
    *(jobs.c.tenant_id, jobs.c.user_id, jobs.c.rank, jobs.c.id),
    postgresql_where=text("ready"),
)
Index(
    "jobs_paused",
    jobs.c.not_before,
    postgresql_where=text("status = 'queued' AND eligible AND slot_no IS NULL AND NOT ready"),
)
Index("jobs_expiry", jobs.c.queue_deadline, postgresql_where=text("status = 'queued'"))
Index("jobs_user", jobs.c.tenant_id, jobs.c.user_id, jobs.c.id.desc())

workflows: Final = Table(
    "workflows",
    metadata,
    Column("tenant_id", UUID, primary_key=True),
    Column("job_id", UUID, primary_key=True),
    Column("document", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["tenant_id", "job_id"], [jobs.c.tenant_id, jobs.c.id], ondelete="CASCADE"
    ),
)

attempts: Final = Table(
    "attempts",
    metadata,
    Column("tenant_id", UUID, primary_key=True),
    Column("job_id", UUID, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("execution_id", UUID),
    Column("call_id", Text),
    Column("dispatched_at", _TIME, nullable=False),
    Column("started_at", _TIME),
    Column("ended_at", _TIME),
    Column("end_reason", Text),
    Column("charged", Boolean, nullable=False, server_default=text("false")),
    Column("gpu_seconds", Double),
    ForeignKeyConstraint(
        ["tenant_id", "job_id"], [jobs.c.tenant_id, jobs.c.id], ondelete="CASCADE"
    ),
)

slots: Final = Table(
    "slots",
    metadata,
    Column("slot_no", Integer, primary_key=True, autoincrement=False),
    Column("tenant_id", UUID),
    Column("job_id", UUID),
    Column("attempt", Integer),
    Column("execution_id", UUID),
    Column("start_deadline", _TIME),
    Column("lease_expires_at", _TIME),
    Column("cancel_requested", Boolean, nullable=False, server_default=text("false")),
    Column("phase", Text),
    Column("progress", JSONB),
    Column("beat", Integer, nullable=False, server_default=text("0")),
    postgresql_with={"fillfactor": 20},
)

ingests: Final = Table(
    "ingests",
    metadata,
    Column("tenant_id", UUID, primary_key=True),
    Column("job_id", UUID, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("sources", JSONB, nullable=False),
    Column("claim", Integer, nullable=False, server_default=text("0")),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("not_before", _TIME, nullable=False),
    Column("deadline", _TIME, nullable=False),
    Column("execution_id", UUID),
    Column("lease_expires_at", _TIME),
    Column("settled_by", UUID),
    ForeignKeyConstraint(
        ["tenant_id", "job_id"], [jobs.c.tenant_id, jobs.c.id], ondelete="CASCADE"
    ),
)
Index(
    "ingests_waiting",
    ingests.c.tenant_id,
    ingests.c.user_id,
    ingests.c.not_before,
    ingests.c.job_id,
    postgresql_where=text("execution_id IS NULL"),
)
Index(
    "ingests_claimed",
    ingests.c.tenant_id,
    ingests.c.user_id,
    postgresql_where=text("execution_id IS NOT NULL"),
)
Index(
    "ingests_lease",
    ingests.c.lease_expires_at,
    postgresql_where=text("execution_id IS NOT NULL"),
)
Index("ingests_deadline", ingests.c.deadline)

ingest_turns: Final = Table(
    "ingest_turns",
    metadata,
    Column("tenant_id", UUID, ForeignKey(tenants.c.id), primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("served", BigInteger, nullable=False),
)
Index("ingest_turns_next", ingest_turns.c.served)

idempotency: Final = Table(
    "idempotency",
    metadata,
    Column("tenant_id", UUID, ForeignKey(tenants.c.id), primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("job_id", UUID, nullable=False),
    Column("created_at", _TIME, nullable=False),
)
Index("idempotency_age", idempotency.c.created_at)

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
    postgresql_where=text("queued = 0 AND in_flight = 0 AND plan IS NULL"),
)
