-- Calls: what is kept of an attempt between its dispatch and its start, where an engine is called.

-- End an attempt that nobody started, and queue its job again where it was; not charged. The slot,
-- the tenant's loads and the job are locked before.
CREATE FUNCTION genjobs.take_back(p_job genjobs.jobs, p_now timestamptz, p_reason text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM genjobs.free_slot(p_job.slot_no);
    PERFORM genjobs.end_attempt(
        p_job.tenant_id, p_job.id, p_job.attempt, p_now, p_reason, false, NULL);
    UPDATE genjobs.jobs j SET slot_no = NULL, ready = true, version = j.version + 1
    WHERE j.tenant_id = p_job.tenant_id AND j.id = p_job.id;
    PERFORM genjobs.move_load(p_job.tenant_id, p_job.user_id, 1, 1, -1);
END $$;

-- Keep what the call of an attempt is named; return whether the attempt still is to be run. What a
-- worker that has started it says of itself stays: it knows more.
CREATE FUNCTION genjobs.note_call(
    p_tenant uuid, p_job uuid, p_attempt integer, p_call_id text
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_slot genjobs.slots;
BEGIN
    v_slot := genjobs.lock_slot(p_tenant, p_job);
    IF v_slot.attempt IS DISTINCT FROM p_attempt THEN
        -- Ended; whoever asks for its call later may still want to cancel it.
        UPDATE genjobs.attempts SET call_id = p_call_id
        WHERE tenant_id = p_tenant AND job_id = p_job AND attempt = p_attempt
          AND call_id IS NULL;
        RETURN false;
    END IF;
    IF v_slot.execution_id IS NULL THEN
        UPDATE genjobs.slots SET call_id = p_call_id WHERE slot_no = v_slot.slot_no;
        UPDATE genjobs.attempts SET call_id = p_call_id
        WHERE tenant_id = p_tenant AND job_id = p_job AND attempt = p_attempt;
    END IF;
    RETURN NOT v_slot.cancel_requested;
END $$;

-- Take an attempt back for which nobody could be called; false when somebody has started it.
CREATE FUNCTION genjobs.withdraw(
    p_tenant uuid, p_job uuid, p_attempt integer, p_now timestamptz
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_slot genjobs.slots;
BEGIN
    v_slot := genjobs.lock_slot(p_tenant, p_job);
    IF v_slot.attempt IS DISTINCT FROM p_attempt OR v_slot.execution_id IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM genjobs.lock_load(p_tenant);
    PERFORM genjobs.take_back(
        genjobs.lock_job(p_tenant, p_job, v_slot.slot_no), p_now, 'not_called');
    RETURN true;
END $$;
