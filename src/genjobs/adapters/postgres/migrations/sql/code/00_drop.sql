-- The code of the schema is what this version ships, whatever stood there before: everything that
-- holds no data goes and is made anew, in the same transaction as the migrations.
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT p.oid::regprocedure FROM pg_proc p
        WHERE p.pronamespace = 'genjobs'::regnamespace
    LOOP
        EXECUTE format('DROP FUNCTION %s', v_function);
    END LOOP;
END $$;
DROP VIEW IF EXISTS genjobs.job_views, genjobs.job_rows;
DROP TYPE IF EXISTS genjobs.refusal;
