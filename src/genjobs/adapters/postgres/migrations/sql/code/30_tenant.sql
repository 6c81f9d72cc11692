-- The tenant's side: create a job, cancel it. Each names its tenant to row security first.

CREATE FUNCTION genjobs.use_tenant(p_tenant uuid) RETURNS void
LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT set_config('genjobs.tenant', p_tenant::text, true);
$$;

CREATE FUNCTION genjobs.create_job(
    p_tenant uuid, p_user text, p_id uuid, p_document bytea, p_inputs jsonb, p_priority integer,
    p_metadata jsonb, p_now timestamptz, p_queue_timeout interval, p_run_timeout interval,
    p_run_asked boolean, p_retention interval, p_retention_asked boolean, p_key text,
    p_fingerprint bytea, p_key_life interval, p_sources jsonb, p_ingest_deadline timestamptz,
    p_plan text, p_bytes bigint, p_tenant_limits jsonb, p_user_limits jsonb, p_uploads uuid[]
) RETURNS TABLE (
    outcome text, job_id uuid, queue_position bigint, run_timeout interval, retention interval,
    whose text, what text, retry_after double precision,
    -- Of the user's limit of submits: what is left of the burst, and when all of it is again.
    remaining integer, reset double precision, burst integer, window_seconds double precision
)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    v_taken genjobs.idempotency;
    v_tenant genjobs.tenant_load;
    v_user genjobs.user_load;
    v_tenant_limits jsonb;
    v_longest double precision;
    v_user_limits jsonb := p_user_limits;
    v_own_limits jsonb;
    v_plan text;
    v_refusal genjobs.refusal;
    v_today date := (p_now AT TIME ZONE 'UTC')::date;
    v_ready integer := (p_sources IS NULL)::integer;
    v_ahead double precision;
    v_pickable boolean;
    v_overtakes boolean;
