-- Workers that are gone, or do not answer a cancel. A worker runs several attempts; only the one
-- that held the renderer can have brought it down.

-- End an attempt whose worker is lost; return where the job goes. As charge_attempt, slot and job
-- locked before.
-- Who did not hold the renderer is spared, so long as that is not every time: a job that brings its
-- workers down before it renders must come to an end too. A worker that does not say who it is has
-- nobody beside it.
CREATE FUNCTION genjobs.lose_attempt(
    p_slot genjobs.slots, p_job genjobs.jobs, p_now timestamptz, p_max_attempts integer,
    p_backoff interval, p_max_backoff interval, p_error jsonb
) RETURNS text
LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT genjobs.charge_attempt(
        p_job, p_now, 'lost', p_max_attempts, p_backoff, p_max_backoff, p_error,
        p_slot.call_id IS NULL OR p_slot.phase IS NOT DISTINCT FROM 'rendering'
            OR p_job.spared >= p_max_attempts);
$$;

CREATE FUNCTION genjobs.rescue_lost(
    p_now timestamptz, p_limit integer, p_max_attempts integer, p_backoff interval,
    p_max_backoff interval, p_error jsonb
) RETURNS TABLE (tenant_id uuid, user_id text, job_id uuid, attempt integer, status text)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    v_slot genjobs.slots;
    v_job genjobs.jobs;
    v_status text;
BEGIN
    PERFORM 1 FROM genjobs.slots WHERE lease_expires_at <= p_now LIMIT 1;
    IF NOT FOUND OR genjobs.in_grace(p_now) THEN
        RETURN;
    END IF;
    PERFORM genjobs.lock_many_loads();
    FOR v_slot IN
        SELECT * FROM genjobs.slots WHERE lease_expires_at <= p_now
        LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        PERFORM genjobs.lock_load(v_slot.tenant_id);
        v_job := genjobs.lock_job(v_slot.tenant_id, v_slot.job_id, v_slot.slot_no);
        PERFORM genjobs.free_slot(v_slot.slot_no);
        v_status := genjobs.lose_attempt(
            v_slot, v_job, p_now, p_max_attempts, p_backoff, p_max_backoff, p_error);
        RETURN QUERY SELECT v_job.tenant_id, v_job.user_id, v_job.id, v_job.attempt, v_status;
    END LOOP;
END $$;

-- Attempts whose cancel nobody answers: the worker gave no sign of life for p_silence since, or
-- gives some and yet does not stop for p_deafness (an upload is no longer stopped). Each is told
-- once, and again after p_pause.
CREATE FUNCTION genjobs.take_silent(
    p_now timestamptz, p_limit integer, p_lease interval, p_silence interval,
    p_deafness interval, p_pause interval
) RETURNS TABLE (
    tenant_id uuid, user_id text, job_id uuid, attempt integer, execution_id uuid, call_id text,
    terminations integer
)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_column
BEGIN
    PERFORM 1 FROM genjobs.slots s WHERE s.cancel_requested LIMIT 1;
    IF NOT FOUND OR genjobs.in_grace(p_now) THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH silent AS (
        SELECT s.slot_no, j.user_id FROM genjobs.slots s, LATERAL (
            -- Each slot looks its own job up, as in recount_load.
            SELECT o.user_id, o.cancel_requested_at FROM genjobs.jobs o
            WHERE o.tenant_id = s.tenant_id AND o.id = s.job_id OFFSET 0
        ) j WHERE s.cancel_requested AND s.execution_id IS NOT NULL
          AND (s.terminate_after IS NULL OR s.terminate_after <= p_now)
          AND (s.lease_expires_at - p_lease <= p_now - p_silence
                AND j.cancel_requested_at <= p_now - p_silence
            OR j.cancel_requested_at <= p_now - p_deafness
                AND s.phase IS DISTINCT FROM 'uploading')
        LIMIT p_limit FOR NO KEY UPDATE OF s SKIP LOCKED
    )
    UPDATE genjobs.slots s SET
        terminations = s.terminations + 1, terminate_after = p_now + p_pause
    FROM silent WHERE s.slot_no = silent.slot_no
    RETURNING s.tenant_id, silent.user_id, s.job_id, s.attempt, s.execution_id, s.call_id,
        s.terminations;
END $$;

-- Cancel the job of an attempt that did not answer. If its worker is gone, its neighbours are queued
-- again: spared when it was ended for this job's sake, as lost ones when it had gone by itself.
CREATE FUNCTION genjobs.end_silent(
    p_tenant uuid, p_job uuid, p_attempt integer, p_execution uuid, p_call_id text,
    p_now timestamptz, p_seen text, p_max_attempts integer, p_backoff interval,
    p_max_backoff interval, p_error jsonb
) RETURNS TABLE (tenant_id uuid, user_id text, job_id uuid, attempt integer, status text)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    v_slot genjobs.slots;
    v_job genjobs.jobs;
    v_status text;
BEGIN
    PERFORM genjobs.lock_many_loads();
    FOR v_slot IN
        SELECT * FROM genjobs.slots s
        WHERE s.tenant_id = p_tenant AND s.job_id = p_job AND s.attempt = p_attempt
              AND s.execution_id = p_execution
           -- What stands before a # names the worker, and its neighbours have it too. A call that
           -- had ended by itself says nothing of a worker that has others.
           OR p_seen = 'terminated' AND s.execution_id IS NOT NULL
              AND split_part(s.call_id, '#', 1) = split_part(p_call_id, '#', 1)
           OR p_seen = 'gone' AND s.call_id = p_call_id
        FOR NO KEY UPDATE SKIP LOCKED  -- its lease will tell
    LOOP
        PERFORM genjobs.lock_load(v_slot.tenant_id);
        v_job := genjobs.lock_job(v_slot.tenant_id, v_slot.job_id, v_slot.slot_no);
        PERFORM genjobs.free_slot(v_slot.slot_no);
        IF p_seen = 'terminated' AND v_job.cancel_requested_at IS NULL THEN
            PERFORM genjobs.end_attempt(
                v_job.tenant_id, v_job.id, v_job.attempt, p_now, 'terminated', false, NULL);
            PERFORM genjobs.requeue(
                v_job.tenant_id, v_job.user_id, v_job.id, p_now, interval '0', 0);
            v_status := 'queued';
        ELSIF p_seen = 'terminated' THEN
            v_status := genjobs.charge_attempt(
                v_job, p_now, 'terminated', p_max_attempts, p_backoff, p_max_backoff, p_error,
                v_slot.phase IS NOT DISTINCT FROM 'rendering', 'container_terminated');
        ELSE
            v_status := genjobs.lose_attempt(
                v_slot, v_job, p_now, p_max_attempts, p_backoff, p_max_backoff, p_error);
        END IF;
        RETURN QUERY SELECT v_job.tenant_id, v_job.user_id, v_job.id, v_job.attempt, v_status;
    END LOOP;
END $$;
