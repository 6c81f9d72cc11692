-- What the roles may do of retention, erasure and reconciliation; see 70_roles.sql.

-- Workers' role deletes no jobs: drop_tombstones and remove_erased do, by the owner's rights.
GRANT SELECT, INSERT ON genjobs.erasures TO genjobs_api;
GRANT EXECUTE ON FUNCTION
    genjobs.being_erased, genjobs.turned_away, genjobs.begin_erasure, genjobs.get_erasure
TO genjobs_api;

GRANT DELETE ON genjobs.workflows TO genjobs_worker;
GRANT SELECT, UPDATE, DELETE ON genjobs.erasures TO genjobs_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON genjobs.token_cutoffs TO genjobs_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON genjobs.missing_files TO genjobs_worker;
GRANT EXECUTE ON FUNCTION
    genjobs.take_inputs, genjobs.take_ended, genjobs.release_all_uploads, genjobs.inputs_gone,
    genjobs.ended_gone, genjobs.drop_tombstones, genjobs.take_erasures, genjobs.put_off_erasure,
    genjobs.open_jobs, genjobs.cancel_erased, genjobs.jobs_of, genjobs.remove_erased,
    genjobs.remove_keys, genjobs.leave_uploads, genjobs.remove_uploads, genjobs.count_strays,
    genjobs.finish_erasure, genjobs.tidy_erasures, genjobs.take_walk, genjobs.keep_walk,
    genjobs.named_files, genjobs.note_missing, genjobs.give_up_missing, genjobs.found_again
TO genjobs_worker;