BEGIN
    PERFORM set_config('genjobs.tenant', p_tenant::text, true);
    -- From here on creates of one tenant take turns: a concurrent one under the same key has ended.
    SELECT * INTO v_tenant FROM genjobs.tenant_load
    WHERE tenant_id = p_tenant FOR NO KEY UPDATE;
    outcome := genjobs.turned_away(v_tenant, p_user);
    IF outcome IS NOT NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;
    IF p_key IS NOT NULL THEN
        SELECT * INTO v_taken FROM genjobs.idempotency i
        WHERE i.tenant_id = p_tenant AND i.user_id = p_user AND i.key = p_key
          AND i.created_at > p_now - p_key_life;
        IF FOUND THEN
            outcome :=
                CASE WHEN v_taken.fingerprint = p_fingerprint THEN 'replayed' ELSE 'mismatch' END;
            job_id := v_taken.job_id;
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;

    SELECT p_tenant_limits || t.limits INTO v_tenant_limits
    FROM genjobs.tenants t WHERE t.id = p_tenant;
    SELECT * INTO v_user FROM genjobs.user_load u
    WHERE u.tenant_id = p_tenant AND u.user_id = p_user;
    v_plan := coalesce(p_plan, v_user.plan);
    IF v_plan IS NOT NULL THEN
        SELECT p.limits INTO v_own_limits FROM genjobs.plans p
        WHERE p.tenant_id = p_tenant AND p.name = v_plan;
        IF FOUND THEN
            v_user_limits := v_user_limits || v_own_limits;
        ELSIF p_plan IS NOT NULL THEN
            outcome := 'unknown_plan';
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;

    -- Whoever gets another plan begins with its whole burst: what was waited for is another rate.
    IF v_user.user_id IS NULL OR v_user.plan IS DISTINCT FROM v_plan THEN
        v_user.arrival := '-infinity';
    END IF;

    -- What may be asked for is the narrower of the two. A comparison with NULL is no refusal.
    IF p_priority > least((v_tenant_limits ->> 'max_priority')::integer,
                          (v_user_limits ->> 'max_priority')::integer) THEN
        what := 'priority';
    END IF;
    v_longest := least((v_tenant_limits ->> 'max_run_seconds')::float8,
                       (v_user_limits ->> 'max_run_seconds')::float8);
    run_timeout := least(p_run_timeout, interval '1 second' * v_longest);
    IF p_run_asked AND run_timeout < p_run_timeout THEN
        what := coalesce(what, 'run_timeout_seconds');
    END IF;
    v_longest := least((v_tenant_limits ->> 'max_retention_seconds')::float8,
                       (v_user_limits ->> 'max_retention_seconds')::float8);
    retention := p_retention;
    IF NOT p_retention_asked THEN
        retention := coalesce(interval '1 second' * coalesce(
            (v_user_limits ->> 'retention_seconds')::float8,
            (v_tenant_limits ->> 'retention_seconds')::float8), p_retention);
    END IF;
    retention := least(retention, interval '1 second' * v_longest);
    IF p_retention_asked AND retention < p_retention THEN
        what := coalesce(what, 'retention_seconds');
    END IF;
    IF what IS NOT NULL THEN
        outcome := 'plan_limit';
        RETURN NEXT;
        RETURN;
    END IF;

    v_refusal := genjobs.refuse(
        'tenant', v_tenant_limits, p_now, v_tenant.arrival, v_tenant.queued, v_tenant.day,
        v_tenant.jobs_today, v_tenant.bytes_today, p_bytes);
    IF v_refusal.outcome IS NULL AND v_user.user_id IS NOT NULL THEN
        v_refusal := genjobs.refuse(
            'user', v_user_limits, p_now, v_user.arrival, v_user.queued, v_user.day,
            v_user.jobs_today, v_user.bytes_today, p_bytes);
    ELSIF v_refusal.outcome IS NULL THEN
        v_refusal := genjobs.refuse(
            'user', v_user_limits, p_now, '-infinity', 0, '-infinity', 0, 0, p_bytes);
    END IF;
    IF v_refusal.outcome IS NOT NULL THEN
        SELECT (v_refusal).* INTO outcome, whose, what, retry_after;
        RETURN NEXT;
        RETURN;
    END IF;

    -- The submit looked them up; what has left since, or is not the user's, is not there.
    IF p_uploads IS NOT NULL
        AND genjobs.lock_uploads(p_tenant, p_user, p_uploads, p_now) < cardinality(p_uploads)
    THEN
        outcome := 'unknown_upload';
        RETURN NEXT;
        RETURN;
    END IF;

    IF v_user.user_id IS NULL THEN
        INSERT INTO genjobs.user_load (tenant_id, user_id, served)
        VALUES (p_tenant, p_user, genjobs.first_turn());
    END IF;
    UPDATE genjobs.user_load u SET
        plan = v_plan, weight = (v_user_limits ->> 'weight')::float8,
        max_in_flight = (v_user_limits ->> 'max_in_flight')::integer,
        queued = u.queued + 1, ready = u.ready + v_ready,
        arrival = genjobs.arrival_after(v_user.arrival, p_now, v_user_limits),
        jobs_today = CASE WHEN u.day < v_today THEN 0 ELSE u.jobs_today END + 1,
        bytes_today = CASE WHEN u.day < v_today THEN 0 ELSE u.bytes_today END + p_bytes,
        day = greatest(u.day, v_today)
    WHERE u.tenant_id = p_tenant AND u.user_id = p_user
    RETURNING genjobs.ahead(u.arrival, p_now, v_user_limits), u.pickable, u.ready
    INTO v_ahead, v_pickable, v_ready;
    UPDATE genjobs.tenant_load t SET
        weight = (v_tenant_limits ->> 'weight')::float8,
        max_in_flight = (v_tenant_limits ->> 'max_in_flight')::integer,
        queued = t.queued + 1,
        ready_users = t.ready_users + v_pickable::integer
            - coalesce(v_user.pickable, false)::integer,
        arrival = genjobs.arrival_after(t.arrival, p_now, v_tenant_limits),
        jobs_today = CASE WHEN t.day < v_today THEN 0 ELSE t.jobs_today END + 1,
        bytes_today = CASE WHEN t.day < v_today THEN 0 ELSE t.bytes_today END + p_bytes,
        day = greatest(t.day, v_today)
    WHERE t.tenant_id = p_tenant;
    remaining := floor(0.000001 + (genjobs.tolerance(v_user_limits) - v_ahead)
        * (v_user_limits ->> 'submits_per_second')::float8)::integer;
    reset := v_ahead;
    burst := (v_user_limits ->> 'submit_burst')::integer;
    window_seconds := genjobs.tolerance(v_user_limits);

    IF p_key IS NOT NULL THEN
        INSERT INTO genjobs.idempotency AS i (
            tenant_id, user_id, key, fingerprint, job_id, created_at
        ) VALUES (p_tenant, p_user, p_key, p_fingerprint, p_id, p_now)
        ON CONFLICT ON CONSTRAINT idempotency_pkey DO UPDATE SET  -- one that has grown old
            fingerprint = excluded.fingerprint, job_id = excluded.job_id,
            created_at = excluded.created_at;
    END IF;
    INSERT INTO genjobs.jobs (
        tenant_id, id, user_id, status, eligible, eligible_at, ready, not_before, priority,
        created_at, queue_deadline, queue_timeout, run_timeout, retention, inputs, metadata
    ) VALUES (
        p_tenant, p_id, p_user, 'queued', p_sources IS NULL,
        CASE WHEN p_sources IS NULL THEN p_now END, p_sources IS NULL, p_now, p_priority, p_now,
        coalesce(p_ingest_deadline, p_now) + p_queue_timeout, p_queue_timeout, run_timeout,
        retention, p_inputs, p_metadata
    );
    INSERT INTO genjobs.workflows (tenant_id, job_id, document)
    VALUES (p_tenant, p_id, p_document);
    IF p_uploads IS NOT NULL THEN
        PERFORM genjobs.use_uploads(p_tenant, p_user, p_id, p_uploads, p_now);
    END IF;
    outcome := 'created';
    job_id := p_id;
    IF p_sources IS NULL THEN
        SELECT o.rank > -p_priority INTO v_overtakes FROM genjobs.jobs o
        WHERE o.tenant_id = p_tenant AND o.user_id = p_user AND o.ready
        ORDER BY o.rank DESC, o.id DESC LIMIT 1;
        IF v_overtakes THEN
            SELECT 1 + count(*) INTO queue_position FROM (
                SELECT 1 FROM genjobs.jobs o
                WHERE o.tenant_id = p_tenant AND o.user_id = p_user
                  AND o.ready AND (o.rank, o.id) < ((-p_priority)::smallint, p_id)
                ORDER BY o.rank, o.id
                LIMIT 999
            ) ahead;
        ELSE  -- the last in line, so all the others are ahead: they need not be counted
            queue_position := least(v_ready, 1000);
        END IF;
    ELSE
        -- Locks a turn that is there, so that whoever ends its last ingest waits, and sees this one.
        INSERT INTO genjobs.ingest_turns AS t (tenant_id, user_id, served)
        VALUES (p_tenant, p_user, nextval('genjobs.ingest_turn'))
        ON CONFLICT ON CONSTRAINT ingest_turns_pkey DO UPDATE SET served = t.served;
        INSERT INTO genjobs.ingests (tenant_id, job_id, user_id, sources, not_before, deadline)
        VALUES (p_tenant, p_id, p_user, p_sources, p_now, p_ingest_deadline);
    END IF;
    RETURN NEXT;
