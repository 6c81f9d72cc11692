-- Attempts: from dispatch to a recorded end.

-- Give free slots to waiting jobs. The oldest job names the user, of whose jobs the one with the
-- highest priority goes: priority orders only one user's own jobs.
-- Dispatchers take turns. One that passes over what another has locked would report an empty
-- queue, or no free slot, while the other ends without taking them; nobody would look again.
CREATE FUNCTION genjobs.dispatch(p_now timestamptz, p_limit integer, p_start interval)
RETURNS TABLE (tenant_id uuid, user_id text, job_id uuid, attempt integer)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    v_slot integer;
    v_oldest record;
    v_job record;
BEGIN
    -- Whoever has nothing to do waits for nobody. What another has locked still counts as there.
    PERFORM 1 FROM genjobs.jobs j
    WHERE j.status = 'queued' AND j.eligible AND j.slot_no IS NULL
      AND j.not_before > '-infinity' AND j.not_before <= p_now
    ORDER BY j.not_before LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM 1 FROM genjobs.slots WHERE job_id IS NULL LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(x'6469737061746368'::bigint);  -- "dispatch"
    FOR i IN 1..p_limit LOOP
        SELECT slot_no INTO v_slot FROM genjobs.slots WHERE job_id IS NULL
        LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        SELECT j.tenant_id, j.user_id, j.id INTO v_oldest FROM genjobs.jobs j
        WHERE j.status = 'queued' AND j.eligible AND j.slot_no IS NULL
          AND j.not_before > '-infinity' AND j.not_before <= p_now
        ORDER BY j.not_before, j.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        -- The oldest is locked by us, so there is always one to take.
        SELECT j.tenant_id, j.user_id, j.id, j.attempt + 1 AS attempt, j.not_before INTO v_job
        FROM genjobs.jobs j
        WHERE j.tenant_id = v_oldest.tenant_id AND j.user_id = v_oldest.user_id
          AND j.status = 'queued' AND j.eligible AND j.slot_no IS NULL AND j.not_before <= p_now
        ORDER BY -j.priority, j.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        UPDATE genjobs.slots s SET
            tenant_id = v_job.tenant_id, job_id = v_job.id, attempt = v_job.attempt,
            execution_id = NULL, start_deadline = p_now + p_start, lease_expires_at = NULL,
            cancel_requested = false, phase = NULL, progress = NULL
        WHERE s.slot_no = v_slot;
        UPDATE genjobs.jobs j
        SET attempt = v_job.attempt, slot_no = v_slot, version = j.version + 1
        WHERE j.tenant_id = v_job.tenant_id AND j.id = v_job.id;
        IF v_job.id <> v_oldest.id THEN
            -- The turn was the oldest job's and is used up: they swap places in line, or one user
            -- could hold up all others with an old job and a stream of urgent ones.
            UPDATE genjobs.jobs j SET not_before = v_job.not_before
            WHERE j.tenant_id = v_oldest.tenant_id AND j.id = v_oldest.id;
        END IF;
        INSERT INTO genjobs.attempts (tenant_id, job_id, attempt, dispatched_at)
        VALUES (v_job.tenant_id, v_job.id, v_job.attempt, p_now);
        tenant_id := v_job.tenant_id;
        user_id := v_job.user_id;
        job_id := v_job.id;
        attempt := v_job.attempt;
        RETURN NEXT;
    END LOOP;
END $$;

CREATE FUNCTION genjobs.start_attempt(
    p_tenant uuid, p_job uuid, p_attempt integer, p_execution uuid, p_now timestamptz,
    p_lease interval
) RETURNS TABLE (document bytea, inputs jsonb, run_timeout interval, cancel_requested boolean)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    v_slot genjobs.slots;
    v_job genjobs.jobs;
