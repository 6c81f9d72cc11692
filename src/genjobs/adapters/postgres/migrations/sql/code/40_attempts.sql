-- Attempts: from dispatch to a recorded end.

-- Make jobs whose pause is over count among what may be dispatched; no more than a batch.
CREATE FUNCTION genjobs.end_pauses(p_now timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_due record;
BEGIN
    FOR v_due IN
        SELECT j.tenant_id, j.user_id, j.id FROM genjobs.jobs j
        WHERE j.status = 'queued' AND j.eligible AND j.slot_no IS NULL AND NOT j.ready
          AND j.not_before <= p_now
        ORDER BY j.not_before LIMIT 100
    LOOP
        PERFORM genjobs.lock_load(v_due.tenant_id);
        UPDATE genjobs.jobs j SET ready = true
        WHERE j.tenant_id = v_due.tenant_id AND j.id = v_due.id
          AND j.status = 'queued' AND j.eligible AND j.slot_no IS NULL AND NOT j.ready;
        IF FOUND THEN
            PERFORM genjobs.move_load(v_due.tenant_id, v_due.user_id, 0, 1, 0);
        END IF;
    END LOOP;
END $$;

-- Give free slots to waiting jobs: the tenant with the smallest weighted share, within it the user
-- with the smallest; of equal ones the least recently served; of the user's jobs the most urgent,
-- then the oldest. Who has none ready or is at a cap is not in the index that is walked.
-- Dispatchers take turns. One that passes over what another has locked would report an empty
-- queue, or no free slot, while the other ends without taking them; nobody would look again.
CREATE FUNCTION genjobs.dispatch(p_now timestamptz, p_limit integer, p_start interval)
RETURNS TABLE (tenant_id uuid, user_id text, job_id uuid, attempt integer)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    v_paused boolean;
    v_window integer;
    v_slot integer;
    v_tenant uuid;
    v_user text;
    v_job record;
    v_mended uuid[] := '{}';
BEGIN
    SELECT s.paused_at IS NOT NULL, s.window_size INTO v_paused, v_window FROM genjobs.supervision s;
    IF v_paused THEN
        RETURN;
    END IF;
    -- Whoever has nothing to do waits for nobody. What another has locked still counts as there.
    PERFORM 1 FROM genjobs.jobs j
    WHERE j.status = 'queued' AND j.eligible AND j.slot_no IS NULL AND NOT j.ready
      AND j.not_before <= p_now
    ORDER BY j.not_before LIMIT 1;
    IF FOUND THEN
        PERFORM genjobs.lock_many_loads();
        PERFORM genjobs.end_pauses(p_now);
    END IF;
    PERFORM 1 FROM genjobs.tenant_load l WHERE l.pickable LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM 1 FROM genjobs.slots
    WHERE job_id IS NULL AND (v_window IS NULL OR slot_no <= v_window) LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM genjobs.lock_many_loads();
    -- Looked at again under the lock: once a pause was answered, nothing is given out.
    SELECT s.paused_at IS NOT NULL, s.window_size INTO v_paused, v_window FROM genjobs.supervision s;
    IF v_paused THEN
        RETURN;
    END IF;
    WHILE p_limit > 0 LOOP
        SELECT slot_no INTO v_slot FROM genjobs.slots
        WHERE job_id IS NULL AND (v_window IS NULL OR slot_no <= v_window)
        LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        SELECT l.tenant_id INTO v_tenant FROM genjobs.tenant_load l WHERE l.pickable
        ORDER BY l.share, l.served LIMIT 1 FOR NO KEY UPDATE;
        EXIT WHEN NOT FOUND;
        SELECT l.user_id INTO v_user FROM genjobs.user_load l
        WHERE l.tenant_id = v_tenant AND l.pickable
        ORDER BY l.share, l.served LIMIT 1;
        IF FOUND THEN
            SELECT j.id, j.attempt + 1 AS attempt INTO v_job FROM genjobs.jobs j
            WHERE j.tenant_id = v_tenant AND j.user_id = v_user AND j.ready
            ORDER BY j.rank, j.id LIMIT 1 FOR NO KEY UPDATE;
        END IF;
        IF NOT FOUND THEN  -- a count is wrong: mend it, and look again
            IF v_tenant = ANY (v_mended) THEN
                -- It cannot be mended: one tenant must not hold up the others.
                UPDATE genjobs.tenant_load l SET ready_users = 0 WHERE l.tenant_id = v_tenant;
            ELSE
                PERFORM genjobs.recount_load(v_tenant);
            END IF;
            v_mended := v_mended || v_tenant;
            CONTINUE;
        END IF;
        UPDATE genjobs.slots s SET
            tenant_id = v_tenant, job_id = v_job.id, attempt = v_job.attempt,
            execution_id = NULL, start_deadline = p_now + p_start, lease_expires_at = NULL,
            cancel_requested = false, phase = NULL, progress = NULL
        WHERE s.slot_no = v_slot;
        UPDATE genjobs.jobs j
        SET attempt = v_job.attempt, slot_no = v_slot, ready = false, version = j.version + 1
        WHERE j.tenant_id = v_tenant AND j.id = v_job.id;
        PERFORM genjobs.move_load(
            v_tenant, v_user, -1, -1, 1, nextval('genjobs.dispatch_turn'));
        INSERT INTO genjobs.attempts (tenant_id, job_id, attempt, dispatched_at)
        VALUES (v_tenant, v_job.id, v_job.attempt, p_now);
        tenant_id := v_tenant;
        user_id := v_user;
        job_id := v_job.id;
        attempt := v_job.attempt;
        RETURN NEXT;
        p_limit := p_limit - 1;
    END LOOP;
END $$;

CREATE FUNCTION genjobs.start_attempt(
    p_tenant uuid, p_job uuid, p_attempt integer, p_execution uuid, p_now timestamptz,
    p_lease interval,
    p_call_id text DEFAULT NULL  -- workers of the version before do not say
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
            lease_expires_at = p_now + p_lease, phase = 'preparing',
            call_id = coalesce(p_call_id, call_id)
        WHERE slot_no = v_slot.slot_no;
        UPDATE genjobs.jobs SET
            status = 'running', started_at = coalesce(started_at, p_now), version = version + 1
        WHERE tenant_id = p_tenant AND id = p_job;
        UPDATE genjobs.attempts
        SET execution_id = p_execution, started_at = p_now, call_id = coalesce(p_call_id, call_id)
        WHERE tenant_id = p_tenant AND job_id = p_job AND attempt = p_attempt;
    END IF;
    RETURN QUERY SELECT w.document, v_job.inputs, v_job.run_timeout, v_slot.cancel_requested
    FROM genjobs.workflows w WHERE w.tenant_id = p_tenant AND w.job_id = p_job;
END $$;

-- Queue a job that had a slot again, its turn by its age; at once, or after a pause.
CREATE FUNCTION genjobs.requeue(
    p_tenant uuid, p_user text, p_job uuid, p_now timestamptz, p_pause interval, p_charge integer,
    p_spare integer DEFAULT 0
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_ready boolean := p_pause = interval '0';
BEGIN
    UPDATE genjobs.jobs SET
        status = 'queued', slot_no = NULL, ready = v_ready, version = version + 1,
        charged = charged + p_charge, spared = spared + p_spare, not_before = p_now + p_pause,
        queue_deadline = p_now + p_pause + queue_timeout
    WHERE tenant_id = p_tenant AND id = p_job;
    PERFORM genjobs.move_load(p_tenant, p_user, 1, v_ready::integer, -1);
END $$;

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
    PERFORM genjobs.lock_load(p_tenant);
    v_job := genjobs.lock_job(p_tenant, p_job, v_slot.slot_no);
    PERFORM genjobs.free_slot(v_slot.slot_no);
    PERFORM genjobs.end_attempt(
        p_tenant, p_job, p_attempt, p_now, p_kind, p_kind IN ('completed', 'failed'),
        (p_timings ->> 'gpu_seconds')::double precision);
    IF v_job.cancel_requested_at IS NULL THEN
        IF v_kind IN ('stopped', 'released') THEN
            PERFORM genjobs.requeue(p_tenant, v_job.user_id, p_job, p_now, interval '0', 0);
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
    PERFORM genjobs.move_load(p_tenant, v_job.user_id, 0, 0, -1);
    IF v_kind = 'completed' THEN
        PERFORM genjobs.count_bytes(p_tenant, v_job.user_id, p_now, p_outputs);
    END IF;
    RETURN true;
END $$;

-- End an attempt that failed through no fault of the workflow's, and say where the job goes: queued
-- after a pause that grows, if it has attempts left. Its slot, its tenant's loads and the job are
-- locked before. p_charge: whether it counts against the job; otherwise it is spared.
CREATE FUNCTION genjobs.charge_attempt(
    p_job genjobs.jobs, p_now timestamptz, p_reason text, p_max_attempts integer,
    p_backoff interval, p_max_backoff interval, p_error jsonb, p_charge boolean DEFAULT true,
    p_method text DEFAULT 'worker_lost'
) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_status text;
BEGIN
    PERFORM genjobs.end_attempt(
        p_job.tenant_id, p_job.id, p_job.attempt, p_now, p_reason, p_charge, NULL);
    IF p_job.cancel_requested_at IS NULL
       AND (NOT p_charge OR p_job.charged + 1 < p_max_attempts) THEN
        PERFORM genjobs.requeue(
            p_job.tenant_id, p_job.user_id, p_job.id, p_now,
            least(p_backoff * power(2, least(p_job.charged + p_job.spared, 20)), p_max_backoff),
            p_charge::integer, (NOT p_charge)::integer);
        RETURN 'queued';
    END IF;
    v_status := CASE WHEN p_job.cancel_requested_at IS NULL THEN 'failed' ELSE 'cancelled' END;
    UPDATE genjobs.jobs SET
        status = v_status, slot_no = NULL, version = version + 1,
        charged = charged + p_charge::integer, finished_at = p_now,
        error = CASE v_status WHEN 'failed' THEN p_error END,
        cancel_method = CASE v_status WHEN 'cancelled' THEN p_method END
    WHERE tenant_id = p_job.tenant_id AND id = p_job.id;
    PERFORM genjobs.move_load(p_job.tenant_id, p_job.user_id, 0, 0, -1);
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
    PERFORM genjobs.lock_load(p_tenant);
    v_job := genjobs.lock_job(p_tenant, p_job, v_slot.slot_no);
    PERFORM genjobs.free_slot(v_slot.slot_no);
    PERFORM genjobs.charge_attempt(
        v_job, p_now, 'crashed', p_max_attempts, p_backoff, p_max_backoff, p_error);
    RETURN true;
END $$;

