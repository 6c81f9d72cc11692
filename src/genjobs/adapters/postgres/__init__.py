"""Postgres: job store and ledgers on asyncpg, tables and migrations on SQLAlchemy."""

from __future__ import annotations

from genjobs.adapters.postgres.access import PostgresKeyDirectory, PostgresTenantDirectory
from genjobs.adapters.postgres.call_ledger import PostgresCallLedger
from genjobs.adapters.postgres.erasures import PostgresErasureLedger, PostgresErasures
from genjobs.adapters.postgres.ingest_ledger import PostgresIngestLedger
from genjobs.adapters.postgres.job_ledger import PostgresJobLedger
from genjobs.adapters.postgres.job_store import PostgresJobStore
from genjobs.adapters.postgres.notices import (
    HeartbeatOnly,
    PostgresCancelNotices,
    carries_notices,
)
from genjobs.adapters.postgres.pool import Pool, open_pool
from genjobs.adapters.postgres.reconciliation import PostgresReconciliation
from genjobs.adapters.postgres.retention import PostgresRetention
from genjobs.adapters.postgres.supervision import PostgresSupervision
from genjobs.adapters.postgres.uploads import PostgresUploadLedger, PostgresUploadStore

__all__ = [
    "HeartbeatOnly",
    "Pool",
    "PostgresCallLedger",
    "PostgresCancelNotices",
    "PostgresErasureLedger",
    "PostgresErasures",
    "PostgresIngestLedger",
    "PostgresJobLedger",
    "PostgresJobStore",
    "PostgresKeyDirectory",
    "PostgresReconciliation",
    "PostgresRetention",
    "PostgresSupervision",
    "PostgresTenantDirectory",
    "PostgresUploadLedger",
    "PostgresUploadStore",
    "carries_notices",
    "open_pool",
]
