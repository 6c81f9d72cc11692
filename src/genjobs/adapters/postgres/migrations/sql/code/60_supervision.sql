-- What time does to jobs in the queue. Attempts that lost their worker are in 64_lost_workers.sql.

CREATE FUNCTION genjobs.expire_queued(p_now timestamptz, p_limit integer, p_error jsonb)
RETURNS TABLE (tenant_id uuid, user_id text, job_id uuid, attempt integer, status text)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    v_due record;
    v_job genjobs.jobs;
BEGIN
    PERFORM 1 FROM genjobs.jobs j
    WHERE j.status = 'queued' AND j.eligible AND j.queue_deadline <= p_now
    ORDER BY j.queue_deadline LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM genjobs.lock_many_loads();
    FOR v_due IN
        SELECT j.tenant_id, j.id, j.slot_no FROM genjobs.jobs j
        WHERE j.status = 'queued' AND j.eligible AND j.queue_deadline <= p_now
        ORDER BY j.queue_deadline LIMIT p_limit
    LOOP
        IF v_due.slot_no IS NOT NULL THEN
            PERFORM 1 FROM genjobs.slots WHERE slot_no = v_due.slot_no
            FOR NO KEY UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT FOUND;
        END IF;
        PERFORM genjobs.lock_load(v_due.tenant_id);
        SELECT * INTO v_job FROM genjobs.jobs j
        WHERE j.tenant_id = v_due.tenant_id AND j.id = v_due.id
          AND j.status = 'queued' AND j.eligible AND j.queue_deadline <= p_now
          AND j.slot_no IS NOT DISTINCT FROM v_due.slot_no
        FOR NO KEY UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;  -- started, cancelled or moved since; the next tick looks again
        UPDATE genjobs.jobs j SET
            status = 'failed', error = p_error, finished_at = p_now, slot_no = NULL,
            ready = false, version = j.version + 1
        WHERE j.tenant_id = v_job.tenant_id AND j.id = v_job.id;
        IF v_job.slot_no IS NOT NULL THEN
            PERFORM genjobs.free_slot(v_job.slot_no);
            PERFORM genjobs.end_attempt(
                v_job.tenant_id, v_job.id, v_job.attempt, p_now, 'expired', false, NULL);
            PERFORM genjobs.move_load(v_job.tenant_id, v_job.user_id, 0, 0, -1);
        ELSE
            PERFORM genjobs.move_load(
                v_job.tenant_id, v_job.user_id, -1, -v_job.ready::integer, 0);
        END IF;
        RETURN QUERY SELECT v_job.tenant_id, v_job.user_id, v_job.id, v_job.attempt, 'failed';
    END LOOP;
END $$;

CREATE FUNCTION genjobs.reclaim_unstarted(p_now timestamptz, p_limit integer)
RETURNS TABLE (tenant_id uuid, user_id text, job_id uuid, attempt integer, status text)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    v_slot genjobs.slots;
    v_job genjobs.jobs;
BEGIN
    PERFORM 1 FROM genjobs.slots WHERE execution_id IS NULL AND start_deadline <= p_now LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM genjobs.lock_many_loads();
    FOR v_slot IN
        SELECT * FROM genjobs.slots
        WHERE execution_id IS NULL AND start_deadline <= p_now
        LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        PERFORM genjobs.lock_load(v_slot.tenant_id);
        v_job := genjobs.lock_job(v_slot.tenant_id, v_slot.job_id, v_slot.slot_no);
        PERFORM genjobs.take_back(v_job, p_now, 'start_missed');
        RETURN QUERY SELECT v_job.tenant_id, v_job.user_id, v_job.id, v_job.attempt, 'queued';
    END LOOP;
END $$;

-- Remove idempotency keys that nobody may count on any more, and loads of users who have nothing
-- here. Return how many of each.
CREATE FUNCTION genjobs.prune(p_now timestamptz, p_key_life interval, p_limit integer)
RETURNS TABLE (keys bigint, loads bigint)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    v_idle record;
BEGIN
    WITH gone AS (
        DELETE FROM genjobs.idempotency WHERE ctid = ANY (ARRAY(
            SELECT i.ctid FROM genjobs.idempotency i WHERE i.created_at <= p_now - p_key_life
            ORDER BY i.created_at LIMIT p_limit FOR UPDATE SKIP LOCKED))
        RETURNING 1
    ) SELECT count(*) INTO keys FROM gone;
    loads := 0;
    PERFORM 1 FROM genjobs.user_load u
    WHERE u.queued = 0 AND u.in_flight = 0 AND u.uploads = 0 AND u.plan IS NULL
      AND u.day < (p_now AT TIME ZONE 'UTC')::date - 1
    ORDER BY u.day LIMIT 1;
    IF FOUND THEN
        PERFORM genjobs.lock_many_loads();
        FOR v_idle IN
            SELECT u.tenant_id, u.user_id FROM genjobs.user_load u
            WHERE u.queued = 0 AND u.in_flight = 0 AND u.uploads = 0 AND u.plan IS NULL
              AND u.day < (p_now AT TIME ZONE 'UTC')::date - 1
            ORDER BY u.day LIMIT p_limit
        LOOP
            PERFORM genjobs.lock_load(v_idle.tenant_id);
            DELETE FROM genjobs.user_load u
            WHERE u.tenant_id = v_idle.tenant_id AND u.user_id = v_idle.user_id
              AND u.queued = 0 AND u.in_flight = 0 AND u.uploads = 0 AND u.plan IS NULL
              AND u.day < (p_now AT TIME ZONE 'UTC')::date - 1;
            loads := loads + FOUND::integer;
        END LOOP;
    END IF;
    RETURN NEXT;
END $$;