BEGIN
    v_slot := genjobs.lock_slot(p_tenant, p_job);
    IF v_slot.attempt IS DISTINCT FROM p_attempt
       OR v_slot.execution_id IS NOT NULL AND v_slot.execution_id <> p_execution THEN
        RETURN;
    END IF;
    v_job := genjobs.lock_job(p_tenant, p_job, v_slot.slot_no);
    IF v_slot.execution_id IS NULL THEN
        IF v_job.status <> 'queued' OR v_job.attempt <> p_attempt THEN
            RETURN;
        END IF;
        UPDATE genjobs.slots SET
            execution_id = p_execution, start_deadline = NULL,
            lease_expires_at = p_now + p_lease, phase = 'preparing'
        WHERE slot_no = v_slot.slot_no;
        UPDATE genjobs.jobs SET
            status = 'running', started_at = coalesce(started_at, p_now), version = version + 1
        WHERE tenant_id = p_tenant AND id = p_job;
        UPDATE genjobs.attempts SET execution_id = p_execution, started_at = p_now
        WHERE tenant_id = p_tenant AND job_id = p_job AND attempt = p_attempt;
    END IF;
    RETURN QUERY SELECT w.document, v_job.inputs, v_job.run_timeout, v_slot.cancel_requested
    FROM genjobs.workflows w WHERE w.tenant_id = p_tenant AND w.job_id = p_job;
END $$;

-- Queue a running job again, as one whose turn comes by its age.
CREATE FUNCTION genjobs.requeue(
    p_tenant uuid, p_job uuid, p_not_before timestamptz, p_charge integer
) RETURNS void
LANGUAGE sql SET search_path = pg_catalog AS $$
    UPDATE genjobs.jobs SET
        status = 'queued', slot_no = NULL, version = version + 1, charged = charged + p_charge,
        not_before = p_not_before, queue_deadline = p_not_before + queue_timeout
    WHERE tenant_id = p_tenant AND id = p_job;
$$;

-- Whether an execution that holds no slot has ended its attempt in this way: it repeats itself
-- after an answer that was lost. Otherwise it was overtaken.
CREATE FUNCTION genjobs.has_ended(
    p_tenant uuid, p_job uuid, p_attempt integer, p_execution uuid, p_reason text
) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT EXISTS (
        SELECT 1 FROM genjobs.attempts
        WHERE tenant_id = p_tenant AND job_id = p_job AND attempt = p_attempt
          AND execution_id = p_execution AND end_reason = p_reason
    );
$$;

