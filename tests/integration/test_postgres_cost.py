"""
What each statement of the hot path touches in a database of 100,000 jobs: rows and index entries.

They are counted by Postgres, not told from plans: so whatever is planned, UPDATEs, triggers and
what functions call included, nothing reads a whole tenant or table, and no sort is of more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from genjobs.adapters.postgres import (
    PostgresCallLedger,
    PostgresErasureLedger,
    PostgresErasures,
    PostgresIngestLedger,
    PostgresJobLedger,
    PostgresJobStore,
    PostgresKeyDirectory,
    PostgresReconciliation,
    PostgresRetention,
    PostgresTenantDirectory,
    PostgresUploadLedger,
    PostgresUploadStore,
    administration,
    migrate,
)
from genjobs.adapters.postgres.pool import connect_arguments, session_arguments
from genjobs.domain.attempts import Assignment, Beat, Execution, Failed
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.erasure import Erasing
from genjobs.domain.ids import ErasureId, ExecutionId, JobId, TenantId
from genjobs.domain.ingests import IngestExecution, IngestRules
from genjobs.domain.job import Idempotency, JobError, JobQuery, Timings
from genjobs.domain.lifecycle import Phase
from genjobs.domain.plans import DefaultLimits
from genjobs.domain.reconciliation import JobPlace
from genjobs.domain.retention import RetentionRules
from genjobs.domain.tenancy import Owner, Reach
from genjobs.domain.uploads import UploadFile
from genjobs.testing import a_new_job, an_upload
from tests.integration.skewed import BIG, LATER, NOW, fill, upload_id
from tests.postgres import Database, fresh_database

_TOUCHED = """
SELECT c.relname, pg_stat_get_xact_tuples_returned(c.oid) AS touched
FROM pg_class c
WHERE c.relnamespace = 'genjobs'::regnamespace AND c.relkind IN ('r', 'i')
  AND c.relname NOT IN ('slots', 'tenants', 'alembic_version')
"""
DAY = timedelta(days=1)
_BIG = TenantId(BIG)
_HUGE_USER = Owner(tenant_id=_BIG, user_id="u_0")
_ERASING = Erasing(id=ErasureId(UUID(int=1)), owner=_HUGE_USER, job_id=None, requested_at=NOW)
_ERROR = JobError(code="node_error", message="No.")


class OneTransaction:
    """Stands in for a pool: everything is one transaction, which is undone."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._connection = connection
        self.store = PostgresJobStore(self)  # type: ignore[arg-type]
        self.ledger = PostgresJobLedger(self, Deadlines())  # type: ignore[arg-type]
        self.calls = PostgresCallLedger(self)  # type: ignore[arg-type]
        self.ingests = PostgresIngestLedger(self, IngestRules())  # type: ignore[arg-type]
        self.retention = PostgresRetention(self, RetentionRules())  # type: ignore[arg-type]
        self.reconciliation = PostgresReconciliation(self)  # type: ignore[arg-type]
        self.erasures = PostgresErasures(self)  # type: ignore[arg-type]
        self.erasing = PostgresErasureLedger(self, RetentionRules())  # type: ignore[arg-type]
        self.keys = PostgresKeyDirectory(self)  # type: ignore[arg-type]
        self.uploads = PostgresUploadStore(self)  # type: ignore[arg-type]
        self.upload_ledger = PostgresUploadLedger(self)  # type: ignore[arg-type]
        self.directory = PostgresTenantDirectory(self, DefaultLimits())  # type: ignore[arg-type]

    async def rows(
        self, statement: str, *values: Any, seconds: float | None = None
    ) -> list[asyncpg.Record]:
        return list(await self._connection.fetch(statement, *values))

    async def row(self, statement: str, *values: Any) -> asyncpg.Record | None:
        return await self._connection.fetchrow(statement, *values)

    async def touched(self) -> dict[str, int]:
        return {row["relname"]: row["touched"] for row in await self.rows(_TOUCHED)}

    async def given(self) -> Assignment:
        [given] = await self.ledger.dispatch(now=NOW, limit=1)
        return given

    async def running(self) -> Execution:
        given = await self.given()
        return (await self.ledger.start(given, ExecutionId(uuid4()), now=NOW)).execution

    async def claimed(self) -> IngestExecution:
        [ingest] = await self.ingests.claim([ExecutionId(uuid4())], now=NOW)
        return ingest.execution

    async def purged(self) -> None:
        due = await self.retention.take_ended(now=NOW + 30 * DAY, limit=20)
        assert await self.retention.ended_gone(due, now=NOW + 30 * DAY) == 20

    async def some_job(self) -> JobId:
        """Return the last in line of the huge queue."""
        row = await self.row(
            "SELECT id FROM genjobs.jobs WHERE tenant_id = $1 AND user_id = 'u_0' AND ready "
            "ORDER BY rank DESC, id DESC LIMIT 1",
            BIG,
        )
        assert row is not None
        return JobId(row["id"])


@pytest.fixture(scope="module")
async def skewed(server: str) -> AsyncIterator[Database]:
    async with fresh_database(server) as database:
        await migrate.upgrade(database.owner)
        await administration.set_window(database.owner, 8)
        await fill(database)
        yield database


