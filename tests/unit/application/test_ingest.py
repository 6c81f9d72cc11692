"""Submitting media by URL, and fetching them, on fakes."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from genjobs.application.submission import InlineMedia, MediaByUrl, Submission
from genjobs.domain.artifacts import InputFile
from genjobs.domain.attempts import Recorded
from genjobs.domain.errors import (
    DownloadFailed,
    DownloadTooLarge,
    InspectionFailed,
    MediaContentRefused,
    MediaTypeRefused,
    TooManyMedia,
    Unavailable,
    UrlNotAllowed,
)
from genjobs.domain.ids import ExecutionId
from genjobs.domain.ingests import IngestExecution
from genjobs.domain.job import Job
from genjobs.domain.lifecycle import JobStatus
from genjobs.domain.url_policy import UrlPolicy
from genjobs.testing import Harness, MemoryUrlFetcher, a_workflow, open_harness, png_bytes
from genjobs.testing.memory_ingests import MemoryIngestLedger

URL = "https://example.com/photo.png?signature=secret"
GIF = b"GIF89a" + bytes(20)
MP3 = b"ID3\x04" + bytes(100)


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    async with open_harness() as opened:
        yield opened


def loading(*names: str) -> dict[str, object]:
    """Return a workflow that loads the named pictures."""
    workflow: dict[str, object] = a_workflow()
    for number, name in enumerate(names):
        workflow[f"load{number}"] = {"class_type": "LoadImage", "inputs": {"image": name}}
    return workflow


async def submit(harness: Harness, *media: MediaByUrl | InlineMedia, key: str | None = None) -> Job:
    names = [entry.name for entry in media]
    return await harness.genjobs.submit(
        harness.genjobs.owner("u_1"),
        Submission(workflow=loading(*names), media=media, idempotency_key=key),
    )


async def read(harness: Harness, job: Job) -> Job:
    return (await harness.genjobs.get(harness.genjobs.reach("u_1"), job.id)).job


async def test_media_by_url_are_fetched_before_the_job_is_eligible(harness: Harness) -> None:
    harness.web.files[URL] = png_bytes()
    job = await submit(
        harness,
        MediaByUrl(name="photo.png", url=URL),
        InlineMedia(name="mask.png", content=png_bytes(4, 4)),
    )
    assert not job.eligible
    assert not await harness.run_one()

    assert await harness.ingester.run_due() == 1
    ready = await read(harness, job)
    assert ready.eligible
    assert {entry.name: entry.bytes for entry in ready.inputs} == {
        "photo.png": len(png_bytes()),
        "mask.png": len(png_bytes(4, 4)),
    }
    async with harness.artifacts.read(
        next(entry.key for entry in ready.inputs if entry.name == "photo.png")
    ) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == png_bytes()
    assert await harness.run_one()
    assert (await read(harness, job)).status is JobStatus.COMPLETED


async def test_url_is_nowhere_once_it_is_fetched(harness: Harness) -> None:
    harness.web.files[URL] = png_bytes()
    job = await submit(harness, MediaByUrl(name="photo.png", url=URL))
    assert URL not in repr(harness.jobs.rows[job.id])
    await harness.ingester.run_due()
    row = harness.jobs.rows[job.id]
    assert row.ingest is None
    assert "signature" not in repr(row)
    assert all("photo" not in key for key in harness.artifacts.files)


async def test_forbidden_url_is_refused_at_submit_and_names_its_entry(harness: Harness) -> None:
    with pytest.raises(UrlNotAllowed) as caught:
        await submit(
            harness,
            MediaByUrl(name="a.png", url=URL),
            MediaByUrl(name="b.png", url="http://127.0.0.1/b.png"),
        )
    assert caught.value.pointer == "/media/1/url"
    assert harness.jobs.rows == {}


async def test_replay_judges_no_url(harness: Harness) -> None:
    first = await submit(harness, MediaByUrl(name="a.png", url=URL), key="k")

    async def refuse(url: str) -> None:
        raise UrlNotAllowed

    harness.web.judge = refuse  # type: ignore[method-assign]
    again = await submit(harness, MediaByUrl(name="a.png", url=URL), key="k")
    assert again.id == first.id


async def test_url_that_no_database_can_hold_is_refused(harness: Harness) -> None:
    with pytest.raises(UrlNotAllowed) as caught:
        await submit(harness, MediaByUrl(name="a.png", url=f"{URL}\ud800"), key="k")
    assert caught.value.pointer == "/media/0/url"


async def test_number_of_media_is_the_deployments() -> None:
    media = [MediaByUrl(name=f"{n}.png", url=URL) for n in range(12)]
    async with open_harness(max_media=12) as harness:
        assert (await submit(harness, *media)).status is JobStatus.QUEUED
    async with open_harness(max_media=11) as harness:
        with pytest.raises(TooManyMedia, match="at most 11"):
            await submit(harness, *media)


async def test_refused_url_is_named_while_other_names_are_still_looked_up(
    harness: Harness,
) -> None:
    async def judge(url: str) -> None:
        if "inside" in url:
            await asyncio.sleep(0.1)
            raise UrlNotAllowed
        await asyncio.sleep(60)

    harness.web.judge = judge  # type: ignore[method-assign]
    urls = [*(f"https://h{n}.com/a" for n in range(9)), "https://inside.com/a"]
    async with asyncio.timeout(1):
        with pytest.raises(UrlNotAllowed) as caught:
            await submit(harness, *(MediaByUrl(name=f"{n}", url=u) for n, u in enumerate(urls)))
    assert caught.value.pointer == "/media/9/url"


async def test_resolver_that_hangs_is_no_refusal(harness: Harness) -> None:
    async def hang(url: str) -> None:
        await asyncio.sleep(60)

    harness.web.judge = hang  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        job = await submit(harness, *(MediaByUrl(name=f"{n}.png", url=URL) for n in range(10)))
    assert job.status is JobStatus.QUEUED


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"<html>", "input_refused", "no type"),
        (MP3, "input_refused", "audio/mpeg"),
        (UrlNotAllowed(), "input_refused", "may not be fetched"),
        (DownloadTooLarge(), "input_refused", "larger"),
    ],
    ids=["page", "sound for a picture", "rebound", "too large"],
)
async def test_refused_media_end_the_job_at_once(
    harness: Harness, content: bytes | Exception, code: str, words: str
) -> None:
    harness.web.files[URL] = content
    job = await submit(harness, MediaByUrl(name="photo.png", url=URL))
    await harness.ingester.run_due()
    failed = await read(harness, job)
    assert failed.error is not None
    assert failed.error.code == code
    assert "'photo.png'" in failed.error.message
    assert words in failed.error.message
    assert URL not in failed.error.message
    assert list(harness.artifacts.files) == []


async def test_download_is_tried_three_times_with_pauses(harness: Harness) -> None:
    harness.web.files[URL] = DownloadFailed()
    job = await submit(harness, MediaByUrl(name="photo.png", url=URL))
    assert await harness.ingester.run_due() == 1
    assert await harness.ingester.run_due() == 0
    for pause in (5, 10):
        harness.clock.advance(timedelta(seconds=pause))
        assert await harness.ingester.run_due() == 1
    failed = await read(harness, job)
    assert failed.error is not None
    assert (failed.error.code, failed.error.retryable) == ("input_unavailable", True)


async def test_second_try_may_succeed_and_leaves_nothing_of_the_first(harness: Harness) -> None:
    other = "https://example.com/b.png"
    harness.web.files.update({URL: png_bytes(), other: DownloadFailed()})
    job = await submit(
        harness, MediaByUrl(name="a.png", url=URL), MediaByUrl(name="b.png", url=other)
    )
    await harness.ingester.run_due()
    assert list(harness.artifacts.files) == []
    harness.web.files[other] = png_bytes()
    harness.clock.advance(timedelta(seconds=5))
    await harness.ingester.run_due()
    assert (await read(harness, job)).eligible
    assert len(list(harness.artifacts.files)) == 2


async def test_file_that_takes_its_inspector_down_is_tried_three_times(harness: Harness) -> None:
    harness.web.files[URL] = png_bytes()
    harness.inspector.refusals = [InspectionFailed() for _ in range(9)]
    job = await submit(harness, MediaByUrl(name="photo.png", url=URL))
    for pause in (0, 5, 10, 60):
        harness.clock.advance(timedelta(seconds=pause))
        await harness.ingester.run_due()
    failed = await read(harness, job)
    assert failed.error is not None
    assert (failed.error.code, failed.error.retryable) == ("input_unavailable", True)
    assert len(harness.inspector.refusals) == 9 - 3
    assert list(harness.artifacts.files) == []


async def test_file_that_took_its_inspector_down_once_may_be_good(harness: Harness) -> None:
    harness.web.files[URL] = png_bytes()
    harness.inspector.refusals = [InspectionFailed()]
    job = await submit(harness, MediaByUrl(name="photo.png", url=URL))
    await harness.ingester.run_due()
    assert not (await read(harness, job)).eligible
    harness.clock.advance(timedelta(seconds=5))
    await harness.ingester.run_due()
    assert (await read(harness, job)).eligible


async def test_cancelled_job_is_not_fetched(harness: Harness) -> None:
    job = await submit(harness, MediaByUrl(name="photo.png", url=URL))
    await harness.genjobs.cancel(harness.genjobs.reach("u_1"), job.id)
    assert await harness.ingester.run_due() == 0


async def test_cancel_while_it_is_fetched_ends_the_download() -> None:
    async with open_harness(heartbeat_seconds=0.05, lease_seconds=30) as harness:
        entered = asyncio.Event()

        async def hang(*_: object, **__: object) -> int:
            entered.set()
            await asyncio.sleep(60)
            return 0

        harness.web.fetch = hang  # type: ignore[method-assign]
        job = await submit(harness, MediaByUrl(name="photo.png", url=URL))
        fetching = asyncio.create_task(harness.ingester.run_due())
        await entered.wait()
        await harness.genjobs.cancel(harness.genjobs.reach("u_1"), job.id)
        async with asyncio.timeout(5):
            await fetching
        assert (await read(harness, job)).status is JobStatus.CANCELLED


async def test_shutdown_gives_the_claim_back_uncounted(harness: Harness) -> None:
    async def hang(*_: object, **__: object) -> int:
        await asyncio.sleep(60)
        return 0

    harness.web.fetch = hang  # type: ignore[method-assign]
    job = await submit(harness, MediaByUrl(name="photo.png", url=URL))
    stop = asyncio.Event()
    running = asyncio.create_task(harness.ingester.run(stop))
    for _ in range(100):
        await asyncio.sleep(0.01)
        state = harness.jobs.rows[job.id].ingest
        if state is not None and state.execution_id is not None:
            break
    stop.set()
    async with asyncio.timeout(5):
        await running
    state = harness.jobs.rows[job.id].ingest
    assert state is not None
    assert (state.execution_id, state.tries, state.claim) == (None, 0, 1)


async def test_shutdown_while_the_end_is_recorded_keeps_the_files(harness: Harness) -> None:
    """The answer is on its way when the process is told to stop: the job has its files already."""
    recorded, answer = asyncio.Event(), asyncio.Event()

    class SlowAnswer(MemoryIngestLedger):
        async def finish(
            self, execution: IngestExecution, inputs: Sequence[InputFile], *, now: datetime
        ) -> Recorded:
            done = await super().finish(execution, inputs, now=now)
            recorded.set()
            await answer.wait()
            return done

    harness.web.files[URL] = png_bytes()
    job = await submit(harness, MediaByUrl(name="photo.png", url=URL))
    ingest = harness.ingester.ingest
    ledger = SlowAnswer(harness.jobs, ingest.rules)
    [claim] = await ledger.claim(
        [ExecutionId(harness.ingester.ids.uuid4())], now=harness.clock.now()
    )
    running = asyncio.create_task(dataclasses.replace(ingest, ingests=ledger)(claim))
    await recorded.wait()
    running.cancel()
    await asyncio.sleep(0)
    answer.set()
    with pytest.raises(asyncio.CancelledError):
        await running

    ready = await read(harness, job)
    assert ready.eligible
    assert [entry.key for entry in ready.inputs] == list(harness.artifacts.files)


async def test_store_outage_gives_the_claim_back_uncounted(harness: Harness) -> None:
    rules = dataclasses.replace(harness.ingester.ingest.rules, outage_pause=timedelta())
    ingest = dataclasses.replace(harness.ingester.ingest, rules=rules)
    ingester = dataclasses.replace(harness.ingester, ingest=ingest)
    harness.web.files[URL] = Unavailable()
    job = await submit(harness, MediaByUrl(name="photo.png", url=URL))
    for _ in range(5):
        assert await ingester.run_due() == 1
    harness.web.files[URL] = png_bytes()
    await ingester.run_due()
    assert (await read(harness, job)).eligible


async def test_outage_longer_than_the_lease_takes_no_claim(harness: Harness) -> None:
    class AwayFor(MemoryIngestLedger):
        async def finish(
            self, execution: IngestExecution, inputs: Sequence[InputFile], *, now: datetime
        ) -> Recorded:
            if not refused:
                refused.append(now)
                harness.clock.advance(3 * rules.lease)
                raise Unavailable
            return await super().finish(execution, inputs, now=now)

    refused: list[datetime] = []
    harness.web.files[URL] = png_bytes()
    job = await submit(harness, MediaByUrl(name="photo.png", url=URL))
    rules = harness.ingester.ingest.rules
    ledger = AwayFor(harness.jobs, rules)
    ingest = dataclasses.replace(harness.ingester.ingest, ingests=ledger)
    await dataclasses.replace(harness.ingester, ingests=ledger, ingest=ingest).run_due()
    assert (await read(harness, job)).eligible


async def test_end_of_a_fetch_wakes_who_waits_for_jobs(harness: Harness) -> None:
    harness.web.files[URL] = png_bytes()
    job = await submit(harness, MediaByUrl(name="photo.png", url=URL))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(harness.ingester.run(stop))
        group.create_task(harness.worker.run(stop))
        view = await harness.genjobs.wait(
            harness.genjobs.reach("u_1"), job.id, timeout=timedelta(seconds=5)
        )
        stop.set()
    assert view.job.status is JobStatus.COMPLETED


async def test_supervisor_rescues_a_claim_whose_process_died(harness: Harness) -> None:
    harness.web.files[URL] = png_bytes()
    job = await submit(harness, MediaByUrl(name="photo.png", url=URL))
    await harness.ingester.ingests.claim([harness.ingester.ids.uuid4()], now=harness.clock.now())  # type: ignore[list-item]
    ticks = await harness.supervise_for(timedelta(seconds=30))
    assert [(tick.ingests_rescued, tick.ingest_backlog) for tick in ticks[-2:]] == [(0, 1), (1, 1)]
    harness.clock.advance(timedelta(seconds=5))
    await harness.ingester.run_due()
    assert (await read(harness, job)).eligible


async def test_inline_file_that_cannot_be_inspected_may_be_sent_again(harness: Harness) -> None:
    harness.inspector.refusals = [InspectionFailed()]
    entry = InlineMedia(name="a.png", content=png_bytes())
    with pytest.raises(Unavailable):
        await submit(harness, entry)
    assert harness.jobs.rows == {}
    await submit(harness, entry)


async def test_deployment_may_allow_less() -> None:
    async with open_harness(max_media=2, max_media_bytes=50) as harness:
        with pytest.raises(TooManyMedia, match="at most 2"):
            await submit(harness, *(MediaByUrl(name=f"{n}.png", url=URL) for n in range(3)))
        with pytest.raises(MediaContentRefused, match="at most 50"):
            await submit(harness, InlineMedia(name="a.png", content=png_bytes()))
        harness.web.files[URL] = png_bytes()
        job = await submit(harness, MediaByUrl(name="a.png", url=URL))
        await harness.ingester.run_due()
        failed = await read(harness, job)
        assert failed.error is not None
        assert failed.error.code == "input_refused"


async def test_inline_media_are_looked_into_at_submit(harness: Harness) -> None:
    with pytest.raises(MediaTypeRefused) as caught:
        await submit(harness, InlineMedia(name="a.png", content=MP3))
    assert caught.value.pointer == "/media/0/data"
    assert list(harness.artifacts.files) == []


class SlowWeb(MemoryUrlFetcher):
    """Hands files over once it may."""

    def __init__(self, policy: UrlPolicy) -> None:
        super().__init__(policy)
        self.asked, self.may = asyncio.Event(), asyncio.Event()

    async def fetch(self, url: str, *, into: Path, limit: int) -> int:
        self.asked.set()
        await self.may.wait()
        return await super().fetch(url, into=into, limit=limit)


@pytest.mark.parametrize("enough", [True, False])
async def test_told_to_stop_it_takes_nothing_more_and_may_finish_what_it_has(
    harness: Harness, enough: bool
) -> None:
    web = SlowWeb(UrlPolicy())
    web.files[URL] = harness.web.files[URL] = png_bytes()
    ingest = dataclasses.replace(harness.ingester.ingest, fetcher=web)
    ingester = dataclasses.replace(harness.ingester, ingest=ingest)
    job = await submit(harness, MediaByUrl(name="photo.png", url=URL))
    shutdown = asyncio.Event()
    running = asyncio.create_task(ingester.run(shutdown, finish=timedelta(seconds=0.2)))
    await asyncio.wait_for(web.asked.wait(), 5)
    shutdown.set()
    await asyncio.sleep(0.05)
    later = await submit(harness, MediaByUrl(name="photo.png", url=URL))
    if enough:
        web.may.set()
    await asyncio.wait_for(running, 5)

    assert (await read(harness, job)).eligible is enough
    assert not (await read(harness, later)).eligible
    row = harness.jobs.rows[job.id]
    if not enough:  # given back, uncounted
        assert row.ingest is not None
        assert (row.ingest.execution_id, row.ingest.tries) == (None, 0)
