"""Databases with many queued jobs, filled by SQL: what submits would leave, in seconds."""

from __future__ import annotations

import asyncpg

_TENANTS = """
INSERT INTO genjobs.tenants (id, name, created_at)
SELECT md5($1 || n)::uuid, $1 || n, now() FROM generate_series(1, $2::integer) n
"""
#: Ids begin with their age, as ours do; the k-th job of each user is of the k-th second.
_JOBS = """
INSERT INTO genjobs.jobs (tenant_id, id, user_id, status, eligible, eligible_at, ready, not_before,
    priority, created_at, queue_deadline, queue_timeout, run_timeout, retention, inputs, metadata)
SELECT md5($1 || t)::uuid,
    (lpad(to_hex(1700000000000 + $5::bigint * 1000000 + k * 1000), 12, '0') || '7000'
        || substr(md5(format('%s/%s/%s', t, u, k)), 1, 16))::uuid,
    'u_' || u, 'queued', true, now(), true, now(), 0, now(), now() + interval '1 day', '1 day',
    '10 min', '7 d', '[]', '{}'
FROM generate_series(1, $2::integer) t, generate_series(1, $3::integer) u,
    generate_series(1, $4::integer) k
"""
_WORKFLOWS = """
INSERT INTO genjobs.workflows (tenant_id, job_id, document)
SELECT j.tenant_id, j.id, '{}' FROM genjobs.jobs j
LEFT JOIN genjobs.workflows w ON (w.tenant_id, w.job_id) = (j.tenant_id, j.id)
WHERE w.job_id IS NULL AND j.status = 'queued'
"""
_USER_LOADS = """
INSERT INTO genjobs.user_load (tenant_id, user_id, queued, ready, served)
SELECT tenant_id, user_id, count(*), count(*), genjobs.first_turn()
FROM genjobs.jobs WHERE ready GROUP BY 1, 2
ON CONFLICT (tenant_id, user_id) DO UPDATE SET queued = excluded.queued, ready = excluded.ready
"""
_TENANT_LOADS = """
INSERT INTO genjobs.tenant_load (tenant_id, queued, ready_users, served)
SELECT tenant_id, sum(queued), count(*) FILTER (WHERE ready > 0), genjobs.first_turn()
FROM genjobs.user_load GROUP BY 1
ON CONFLICT (tenant_id) DO UPDATE SET queued = excluded.queued, ready_users = excluded.ready_users
"""


async def fill(
    admin: asyncpg.Connection,
    *,
    tenants: int,
    users: int,
    jobs: int,
    name: str = "t",
    batch: int = 0,
) -> None:
    """
    Queue ``jobs`` jobs of each of ``users`` users of each of ``tenants`` tenants.

    As superuser. Tenants of the same ``name`` are the same ones; a further ``batch`` adds to them.
    """
    async with admin.transaction():
        # The rows are right by construction; to have each looked up would take minutes.
        await admin.execute("SET LOCAL session_replication_role = replica")
        if batch == 0:
            await admin.execute(_TENANTS, name, tenants)
        await admin.execute(_JOBS, name, tenants, users, jobs, batch)
        await admin.execute(_WORKFLOWS)
        await admin.execute(_USER_LOADS)
        await admin.execute(_TENANT_LOADS)