-- p_kind: completed, failed, stopped, or released when the attempt is given back.
CREATE FUNCTION genjobs.end_execution(
    p_tenant uuid, p_job uuid, p_attempt integer, p_execution uuid, p_now timestamptz,
    p_kind text, p_outputs jsonb, p_error jsonb, p_method text, p_stopped_at timestamptz,
    p_gpu_after double precision, p_timings jsonb
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_slot genjobs.slots;
    v_job genjobs.jobs;
    v_kind text := p_kind;
BEGIN
    v_slot := genjobs.lock_slot(p_tenant, p_job);
    IF v_slot.execution_id IS DISTINCT FROM p_execution OR v_slot.attempt <> p_attempt THEN
        RETURN genjobs.has_ended(p_tenant, p_job, p_attempt, p_execution, p_kind);
    END IF;
    v_job := genjobs.lock_job(p_tenant, p_job, v_slot.slot_no);
    PERFORM genjobs.free_slot(v_slot.slot_no);
    PERFORM genjobs.end_attempt(
        p_tenant, p_job, p_attempt, p_now, p_kind, p_kind IN ('completed', 'failed'),
        (p_timings ->> 'gpu_seconds')::double precision);
    IF v_job.cancel_requested_at IS NULL THEN
        IF v_kind IN ('stopped', 'released') THEN
            PERFORM genjobs.requeue(p_tenant, p_job, p_now, 0);
            RETURN true;
        END IF;
    ELSIF v_kind IN ('failed', 'released') THEN
        v_kind := 'stopped';
    END IF;
    UPDATE genjobs.jobs SET
        status = CASE v_kind WHEN 'stopped' THEN 'cancelled' ELSE v_kind END,
        slot_no = NULL,
        version = version + 1,
        finished_at = p_now,
        outputs = CASE v_kind WHEN 'completed' THEN p_outputs ELSE outputs END,
        error = CASE v_kind WHEN 'failed' THEN p_error END,
        timings = p_timings,
        cancel_method = CASE
            WHEN cancel_requested_at IS NULL THEN NULL
            WHEN v_kind = 'completed' THEN 'too_late'
            ELSE coalesce(p_method, 'interrupted')
        END,
        cancel_stopped_at = CASE
            WHEN cancel_requested_at IS NULL OR v_kind = 'completed' THEN NULL
            WHEN p_kind = 'stopped' THEN p_stopped_at
            ELSE p_now
        END,
        cancel_gpu_seconds = CASE
            WHEN cancel_requested_at IS NULL THEN NULL
            -- The worker counts from when it was told; the render may have gone on since the
            -- request, for as long as it held the renderer at all.
            WHEN p_stopped_at IS NULL THEN coalesce(p_gpu_after, 0)
            ELSE greatest(coalesce(p_gpu_after, 0), least(
                coalesce((p_timings ->> 'gpu_seconds')::double precision, 0),
                extract(epoch FROM p_stopped_at - cancel_requested_at)))
        END
    WHERE tenant_id = p_tenant AND id = p_job;
    RETURN true;
END $$;

-- End an attempt that the job cannot help but is charged for, and say where the job goes.
CREATE FUNCTION genjobs.charge_attempt(
    p_job genjobs.jobs, p_now timestamptz, p_reason text, p_max_attempts integer,
    p_backoff interval, p_max_backoff interval, p_error jsonb
) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_status text;
BEGIN
    PERFORM genjobs.end_attempt(
        p_job.tenant_id, p_job.id, p_job.attempt, p_now, p_reason, true, NULL);
    IF p_job.cancel_requested_at IS NULL AND p_job.charged + 1 < p_max_attempts THEN
        PERFORM genjobs.requeue(
            p_job.tenant_id, p_job.id,
            p_now + least(p_backoff * power(2, least(p_job.charged, 20)), p_max_backoff), 1);
        RETURN 'queued';
    END IF;
    v_status := CASE WHEN p_job.cancel_requested_at IS NULL THEN 'failed' ELSE 'cancelled' END;
    UPDATE genjobs.jobs SET
        status = v_status, slot_no = NULL, version = version + 1, charged = charged + 1,
        finished_at = p_now,
        error = CASE v_status WHEN 'failed' THEN p_error END,
        cancel_method = CASE v_status WHEN 'cancelled' THEN 'worker_lost' END
    WHERE tenant_id = p_job.tenant_id AND id = p_job.id;
    RETURN v_status;
END $$;

CREATE FUNCTION genjobs.crash_execution(
    p_tenant uuid, p_job uuid, p_attempt integer, p_execution uuid, p_now timestamptz,
    p_max_attempts integer, p_backoff interval, p_max_backoff interval, p_error jsonb
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_slot genjobs.slots;
    v_job genjobs.jobs;
BEGIN
    v_slot := genjobs.lock_slot(p_tenant, p_job);
    IF v_slot.execution_id IS DISTINCT FROM p_execution OR v_slot.attempt <> p_attempt THEN
        RETURN genjobs.has_ended(p_tenant, p_job, p_attempt, p_execution, 'crashed');
    END IF;
    v_job := genjobs.lock_job(p_tenant, p_job, v_slot.slot_no);
    PERFORM genjobs.free_slot(v_slot.slot_no);
    PERFORM genjobs.charge_attempt(
        v_job, p_now, 'crashed', p_max_attempts, p_backoff, p_max_backoff, p_error);
    RETURN true;
END $$;

