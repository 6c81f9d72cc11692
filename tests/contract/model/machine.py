"""The state machine that takes steps on a backend and on the model, and compares them."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from genjobs.domain.ids import ExecutionId
from genjobs.domain.limits import IDEMPOTENCY_LIFE
from genjobs.domain.tenancy import Owner, Reach
from genjobs.testing import a_new_job
from tests.contract.model.base import Pick, limits, picks
from tests.contract.model.ingest_rules import IngestSteps
from tests.contract.model.work_rules import WorkRules

_LEAPS = (1, 5, 31, 31, 31, 130, 660, 920, 1900, 90_000, 180_000)
_SWEEPS = ("lost", "expired", "unstarted", "unfetched")


class JobMachine(WorkRules, IngestSteps):
    """Submits, cancels and lets time pass; the other rules are inherited."""

    @rule(
        who=picks,
        priority=st.sampled_from((0, 0, 1, -1)),
        plan=st.sampled_from((None, None, None, None, None, "small", "steady", "daily", "no-such")),
        inputs=st.sampled_from(((), (), ("a.png",))),
        media=st.booleans(),
        seconds=st.sampled_from((1800, 20, 7200)),
        key=st.sampled_from((None, None, "key_1", "key_2")),
        print_=st.sampled_from((b"a" * 32, b"b" * 32)),
    )
    def submit(
        self,
        who: Pick,
        priority: int,
        plan: str | None,
        inputs: tuple[str, ...],
        media: bool,
        seconds: int,
        key: str | None,
        print_: bytes,
    ) -> None:
        model, owner = self.model, who.of(self.owners)
        new = a_new_job(
            owner,
            **{"at": model.now, "priority": priority, "inputs": inputs, "key": key},
            pending=["late.png"] if media else [],
            job_id=self.ids.uuid7(model.now),
            queue_timeout=timedelta(seconds=seconds),
            fingerprint=print_,
        )
        self._submit(dataclasses.replace(new, plan=plan))

    @precondition(lambda self: self.model.jobs)
    @rule(which=picks, reach=st.sampled_from(("own", "own", "tenant", "user", "other")))
    def cancel(self, which: Pick, reach: str) -> None:
        job = self._job(which)
        owner: Owner = job["owner"]
        tenant, user = owner.tenant_id, owner.user_id
        seen = {
            "own": Reach(tenant_id=tenant, user_id=user),
            "tenant": Reach(tenant_id=tenant, user_id=None),
            "user": Reach(tenant_id=tenant, user_id="u_9"),
            "other": Reach(tenant_id=self.tenants[tenant == self.tenants[0]], user_id=user),
        }[reach]
        found = self.run(self.backend.store.request_cancel(seen, job["id"], now=self.model.now))
        if reach in {"user", "other"}:
            assert found is None
            return
        self.model.cancel(job)
        assert found is not None
        self._check_job(found)

    @initialize(who=st.lists(picks, min_size=1, max_size=4), media=st.booleans())
    def begin(self, who: list[Pick], media: bool) -> None:
        self.begin_work(who, media)

    @rule(who=st.lists(picks, min_size=1, max_size=4), media=st.booleans())
    def begin_work(self, who: list[Pick], media: bool) -> None:
        """Go where the interesting places are: jobs that run, media that are fetched."""
        for pick in who:
            self._submit(
                a_new_job(
                    pick.of(self.owners),
                    at=self.model.now,
                    pending=["late.png"] if media else [],
                    job_id=self.ids.uuid7(self.model.now),
                )
            )
        if media:
            self._claim(len(who))
            return
        earlier = len(self.assignments)
        self._dispatch(9)
        for given in self.assignments[earlier:]:
            self._start(given, ExecutionId(self.ids.uuid4()))

    @rule(seconds=st.sampled_from(_LEAPS))
    def wait(self, seconds: int) -> None:
        self.model.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.model.jobs)
    @rule(lost=st.booleans())
    def wait_for_what_is_due(self, lost: bool) -> None:
        """Let leases or pauses run out, and have it seen to."""
        self.model.now += timedelta(seconds=31 if lost else 130)
        self._sweep("lost" if lost else "unfetched", 100)

    @precondition(lambda self: self.model.jobs)
    @rule(what=st.sampled_from((*_SWEEPS, "prune")), limit=limits)
    def supervise(self, what: str, limit: int) -> None:
        if what == "prune":
            self._prune()
        else:
            self._sweep(what, limit)

    @precondition(lambda self: self.model.jobs)
    @rule(limit=limits)
    def purge(self, limit: int) -> None:
        """Look from far ahead, when all that has ended is due; what has not never is."""
        model, retention = self.model, self.backend.retention
        far = model.now + timedelta(days=8)
        ended = {
            job_id for job_id, job in model.jobs.items() if job["finished"] and "purged" not in job
        }
        due = self.run(retention.take_ended(now=far, limit=limit))
        found = {job.job_id for job in due}
        assert len(due) == len(found) == min(limit, len(ended))
        assert found <= ended
        assert self.run(retention.ended_gone(due, now=model.now)) == len(due)
        assert self.run(retention.ended_gone(due, now=model.now)) == 0
        for job_id in found:
            model.jobs[job_id]["purged"] = True
            self.last.pop(job_id, None)
            self._check_job(self._read(model.jobs[job_id]))

    def _sweep(self, what: str, limit: int) -> None:
        ledger, model = self.backend.ledger, self.model
        due = getattr(model, what)()
        swept = self.run(
            {
                "expired": ledger.expire_queued,
                "unstarted": ledger.reclaim_unstarted,
                "lost": ledger.rescue_lost,
                "unfetched": self.backend.ingests.rescue,
            }[what](now=model.now, limit=limit)
        )
        model.swept(swept, due, limit, what)

    def _prune(self) -> None:
        model = self.model
        old = [key for key, entry in model.keys.items() if entry[2] <= model.now - IDEMPOTENCY_LIFE]
        gone = model.forgettable() if self.backend.forgets_users else []
        pruned = self.run(self.backend.ledger.prune(now=model.now, limit=100))
        assert (pruned.keys, pruned.loads) == (len(old), len(gone))
        for key in old:
            del model.keys[key]
        model.forget(gone)
