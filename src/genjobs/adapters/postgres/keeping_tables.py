"""The tables of erasures and of missing files in SQLAlchemy's words; see ``tables``."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import UUID

from genjobs.adapters.postgres.tables import jobs, metadata, tenants
from genjobs.adapters.postgres.tenancy_tables import token_cutoffs

__all__ = ["erasures", "metadata", "missing_files"]

_TIME: Final = DateTime(timezone=True)

erasures: Final = Table(
    "erasures",
    metadata,
    Column("tenant_id", UUID, ForeignKey(tenants.c.id), primary_key=True),
    Column("id", UUID, primary_key=True),
    Column("whole_user", Boolean, nullable=False),
    Column("user_id", Text),
    Column("job_id", UUID),
    Column("requested_at", _TIME, nullable=False),
    Column("finished_at", _TIME),
    Column("due_at", _TIME, nullable=False),
    Column("busy_at", _TIME),
    *(
        Column(name, BigInteger, nullable=False, server_default=text("0"))
        for name in ("jobs", "files", "uploads", "keys")
    ),
    CheckConstraint("(finished_at IS NULL) = (user_id IS NOT NULL)"),
    CheckConstraint("job_id IS NULL OR NOT whole_user AND finished_at IS NULL"),
)
Index(
    "erasures_user",
    *(erasures.c.tenant_id, erasures.c.user_id),
    unique=True,
    postgresql_where=text("whole_user"),
)
Index("erasures_job", erasures.c.tenant_id, erasures.c.job_id, unique=True)
Index("erasures_due", erasures.c.due_at, postgresql_where=text("finished_at IS NULL"))
Index("erasures_old", erasures.c.finished_at, postgresql_where=text("finished_at IS NOT NULL"))
Index("token_cutoffs_age", token_cutoffs.c.not_before)

missing_files: Final = Table(
    "missing_files",
    metadata,
    Column("tenant_id", UUID, primary_key=True),
    Column("job_id", UUID, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("found_at", _TIME, nullable=False),
    ForeignKeyConstraint(
        ["tenant_id", "job_id"], [jobs.c.tenant_id, jobs.c.id], ondelete="CASCADE"
    ),
)
Index("missing_files_age", missing_files.c.found_at)
