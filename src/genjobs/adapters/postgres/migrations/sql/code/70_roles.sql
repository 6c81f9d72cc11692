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

REVOKE ALL ON ALL SEQUENCES IN SCHEMA genjobs FROM genjobs_api, genjobs_worker;

GRANT SELECT ON genjobs.alembic_version, genjobs.jobs, genjobs.slots, genjobs.job_rows,
    genjobs.job_views, genjobs.attempts, genjobs.ingests, genjobs.ingest_turns,
    genjobs.tenant_load, genjobs.user_load, genjobs.uploads, genjobs.upload_uses
    TO genjobs_api, genjobs_worker;

GRANT SELECT ON genjobs.idempotency, genjobs.tenants, genjobs.plans, genjobs.issuer_keys,
    genjobs.token_cutoffs TO genjobs_api;
-- Not the secrets' digests: those are for find_key, which asks for one id.
GRANT SELECT (id, tenant_id, last_used_at), UPDATE (last_used_at) ON genjobs.api_keys
    TO genjobs_api;
GRANT INSERT ON genjobs.jobs, genjobs.workflows, genjobs.uploads, genjobs.upload_uses
    TO genjobs_api;
GRANT UPDATE (state, expires_at) ON genjobs.uploads TO genjobs_api;
GRANT INSERT, UPDATE ON genjobs.idempotency, genjobs.user_load TO genjobs_api;
GRANT UPDATE ON genjobs.tenant_load TO genjobs_api;
GRANT INSERT, DELETE ON genjobs.ingests TO genjobs_api;
GRANT INSERT, UPDATE, DELETE ON genjobs.ingest_turns TO genjobs_api;
GRANT USAGE ON SEQUENCE genjobs.ingest_turn, genjobs.dispatch_turn TO genjobs_api;
GRANT UPDATE (
    status, finished_at, slot_no, ready, version, cancel_requested_at, cancel_method,
    cancel_stopped_at, cancel_gpu_seconds
) ON genjobs.jobs TO genjobs_api;
GRANT UPDATE (
    tenant_id, job_id, attempt, execution_id, start_deadline, lease_expires_at, cancel_requested,
    phase, progress, call_id, terminations, terminate_after
) ON genjobs.slots TO genjobs_api;
GRANT UPDATE (ended_at, end_reason, charged, gpu_seconds) ON genjobs.attempts TO genjobs_api;
GRANT EXECUTE ON FUNCTION
    genjobs.use_tenant, genjobs.create_job, genjobs.request_cancel, genjobs.get_job,
    genjobs.list_jobs, genjobs.find_submitted, genjobs.usage, genjobs.user_standing,
    genjobs.tenant_narrowing, genjobs.find_key, genjobs.find_issuer_key, genjobs.touch_keys,
    genjobs.ahead, genjobs.tolerance, genjobs.arrival_after, genjobs.refuse,
    genjobs.first_turn, genjobs.lock_load, genjobs.move_load, genjobs.lock_slot,
    genjobs.lock_job, genjobs.free_slot, genjobs.end_attempt, genjobs.lock_turn,
    genjobs.drop_ingest, genjobs.create_upload, genjobs.refuse_upload, genjobs.find_uploads,
    genjobs.lock_uploads, genjobs.use_uploads, genjobs.move_uploads, genjobs.count_bytes,
    genjobs.next_look
TO genjobs_api;

GRANT UPDATE ON genjobs.jobs, genjobs.slots, genjobs.attempts, genjobs.tenant_load
    TO genjobs_worker;
GRANT SELECT, UPDATE ON genjobs.supervision TO genjobs_worker;
GRANT DELETE ON genjobs.slots TO genjobs_worker;
GRANT INSERT ON genjobs.attempts TO genjobs_worker;
GRANT UPDATE, DELETE ON genjobs.ingests, genjobs.ingest_turns, genjobs.user_load, genjobs.uploads
    TO genjobs_worker;
GRANT DELETE ON genjobs.upload_uses TO genjobs_worker;
GRANT SELECT, UPDATE, DELETE ON genjobs.idempotency TO genjobs_worker;
GRANT SELECT ON genjobs.workflows TO genjobs_worker;
GRANT USAGE ON SEQUENCE genjobs.ingest_turn, genjobs.dispatch_turn TO genjobs_worker;
GRANT EXECUTE ON FUNCTION
    genjobs.dispatch, genjobs.end_pauses, genjobs.start_attempt, genjobs.requeue,
    genjobs.has_ended, genjobs.end_execution, genjobs.charge_attempt, genjobs.crash_execution,
    genjobs.claim_ingests, genjobs.lock_claim, genjobs.has_ingested, genjobs.finish_ingest,
    genjobs.fail_ingest, genjobs.settle_ingest, genjobs.rescue_ingests, genjobs.expire_queued,
    genjobs.reclaim_unstarted, genjobs.rescue_lost, genjobs.prune,
    genjobs.lock_many_loads, genjobs.lock_load, genjobs.move_load, genjobs.count_bytes,
    genjobs.recount_load, genjobs.lock_slot, genjobs.lock_job, genjobs.free_slot,
    genjobs.end_attempt, genjobs.lock_turn, genjobs.drop_ingest, genjobs.in_grace,
    genjobs.begin_tick, genjobs.end_tick, genjobs.recount_next, genjobs.pause_dispatch,
    genjobs.resume_dispatch, genjobs.take_sweep, genjobs.keep_sweep, genjobs.lose_attempt,
    genjobs.take_silent, genjobs.end_silent, genjobs.move_uploads, genjobs.release_uploads,
    genjobs.take_uploads, genjobs.forget_uploads, genjobs.next_look,
    genjobs.take_back, genjobs.note_call, genjobs.withdraw
TO genjobs_worker;
