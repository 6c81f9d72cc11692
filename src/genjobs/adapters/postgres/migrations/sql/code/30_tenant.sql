-- The tenant's side: create a job, cancel it.

CREATE FUNCTION genjobs.create_job(
    p_tenant uuid, p_user text, p_id uuid, p_document bytea, p_inputs jsonb, p_priority integer,
    p_metadata jsonb, p_now timestamptz, p_queue_timeout interval, p_run_timeout interval,
    p_retention interval, p_key text, p_fingerprint bytea, p_sources jsonb,
    p_ingest_deadline timestamptz
) RETURNS TABLE (outcome text, job_id uuid, queue_position bigint)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_taken genjobs.idempotency;
BEGIN
    IF p_key IS NOT NULL THEN
        -- Waits for a concurrent create under the same key, then sees its row.
        INSERT INTO genjobs.idempotency (tenant_id, user_id, key, fingerprint, job_id, created_at)
        VALUES (p_tenant, p_user, p_key, p_fingerprint, p_id, p_now)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            SELECT * INTO STRICT v_taken FROM genjobs.idempotency i
            WHERE i.tenant_id = p_tenant AND i.user_id = p_user AND i.key = p_key;
            RETURN QUERY SELECT
                CASE WHEN v_taken.fingerprint = p_fingerprint THEN 'replayed' ELSE 'mismatch' END,
                v_taken.job_id, NULL::bigint;
            RETURN;
        END IF;
    END IF;
    INSERT INTO genjobs.jobs (
        tenant_id, id, user_id, status, eligible, eligible_at, not_before, priority, created_at,
        queue_deadline, queue_timeout, run_timeout, retention, inputs, metadata
    ) VALUES (
        p_tenant, p_id, p_user, 'queued', p_sources IS NULL,
        CASE WHEN p_sources IS NULL THEN p_now END, p_now, p_priority, p_now,
        coalesce(p_ingest_deadline, p_now) + p_queue_timeout, p_queue_timeout, p_run_timeout, p_retention, p_inputs, p_metadata
    );
    INSERT INTO genjobs.workflows (tenant_id, job_id, document)
    VALUES (p_tenant, p_id, p_document);
    IF p_sources IS NOT NULL THEN
        -- Locks a turn that is there, so that whoever ends its last ingest waits, and sees this one.
        INSERT INTO genjobs.ingest_turns AS t (tenant_id, user_id, served)
        VALUES (p_tenant, p_user, nextval('genjobs.ingest_turn'))
        ON CONFLICT ON CONSTRAINT ingest_turns_pkey DO UPDATE SET served = t.served;
        INSERT INTO genjobs.ingests (tenant_id, job_id, user_id, sources, not_before, deadline)
        VALUES (p_tenant, p_id, p_user, p_sources, p_now, p_ingest_deadline);
        RETURN QUERY SELECT 'created', p_id, NULL::bigint;
        RETURN;
    END IF;
    RETURN QUERY SELECT 'created', p_id, 1 + (
        SELECT count(*) FROM (
            SELECT 1 FROM genjobs.jobs o
            WHERE o.tenant_id = p_tenant AND o.user_id = p_user
              AND o.status = 'queued' AND o.eligible AND o.slot_no IS NULL
              AND (-o.priority, o.id) < (-p_priority, p_id)
            ORDER BY -o.priority, o.id
            LIMIT 999
        ) ahead
    );
END $$;

CREATE FUNCTION genjobs.request_cancel(
    p_tenant uuid, p_user text, p_job uuid, p_now timestamptz
) RETURNS SETOF genjobs.job_views
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_slot genjobs.slots;
    v_job genjobs.jobs;
BEGIN
    PERFORM 1 FROM genjobs.jobs
    WHERE tenant_id = p_tenant AND id = p_job AND (p_user IS NULL OR user_id = p_user);
    IF NOT FOUND THEN
        RETURN;
    END IF;
    v_slot := genjobs.lock_slot(p_tenant, p_job);
    PERFORM genjobs.lock_turn(p_tenant, p_job);
    v_job := genjobs.lock_job(p_tenant, p_job, v_slot.slot_no);
    IF v_job.status = 'queued' THEN
        UPDATE genjobs.jobs SET
            status = 'cancelled', finished_at = p_now, slot_no = NULL, version = version + 1,
            cancel_requested_at = p_now, cancel_method = 'dequeued', cancel_stopped_at = p_now,
            cancel_gpu_seconds = 0
        WHERE tenant_id = p_tenant AND id = p_job;
        IF NOT v_job.eligible THEN
            PERFORM genjobs.drop_ingest(p_tenant, v_job.user_id, p_job);
        END IF;
        IF v_slot.slot_no IS NOT NULL THEN
            PERFORM genjobs.free_slot(v_slot.slot_no);
            PERFORM genjobs.end_attempt(
                p_tenant, p_job, v_job.attempt, p_now, 'cancelled', false, NULL);
        END IF;
    ELSIF v_job.status = 'running' AND v_job.cancel_requested_at IS NULL THEN
        UPDATE genjobs.slots SET cancel_requested = true WHERE slot_no = v_slot.slot_no;
        UPDATE genjobs.jobs SET cancel_requested_at = p_now, version = version + 1
        WHERE tenant_id = p_tenant AND id = p_job;
    END IF;
    RETURN QUERY SELECT * FROM genjobs.job_views v WHERE v.tenant_id = p_tenant AND v.id = p_job;
END $$;

