"""Erasing a user and a job, from the request to the receipt; stopped and gone on with anywhere."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from genjobs.application.erasing import EraseWhatIsAsked
from genjobs.application.submission import InlineMedia, Submission
from genjobs.domain.artifacts import (
    input_key,
    output_key,
    upload_prefix,
    user_prefix,
)
from genjobs.domain.attempts import Recorded
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.erasure import Erased, Erasure
from genjobs.domain.errors import NotFound, Unavailable, UserBeingErased
from genjobs.domain.ids import ExecutionId, JobId
from genjobs.domain.job import Job
from genjobs.domain.lifecycle import JobStatus
from genjobs.testing import Harness, a_workflow, png_bytes
from genjobs.testing.contracts.artifact_store import stream
from genjobs.testing.contracts.ledger_steps import completed

_SETTLE = Deadlines().lease
_TICK = timedelta(seconds=5)


async def _submit(harness: Harness, user: str = "u_1", key: str | None = None) -> Job:
    photo = InlineMedia(name="photo.png", content=png_bytes())
    workflow = a_workflow() | {"7": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}}}
    submission = Submission(workflow=workflow, media=[photo], idempotency_key=key)
    return await harness.genjobs.submit(harness.genjobs.owner(user), submission)


async def _completed(harness: Harness, user: str = "u_1", key: str | None = None) -> Job:
    job = await _submit(harness, user, key)
    assert await harness.run_one()
    return job


async def _receipt(harness: Harness, erasure: Erasure) -> Erasure:
    return await harness.genjobs.erasure(erasure.tenant_id, erasure.id)


def _files(harness: Harness, user: str = "u_1") -> list[str]:
    owner = harness.genjobs.owner(user)
    prefixes = user_prefix(owner), upload_prefix(owner)
    return [key for key in harness.artifacts.files if key.startswith(prefixes)]


async def test_all_that_is_a_users_goes_and_nothing_else(harness: Harness) -> None:
    for n in range(3):
        await _completed(harness, key=f"key {n}")
    waiting = await _submit(harness)
    other = await _completed(harness, "u_2")
    kept = _files(harness, "u_2")
    erasure = await harness.genjobs.erase_user(harness.genjobs.owner("u_1"))
    ticks = await harness.supervise_for(_SETTLE + _TICK)

    receipt = await _receipt(harness, erasure)
    assert receipt.finished_at is not None
    assert receipt.erased == Erased(jobs=4, files=7, idempotency_keys=3)
    assert sum(tick.erased for tick in ticks) == 4
    assert ticks[-1].overview.erased_jobs == 4
    assert _files(harness) == []
    with pytest.raises(NotFound):
        await harness.genjobs.get(harness.genjobs.reach("u_1"), waiting.id)
    assert (await harness.genjobs.list(harness.genjobs.reach("u_1"))).views == []
    assert (_files(harness, "u_2"), len(kept)) == (kept, 2)
    assert (await harness.genjobs.get(harness.genjobs.reach(), other.id)).outputs
    assert (await _submit(harness, key="key 0")).status is JobStatus.QUEUED


async def test_user_without_anything_has_an_empty_receipt(harness: Harness) -> None:
    erasure = await harness.genjobs.erase_user(harness.genjobs.owner("u_never"))
    await harness.supervise_for(_SETTLE + _TICK)
    receipt = await _receipt(harness, erasure)
    assert receipt.finished_at is not None
    assert receipt.erased == Erased()


async def test_submits_are_refused_meanwhile_and_leave_no_file(harness: Harness) -> None:
    await harness.genjobs.erase_user(harness.genjobs.owner("u_1"))
    with pytest.raises(UserBeingErased):
        await _submit(harness)
    assert _files(harness) == []
    await _submit(harness, "u_2")


async def test_files_wait_until_the_running_attempt_has_ended(harness: Harness) -> None:
    job = await _submit(harness)
    [given] = await harness.ledger.dispatch(now=harness.clock.now(), limit=1)
    started = await harness.ledger.start(
        given, ExecutionId(job.id), now=harness.clock.now(), call_id="w"
    )
    erasure = await harness.genjobs.erase_user(harness.genjobs.owner("u_1"))
    await harness.supervisor.tick()
    assert len(_files(harness)) == 1
    assert harness.jobs.rows[job.id].job.cancellation is not None

    # Its output was stored before it heard of the cancel: it comes too late.
    late = output_key(job.owner, job.id, 1, "out_1")
    await harness.artifacts.put(late, stream(b"x"), content_type="image/png")
    outcome = completed(started.execution)
    recorded = await harness.ledger.finish(started.execution, outcome, now=harness.clock.now())
    assert recorded is Recorded.YOURS
    assert len(_files(harness)) == 2
    await harness.supervise_for(_SETTLE + 2 * _TICK)
    assert _files(harness) == []
    receipt = await _receipt(harness, erasure)
    assert receipt.finished_at is not None
    assert receipt.erased == Erased(jobs=1, files=2)
    # A repeat of its finish after a lost answer finds nothing, and puts nothing back.
    again = await harness.ledger.finish(started.execution, outcome, now=harness.clock.now())
    assert again is Recorded.STALE


async def test_late_uploads_of_a_fenced_attempt_are_swept(harness: Harness) -> None:
    job = await _submit(harness)
    [given] = await harness.ledger.dispatch(now=harness.clock.now(), limit=1)
    started = await harness.ledger.start(
        given, ExecutionId(job.id), now=harness.clock.now(), call_id="w"
    )
    erasure = await harness.genjobs.erase_user(harness.genjobs.owner("u_1"))
    # The worker is silent: its lease runs out, the job is cancelled without it.
    while harness.jobs.rows:
        harness.clock.advance(_TICK)
        await harness.supervisor.tick()
    assert (await _receipt(harness, erasure)).finished_at is None
    for n in range(2):  # it still stores what it had rendered
        key = output_key(job.owner, job.id, started.execution.attempt, f"out_{n}")
        await harness.artifacts.put(key, stream(b"x"), content_type="image/png")
    await harness.supervise_for(_SETTLE + 2 * _TICK)
    receipt = await _receipt(harness, erasure)
    assert receipt.finished_at is not None
    assert receipt.erased == Erased(jobs=1, files=3)
    assert _files(harness) == []

    # One that was cut off for longer: the sweep of the whole store finds what no job names.
    await harness.artifacts.put(key, stream(b"x"), content_type="image/png")
    await _submit(harness)  # the user is back, and theirs stays
    await harness.supervise_for(timedelta(0))
    harness.clock.advance(timedelta(hours=2))
    await harness.supervisor.tick()
    assert len(_files(harness)) == 1


async def test_single_job_goes_and_its_user_goes_on(harness: Harness) -> None:
    job = await _completed(harness, key="its")
    beside = await _completed(harness, key="other")
    reach = harness.genjobs.reach("u_1")
    erasure = await harness.genjobs.erase_job(reach, job.id)
    assert (await harness.genjobs.erase_job(reach, job.id)).id == erasure.id
    assert await _submit(harness)
    await harness.supervise_for(_SETTLE + _TICK)
    receipt = await _receipt(harness, erasure)
    assert receipt.erased == Erased(jobs=1, files=2, idempotency_keys=1)
    with pytest.raises(NotFound):
        await harness.genjobs.get(reach, job.id)
    assert (await harness.genjobs.get(reach, beside.id)).outputs
    with pytest.raises(NotFound):
        await harness.genjobs.erase_job(reach, job.id)
    assert (await _submit(harness, key="its")).id != job.id


async def test_store_that_is_away_puts_the_erasure_off(harness: Harness) -> None:
    await _completed(harness)
    erasure = await harness.genjobs.erase_user(harness.genjobs.owner("u_1"))
    harness.artifacts.available = False
    ticks = await harness.supervise_for(2 * _SETTLE)
    assert len(harness.jobs.rows) == 1
    assert ticks[-1].overview.open_erasures == 1
    assert ticks[-1].overview.oldest_erasure_seconds == (2 * _SETTLE).total_seconds()
    harness.artifacts.available = True
    await harness.supervise_for(2 * _TICK)
    assert (await _receipt(harness, erasure)).erased == Erased(jobs=1, files=2)


async def test_many_jobs_take_several_looks(harness: Harness) -> None:
    for _ in range(7):
        await _completed(harness)
    await harness.genjobs.erase_user(harness.genjobs.owner("u_1"))
    erase = dataclasses.replace(harness.supervisor.erase, batch=2)
    assert await erase() == 7
    slow = dataclasses.replace(erase, budget=timedelta(0))
    assert await slow() == 0


# -- stopped at every call ------------------------------------------------------------------------


class _Died(Exception):
    """The process was killed at this call."""


class _Faulty:
    """Stands before a port; raises at the given call, before it or after it took effect."""

    def __init__(self, port: object, countdown: list[int], error: type[Exception], after: bool):
        self._port, self._countdown, self._error, self._after = port, countdown, error, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*values: Any, **named: Any) -> Any:
            self._countdown[0] -= 1
            if self._countdown[0] == 0 and not self._after:
                raise self._error
            result = await method(*values, **named)
            if self._countdown[0] == 0:
                raise self._error
            return result

        return call


async def _filled(harness: Harness) -> tuple[Erasure, Job]:
    for n in range(3):
        await _completed(harness, key=f"key {n}")
    await _submit(harness)
    other = await _completed(harness, "u_2")
    return await harness.genjobs.erase_user(harness.genjobs.owner("u_1")), other


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [_Died, Unavailable])
async def test_erasure_stopped_at_any_call_is_gone_on_with(
    harness: Harness, error: type[Exception], after: bool
) -> None:
    """Whatever call is the last that a supervisor makes, before or after it took effect."""
    calls = 0
    while True:
        calls += 1
        erasure, other = await _filled(harness)
        stray = output_key(harness.genjobs.owner("u_1"), other.id, 5, "out_stray")
        countdown = [calls]
        erase = dataclasses.replace(
            harness.supervisor.erase,
            artifacts=_Faulty(harness.artifacts, countdown, error, after),
            erasures=_Faulty(harness.supervisor.erase.erasures, countdown, error, after),
        )
        reached = await _until_it_ends(harness, erase, erasure)
        receipt = await _receipt(harness, erasure)
        assert receipt.finished_at is not None, calls
        # Whatever was done before is not counted twice, and nothing is forgotten.
        assert receipt.erased == Erased(jobs=4, files=7, idempotency_keys=3), calls
        assert _files(harness) == []
        assert stray not in harness.artifacts.files
        assert len(_files(harness, "u_2")) == 2 * calls
        assert (await harness.genjobs.get(harness.genjobs.reach("u_2"), other.id)).outputs
        if not reached:
            break
    assert calls > 15


async def _until_it_ends(harness: Harness, erase: EraseWhatIsAsked, erasure: Erasure) -> bool:
    """Look again and again, as supervisors do that replace each other; tell if a call failed."""
    failed = False
    for _ in range(40):
        try:
            await erase()
        except (_Died, Unavailable):
            failed = True
        if (await _receipt(harness, erasure)).finished_at is not None:
            break
        harness.clock.advance(2 * _TICK)
    countdown = erase.artifacts._countdown  # type: ignore[attr-defined]
    return failed or countdown[0] <= 0


async def test_two_supervisors_at_once_count_each_thing_once(harness: Harness) -> None:
    erasure, _ = await _filled(harness)
    erase = harness.supervisor.erase
    [erasing] = await erase.erasures.take(now=harness.clock.now(), limit=1)

    class Given:
        """A ledger that gives the same erasure to everybody, as one whose holder is slow."""

        def __getattr__(self, name: str) -> Any:
            return getattr(erase.erasures, name)

        async def take(self, **_: object) -> Sequence[object]:
            return [erasing]

    both = dataclasses.replace(erase, erasures=Given())  # type: ignore[arg-type]
    await asyncio.gather(both(), both(), both())
    harness.clock.advance(_SETTLE)
    await asyncio.gather(both(), both(), both())
    receipt = await _receipt(harness, erasure)
    assert receipt.erased == Erased(jobs=4, files=7, idempotency_keys=3)
    assert receipt.finished_at is not None


async def test_file_of_a_submit_that_was_refused_is_swept(harness: Harness) -> None:
    """A submit stores its inline files first; its process died before it was told of the 409."""
    owner = harness.genjobs.owner("u_1")
    erasure = await harness.genjobs.erase_user(owner)
    unborn = JobId(erasure.id)
    key = input_key(owner, unborn, 0)
    await harness.artifacts.put(key, stream(b"x"), content_type="image/png")
    await harness.supervise_for(_SETTLE + _TICK)
    assert _files(harness) == []
    assert (await _receipt(harness, erasure)).erased == Erased(files=1)
