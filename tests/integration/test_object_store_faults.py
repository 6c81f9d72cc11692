"""A store in a bucket that fails in every way a store can, in the middle of everything."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator

import pytest

from genjobs.adapters.r2 import R2ArtifactStore
from genjobs.domain.artifacts import ArtifactKey, input_key, output_key, user_prefix
from genjobs.domain.errors import Unavailable
from genjobs.testing import an_owner
from genjobs.testing.contracts.artifact_files import a_job_id, content_of, stream
from tests.object_store import Fault, Gate, Seen
from tests.object_store.fixtures import BRISK, PART_BYTES

LARGE = bytes(range(256)) * (2 * PART_BYTES // 256 + 9)
#: It was done, and nobody was told.
_UNKNOWN = {Fault.LOSE_ANSWER, Fault.HALF, Fault.TRICKLE}


@pytest.fixture
def key() -> ArtifactKey:
    return input_key(an_owner(), a_job_id(), 0)


async def pieces(content: bytes, size: int = 1024 * 1024) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize(
    "operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"]
)
async def test_one_failure_of_a_large_put_is_made_good(
    brisk_store: R2ArtifactStore, gate: Gate, key: ArtifactKey, operation: str, fault: Fault
) -> None:
    gate.fails(fault, operation, times=1)
    stored = await brisk_store.put(key, pieces(LARGE), content_type="video/mp4")

    assert stored.bytes == len(LARGE)
    assert stored.sha256 == hashlib.sha256(LARGE).hexdigest()
    gate.fault = lambda _: None
    assert await content_of(brisk_store, key) == LARGE
    left = await gate.open_uploads()
    if operation == "CreateMultipartUpload" and fault in _UNKNOWN:
        # Nobody knows the id of what was begun: this is what the bucket's lifecycle rule is for.
        assert left == [key]
    else:
        assert left == []


@pytest.mark.parametrize("fault", Fault)
async def test_one_failure_of_a_small_put_is_made_good(
    brisk_store: R2ArtifactStore, gate: Gate, key: ArtifactKey, fault: Fault
) -> None:
    gate.fails(fault, "PutObject", times=1)
    await brisk_store.put(key, stream(b"content"), content_type="image/png")
    assert await content_of(brisk_store, key) == b"content"


@pytest.mark.parametrize("fault", [Fault.DROP, Fault.HALF, Fault.SILENCE, Fault.BUSY])
async def test_one_failure_of_a_read_is_taken_up_where_it_was(
    brisk_store: R2ArtifactStore, gate: Gate, key: ArtifactKey, fault: Fault
) -> None:
    await brisk_store.put(key, pieces(LARGE), content_type="video/mp4")
    gate.fails(fault, "GetObject", times=1)

    assert await content_of(brisk_store, key) == LARGE
    if fault is Fault.HALF:
        last = gate.seen[-1].headers
        assert last["range"].startswith("bytes=")
        assert last["range"] != "bytes=0-"
        assert "if-match" in last


async def test_file_replaced_under_a_broken_read_is_not_mixed(
    brisk_store: R2ArtifactStore, gate: Gate, key: ArtifactKey
) -> None:
    await brisk_store.put(key, pieces(LARGE), content_type="video/mp4")
    gate.fails(Fault.HALF, "GetObject", times=1)
    async with brisk_store.read(key) as chunks:
        await anext(chunks)
        await brisk_store.put(key, pieces(LARGE[::-1]), content_type="video/mp4")
        with pytest.raises(Unavailable):
            [chunk async for chunk in chunks]


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.DROP, Fault.SILENCE])
async def test_store_that_goes_down_in_mid_part_is_unavailable_soon(
    brisk_store: R2ArtifactStore, gate: Gate, key: ArtifactKey, fault: Fault
) -> None:
    await brisk_store.put(key, stream(b"before"), content_type="video/mp4")
    down = False

    def goes_down(request: Seen) -> Fault | None:
        nonlocal down
        down = down or "partNumber=2" in request.target
        return fault if down else None

    gate.fault = goes_down
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        await brisk_store.put(key, pieces(LARGE), content_type="video/mp4")
    assert time.monotonic() - begun < 2 * BRISK.total + 2  # a part, and the attempt to abort

    gate.fault = lambda _: None
    assert await content_of(brisk_store, key) == b"before"
    await brisk_store.put(key, pieces(LARGE), content_type="video/mp4")
    assert await content_of(brisk_store, key) == LARGE


async def test_parts_are_taken_away_when_only_they_fail(
    brisk_store: R2ArtifactStore, gate: Gate, key: ArtifactKey
) -> None:
    gate.fails(Fault.BUSY, "UploadPart")
    with pytest.raises(Unavailable):
        await brisk_store.put(key, pieces(LARGE), content_type="video/mp4")
    assert await gate.open_uploads() == []
    assert "AbortMultipartUpload" in gate.operations()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0  # or limits of time around it would end as cancels


@pytest.mark.parametrize(
    "operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutObject"]
)
@pytest.mark.parametrize("fault", [Fault.SLOW, Fault.SILENCE])
async def test_put_cancelled_in_the_middle_of_a_request_leaves_nothing_open(
    brisk_store: R2ArtifactStore, gate: Gate, key: ArtifactKey, operation: str, fault: Fault
) -> None:
    reached = asyncio.Event()

    def decide(request: Seen) -> Fault | None:
        if request.operation == operation:
            reached.set()
            return fault
        return None

    gate.fault = decide
    content = b"small" if operation == "PutObject" else LARGE
    task = asyncio.create_task(brisk_store.put(key, pieces(content), content_type="video/mp4"))
    async with asyncio.timeout(10):
        await reached.wait()
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert time.monotonic() - begun < BRISK.grace + 1
    assert await gate.open_uploads() == []
    assert await brisk_store.stat(key) in {None, len(content)}
    seen = await brisk_store.stat(key)
    await asyncio.sleep(0.3)
    assert await brisk_store.stat(key) == seen  # nothing comes after the cancel


async def test_cancel_does_not_wait_for_a_store_that_is_away(
    brisk_store: R2ArtifactStore, gate: Gate, key: ArtifactKey
) -> None:
    gone = asyncio.Event()

    def goes(request: Seen) -> Fault | None:
        if request.operation == "UploadPart":
            gone.set()
        return Fault.SILENCE if gone.is_set() else None

    gate.fault = goes
    task = asyncio.create_task(brisk_store.put(key, pieces(LARGE), content_type="video/mp4"))
    async with asyncio.timeout(10):
        await gone.wait()
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - begun < BRISK.grace + 1


async def test_parts_in_flight_are_few(
    r2_store: R2ArtifactStore, gate: Gate, key: ArtifactKey
) -> None:
    most = 0

    def watch(request: Seen) -> Fault | None:
        nonlocal most
        most = max(most, gate.open)
        return Fault.SLOW if request.operation == "UploadPart" else None

    gate.fault = watch
    await r2_store.put(key, pieces(4 * LARGE), content_type="video/mp4")
    assert most == 4


async def test_reader_that_leaves_early_keeps_no_connection(
    r2_store: R2ArtifactStore, gate: Gate, key: ArtifactKey
) -> None:
    await r2_store.put(key, pieces(LARGE), content_type="video/mp4")
    async with r2_store.read(key) as chunks:
        await anext(chunks)
    async with asyncio.timeout(5):
        while gate.open:
            await asyncio.sleep(0.01)


async def test_thousands_of_files_are_deleted_in_batches(
    r2_store: R2ArtifactStore, gate: Gate
) -> None:
    from moto.s3.models import s3_backends

    owner = an_owner()
    keys = [output_key(owner, a_job_id(), 1, f"out_{index}") for index in range(2100)]
    [backend] = [item for account in s3_backends.values() for item in account.values()]
    for name in [*keys[:2050], "elsewhere"]:
        backend.put_object(gate.place.bucket, name, b"x")

    assert await r2_store.delete_prefix(user_prefix(owner)) == 2050
    assert await gate.keys() == ["elsewhere"]
    operations = gate.operations()
    assert (operations.count("GetBucket"), operations.count("DeleteObjects")) == (3, 3)

    await r2_store.delete(keys)
    assert gate.operations().count("DeleteObjects") == 6
