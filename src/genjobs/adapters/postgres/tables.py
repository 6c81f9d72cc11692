"""
The tables of jobs in SQLAlchemy's words: for administration, and to hold the migrations to.

Those of keys, plans and counts are in ``tenancy_tables``. The statements of the hot path are SQL
text beside their adapters, and the migrations' functions.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
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
from sqlalchemy.dialects.postgresql import JSONB, UUID

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
    Column("spared", Integer, nullable=False, server_default=text("0")),
    Column("inputs_purged_at", _TIME),
    Column("purge_taken_until", _TIME),
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
Index(
    "jobs_inputs_due",
    jobs.c.finished_at,
    postgresql_where=text("finished_at IS NOT NULL AND inputs_purged_at IS NULL"),
)
Index(
    "jobs_purge_due",
    text("((finished_at AT TIME ZONE 'UTC') + retention)"),
    _table=jobs,
    postgresql_where=text("finished_at IS NOT NULL AND purged_at IS NULL"),
)
Index("jobs_tombstones", jobs.c.purged_at, postgresql_where=text("purged_at IS NOT NULL"))
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
    Column("call_id", Text),
    Column("terminations", Integer, nullable=False, server_default=text("0")),
    Column("terminate_after", _TIME),
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

uploads: Final = Table(
    "uploads",
    metadata,
    Column("tenant_id", UUID, ForeignKey(tenants.c.id), primary_key=True),
    Column("id", UUID, primary_key=True),
    *(
        Column(name, Text, nullable=False)
        for name in ("user_id", "key", "filename", "content_type")
    ),
    Column("bytes", BigInteger, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'unused'")),
    Column("created_at", _TIME, nullable=False),
    Column("expires_at", _TIME, nullable=False),
    CheckConstraint("bytes > 0"),
    CheckConstraint("state IN ('unused', 'used', 'leaving')"),
)
Index("uploads_due", uploads.c.expires_at)
Index("uploads_user", uploads.c.tenant_id, uploads.c.user_id, uploads.c.id)
Index(
    "uploads_unused",
    *(uploads.c.tenant_id, uploads.c.user_id),
    postgresql_where=text("state = 'unused'"),
)

upload_uses: Final = Table(
    "upload_uses",
    metadata,
    Column("tenant_id", UUID, primary_key=True),
    Column("job_id", UUID, primary_key=True),
    Column("upload_id", UUID, primary_key=True),
    ForeignKeyConstraint(
        ["tenant_id", "job_id"], [jobs.c.tenant_id, jobs.c.id], ondelete="CASCADE"
    ),
    ForeignKeyConstraint(["tenant_id", "upload_id"], [uploads.c.tenant_id, uploads.c.id]),
)
Index("upload_uses_upload", upload_uses.c.tenant_id, upload_uses.c.upload_id)

supervision: Final = Table(
    "supervision",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("ticked_at", _TIME),
    Column("gaps", Integer, nullable=False, server_default=text("0")),
    Column("grace_until", _TIME),
    Column("paused_at", _TIME),
    Column("window_size", Integer),
    Column("recounted", UUID),
    Column("swept", Text, nullable=False, server_default=text("''")),
    Column("sweep_due", _TIME, nullable=False, server_default=text("'-infinity'")),
    Column("walked_tenant", UUID),
    Column("walked_job", UUID),
    Column("walk_due", _TIME, nullable=False, server_default=text("'-infinity'")),
    *(
        Column(name, BigInteger, nullable=False, server_default=text("0"))
        for name in (
            *("rescues", "ingest_rescues", "escalations", "drift", "swept_files"),
            *("purged_inputs", "purged_jobs", "purged_rows", "erased_jobs", "lost_files"),
        )
    ),
    CheckConstraint("one"),
    postgresql_with={"fillfactor": 50},
)
