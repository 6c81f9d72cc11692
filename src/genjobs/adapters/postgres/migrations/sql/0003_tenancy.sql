-- Tenants with keys, plans and limits; and what each tenant and user has waiting and running, so
-- that who goes next, and who has enough, is known without counting.

-- What differs from the deployment's limits, and which node classes the tenant does without.
ALTER TABLE genjobs.tenants
    ADD COLUMN limits jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN narrowing jsonb NOT NULL DEFAULT '{}';
UPDATE genjobs.tenants t SET name = t.name || ' ' || t.id::text
WHERE EXISTS (SELECT 1 FROM genjobs.tenants o WHERE o.name = t.name AND o.id < t.id);
CREATE UNIQUE INDEX tenants_name ON genjobs.tenants (name);

-- Of a key's secret only the digest is kept.
CREATE TABLE genjobs.api_keys (
    id text PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES genjobs.tenants (id),
    name text NOT NULL,
    live boolean NOT NULL,
    secret_sha256 bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    CHECK (octet_length(secret_sha256) = 32)
);
CREATE INDEX api_keys_tenant ON genjobs.api_keys (tenant_id);

-- Public keys by which a tenant's own site signs tokens of its end users.
CREATE TABLE genjobs.issuer_keys (
    issuer text NOT NULL,
    kid text NOT NULL,
    tenant_id uuid NOT NULL REFERENCES genjobs.tenants (id),
    algorithm text NOT NULL,
    public_key text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (issuer, kid),
    CHECK (algorithm IN ('EdDSA', 'ES256', 'RS256'))
);
CREATE INDEX issuer_keys_tenant ON genjobs.issuer_keys (tenant_id);

-- Tokens of a user that were made before this moment are dead.
CREATE TABLE genjobs.token_cutoffs (
    tenant_id uuid NOT NULL REFERENCES genjobs.tenants (id),
    user_id text NOT NULL,
    not_before timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);

-- Limits of users: what a plan of this name changes of the deployment's.
CREATE TABLE genjobs.plans (
    tenant_id uuid NOT NULL REFERENCES genjobs.tenants (id),
    name text NOT NULL,
    limits jsonb NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

-- Written only with the tenant's row locked, and by one file of code: 20_loads.sql.
-- queued: without a slot; in_flight: with one. NULL in max_in_flight: as many as there are slots.
CREATE TABLE genjobs.tenant_load (
    tenant_id uuid PRIMARY KEY REFERENCES genjobs.tenants (id),
    queued integer NOT NULL DEFAULT 0,
    in_flight integer NOT NULL DEFAULT 0,
    ready_users integer NOT NULL DEFAULT 0,
    weight double precision NOT NULL DEFAULT 1,
    max_in_flight integer,
    served bigint NOT NULL DEFAULT 0,
    -- GCRA's theoretical arrival time of submits.
    arrival timestamptz NOT NULL DEFAULT '-infinity',
    day date NOT NULL DEFAULT '-infinity',
    jobs_today integer NOT NULL DEFAULT 0,
    bytes_today bigint NOT NULL DEFAULT 0,
    share double precision GENERATED ALWAYS AS (in_flight / weight) STORED,
    pickable boolean GENERATED ALWAYS AS (
        ready_users > 0 AND (max_in_flight IS NULL OR in_flight < max_in_flight)) STORED,
    CHECK (weight > 0)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
CREATE INDEX tenant_load_next ON genjobs.tenant_load (share, served) WHERE pickable;

CREATE TABLE genjobs.user_load (
    tenant_id uuid NOT NULL REFERENCES genjobs.tenants (id),
    user_id text NOT NULL,
    -- The plan that was named for the user last; NULL is the deployment's own limits.
    plan text,
    queued integer NOT NULL DEFAULT 0,
    in_flight integer NOT NULL DEFAULT 0,
    ready integer NOT NULL DEFAULT 0,
    weight double precision NOT NULL DEFAULT 1,
    max_in_flight integer,
    served bigint NOT NULL DEFAULT 0,
    arrival timestamptz NOT NULL DEFAULT '-infinity',
    day date NOT NULL DEFAULT '-infinity',
    jobs_today integer NOT NULL DEFAULT 0,
    bytes_today bigint NOT NULL DEFAULT 0,
    share double precision GENERATED ALWAYS AS (in_flight / weight) STORED,
    pickable boolean GENERATED ALWAYS AS (
        ready > 0 AND (max_in_flight IS NULL OR in_flight < max_in_flight)) STORED,
    PRIMARY KEY (tenant_id, user_id),
    CHECK (weight > 0)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
CREATE INDEX user_load_next ON genjobs.user_load (tenant_id, share, served) WHERE pickable;
-- Users who have nothing here any more and no plan of their own: their rows go.
CREATE INDEX user_load_idle ON genjobs.user_load (day)
    WHERE queued = 0 AND in_flight = 0 AND plan IS NULL;
CREATE SEQUENCE genjobs.dispatch_turn;

-- ready: counted among what its user may have dispatched. A job that waits for its media, holds a
-- slot or pauses after a lost worker is not.
ALTER TABLE genjobs.jobs
    ADD COLUMN ready boolean NOT NULL DEFAULT false,
    -- A plain column, so that the order of a user's jobs can be compared within row security.
    ADD COLUMN rank smallint NOT NULL GENERATED ALWAYS AS (-priority) STORED;
UPDATE genjobs.jobs SET ready = true WHERE status = 'queued' AND eligible AND slot_no IS NULL;
ALTER TABLE genjobs.jobs
    ADD CHECK (NOT ready OR status = 'queued' AND eligible AND slot_no IS NULL);
DROP INDEX genjobs.jobs_ready;
DROP INDEX genjobs.jobs_user_ready;
CREATE INDEX jobs_ready ON genjobs.jobs (not_before) WHERE ready;
CREATE INDEX jobs_user_ready ON genjobs.jobs (tenant_id, user_id, rank, id) WHERE ready;
CREATE INDEX jobs_paused ON genjobs.jobs (not_before)
    WHERE status = 'queued' AND eligible AND slot_no IS NULL AND NOT ready;
CREATE INDEX idempotency_age ON genjobs.idempotency (created_at);

INSERT INTO genjobs.user_load (tenant_id, user_id, queued, in_flight, ready)
SELECT tenant_id, user_id, count(*) FILTER (WHERE slot_no IS NULL),
    count(*) FILTER (WHERE slot_no IS NOT NULL), count(*) FILTER (WHERE ready)
FROM genjobs.jobs WHERE status IN ('queued', 'running') GROUP BY tenant_id, user_id;
INSERT INTO genjobs.tenant_load (tenant_id, queued, in_flight, ready_users)
SELECT t.id, coalesce(sum(u.queued), 0), coalesce(sum(u.in_flight), 0),
    count(*) FILTER (WHERE u.pickable)
FROM genjobs.tenants t LEFT JOIN genjobs.user_load u ON u.tenant_id = t.id GROUP BY t.id;
