-- Tables of genjobs. tables.py says the same in SQLAlchemy's words; a test compares the two.
-- Media and outputs are never here: rows hold keys of the artifact store.

CREATE TABLE genjobs.tenants (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    created_at timestamptz NOT NULL
);

-- Tenant first in the key: one index serves get, tenant-wide list and ownership, and a look-up
-- without a tenant has no index to use.
CREATE TABLE genjobs.jobs (
    tenant_id uuid NOT NULL REFERENCES genjobs.tenants (id),
    id uuid NOT NULL,
    user_id text NOT NULL,
    status text NOT NULL
        CHECK (status IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
    eligible boolean NOT NULL,
    eligible_at timestamptz,
    -- Not dispatched before: when it became eligible, or the end of the pause after a lost worker.
    not_before timestamptz NOT NULL,
    priority smallint NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    charged integer NOT NULL DEFAULT 0,
    slot_no integer,
    created_at timestamptz NOT NULL,
    queue_deadline timestamptz NOT NULL,
    queue_timeout interval NOT NULL,
    run_timeout interval NOT NULL,
    retention interval NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    purged_at timestamptz,
    cancel_requested_at timestamptz,
    cancel_method text,
    cancel_stopped_at timestamptz,
    cancel_gpu_seconds double precision,
    inputs jsonb NOT NULL,
    outputs jsonb NOT NULL DEFAULT '[]',
    error jsonb,
    timings jsonb NOT NULL DEFAULT '{}',
    metadata jsonb NOT NULL,
    version integer NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id),
    CHECK (slot_no IS NULL OR status IN ('queued', 'running')),
    CHECK (status <> 'running' OR slot_no IS NOT NULL)
) WITH (fillfactor = 85);

-- Who may be dispatched, oldest first; a paused job stands in the future and costs nothing.
-- The clause on not_before is always true. It keeps the index for statements that repeat it:
-- before the first ANALYZE the planner would else walk it for one user's jobs, all of it.
CREATE INDEX jobs_ready ON genjobs.jobs (not_before, id)
    WHERE status = 'queued' AND eligible AND slot_no IS NULL AND not_before > '-infinity';
-- One user's waiting jobs in the order they are dispatched; also the queue position.
CREATE INDEX jobs_user_ready ON genjobs.jobs (tenant_id, user_id, (-priority), id)
    WHERE status = 'queued' AND eligible AND slot_no IS NULL;
CREATE INDEX jobs_expiry ON genjobs.jobs (queue_deadline) WHERE status = 'queued';
CREATE INDEX jobs_user ON genjobs.jobs (tenant_id, user_id, id DESC);

CREATE TABLE genjobs.workflows (
    tenant_id uuid NOT NULL,
    job_id uuid NOT NULL,
    document bytea NOT NULL,
    PRIMARY KEY (tenant_id, job_id),
    FOREIGN KEY (tenant_id, job_id) REFERENCES genjobs.jobs (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE genjobs.attempts (
    tenant_id uuid NOT NULL,
    job_id uuid NOT NULL,
    attempt integer NOT NULL,
    execution_id uuid,
    call_id text,
    dispatched_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    end_reason text,
    charged boolean NOT NULL DEFAULT false,
    gpu_seconds double precision,
    PRIMARY KEY (tenant_id, job_id, attempt),
    FOREIGN KEY (tenant_id, job_id) REFERENCES genjobs.jobs (tenant_id, id) ON DELETE CASCADE
);

-- The dispatch window: rows made in advance, so that a free slot is found without counting and
-- heartbeats touch nothing but a small table that never grows.
CREATE TABLE genjobs.slots (
    slot_no integer PRIMARY KEY,
    tenant_id uuid,
    job_id uuid,
    attempt integer,
    execution_id uuid,
    start_deadline timestamptz,
    lease_expires_at timestamptz,
    cancel_requested boolean NOT NULL DEFAULT false,
    phase text,
    progress jsonb,
    beat integer NOT NULL DEFAULT 0
) WITH (fillfactor = 20);

CREATE TABLE genjobs.idempotency (
    tenant_id uuid NOT NULL REFERENCES genjobs.tenants (id),
    user_id text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    job_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id, key)
);