END $$;

CREATE FUNCTION genjobs.request_cancel(
    p_tenant uuid, p_user text, p_job uuid, p_now timestamptz
) RETURNS SETOF genjobs.job_views
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_slot genjobs.slots;
    v_job genjobs.jobs;
BEGIN
    PERFORM genjobs.use_tenant(p_tenant);
    PERFORM 1 FROM genjobs.jobs
    WHERE tenant_id = p_tenant AND id = p_job AND (p_user IS NULL OR user_id = p_user);
    IF NOT FOUND THEN
        RETURN;
    END IF;
    v_slot := genjobs.lock_slot(p_tenant, p_job);
    PERFORM genjobs.lock_load(p_tenant);
    PERFORM genjobs.lock_turn(p_tenant, p_job);
    v_job := genjobs.lock_job(p_tenant, p_job, v_slot.slot_no);
    IF v_job.status = 'queued' THEN
        UPDATE genjobs.jobs SET
            status = 'cancelled', finished_at = p_now, slot_no = NULL, ready = false,
            version = version + 1, cancel_requested_at = p_now, cancel_method = 'dequeued',
            cancel_stopped_at = p_now, cancel_gpu_seconds = 0
        WHERE tenant_id = p_tenant AND id = p_job;
        IF NOT v_job.eligible THEN
            PERFORM genjobs.drop_ingest(p_tenant, v_job.user_id, p_job);
        END IF;
        IF v_slot.slot_no IS NOT NULL THEN
            PERFORM genjobs.free_slot(v_slot.slot_no);
            PERFORM genjobs.end_attempt(
                p_tenant, p_job, v_job.attempt, p_now, 'cancelled', false, NULL);
            PERFORM genjobs.move_load(p_tenant, v_job.user_id, 0, 0, -1);
        ELSE
            PERFORM genjobs.move_load(p_tenant, v_job.user_id, -1, -v_job.ready::integer, 0);
        END IF;
    ELSIF v_job.status = 'running' AND v_job.cancel_requested_at IS NULL THEN
        UPDATE genjobs.slots SET cancel_requested = true WHERE slot_no = v_slot.slot_no;
        -- Here only: transactions that notify commit one after another.
        PERFORM pg_notify('genjobs_cancel', v_slot.execution_id::text);
        UPDATE genjobs.jobs SET cancel_requested_at = p_now, version = version + 1
        WHERE tenant_id = p_tenant AND id = p_job;
    END IF;
    RETURN QUERY SELECT * FROM genjobs.job_views v WHERE v.tenant_id = p_tenant AND v.id = p_job;
END $$;
