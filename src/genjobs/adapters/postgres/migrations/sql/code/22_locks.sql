-- Locks and small steps. Every transaction locks in the order slot, loads of the tenant, uploads,
-- turn of an ingest, job; takes the time as a parameter; and runs with the rights of its caller.
-- A job that moved to another slot between two looks raises 40001: the caller tries again.

-- Lock the slot that a job holds, if it holds one; NULL fields when it holds none.
CREATE FUNCTION genjobs.lock_slot(p_tenant uuid, p_job uuid) RETURNS genjobs.slots
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_no integer;
    v_slot genjobs.slots;
BEGIN
    SELECT slot_no INTO v_no FROM genjobs.jobs WHERE tenant_id = p_tenant AND id = p_job;
    IF v_no IS NOT NULL THEN
        SELECT * INTO v_slot FROM genjobs.slots
        WHERE slot_no = v_no AND tenant_id = p_tenant AND job_id = p_job FOR NO KEY UPDATE;
    END IF;
    RETURN v_slot;
END $$;

-- Lock the job after its slot.
CREATE FUNCTION genjobs.lock_job(p_tenant uuid, p_job uuid, p_slot_no integer)
RETURNS genjobs.jobs
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_job genjobs.jobs;
BEGIN
    SELECT * INTO v_job FROM genjobs.jobs
    WHERE tenant_id = p_tenant AND id = p_job FOR NO KEY UPDATE;
    IF v_job.slot_no IS DISTINCT FROM p_slot_no THEN
        RAISE EXCEPTION 'the job moved to another slot' USING ERRCODE = '40001';
    END IF;
    RETURN v_job;
END $$;

CREATE FUNCTION genjobs.free_slot(p_slot_no integer) RETURNS void
LANGUAGE sql SET search_path = pg_catalog AS $$
    UPDATE genjobs.slots SET
        tenant_id = NULL, job_id = NULL, attempt = NULL, execution_id = NULL,
        start_deadline = NULL, lease_expires_at = NULL, cancel_requested = false,
        phase = NULL, progress = NULL, call_id = NULL, terminations = 0, terminate_after = NULL
    WHERE slot_no = p_slot_no;
$$;

CREATE FUNCTION genjobs.end_attempt(
    p_tenant uuid, p_job uuid, p_attempt integer, p_now timestamptz, p_reason text,
    p_charged boolean, p_gpu_seconds double precision
) RETURNS void
LANGUAGE sql SET search_path = pg_catalog AS $$
    UPDATE genjobs.attempts
    SET ended_at = p_now, end_reason = p_reason, charged = p_charged, gpu_seconds = p_gpu_seconds
    WHERE tenant_id = p_tenant AND job_id = p_job AND attempt = p_attempt AND ended_at IS NULL;
$$;

