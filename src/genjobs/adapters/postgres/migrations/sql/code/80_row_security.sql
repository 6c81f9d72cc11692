-- The second wall: whatever a statement forgets to say, the API's role reaches rows of one tenant
-- only, the one that its transaction has named; of none when it has named none. Every table with
-- rows of tenants is walled in, the owner's too (FORCE).
DO $$
DECLARE
    v_policy record;
    v_table record;
    v_named text := 'NULLIF(current_setting(''genjobs.tenant'', true), '''')::uuid';
BEGIN
    FOR v_policy IN
        SELECT tablename, policyname FROM pg_policies WHERE schemaname = 'genjobs'
    LOOP
        EXECUTE format('DROP POLICY %I ON genjobs.%I', v_policy.policyname, v_policy.tablename);
    END LOOP;
    FOR v_table IN
        SELECT c.relname AS name,
            CASE c.relname
                WHEN 'tenants' THEN format('id = %s', v_named)
                -- A free slot is nobody's, and is seen by whoever has just freed it.
                WHEN 'slots' THEN format(
                    'tenant_id = %1$s OR tenant_id IS NULL AND %1$s IS NOT NULL', v_named)
                ELSE format('tenant_id = %s', v_named)
            END AS theirs
        FROM pg_class c
        WHERE c.relnamespace = 'genjobs'::regnamespace AND c.relkind IN ('r', 'p')
          AND c.relname NOT IN ('alembic_version', 'supervision')
    LOOP
        EXECUTE format('ALTER TABLE genjobs.%I ENABLE ROW LEVEL SECURITY', v_table.name);
        EXECUTE format('ALTER TABLE genjobs.%I FORCE ROW LEVEL SECURITY', v_table.name);
        EXECUTE format(
            'CREATE POLICY one_tenant ON genjobs.%1$I TO genjobs_api USING (%2$s) WITH CHECK (%2$s)',
            v_table.name, v_table.theirs);
        EXECUTE format(
            'CREATE POLICY all_tenants ON genjobs.%I TO genjobs_worker, %I '
            'USING (true) WITH CHECK (true)', v_table.name, current_user);
    END LOOP;
    -- Of no tenant, so there is no row of it that the API's role may reach.
    ALTER TABLE genjobs.supervision ENABLE ROW LEVEL SECURITY;
    ALTER TABLE genjobs.supervision FORCE ROW LEVEL SECURITY;
    EXECUTE format(
        'CREATE POLICY not_the_api ON genjobs.supervision TO genjobs_worker, %I '
        'USING (true) WITH CHECK (true)', current_user);
END $$;
