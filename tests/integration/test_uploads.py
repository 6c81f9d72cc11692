"""Uploads on real parts: Postgres and both stores, with submits and purges at the same moment."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import asyncpg
import httpx
import pytest

from genjobs.adapters.local.artifact_store import DirectoryArtifactStore
from genjobs.adapters.postgres import (
    PostgresJobLedger,
    PostgresJobStore,
    PostgresSupervision,
    PostgresUploadLedger,
    PostgresUploadStore,
    open_pool,
)
from genjobs.adapters.postgres.pool import Pool, connect_arguments
from genjobs.adapters.r2 import R2ArtifactStore
from genjobs.application.purge_uploads import PurgeUploads
from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import Unavailable, UnknownUpload
from genjobs.domain.ports import ArtifactStore
from genjobs.domain.tenancy import Owner
from genjobs.domain.uploads import Upload
from genjobs.testing import a_new_job, an_owner, an_upload
from genjobs.testing.clock import BEGINNING
from genjobs.testing.contracts.artifact_files import stream
from tests.object_store import Gate
from tests.postgres import Database
from tests.row_checks import ALL_BROKEN

DAY = timedelta(days=1)
DUE = BEGINNING + DAY
BEFORE = DUE - timedelta(seconds=1)


@pytest.fixture(params=["directory", "bucket"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, r2_store: R2ArtifactStore, gate: Gate
) -> ArtifactStore:
    if request.param == "bucket":
        return r2_store
    return DirectoryArtifactStore(tmp_path, signing_key=b"k" * 32, base_url="http://genjobs.test")


@pytest.fixture
async def owners(database: Database) -> Sequence[Owner]:
    owners = [an_owner(f"u_{n}") for n in range(3)]
    for owner in owners:
        await database.make_tenant(owner.tenant_id)
    return owners


@pytest.fixture
async def api(database: Database) -> AsyncIterator[Pool]:
    async with open_pool(database.api) as pool:
        yield pool


@pytest.fixture
async def worker(database: Database) -> AsyncIterator[Pool]:
    async with open_pool(database.worker) as pool:
        yield pool


async def _stored(store: ArtifactStore) -> set[ArtifactKey]:
    return {file.key for file in await store.list_files("", after="", limit=1000)}


async def test_submits_and_purges_at_once_lose_no_file_and_leave_none(
    database: Database,
    owners: Sequence[Owner],
    api: Pool,
    worker: Pool,
    store: ArtifactStore,
) -> None:
    uploads = [an_upload(owners[n % 3], life=DAY) for n in range(48)]
    noting, jobs = PostgresUploadStore(api), PostgresJobStore(api)
    for upload in uploads:
        await noting.create(upload)
        await store.put(upload.key, stream(b"x"), content_type="image/png")
    chance = random.Random(3)
    kept: set[ArtifactKey] = set()

    async def submit(upload: Upload) -> None:
        await asyncio.sleep(chance.random() / 4)
        try:
            await jobs.create(a_new_job(upload.owner, uploads=[upload], at=BEFORE))
        except UnknownUpload:
            return
        kept.add(upload.key)

    purge = PurgeUploads(uploads=PostgresUploadLedger(worker), artifacts=store, batch=4)
    await asyncio.gather(*(submit(upload) for upload in uploads[:8]))
    gone = await asyncio.gather(
        *(purge(now=DUE) for _ in range(3)), *(submit(upload) for upload in uploads[8:40])
    )
    rest = await purge(now=DUE)
    await asyncio.gather(*(submit(upload) for upload in uploads[40:]))
    assert 8 <= len(kept) <= 40  # the first and the last eight met nobody
    assert sum(count or 0 for count in gone) + rest == len(uploads) - len(kept)
    assert await _stored(store) == kept
    [row] = await database.execute(
        "SELECT count(*) AS n, count(*) FILTER (WHERE state = 'used') AS used FROM genjobs.uploads"
    )
    assert (row["n"], row["used"]) == (len(kept), len(kept))
    assert [row["name"] for row in await database.execute(ALL_BROKEN)] == []


async def test_purge_that_ends_anywhere_is_gone_on_with(
    database: Database, owners: Sequence[Owner], api: Pool, worker: Pool, store: ArtifactStore
) -> None:
    uploads = [an_upload(owners[0], life=DAY) for _ in range(6)]
    for upload in uploads:
        await PostgresUploadStore(api).create(upload)
        await store.put(upload.key, stream(b"x"), content_type="image/png")
    ledger = PostgresUploadLedger(worker)

    assert len(await ledger.take(now=DUE, limit=2)) == 2  # and dies before it removes a file
    files = await ledger.take(now=DUE, limit=2)
    await store.delete([file.key for file in files])  # and dies before it forgets them
    purge = PurgeUploads(uploads=ledger, artifacts=store)
    assert await purge(now=DUE) == 2
    assert len(await _stored(store)) == 2
    assert await purge(now=DUE + timedelta(minutes=9)) == 0
    assert await purge(now=DUE + timedelta(minutes=10)) == 4
    assert await _stored(store) == set()
    assert await database.execute("SELECT 1 FROM genjobs.uploads") == []


async def test_upload_whose_job_went_otherwise_is_noticed(
    database: Database, owners: Sequence[Owner], api: Pool, worker: Pool
) -> None:
    upload, stays = (an_upload(owners[0], life=DAY) for _ in range(2))
    ledger, jobs = PostgresUploadLedger(worker), PostgresJobStore(api)
    for item in (upload, stays):
        await PostgresUploadStore(api).create(item)
        await jobs.create(a_new_job(owners[0], uploads=[item]))
    used = await database.execute(
        "SELECT job_id FROM genjobs.upload_uses WHERE upload_id = $1", upload.id
    )
    await database.execute("DELETE FROM genjobs.jobs WHERE id = $1", used[0]["job_id"])

    assert await ledger.take(now=BEGINNING + 29 * DAY, limit=9) == []
    [file] = await ledger.take(now=BEGINNING + 31 * DAY, limit=9)
    assert file.upload_id == upload.id
    await ledger.forget([file])
    found = await PostgresUploadStore(api).find(owners[0], [upload.id, stays.id], now=DUE)
    assert set(found) == {stays.id}


async def test_upload_that_jobs_refer_to_cannot_be_removed(
    database: Database, owners: Sequence[Owner], api: Pool
) -> None:
    """Whatever code forgets to look: the database refuses."""
    upload = an_upload(owners[0])
    await PostgresUploadStore(api).create(upload)
    await PostgresJobStore(api).create(a_new_job(owners[0], uploads=[upload]))
    connection = await asyncpg.connect(**connect_arguments(database.worker))
    try:
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await connection.execute("DELETE FROM genjobs.uploads")
    finally:
        await connection.close()


async def test_database_that_is_away_is_unavailable(closed_port: int) -> None:
    url = f"postgresql+asyncpg://genjobs_api@127.0.0.1:{closed_port}/genjobs"
    upload = an_upload(an_owner())
    async with open_pool(url) as pool:
        store, ledger = PostgresUploadStore(pool), PostgresUploadLedger(pool)
        for call in (
            store.create(upload),
            store.find(upload.owner, [upload.id], now=DUE),
            ledger.take(now=DUE, limit=1),
            ledger.forget([]),
            ledger.orphans([]),
        ):
            with pytest.raises(Unavailable):
                await call


async def test_file_of_a_signed_put_is_read_back_whole(
    r2_store: R2ArtifactStore, gate: Gate, owners: Sequence[Owner]
) -> None:
    """Through one store's URL into the bucket, as a browser would, and out by the port."""
    upload = an_upload(owners[0], length=300_000)
    content = random.Random(5).randbytes(upload.bytes)
    put = r2_store.signed_put(
        upload.key, expires_at=DUE, content_type="image/png", length=upload.bytes
    )
    gate.now = BEGINNING
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.put(put.url, headers=dict(put.headers), content=content)
    assert answer.status_code == 200
    async with r2_store.read(upload.key, length=upload.bytes + 1) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == content


