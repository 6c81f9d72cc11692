"""
A database of 100,000 jobs as they are after a while: most are final, one tenant has a huge queue.

Made once for each test process, and only read by the tests.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from genjobs.adapters.postgres.pool import connect_arguments
from tests.postgres import Database

BIG = UUID(int=1 << 80)
#: When everything was submitted, when it is now, and when queues expire and pauses end.
THEN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
LATER = datetime(2026, 1, 3, tzinfo=UTC)

_STEPS = (
    "SET session_replication_role = replica",  # the rows are right by construction
    f"""
    INSERT INTO genjobs.tenants (id, name, created_at)
    SELECT CASE n WHEN 0 THEN '{BIG}'::uuid ELSE md5('t' || n)::uuid END, 't' || n, now()
    FROM generate_series(0, 500) n
    """,
    # 70,000 final jobs of everyone, 29,000 queued ones of one tenant, 1,000 of the others; of those
    # every tenth waits for its media and every seventh pauses.
    f"""
    INSERT INTO genjobs.jobs (tenant_id, id, user_id, status, eligible, eligible_at, ready,
        not_before, priority, created_at, queue_deadline, queue_timeout, run_timeout, retention,
        inputs, metadata, finished_at, attempt)
    SELECT CASE WHEN n BETWEEN 70001 AND 99000 OR n % 3 = 0 THEN '{BIG}'::uuid
            ELSE md5('t' || (1 + n % 500))::uuid END,
        (lpad(to_hex(1700000000000 + n * 1000), 12, '0') || '7000' || substr(md5(n::text), 1, 16))
            ::uuid,
        'u_' || CASE WHEN n <= 70000 THEN n % 2000 WHEN n <= 95000 AND n % 10 <> 0 THEN 0
            ELSE n END,
        CASE WHEN n > 70000 THEN 'queued' ELSE 'completed' END,
        n <= 70000 OR n % 10 <> 0, CASE WHEN n % 10 <> 0 THEN '{THEN}'::timestamptz END,
        n > 70000 AND n % 10 <> 0 AND n % 7 <> 0,
        CASE WHEN n > 70000 AND n % 7 = 0 THEN '{LATER}' ELSE '{THEN}'::timestamptz END, 0,
        '{THEN}', '{LATER}', '30 min', '10 min', '7 d', '[]', '{{}}',
        CASE WHEN n <= 70000 THEN '{THEN}'::timestamptz END, CASE WHEN n <= 70000 THEN 1 ELSE 0 END
    FROM generate_series(1, 100000) n
    """,
    """
    INSERT INTO genjobs.workflows (tenant_id, job_id, document)
    SELECT tenant_id, id, '{}' FROM genjobs.jobs
    """,
    """
    INSERT INTO genjobs.attempts (tenant_id, job_id, attempt, dispatched_at, ended_at)
    SELECT tenant_id, id, 1, now(), now() FROM genjobs.jobs WHERE attempt = 1
    """,
    f"""
    INSERT INTO genjobs.idempotency (tenant_id, user_id, key, fingerprint, job_id, created_at)
    SELECT tenant_id, user_id, id::text, '', id, '{THEN}' FROM genjobs.jobs
    """,
    f"""
    INSERT INTO genjobs.ingests (tenant_id, job_id, user_id, sources, not_before, deadline)
    SELECT tenant_id, id, user_id, '[]', '{THEN}', '{LATER}' FROM genjobs.jobs WHERE NOT eligible
    """,
    """
    INSERT INTO genjobs.ingest_turns (tenant_id, user_id, served)
    SELECT tenant_id, user_id, row_number() OVER () FROM genjobs.ingests GROUP BY 1, 2
    """,
    # 30,000 uploads of one tenant, all of one user, every second of them unused.
    f"""
    INSERT INTO genjobs.uploads (tenant_id, id, user_id, key, filename, content_type, bytes, state,
        created_at, expires_at)
    SELECT '{BIG}', md5('upload' || n)::uuid, 'u_0', 'k' || n, 'a.png', 'image/png', 1,
        CASE WHEN n % 2 = 0 THEN 'unused' ELSE 'used' END, '{THEN}', '{LATER}'
    FROM generate_series(1, 30000) n
    """,
    f"""
    INSERT INTO genjobs.upload_uses (tenant_id, job_id, upload_id)
    SELECT '{BIG}', j.id, md5('upload' || j.n)::uuid FROM (
        SELECT id, 1 + 2 * (row_number() OVER () % 15000) AS n FROM genjobs.jobs
        WHERE tenant_id = '{BIG}' LIMIT 40000) j
    """,
    """
    INSERT INTO genjobs.user_load (tenant_id, user_id, queued, ready)
    SELECT tenant_id, user_id, count(*) FILTER (WHERE status = 'queued'),
        count(*) FILTER (WHERE ready) FROM genjobs.jobs GROUP BY 1, 2
    """,
    """
    INSERT INTO genjobs.tenant_load (tenant_id, queued, ready_users)
    SELECT tenant_id, sum(queued), count(*) FILTER (WHERE ready > 0) FROM genjobs.user_load
    GROUP BY 1
    """,
    *(
        f"UPDATE genjobs.{table} SET uploads = 15000 WHERE tenant_id = '{BIG}' {user}"
        for table, user in (("user_load", "AND user_id = 'u_0'"), ("tenant_load", ""))
    ),
    """
    INSERT INTO genjobs.api_keys (id, tenant_id, name, live, secret_sha256, scopes, created_at)
    SELECT 'k' || t.name, t.id, 'k', true, sha256('k'), '{}', now() FROM genjobs.tenants t
    """,
    "SET session_replication_role = origin",
)


def upload_id(n: int) -> str:
    """Return the id of upload number ``n``."""
    return hashlib.md5(f"upload{n}".encode()).hexdigest()


async def fill(database: Database) -> None:
    """Fill an empty, migrated database."""
    admin = await asyncpg.connect(**connect_arguments(database.admin))
    try:
        for step in _STEPS:
            await admin.execute(step)
        await admin.execute("ANALYZE")
    finally:
        await admin.close()