Step = Callable[[OneTransaction], Awaitable[Any]]


async def _nothing(_: OneTransaction) -> None:
    return None


_REACH = Reach(tenant_id=_BIG, user_id="u_0")
_TENANT = Reach(tenant_id=_BIG, user_id=None)
_PAGE = JobQuery(limit=20)
_KEY = Idempotency(key="key", fingerprint=b"f" * 32)
_NEW = {"at": NOW, "key": "new"}
#: Two of the 30,000 uploads of the tenant: one that is unused and one that jobs use.
_UPLOADS = [an_upload(_HUGE_USER, upload_id=UUID(upload_id(n)), at=NOW) for n in (10, 11)]

#: What is done before, what is counted, how much it may touch, and as whom.
_API: dict[str, tuple[Step, Step, int]] = {
    "create": (_nothing, lambda t: t.store.create(a_new_job(_HUGE_USER, **_NEW)), 60),
    "create that overtakes": (
        _nothing,
        lambda t: t.store.create(a_new_job(_HUGE_USER, at=NOW, priority=1)),
        60,
    ),
    "create with media": (
        _nothing,
        lambda t: t.store.create(a_new_job(_HUGE_USER, at=NOW, pending=["a.png"])),
        60,
    ),
    "create with uploads": (
        _nothing,
        lambda t: t.store.create(a_new_job(_HUGE_USER, at=NOW, uploads=_UPLOADS)),
        60,
    ),
    "create an upload": (
        _nothing,
        lambda t: t.uploads.create(an_upload(_HUGE_USER, at=NOW)),
        20,
    ),
    "find uploads": (
        _nothing,
        lambda t: t.uploads.find(_HUGE_USER, [item.id for item in _UPLOADS], now=NOW),
        10,
    ),
    # A place in line is counted up to 1,000, and then told as that.
    "get": (OneTransaction.some_job, lambda t, job: t.store.get(_REACH, job), 1100),
    "cancel": (
        OneTransaction.some_job,
        lambda t, job: t.store.request_cancel(_REACH, job, now=NOW),
        100,
    ),
    "list of a user": (_nothing, lambda t: t.store.list_jobs(_REACH, _PAGE), 60),
    "list of a tenant": (_nothing, lambda t: t.store.list_jobs(_TENANT, _PAGE), 60),
    "find submitted": (
        _nothing,
        lambda t: t.store.find_submitted(_HUGE_USER, _KEY, now=NOW),
        10,
    ),
    "usage": (_nothing, lambda t: t.directory.usage(_REACH, now=NOW), 10),
    "standing": (_nothing, lambda t: t.directory.standing(_HUGE_USER), 10),
    "narrowing": (_nothing, lambda t: t.directory.narrowing(_BIG), 10),
    "begin erasure": (
        _nothing,
        lambda t: t.erasures.begin_user(_HUGE_USER, ErasureId(uuid4()), now=NOW),
        60,
    ),
    "find key": (_nothing, lambda t: t.keys.find_key("kt7"), 10),
    "touch keys": (_nothing, lambda t: t.keys.touch({"kt0": (_BIG, NOW)}), 10),
}
_WORKER: dict[str, tuple[Step, Step, int]] = {
    "dispatch": (_nothing, lambda t: t.ledger.dispatch(now=NOW, limit=5), 150),
    # A hundred pauses end at once, each by some looks at its job and its loads.
    "dispatch after pauses": (_nothing, lambda t: t.ledger.dispatch(now=LATER, limit=1), 3000),
    "start": (
        lambda t: t.ledger.dispatch(now=NOW, limit=1),
        lambda t, given: t.ledger.start(given[0], ExecutionId(uuid4()), now=NOW),
        30,
    ),
    "heartbeat": (
        OneTransaction.running,
        lambda t, run: t.ledger.heartbeat(
            [Beat(execution=run, phase=Phase.RENDERING, progress=None)], now=NOW
        ),
        20,
    ),
    "finish": (
        OneTransaction.running,
        lambda t, run: t.ledger.finish(run, Failed(error=_ERROR, timings=Timings()), now=NOW),
        60,
    ),
    "release": (
        OneTransaction.running,
        lambda t, run: t.ledger.release(run, now=NOW),
        60,
    ),
    "crash": (
        OneTransaction.running,
        lambda t, run: t.ledger.crash(run, _ERROR, now=NOW),
        60,
    ),
    "rescue": (
        OneTransaction.running,
        lambda t, _: t.ledger.rescue_lost(now=LATER, limit=5),
        60,
    ),
    "reclaim": (
        lambda t: t.ledger.dispatch(now=NOW, limit=1),
        lambda t, _: t.ledger.reclaim_unstarted(now=LATER, limit=5),
        60,
    ),
    "note a call": (OneTransaction.given, lambda t, given: t.calls.note(given, "call"), 30),
    "withdraw": (OneTransaction.given, lambda t, given: t.calls.withdraw(given, now=NOW), 60),
    "calls": (OneTransaction.given, lambda t, given: t.calls.calls_of([given]), 10),
    "expire": (_nothing, lambda t: t.ledger.expire_queued(now=LATER, limit=5), 400),
    "expire nothing": (_nothing, lambda t: t.ledger.expire_queued(now=NOW, limit=5), 5),
    "prune": (_nothing, lambda t: t.ledger.prune(now=LATER, limit=5), 200),
    # Of the queued 10,000 are counted.
    "overview": (_nothing, lambda t: t.ledger.overview(now=NOW), 13_000),
    "claim": (_nothing, lambda t: t.ingests.claim([ExecutionId(uuid4())], now=NOW), 50),
    "finish ingest": (
        OneTransaction.claimed,
        lambda t, claim: t.ingests.finish(claim, [], now=NOW),
        60,
    ),
    "retry ingest": (
        OneTransaction.claimed,
        lambda t, claim: t.ingests.retry(claim, now=NOW),
        60,
    ),
    "beat of an ingest": (
        OneTransaction.claimed,
        lambda t, claim: t.ingests.heartbeat([claim], now=NOW),
        20,
    ),
    "rescue ingests": (
        OneTransaction.claimed,
        lambda t, _: t.ingests.rescue(now=LATER, limit=5),
        400,
    ),
    "take inputs": (_nothing, lambda t: t.retention.take_inputs(now=LATER, limit=5), 60),
    "take no inputs": (_nothing, lambda t: t.retention.take_inputs(now=NOW - DAY, limit=5), 5),
    "inputs gone": (
        lambda t: t.retention.take_inputs(now=LATER, limit=5),
        lambda t, due: t.retention.inputs_gone(due, now=LATER),
        60,
    ),
    "take ended": (_nothing, lambda t: t.retention.take_ended(now=NOW + 30 * DAY, limit=5), 60),
    "take none ended": (_nothing, lambda t: t.retention.take_ended(now=NOW, limit=5), 5),
    "ended gone": (
        lambda t: t.retention.take_ended(now=NOW + 30 * DAY, limit=5),
        lambda t, due: t.retention.ended_gone(due, now=NOW + 30 * DAY),
        60,
    ),
    "drop tombstones": (
        OneTransaction.purged,
        lambda t, _: t.retention.drop_tombstones(now=NOW + 90 * DAY, limit=5),
        60,
    ),
    "take erasures": (_nothing, lambda t: t.erasing.take(now=NOW, limit=5), 10),
    # Five indexes hold the jobs that have not ended; the pauses of all tenants are looked through.
    "open jobs of a user": (_nothing, lambda t: t.erasing.open_jobs(_ERASING, limit=5), 5000),
    "jobs of a user": (_nothing, lambda t: t.erasing.jobs(_ERASING, limit=5), 60),
    "keys of a user": (_nothing, lambda t: t.erasing.keys_gone(_ERASING, limit=5), 60),
    "uploads of a user": (_nothing, lambda t: t.erasing.uploads(_ERASING, now=NOW, limit=5), 60),
    "files that are named": (
        _nothing,
        lambda t: t.reconciliation.named(JobPlace(tenant_id=_BIG), limit=50),
        120,
    ),
    "missing files": (_nothing, lambda t: t.reconciliation.missing_since(NOW, limit=50), 10),
    "purge uploads": (_nothing, lambda t: t.upload_ledger.take(now=LATER, limit=5), 60),
    "purge no upload": (_nothing, lambda t: t.upload_ledger.take(now=NOW, limit=5), 5),
    "forget uploads": (
        lambda t: t.upload_ledger.take(now=LATER, limit=5),
        lambda t, files: t.upload_ledger.forget(files),
        60,
    ),
    "orphans among uploads": (
        _nothing,
        lambda t: t.upload_ledger.orphans(
            [
                UploadFile(key=item.key, tenant_id=item.owner.tenant_id, upload_id=item.id)
                for item in _UPLOADS
            ]
        ),
        10,
    ),
    "backlog": (_nothing, lambda t: t.ingests.backlog(), 10_000),
}


@pytest.mark.parametrize("mode", ["force_generic_plan", "auto"])
@pytest.mark.parametrize("name", [*_API, *_WORKER])
async def test_touches_no_more_than_it_must(skewed: Database, name: str, mode: str) -> None:
    before, counted, most = (_API | _WORKER)[name]
    url = skewed.api if name in _API else skewed.worker
    connection = await asyncpg.connect(**connect_arguments(url), **session_arguments(url))
    try:
        await connection.execute(f"SET plan_cache_mode = {mode}")
        await connection.execute(f"SET genjobs.tenant = '{BIG}'")
        transaction = connection.transaction()
        await transaction.start()
        under = OneTransaction(connection)
        given = await before(under)
        earlier = await under.touched()
        await (counted(under) if before is _nothing else counted(under, given))  # type: ignore[call-arg]
        later = await under.touched()
        await transaction.rollback()
    finally:
        await asyncio.shield(connection.close())
    touched = {key: later[key] - earlier[key] for key in later if later[key] > earlier[key]}
    assert max(touched.values(), default=0) <= most, touched