async def test_counts_of_a_user_stay_while_an_upload_is_unused(
    database: Database, owners: Sequence[Owner], api: Pool, worker: Pool
) -> None:
    upload = an_upload(owners[0], life=9 * DAY)
    await PostgresUploadStore(api).create(upload)
    jobs, uploads = PostgresJobLedger(worker, Deadlines()), PostgresUploadLedger(worker)
    assert (await jobs.prune(now=BEGINNING + 8 * DAY, limit=9)).loads == 0

    await uploads.forget(await uploads.take(now=BEGINNING + 9 * DAY, limit=9))
    assert (await jobs.prune(now=BEGINNING + 9 * DAY, limit=9)).loads == 1


async def test_wrong_counts_of_uploads_are_mended(
    database: Database, owners: Sequence[Owner], api: Pool, worker: Pool
) -> None:
    for _ in range(3):
        await PostgresUploadStore(api).create(an_upload(owners[0]))
    supervision = PostgresSupervision(worker, Deadlines())
    assert [await supervision.recount_next() for _ in owners] == [0, 0, 0]
    await database.execute("UPDATE genjobs.user_load SET uploads = 7")
    await database.execute("UPDATE genjobs.tenant_load SET uploads = 9")
    assert sum([await supervision.recount_next() or 0 for _ in owners]) == 4
    assert [row["name"] for row in await database.execute(ALL_BROKEN)] == []
