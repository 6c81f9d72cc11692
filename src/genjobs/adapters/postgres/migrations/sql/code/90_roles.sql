-- Two roles besides the owner: the API's owns nothing and may do what its statements do, no more.
-- Names are fixed; a login may be one of them or a member. Roles belong to the whole server, so
-- another database's migration may be making them at this moment.
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['genjobs_api', 'genjobs_worker'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = v_role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN NULL;
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'role % does not exist and may not be created by %', v_role,
                        current_user
                    USING HINT = 'Let an administrator run: CREATE ROLE ' || v_role;
            END;
        END IF;
    END LOOP;
END $$;

-- From nothing: what an earlier version granted is not kept.
REVOKE ALL ON ALL TABLES IN SCHEMA genjobs FROM genjobs_api, genjobs_worker;
REVOKE ALL ON SCHEMA genjobs FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA genjobs FROM PUBLIC;
GRANT USAGE ON SCHEMA genjobs TO genjobs_api, genjobs_worker;

GRANT SELECT ON genjobs.jobs, genjobs.slots, genjobs.job_views, genjobs.idempotency,
    genjobs.alembic_version TO genjobs_api, genjobs_worker;
GRANT SELECT ON genjobs.attempts TO genjobs_api, genjobs_worker;

GRANT INSERT ON genjobs.jobs, genjobs.workflows, genjobs.idempotency TO genjobs_api;
GRANT SELECT, INSERT, DELETE ON genjobs.ingests TO genjobs_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON genjobs.ingest_turns TO genjobs_api;
GRANT USAGE ON SEQUENCE genjobs.ingest_turn TO genjobs_api, genjobs_worker;
GRANT UPDATE (
    status, finished_at, slot_no, version, cancel_requested_at, cancel_method, cancel_stopped_at,
    cancel_gpu_seconds
) ON genjobs.jobs TO genjobs_api;
GRANT UPDATE (
    tenant_id, job_id, attempt, execution_id, start_deadline, lease_expires_at, cancel_requested,
    phase, progress
) ON genjobs.slots TO genjobs_api;
GRANT UPDATE (ended_at, end_reason, charged, gpu_seconds) ON genjobs.attempts TO genjobs_api;
GRANT EXECUTE ON FUNCTION
    genjobs.create_job, genjobs.request_cancel, genjobs.lock_slot, genjobs.lock_job,
    genjobs.free_slot, genjobs.end_attempt, genjobs.lock_turn, genjobs.drop_ingest
TO genjobs_api;

GRANT UPDATE ON genjobs.jobs, genjobs.slots, genjobs.attempts TO genjobs_worker;
GRANT INSERT ON genjobs.attempts TO genjobs_worker;
GRANT SELECT, UPDATE, DELETE ON genjobs.ingests, genjobs.ingest_turns TO genjobs_worker;
GRANT SELECT ON genjobs.workflows TO genjobs_worker;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA genjobs TO genjobs_worker;
REVOKE EXECUTE ON FUNCTION genjobs.create_job, genjobs.request_cancel FROM genjobs_worker;
