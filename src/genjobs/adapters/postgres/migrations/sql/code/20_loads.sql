-- The loads of tenants and users: the one place that writes them. A tenant's row is the lock of its
-- own and its users' rows: whoever writes any of them has locked it before.

-- Lock the loads of one tenant.
CREATE FUNCTION genjobs.lock_load(p_tenant uuid) RETURNS void
LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT FROM genjobs.tenant_load WHERE tenant_id = p_tenant FOR NO KEY UPDATE;
$$;

-- The turn of one who was never served: before all who were, in the order of arrival.
CREATE FUNCTION genjobs.first_turn() RETURNS bigint
LANGUAGE sql AS $$
    SELECT nextval('genjobs.dispatch_turn') - 4611686018427387904;
$$;

-- Let only one transaction at a time lock the loads of several tenants: two could else wait for
-- each other. Whoever locks a single tenant's need not ask.
CREATE FUNCTION genjobs.lock_many_loads() RETURNS void
LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT pg_advisory_xact_lock(x'6c6f616473'::bigint);  -- "loads"
$$;

-- Count a job in and out, its tenant's loads locked before. p_turn: the turn that it used up.
CREATE FUNCTION genjobs.move_load(
    p_tenant uuid, p_user text, p_queued integer, p_ready integer, p_in_flight integer,
    p_turn bigint DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_before boolean;
    v_after boolean;
BEGIN
    UPDATE genjobs.user_load SET
        queued = queued + p_queued, ready = ready + p_ready, in_flight = in_flight + p_in_flight,
        served = coalesce(p_turn, served)
    WHERE tenant_id = p_tenant AND user_id = p_user
    -- What pickable was, told from what is returned: it saves a look at the row before.
    RETURNING pickable, ready - p_ready > 0
        AND (max_in_flight IS NULL OR in_flight - p_in_flight < max_in_flight)
    INTO v_after, v_before;
    UPDATE genjobs.tenant_load SET
        queued = queued + p_queued, in_flight = in_flight + p_in_flight,
        ready_users = ready_users + v_after::integer - v_before::integer,
        served = coalesce(p_turn, served)
    WHERE tenant_id = p_tenant;
END $$;

-- Count unused uploads in and out, the tenant's loads locked before.
CREATE FUNCTION genjobs.move_uploads(p_tenant uuid, p_user text, p_by integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    UPDATE genjobs.user_load SET uploads = uploads + p_by
    WHERE tenant_id = p_tenant AND user_id = p_user;
    UPDATE genjobs.tenant_load SET uploads = uploads + p_by WHERE tenant_id = p_tenant;
END $$;

-- Count bytes that were taken in or delivered, the tenant's loads locked before.
CREATE FUNCTION genjobs.count_bytes(
    p_tenant uuid, p_user text, p_now timestamptz, p_files jsonb
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_day date := (p_now AT TIME ZONE 'UTC')::date;
    v_bytes bigint;
BEGIN
    SELECT sum((f.value ->> 'bytes')::bigint) INTO v_bytes
    FROM jsonb_array_elements(p_files) f;
    IF v_bytes IS NULL THEN
        RETURN;
    END IF;
    -- What a day before yesterday's end delivers late is nobody's today.
    UPDATE genjobs.user_load SET
        jobs_today = CASE WHEN day < v_day THEN 0 ELSE jobs_today END,
        bytes_today = CASE WHEN day < v_day THEN 0 ELSE bytes_today END + v_bytes,
        day = greatest(day, v_day)
    WHERE tenant_id = p_tenant AND user_id = p_user;
    UPDATE genjobs.tenant_load SET
        jobs_today = CASE WHEN day < v_day THEN 0 ELSE jobs_today END,
        bytes_today = CASE WHEN day < v_day THEN 0 ELSE bytes_today END + v_bytes,
        day = greatest(day, v_day)
    WHERE tenant_id = p_tenant;
END $$;

-- Make what follows from its plan take effect on a user's place in line.
CREATE FUNCTION genjobs.weigh_user(
    p_tenant uuid, p_user text, p_plan text, p_limits jsonb
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_before boolean;
    v_after boolean;
BEGIN
    SELECT pickable INTO v_before FROM genjobs.user_load
    WHERE tenant_id = p_tenant AND user_id = p_user;
    UPDATE genjobs.user_load SET
        plan = p_plan,
        weight = (p_limits ->> 'weight')::double precision,
        max_in_flight = (p_limits ->> 'max_in_flight')::integer,
        arrival = '-infinity'  -- of another rate, as in create_job
    WHERE tenant_id = p_tenant AND user_id = p_user
    RETURNING pickable INTO v_after;
    IF v_after <> v_before THEN
        UPDATE genjobs.tenant_load
        SET ready_users = ready_users + v_after::integer - v_before::integer
        WHERE tenant_id = p_tenant;
    END IF;
END $$;

-- Count a tenant's jobs anew, its loads locked before; return how many users' counts were wrong.
-- Nobody should need it: it keeps a defect from holding up a queue.
CREATE FUNCTION genjobs.recount_load(p_tenant uuid) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_wrong integer;
    v_tenant_wrong integer;
BEGIN
    -- Each kind by the index that holds only it, not by a walk of all jobs that the tenant ever had.
    WITH present AS (
        (SELECT j.user_id, 1 AS queued, 0 AS in_flight, 1 AS ready, 0 AS uploads
         FROM genjobs.jobs j
         WHERE j.tenant_id = p_tenant AND j.ready
         -- The order is jobs_user_ready's: it holds this tenant's apart.
         ORDER BY j.tenant_id, j.user_id, j.rank, j.id)
        UNION ALL
        (SELECT j.user_id, 1, 0, 0, 0 FROM genjobs.jobs j
         WHERE j.status = 'queued' AND j.eligible AND j.slot_no IS NULL AND NOT j.ready
           AND j.tenant_id = p_tenant
         -- As above, of jobs_paused.
         ORDER BY j.not_before)
        UNION ALL
        SELECT g.user_id, 1, 0, 0, 0 FROM genjobs.ingests g WHERE g.tenant_id = p_tenant
        UNION ALL
        (SELECT u.user_id, 0, 0, 0, 1 FROM genjobs.uploads u
         WHERE u.tenant_id = p_tenant AND u.state = 'unused'
         -- As above, of uploads_unused.
         ORDER BY u.tenant_id, u.user_id)
        UNION ALL
        -- Each slot looks its own job up: OFFSET keeps a plan from reading all jobs for many slots.
        SELECT j.user_id, 0, 1, 0, 0 FROM genjobs.slots s, LATERAL (
            SELECT o.user_id FROM genjobs.jobs o
            WHERE o.tenant_id = s.tenant_id AND o.id = s.job_id OFFSET 0
        ) j WHERE s.tenant_id = p_tenant
    ), counted AS (
        SELECT p.user_id, sum(p.queued) AS queued, sum(p.in_flight) AS in_flight,
            sum(p.ready) AS ready, sum(p.uploads) AS uploads
        FROM present p GROUP BY p.user_id
    ), mended AS (
        UPDATE genjobs.user_load l SET
            queued = coalesce(c.queued, 0), in_flight = coalesce(c.in_flight, 0),
            ready = coalesce(c.ready, 0), uploads = coalesce(c.uploads, 0)
        FROM genjobs.user_load o LEFT JOIN counted c ON c.user_id = o.user_id
        WHERE o.tenant_id = p_tenant AND l.tenant_id = o.tenant_id AND l.user_id = o.user_id
          AND (l.queued, l.in_flight, l.ready, l.uploads) IS DISTINCT FROM (
            coalesce(c.queued, 0)::integer, coalesce(c.in_flight, 0)::integer,
            coalesce(c.ready, 0)::integer, coalesce(c.uploads, 0)::integer)
        RETURNING 1
    ) SELECT count(*) INTO v_wrong FROM mended;
    UPDATE genjobs.tenant_load t SET
        queued = s.queued, in_flight = s.in_flight, ready_users = s.ready_users,
        uploads = s.uploads
    FROM (
        SELECT coalesce(sum(u.queued), 0)::integer AS queued,
            coalesce(sum(u.in_flight), 0)::integer AS in_flight,
            (count(*) FILTER (WHERE u.pickable))::integer AS ready_users,
            coalesce(sum(u.uploads), 0)::integer AS uploads
        FROM genjobs.user_load u WHERE u.tenant_id = p_tenant
    ) s
    WHERE t.tenant_id = p_tenant
      AND (t.queued, t.in_flight, t.ready_users, t.uploads) IS DISTINCT FROM
        (s.queued, s.in_flight, s.ready_users, s.uploads);
    GET DIAGNOSTICS v_tenant_wrong = ROW_COUNT;
    RETURN v_wrong + v_tenant_wrong;
END $$;
