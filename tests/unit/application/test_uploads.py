"""Uploads on fakes: declaring them, jobs that use them, and what nobody needs any more."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta

import pytest

from genjobs.application.create_upload import NewUpload, UploadDeclaration
from genjobs.application.submission import InlineMedia, MediaByUpload, MediaByUrl, Submission
from genjobs.application.sweep import GRACE
from genjobs.domain.errors import (
    GenjobsError,
    InvalidMedia,
    InvalidRequest,
    MediaTypeRefused,
    Unavailable,
    UnknownUpload,
    UploadIncomplete,
    UploadsFull,
)
from genjobs.domain.ids import UploadId, upload_text
from genjobs.domain.job import Job
from genjobs.domain.lifecycle import JobStatus
from genjobs.testing import Harness, a_workflow, open_harness, png_bytes
from genjobs.testing.contracts.artifact_files import stream

PICTURE = png_bytes()
OTHER = png_bytes(rgb=(1, 2, 3))
DAY = timedelta(days=1)
MP3 = b"ID3\x04" + bytes(100)


def declared(
    filename: str = "photo.png", content_type: str = "image/png", length: int = len(PICTURE)
) -> UploadDeclaration:
    return UploadDeclaration(filename=filename, content_type=content_type, bytes=length)


async def uploaded(harness: Harness, content: bytes = PICTURE, user: str = "u_1") -> NewUpload:
    """Declare a file and put it, as its owner does."""
    made = await harness.genjobs.upload(
        harness.genjobs.owner(user), declared(length=len(content) or 1)
    )
    await harness.artifacts.put(made.upload.key, stream(content), content_type="image/png")
    return made


def using(*uploads: NewUpload, key: str | None = None) -> Submission:
    workflow: dict[str, object] = a_workflow()
    for number in range(len(uploads)):
        workflow[f"load{number}"] = {
            "class_type": "LoadImage",
            "inputs": {"image": f"{number}.png"},
        }
    return Submission(
        workflow=workflow,
        media=[
            MediaByUpload(name=f"{number}.png", upload_id=upload_text(made.upload.id))
            for number, made in enumerate(uploads)
        ],
        idempotency_key=key,
    )


async def submit(harness: Harness, *uploads: NewUpload, user: str = "u_1", **parts: str) -> Job:
    return await harness.genjobs.submit(harness.genjobs.owner(user), using(*uploads, **parts))


async def read(harness: Harness, job: Job) -> Job:
    return (await harness.genjobs.get(harness.genjobs.reach("u_1"), job.id)).job


async def contents(harness: Harness, job: Job) -> dict[str, bytes]:
    return {entry.name: harness.artifacts.files[entry.key] for entry in job.inputs}


# -- declaring -------------------------------------------------------------------------------------


async def test_url_and_upload_expire(harness: Harness) -> None:
    made = await harness.genjobs.upload(harness.genjobs.owner("u_1"), declared())
    now = harness.clock.now()
    assert made.url_expires_at == now + timedelta(minutes=15)
    assert made.upload.expires_at == now + DAY
    assert made.upload.key.endswith(upload_text(made.upload.id))
    assert made.put.url.startswith("https://files.test/files/uploads/t/")


@pytest.mark.parametrize(
    ("declaration", "error", "pointer"),
    [
        (declared(length=0), InvalidRequest, "/bytes"),
        (declared(length=-1), InvalidRequest, "/bytes"),
        (declared(length=50 * 1024 * 1024 + 1), InvalidRequest, "/bytes"),
        (declared(content_type="text/html"), MediaTypeRefused, "/content_type"),
        (declared(content_type="image/svg+xml"), MediaTypeRefused, "/content_type"),
        (declared(content_type="image/png; a=b"), MediaTypeRefused, "/content_type"),
        (declared(content_type="image/png\r\nx: y"), MediaTypeRefused, "/content_type"),
        (declared(content_type=""), MediaTypeRefused, "/content_type"),
        (declared("../photo.png"), InvalidMedia, "/filename"),
        (declared("a/b.png"), InvalidMedia, "/filename"),
        (declared("a\\b.png"), InvalidMedia, "/filename"),
        (declared(".."), InvalidMedia, "/filename"),
        (declared(""), InvalidMedia, "/filename"),
        (declared("x" * 129), InvalidMedia, "/filename"),
        (declared("a\x00.png"), InvalidMedia, "/filename"),
        (declared("a\n.png"), InvalidMedia, "/filename"),
        (declared("\ud800.png"), InvalidMedia, "/filename"),
    ],
)
async def test_what_cannot_be_an_upload_is_refused(
    harness: Harness, declaration: UploadDeclaration, error: type[GenjobsError], pointer: str
) -> None:
    with pytest.raises(error) as caught:
        await harness.genjobs.upload(harness.genjobs.owner("u_1"), declaration)
    assert caught.value.pointer == pointer
    assert harness.jobs.uploads == {}


@pytest.mark.parametrize("filename", ["größe 映画 🎬.png", "a'b\"c;%2e.png", "x" * 128, "..."])
async def test_name_is_the_users_own(harness: Harness, filename: str) -> None:
    owner = harness.genjobs.owner("u_1")
    made = await harness.genjobs.upload(owner, declared(filename))
    assert made.upload.filename == filename
    assert filename not in made.put.url


async def test_largest_file_is_as_configured() -> None:
    async with open_harness(max_media_bytes=10) as harness:
        owner = harness.genjobs.owner("u_1")
        await harness.genjobs.upload(owner, declared(length=10))
        with pytest.raises(InvalidRequest):
            await harness.genjobs.upload(owner, declared(length=11))


# -- jobs that use it ------------------------------------------------------------------------------


async def test_job_gets_its_own_copy(harness: Harness) -> None:
    made = await uploaded(harness)
    job = await submit(harness, made, made)
    assert not job.eligible
    assert await harness.ingester.run_due() == 1

    ready = await read(harness, job)
    assert await contents(harness, ready) == {"0.png": PICTURE, "1.png": PICTURE}
    assert made.upload.key not in {entry.key for entry in ready.inputs}
    assert await harness.run_one()
    assert (await read(harness, job)).status is JobStatus.COMPLETED


async def test_upload_serves_beside_other_media(harness: Harness) -> None:
    harness.web.files["https://example.com/a.png"] = OTHER
    made = await uploaded(harness)
    submission = dataclasses.replace(
        using(made),
        media=[
            InlineMedia(name="inline.png", content=OTHER),
            *using(made).media,
            MediaByUrl(name="url.png", url="https://example.com/a.png"),
        ],
    )
    job = await harness.genjobs.submit(harness.genjobs.owner("u_1"), submission)
    assert await harness.ingester.run_due() == 1
    found = await contents(harness, await read(harness, job))
    assert found == {"inline.png": OTHER, "0.png": PICTURE, "url.png": OTHER}


async def test_overwriting_after_the_check_changes_nothing(harness: Harness) -> None:
    made = await uploaded(harness)
    job = await submit(harness, made)
    await harness.ingester.run_due()
    harness.artifacts.files[made.upload.key] = OTHER

    await harness.run_one()
    assert await contents(harness, await read(harness, job)) == {"0.png": PICTURE}


async def test_overwriting_during_the_check_changes_nothing(harness: Harness) -> None:
    """What was inspected is what is stored, whatever the upload is by then."""
    made = await uploaded(harness)
    job = await submit(harness, made)
    inspect = harness.inspector.inspect

    class Overwriting:
        async def inspect(self, path: object) -> object:
            facts = await inspect(path)  # type: ignore[arg-type]
            harness.artifacts.files[made.upload.key] = OTHER
            return facts

    ingest = harness.ingester.ingest
    check = dataclasses.replace(ingest.check, inspector=Overwriting())  # type: ignore[arg-type]
    ingester = dataclasses.replace(
        harness.ingester, ingest=dataclasses.replace(ingest, check=check)
    )
    await ingester.run_due()
    assert harness.artifacts.files[made.upload.key] == OTHER
    assert await contents(harness, await read(harness, job)) == {"0.png": PICTURE}


async def test_what_was_never_put_is_refused_at_submit(harness: Harness) -> None:
    there = await uploaded(harness)
    absent = await harness.genjobs.upload(harness.genjobs.owner("u_1"), declared())
    with pytest.raises(UploadIncomplete) as caught:
        await submit(harness, there, absent)
    assert caught.value.pointer == "/media/1/upload_id"
    assert harness.jobs.rows == {}
    await harness.artifacts.put(absent.upload.key, stream(PICTURE), content_type="image/png")
    await submit(harness, there, absent)


@pytest.mark.parametrize("user", ["u_1", "u_2"])
@pytest.mark.parametrize(
    "upload_id", ["", "upl_", "upl_1", "job_01kb3v9m2xf0wtq7m8e5n4d3rc", "upl_\ud800", "../x"]
)
async def test_what_is_no_id_is_unknown(harness: Harness, user: str, upload_id: str) -> None:
    media = [MediaByUpload(name="a.png", upload_id=upload_id)]
    with pytest.raises(UnknownUpload) as caught:
        await harness.genjobs.submit(
            harness.genjobs.owner(user), Submission(workflow=a_workflow(), media=media)
        )
    assert caught.value.pointer == "/media/0/upload_id"


async def test_foreign_upload_is_answered_like_a_missing_one(harness: Harness) -> None:
    made = await uploaded(harness)
    missing = dataclasses.replace(made.upload, id=UploadId(made.upload.owner.tenant_id))
    messages = []
    for upload in (made, dataclasses.replace(made, upload=missing)):
        with pytest.raises(UnknownUpload) as caught:
            await submit(harness, upload, user="u_2")
        messages.append((caught.value.message, caught.value.pointer))
    assert messages[0] == messages[1]


async def test_store_that_is_away_at_submit_is_no_refusal(harness: Harness) -> None:
    made = await uploaded(harness)
    harness.artifacts.available = False
    job = await submit(harness, made)
    harness.artifacts.available = True
    await harness.ingester.run_due()
    assert (await read(harness, job)).eligible


async def test_replay_looks_at_no_upload(harness: Harness) -> None:
    made = await uploaded(harness)
    job = await submit(harness, made, key="k")
    harness.artifacts.files.clear()
    harness.jobs.uploads.clear()
    assert (await submit(harness, made, key="k")).id == job.id


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "Nothing has been uploaded"),
        (b"", "has not the length"),
        (PICTURE + b"x", "has not the length"),
        (PICTURE[:-1], "has not the length"),
    ],
    ids=["removed", "empty", "longer", "shorter"],
)
async def test_file_that_is_not_as_declared_fails_the_job(
    harness: Harness, content: bytes | None, words: str
) -> None:
    """A store that minds no signed length, or a file that went after the submit."""
    made = await uploaded(harness)
    job = await submit(harness, made)
    if content is None:
        del harness.artifacts.files[made.upload.key]
    else:
        harness.artifacts.files[made.upload.key] = content
    await harness.ingester.run_due()

    failed = await read(harness, job)
    assert failed.error is not None
    assert (failed.status, failed.error.code) == (JobStatus.FAILED, "input_refused")
    assert failed.error.message.startswith("Media entry '0.png': ")
    assert words in failed.error.message
    assert not [key for key in harness.artifacts.files if "job_" in key]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (MP3, "audio/mpeg, but its node input takes image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "of no type that is accepted"),
        (PICTURE[:-20], "broken"),
    ],
)
async def test_content_is_checked_like_a_download(
    harness: Harness, content: bytes, words: str
) -> None:
    """It was declared, and put, as image/png."""
    job = await submit(harness, await uploaded(harness, content))
    await harness.ingester.run_due()
    failed = await read(harness, job)
    assert failed.error is not None
    assert failed.error.code == "input_refused"
    assert words in failed.error.message


async def test_store_that_is_away_delays_the_ingest(harness: Harness) -> None:
    made = await uploaded(harness)
    job = await submit(harness, made)
    away = dataclasses.replace(
        harness.ingester.ingest,
        artifacts=_Away(),  # type: ignore[arg-type]
        rules=dataclasses.replace(harness.ingester.ingest.rules, outage_pause=timedelta()),
    )
    await dataclasses.replace(harness.ingester, ingest=away).run_due()
    assert (await read(harness, job)).status is JobStatus.QUEUED
    await harness.ingester.run_due()
    assert (await read(harness, job)).eligible


class _Away:
    def read(self, *_: object, **__: object) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        @asynccontextmanager
        async def opened() -> AsyncIterator[AsyncIterator[bytes]]:
            raise Unavailable
            yield  # type: ignore[unreachable]

        return opened()

    async def delete_prefix(self, prefix: str) -> int:
        return 0


# -- what nobody needs -----------------------------------------------------------------------------


async def test_unused_uploads_go_with_their_files(harness: Harness) -> None:
    unused, used = await uploaded(harness), await uploaded(harness)
    never = await harness.genjobs.upload(harness.genjobs.owner("u_1"), declared())
    await submit(harness, used)
    assert (await harness.supervisor.tick()).uploads_purged == 0

    harness.clock.advance(DAY)
    assert (await harness.supervisor.tick()).uploads_purged == 2
    assert unused.upload.key not in harness.artifacts.files
    assert used.upload.key in harness.artifacts.files
    assert set(harness.jobs.uploads) == {used.upload.id}
    assert never.upload.id not in harness.jobs.uploads


async def test_used_upload_goes_with_its_last_job(harness: Harness) -> None:
    made = await uploaded(harness)
    job = await submit(harness, made)
    harness.clock.advance(30 * DAY)
    assert (await harness.supervisor.tick()).uploads_purged == 0
    harness.jobs.release_uploads(job.id, harness.clock.now())
    assert (await harness.supervisor.tick()).uploads_purged == 1
    assert made.upload.key not in harness.artifacts.files


async def test_purge_that_died_is_taken_up_again(harness: Harness) -> None:
    made = await uploaded(harness)
    harness.clock.advance(DAY)
    harness.artifacts.available = False
    tick = await harness.supervisor.tick()  # the rest of it is done all the same
    assert tick.uploads_purged == 0
    harness.artifacts.available = True
    assert (await harness.supervisor.tick()).uploads_purged == 0
    assert not await harness.genjobs.create_upload.uploads.find(
        made.upload.owner, [made.upload.id], now=harness.clock.now() - 2 * DAY
    )

    harness.clock.advance(timedelta(minutes=10))
    assert (await harness.supervisor.tick()).uploads_purged == 1
    assert harness.artifacts.files == {}
    assert harness.jobs.uploads == {}


async def test_purge_goes_on_batch_by_batch(harness: Harness) -> None:
    for _ in range(7):
        await uploaded(harness)
    harness.clock.advance(DAY)
    purge = dataclasses.replace(harness.supervisor.purge_uploads, batch=2)
    assert await purge(now=harness.clock.now()) == 7
    assert harness.artifacts.files == {}


async def test_file_that_is_put_late_is_swept(harness: Harness) -> None:
    made = await uploaded(harness)
    harness.clock.advance(DAY)
    await harness.supervisor.tick()
    await harness.artifacts.put(made.upload.key, stream(OTHER), content_type="image/png")
    kept = await uploaded(harness)

    harness.clock.advance(GRACE + timedelta(seconds=1))
    assert (await harness.supervisor.tick()).swept == 1
    assert set(harness.artifacts.files) == {kept.upload.key}


async def test_unused_uploads_are_bounded() -> None:
    async with open_harness(user_limits={"max_uploads": 2}) as harness:
        first = await uploaded(harness)
        await uploaded(harness)
        with pytest.raises(UploadsFull):
            await uploaded(harness)
        await uploaded(harness, user="u_2")
        await submit(harness, first)
        await uploaded(harness)
