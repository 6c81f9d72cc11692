"""Erasure and purge on real Postgres: over HTTP, in races, and what is left in which table."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from genjobs.adapters.postgres import (
    PostgresErasureLedger,
    PostgresErasures,
    PostgresJobLedger,
    PostgresJobStore,
    PostgresRetention,
    open_pool,
)
from genjobs.application.erasing import EraseWhatIsAsked
from genjobs.application.purge import PurgeFiles
from genjobs.domain.attempts import Completed
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.erasure import Erased
from genjobs.domain.errors import StaleAttempt, Unavailable, UserBeingErased
from genjobs.domain.ids import ErasureId, ExecutionId
from genjobs.domain.job import Timings
from genjobs.domain.lifecycle import JobStatus
from genjobs.domain.retention import RetentionRules
from genjobs.domain.tenancy import Owner, Reach
from genjobs.testing import FakeClock, MemoryArtifactStore, a_new_job, a_workflow, an_owner
from genjobs.testing.clock import BEGINNING
from genjobs.testing.contracts.artifact_store import stream
from genjobs.testing.contracts.ledger_steps import completed
from tests.postgres import Database
from tests.row_checks import ALL_BROKEN
from tests.worlds import World, postgres_world

_RULES = RetentionRules()
_LEASE = Deadlines().lease
_USER = "u_42@example.com"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    store: PostgresJobStore
    ledger: PostgresJobLedger
    erasures: PostgresErasures
    erasing: PostgresErasureLedger
    retention: PostgresRetention
    owner: Owner
    artifacts: MemoryArtifactStore
    clock: FakeClock

    def erase(self, **parts: Any) -> EraseWhatIsAsked:
        return EraseWhatIsAsked(
            **{
                "artifacts": self.artifacts,
                "erasures": self.erasing,
                "clock": self.clock,
                "settle": _LEASE,
                **parts,
            }
        )

    async def begin(self) -> ErasureId:
        found = await self.erasures.begin_user(self.owner, ErasureId(uuid4()), now=self.clock.now())
        assert found is not None
        return found.id

    async def running(self) -> Any:
        [given] = await self.ledger.dispatch(now=self.clock.now(), limit=1)
        return (
            await self.ledger.start(given, ExecutionId(uuid4()), now=self.clock.now())
        ).execution

    async def ended(self, **parts: Any) -> None:
        """Make a completed job whose files are stored."""
        new = a_new_job(self.owner, inputs=["a.png"], **parts)
        await self.store.create(new)
        execution = await self.running()
        outcome = completed(execution)
        for key in (new.inputs[0].key, outcome.outputs[0].key):
            await self.artifacts.put(key, stream(b"x"), content_type="image/png")
        await self.ledger.finish(execution, outcome, now=self.clock.now())


@pytest.fixture
async def ports(database: Database) -> AsyncIterator[Ports]:
    owner = an_owner(_USER)
    await database.make_tenant(owner.tenant_id)
    async with database.open_pools() as (api, worker):
        clock = FakeClock()
        yield Ports(
            store=PostgresJobStore(api),
            ledger=PostgresJobLedger(worker, Deadlines()),
            erasures=PostgresErasures(api),
            erasing=PostgresErasureLedger(worker, _RULES),
            retention=PostgresRetention(worker, _RULES),
            owner=owner,
            artifacts=MemoryArtifactStore(clock=clock),
            clock=clock,
        )
        assert await database.execute(ALL_BROKEN) == []


# -- over HTTP ------------------------------------------------------------------------------------


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with postgres_world(database) as opened:
        yield opened


async def _tables_that_name(database: Database, text: str) -> set[str]:
    """Return the tables of which some row holds a text, in whatever column."""
    tables = await database.execute(
        "SELECT relname AS name FROM pg_class "
        "WHERE relnamespace = 'genjobs'::regnamespace AND relkind IN ('r', 'p')"
    )
    assert len(tables) > 15
    found = set()
    for table in tables:
        rows = await database.execute(
            f"SELECT 1 FROM genjobs.{table['name']} t WHERE t::text LIKE '%' || $1 || '%' LIMIT 1",
            text,
        )
        if rows:
            found.add(table["name"])
    return found


async def test_no_row_of_any_table_names_the_user_any_more(
    world: World, database: Database
) -> None:
    """Of whatever tables there are, also those of a later version."""
    await world.arrange.set_plan(world.tenants[0], "pro", max_queued=50)
    async with world.client(await world.key("a")) as http:
        body = {"user_id": _USER, "workflow": a_workflow(), "metadata": {"note": "my-secret-note"}}
        for n in range(3):
            headers = {"Idempotency-Key": f"k{n}"}
            made = await http.post("/v1/jobs", json={**body, "plan": "pro"}, headers=headers)
            assert made.status_code == 202
            if n < 2:
                assert await world.run_one()
        urls = [{"name": "a.png", "url": "https://example.com/a.png"}]
        loading = a_workflow() | {"7": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}}
        fetched = await http.post("/v1/jobs", json={**body, "workflow": loading, "media": urls})
        assert fetched.status_code == 202, fetched.text
        file = {"user_id": _USER, "filename": "my-secret-note.png", "content_type": "image/png"}
        uploaded = await http.post("/v1/uploads", json={**file, "bytes": 9})
        assert uploaded.status_code == 201, uploaded.text
        other = {**body, "user_id": "u_other", "metadata": {}}
        kept = (await http.post("/v1/jobs", json=other)).json()
        named = await _tables_that_name(database, _USER)
        assert {"jobs", "idempotency", "user_load", "ingests", "ingest_turns", "uploads"} <= named

        erasure = (await http.delete(f"/v1/users/{_USER}")).headers["Location"]
        await world.supervise_for(_LEASE + timedelta(seconds=10))
        receipt = (await http.get(erasure)).json()
        assert receipt["status"] == "completed", receipt
        assert receipt["erased"] == {
            "jobs": 4, "files": 2, "uploads": 1, "idempotency_keys": 3
        }  # fmt: skip
        assert await _tables_that_name(database, "my-secret-note") == set()
        # Tokens of the user must stay dead until the last of them has expired.
        assert await _tables_that_name(database, _USER) == {"token_cutoffs"}
        world.clock.advance(timedelta(hours=1))
        await world.supervisor.tick()
        assert await _tables_that_name(database, _USER) == set()
        assert (await http.get(kept["urls"]["self"])).status_code == 200
        assert (await http.post("/v1/jobs", json=body)).status_code == 202
    assert await database.execute(ALL_BROKEN) == []


async def test_purge_leaves_a_tombstone_and_then_nothing(world: World, database: Database) -> None:
    async with world.client(await world.key("a")) as http:
        body = {"user_id": _USER, "workflow": a_workflow(), "metadata": {"note": "my-secret-note"}}
        made = (await http.post("/v1/jobs", json={**body, "retention_seconds": 7200})).json()
        assert await world.run_one()
        path = made["urls"]["self"]
        assert await _tables_that_name(database, "my-secret-note") == {"jobs"}
        await world.supervisor.tick()
        world.clock.advance(_RULES.inputs)
        await world.supervisor.tick()
        assert await database.execute("SELECT 1 FROM genjobs.workflows") == []
        assert len(world.artifacts.files) == 1
        world.clock.advance(timedelta(seconds=7200))
        await world.supervisor.tick()
        told = (await http.get(path)).json()
        assert (told["status"], told["outputs"], told["metadata"]) == ("completed", [], {})
        assert told["purged_at"] is not None
        assert world.artifacts.files == {}
        assert await _tables_that_name(database, "my-secret-note") == set()
        world.clock.advance(_RULES.tombstone)
        tick = await world.supervisor.tick()
        assert tick.purged.rows == 1
        assert (await http.get(path)).status_code == 404
        for table in ("jobs", "attempts", "workflows"):
            assert await database.execute(f"SELECT 1 FROM genjobs.{table}") == []


# -- races ----------------------------------------------------------------------------------------


async def test_submits_meet_the_begin_of_an_erasure(ports: Ports) -> None:
    """Each is either refused, or there to be erased; none comes after."""
    chance = random.Random(3)
    for turn in range(4):
        ids = []

        async def submit() -> None:
            new = a_new_job(ports.owner, at=ports.clock.now())
            await asyncio.sleep(chance.uniform(0, 0.02))
            try:
                await ports.store.create(new)
            except UserBeingErased:
                return
            ids.append(new.id)  # noqa: B023

        async def begin() -> ErasureId:
            await asyncio.sleep(chance.uniform(0, 0.02))
            return await ports.begin()

        *_, erasure = await asyncio.gather(*(submit() for _ in range(12)), begin())
        erase = ports.erase()
        await erase()
        await erase()
        ports.clock.advance(_LEASE)
        await erase()
        receipt = await ports.erasures.get(ports.owner.tenant_id, erasure)
        assert receipt is not None
        assert receipt.finished_at is not None, turn
        assert receipt.erased.jobs == len(ids)
        reach = Reach(tenant_id=ports.owner.tenant_id, user_id=None)
        assert [await ports.store.get(reach, job_id) for job_id in ids] == [None] * len(ids)


async def test_finish_start_and_supervisors_meet_an_erasure(
    ports: Ports, database: Database
) -> None:
    chance = random.Random(4)
    for _ in range(6):
        for _ in range(3):
            await ports.store.create(a_new_job(ports.owner, at=ports.clock.now(), inputs=["a"]))
        running = [await ports.running() for _ in range(2)]
        [given] = await ports.ledger.dispatch(now=ports.clock.now(), limit=1)
        erasure = await ports.begin()

        async def finish(execution: Any) -> None:
            await asyncio.sleep(chance.uniform(0, 0.03))
            outcome = Completed(outputs=(), timings=Timings())
            await ports.ledger.finish(execution, outcome, now=ports.clock.now())

        async def start() -> None:
            await asyncio.sleep(chance.uniform(0, 0.03))
            try:
                found = await ports.ledger.start(
                    given,  # noqa: B023
                    ExecutionId(uuid4()),
                    now=ports.clock.now(),
                )
            except StaleAttempt:
                return
            await finish(found.execution)

        await asyncio.gather(
            *(finish(execution) for execution in running), start(), *(ports.erase()() for _ in "ab")
        )
        for _ in range(4):
            ports.clock.advance(_LEASE)
            await asyncio.gather(*(ports.erase()() for _ in "abc"))
        receipt = await ports.erasures.get(ports.owner.tenant_id, erasure)
        assert receipt is not None
        assert receipt.finished_at is not None
        assert receipt.erased.jobs == 3
        assert await database.execute("SELECT 1 FROM genjobs.jobs") == []


async def test_purge_meets_erasure_and_other_purges(ports: Ports) -> None:
    for n in range(12):
        await ports.ended(key=f"k{n}")
    ports.clock.advance(timedelta(days=8))
    erasure = await ports.begin()

    def purge() -> PurgeFiles:
        return PurgeFiles(
            artifacts=ports.artifacts, retention=ports.retention, clock=ports.clock, batch=4
        )

    purged = await asyncio.gather(
        *(purge()() for _ in range(3)), *(ports.erase(batch=5)() for _ in range(2))
    )
    assert sum(part.jobs for part in purged[:3]) <= 12  # type: ignore[union-attr]
    ports.clock.advance(_LEASE)
    for _ in range(3):
        await ports.erase()()
    receipt = await ports.erasures.get(ports.owner.tenant_id, erasure)
    assert receipt is not None
    assert receipt.finished_at is not None
    assert (receipt.erased.jobs, receipt.erased.idempotency_keys) == (12, 12)
    assert ports.artifacts.files == {}


async def test_three_supervisors_purge_each_job_once(ports: Ports) -> None:
    for _ in range(20):
        await ports.ended()
    ports.clock.advance(timedelta(days=8))
    purge = PurgeFiles(
        artifacts=ports.artifacts, retention=ports.retention, clock=ports.clock, batch=3
    )
    purged = await asyncio.gather(*(purge() for _ in range(3)))
    assert sum(part.jobs for part in purged) == 20
    assert ports.artifacts.files == {}


# -- stopped anywhere -----------------------------------------------------------------------------


class _Cut:
    """Stands before a port; the connection is cut at one call, before or after it took effect."""

    def __init__(self, port: object, countdown: list[int], after: bool) -> None:
        self._port, self._countdown, self._after = port, countdown, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*values: Any, **named: Any) -> Any:
            self._countdown[0] -= 1
            if self._countdown[0] == 0 and not self._after:
                raise Unavailable
            result = await method(*values, **named)
            if self._countdown[0] == 0:
                raise Unavailable
            return result

        return call


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_erasure_cut_off_at_any_call_ends_with_the_same_receipt(
    ports: Ports, after: bool
) -> None:
    calls = int(after) - 1  # every other call; the fakes are stopped at each
    while True:
        calls += 2
        await ports.ended(key="k1")
        await ports.ended(key="k2")
        await ports.store.create(a_new_job(ports.owner, at=ports.clock.now(), key="k3"))
        await ports.running()
        await ports.store.create(a_new_job(ports.owner, at=ports.clock.now(), key="k4"))
        erasure = await ports.begin()
        countdown = [calls]
        erase = ports.erase(
            artifacts=_Cut(ports.artifacts, countdown, after),
            erasures=_Cut(ports.erasing, countdown, after),
            batch=2,
        )
        receipt = None
        for look in range(40):
            with contextlib.suppress(Unavailable):
                await erase()
            if look == 3:  # its worker is gone
                far = ports.clock.now() + timedelta(minutes=1)
                await ports.ledger.rescue_lost(now=far, limit=9)
            receipt = await ports.erasures.get(ports.owner.tenant_id, erasure)
            assert receipt is not None
            if receipt.finished_at is not None:
                break
            ports.clock.advance(timedelta(seconds=20))
        assert receipt is not None
        assert receipt.finished_at is not None, calls
        assert receipt.erased == Erased(jobs=4, files=4, idempotency_keys=4), calls
        assert ports.artifacts.files == {}
        if countdown[0] > 0:
            break
    assert calls > 20


async def test_wrong_counts_do_not_outlive_the_user(ports: Ports, database: Database) -> None:
    await ports.ended()
    await database.execute("UPDATE genjobs.user_load SET queued = 3, ready = 1")
    await database.execute("UPDATE genjobs.tenant_load SET queued = 3, ready_users = 1")
    await ports.begin()
    await ports.erase()()
    ports.clock.advance(_LEASE)
    await ports.erase()()
    assert await database.execute("SELECT 1 FROM genjobs.user_load") == []
    [load] = await database.execute("SELECT queued, ready_users FROM genjobs.tenant_load")
    assert tuple(load) == (0, 0)
    created = await ports.store.create(a_new_job(ports.owner, at=ports.clock.now()))
    assert created.job.status is JobStatus.QUEUED


async def test_roles_of_workers_reach_no_other_job(ports: Ports, database: Database) -> None:
    """What runs by the owner's rights does nothing without an erasure that covers it."""
    await ports.ended()
    await ports.store.create(a_new_job(ports.owner))
    rows = await database.execute("SELECT tenant_id, id FROM genjobs.jobs")
    async with open_pool(database.worker) as pool:
        for row in rows:
            await pool.rows(
                "SELECT genjobs.cancel_erased($1, $2, $3, now())",
                *(row["tenant_id"], uuid4(), row["id"]),
            )
            gone = await pool.row(
                "SELECT genjobs.remove_erased($1, $2, ARRAY[$3::uuid], ARRAY[1], now()) AS n",
                *(row["tenant_id"], uuid4(), row["id"]),
            )
            assert gone is not None
            assert gone["n"] == 0
        dropped = await pool.row(
            "SELECT genjobs.drop_tombstones($1, 9) AS n", BEGINNING + timedelta(days=999)
        )
        assert dropped is not None
        assert dropped["n"] == 0
    left = await database.execute("SELECT status FROM genjobs.jobs ORDER BY status")
    assert [row["status"] for row in left] == ["completed", "queued"]
