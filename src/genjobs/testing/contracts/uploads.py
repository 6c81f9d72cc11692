"""The contract of ``UploadStore`` and ``UploadLedger``, and of jobs that use uploads."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta
from uuid import uuid4

import pytest

from genjobs.domain.errors import UnknownUpload
from genjobs.domain.ids import ExecutionId, UploadId, upload_text
from genjobs.domain.uploads import Upload, UploadFile
from genjobs.testing.clock import BEGINNING as NOW
from genjobs.testing.contracts.jobs_backend import reach_of
from genjobs.testing.contracts.upload_limits import DAY, UploadLimits
from genjobs.testing.contracts.uploads_backend import UploadsBackend, file_of
from genjobs.testing.factories import a_new_job, an_owner, an_upload

SECOND = timedelta(seconds=1)
#: After which an upload that was not forgotten is returned again.
PAUSE = timedelta(minutes=10)


class UploadsContract(UploadLimits):
    """Needs the fixture ``backend``."""

    # -- whose it is --------------------------------------------------------------------------

    async def test_upload_is_found_as_it_was_declared(self, backend: UploadsBackend) -> None:
        upload = await backend.made(filename="größe 映画.png")
        found = await backend.uploads.find(upload.owner, [upload.id, _unknown()], now=NOW)
        assert found == {upload.id: upload}
        assert await backend.uploads.find(upload.owner, [], now=NOW) == {}

    async def test_upload_is_its_users_alone(self, backend: UploadsBackend) -> None:
        upload = await backend.made()
        for stranger in (backend.jobs.owner("u_2"), backend.jobs.owner(tenant=1)):
            assert await backend.uploads.find(stranger, [upload.id], now=NOW) == {}
            with pytest.raises(UnknownUpload):
                await backend.submit(upload, owner=stranger)
        assert await backend.unused(upload.owner) == (1, 1)

    async def test_unused_upload_is_kept_until_it_expires(self, backend: UploadsBackend) -> None:
        upload = await backend.made(life=DAY)
        assert await backend.has(upload, at=NOW + DAY - SECOND)
        assert not await backend.has(upload, at=NOW + DAY)
        with pytest.raises(UnknownUpload):
            await backend.submit(upload, at=NOW + DAY)
        await backend.submit(upload, at=NOW + DAY - SECOND)

    # -- jobs that use it ---------------------------------------------------------------------

    async def test_job_waits_for_its_uploads(self, backend: UploadsBackend) -> None:
        uploads = [await backend.made() for _ in range(2)]
        created = await backend.submit(*uploads, uploads[0])
        assert not created.job.eligible

        [ingest] = await backend.ingests.claim([ExecutionId(uuid4())], now=NOW)
        named = [(media.url, media.upload) for media in ingest.media]
        assert [url for url, _ in named] == [None] * 3
        assert [(item.id, item.key, item.bytes) for _, item in named if item] == [
            (upload_text(upload.id), upload.key, upload.bytes) for upload in (*uploads, uploads[0])
        ]

    async def test_one_upload_serves_many_jobs(self, backend: UploadsBackend) -> None:
        upload = await backend.made()
        for n in range(3):
            assert not (await backend.submit(upload, at=NOW + n * DAY)).replayed
        assert await backend.has(upload, at=NOW + 30 * DAY)
        assert await backend.unused(upload.owner) == (0, 0)

    async def test_refused_submit_leaves_nothing(self, backend: UploadsBackend) -> None:
        owner = backend.jobs.owner()
        good, gone = await backend.made(), an_upload(owner)
        refused = a_new_job(owner, uploads=[good, gone], key="k")
        with pytest.raises(UnknownUpload) as caught:
            await backend.jobs.store.create(refused)

        assert caught.value.pointer == "/media"
        assert await backend.jobs.store.get(reach_of(owner), refused.id) is None
        assert await backend.unused(owner) == (1, 1)
        usage = (await backend.directory.usage(reach_of(owner), now=NOW)).user
        assert usage is not None
        assert (usage.queued, usage.jobs_today) == (0, 0)
        again = await backend.submit(good, key="k", fingerprint=b"o" * 32)
        assert not again.replayed

    async def test_replay_needs_no_upload_any_more(self, backend: UploadsBackend) -> None:
        upload = await backend.made()
        first = await backend.submit(upload, key="k")
        stranger = an_upload(upload.owner)  # as if it were gone
        again = await backend.submit(stranger, key="k")
        assert (again.replayed, again.job.id) == (True, first.job.id)

    # -- what nobody needs --------------------------------------------------------------------

    async def test_unused_upload_leaves_when_it_expires(self, backend: UploadsBackend) -> None:
        upload, later = await backend.made(life=DAY), await backend.made(life=2 * DAY)
        assert await backend.take(NOW + DAY - SECOND) == set()
        assert await backend.take(NOW + DAY) == {file_of(upload)}

        assert not await backend.has(upload)  # not even for whoever's clock is late
        with pytest.raises(UnknownUpload):
            await backend.submit(upload)
        assert await backend.unused(upload.owner) == (1, 1)
        assert await backend.has(later, at=NOW + DAY)

    async def test_upload_that_left_is_returned_until_it_is_forgotten(
        self, backend: UploadsBackend
    ) -> None:
        upload = await backend.made(life=DAY)
        file, due = file_of(upload), NOW + DAY
        assert await backend.take(due) == {file}
        assert await backend.take(due + PAUSE - SECOND) == set()
        assert await backend.take(due + PAUSE) == {file}
        await backend.ledger.forget([file])
        await backend.ledger.forget([file])
        assert await backend.take(due + 9 * DAY) == set()
        assert await backend.unused(upload.owner) == (0, 0)

    async def test_only_what_left_is_forgotten(self, backend: UploadsBackend) -> None:
        unused, used = await backend.made(), await backend.made()
        await backend.submit(used)
        await backend.ledger.forget([file_of(unused), file_of(used)])
        assert await backend.has(unused)
        assert await backend.has(used)
        await backend.ledger.forget([])

    async def test_upload_stays_with_its_jobs_and_goes_with_the_last(
        self, backend: UploadsBackend
    ) -> None:
        upload = await backend.made(life=DAY)
        first, second = (await backend.submit(upload)).job, (await backend.submit(upload)).job
        await backend.jobs.store.request_cancel(reach_of(first.owner), first.id, now=NOW)
        assert await backend.take(NOW + 30 * DAY) == set()

        await backend.release(first, NOW + 31 * DAY)
        assert await backend.take(NOW + 60 * DAY) == set()
        assert await backend.has(upload, at=NOW + 60 * DAY)
        await backend.release(second, NOW + 61 * DAY)
        assert await backend.take(NOW + 61 * DAY) == {file_of(upload)}
        await backend.ledger.forget([file_of(upload)])

    async def test_upload_goes_with_its_job_before_it_would_have_expired(
        self, backend: UploadsBackend
    ) -> None:
        upload = await backend.made(life=DAY)
        job = (await backend.submit(upload)).job
        await backend.release(job, NOW + SECOND)
        assert await backend.take(NOW + SECOND) == {file_of(upload)}

    async def test_upload_that_is_used_again_in_time_stays(self, backend: UploadsBackend) -> None:
        upload = await backend.made(life=DAY)
        first = (await backend.submit(upload)).job
        await backend.release(first, NOW + DAY)
        await backend.submit(upload, at=NOW + DAY)
        assert await backend.take(NOW + DAY) == set()

    async def test_batch_is_bounded(self, backend: UploadsBackend) -> None:
        uploads = [await backend.made(life=DAY) for _ in range(5)]
        taken = [await backend.take(NOW + DAY, limit=2) for _ in range(3)]
        assert [len(batch) for batch in taken] == [2, 2, 1]
        assert set.union(*taken) == {file_of(upload) for upload in uploads}

    async def test_submit_and_purge_at_once_never_both_have_it(
        self, backend: UploadsBackend
    ) -> None:
        owners = [backend.jobs.owner(f"u_{n % 3}", tenant=n % 2) for n in range(12)]
        uploads = [await backend.made(owner, life=DAY) for owner in owners]
        at = NOW + DAY

        async def submit(upload: Upload) -> set[UploadFile]:
            try:  # by a clock that is a little late
                await backend.submit(upload, owner=upload.owner, at=at - SECOND)
            except UnknownUpload:
                return set()
            return {file_of(upload)}

        submits = [submit(upload) for upload in uploads]
        purges = [backend.take(at, limit=4) for _ in range(4)]
        results = await asyncio.gather(*submits[:6], *purges, *submits[6:])
        submitted = set.union(*results[:6], *results[10:])
        taken = [file for batch in results[6:10] for file in batch]
        assert len(taken) == len(set(taken))
        assert not submitted & set(taken)
        left = await backend.take(at)
        assert submitted | set(taken) | left == {file_of(upload) for upload in uploads}
        for owner in owners:
            assert await backend.unused(owner) == (0, 0)

    # -- files of none ------------------------------------------------------------------------

    async def test_files_of_no_upload_are_orphans(self, backend: UploadsBackend) -> None:
        unused, used, left, forgotten = [await backend.made(life=DAY) for _ in range(4)]
        await backend.submit(used)
        await backend.release((await backend.submit(left)).job, NOW)
        await backend.release((await backend.submit(forgotten)).job, NOW)
        assert await backend.take(NOW) == {file_of(left), file_of(forgotten)}
        await backend.ledger.forget([file_of(forgotten)])
        never, foreign = an_upload(unused.owner), an_upload(an_owner())
        elsewhere = dataclasses.replace(
            file_of(unused), key=an_upload(backend.jobs.owner("u_2"), upload_id=unused.id).key
        )

        files = [file_of(item) for item in (unused, used, left, forgotten, never, foreign)]
        assert await backend.ledger.orphans([*files, elsewhere]) == {
            *(forgotten.key, never.key, elsewhere.key)
        }
        assert await backend.ledger.orphans([]) == frozenset()


def _unknown() -> UploadId:
    return an_upload(an_owner()).id
