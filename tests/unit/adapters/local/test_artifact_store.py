"""The artifact store of one directory: crashes, races, broken disks, planted links."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from genjobs.adapters.local.artifact_store import DirectoryArtifactStore
from genjobs.domain.artifacts import ArtifactKey, job_prefix, user_prefix
from genjobs.domain.errors import ConfigurationError, Unavailable
from genjobs.domain.ids import JobId
from genjobs.testing import SequentialIds, an_owner
from genjobs.testing.clock import BEGINNING

OWNER = an_owner()
JOB = JobId(SequentialIds().uuid7(BEGINNING))
KEY = ArtifactKey(f"{job_prefix(OWNER, JOB)}input_0")
MIB = 1024 * 1024


def open_store(root: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(root, signing_key=b"k" * 32, base_url="http://genjobs.test")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def store(root: Path) -> DirectoryArtifactStore:
    return open_store(root)


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def put(store: DirectoryArtifactStore, key: ArtifactKey, *chunks: bytes) -> None:
    await store.put(key, stream(*chunks), content_type="image/png")


async def content(store: DirectoryArtifactStore, key: ArtifactKey, **part: int) -> bytes:
    async with store.read(key, **part) as chunks:
        return b"".join([chunk async for chunk in chunks])


def incoming(root: Path) -> list[Path]:
    return list((root / ".writing").iterdir())


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class Held:
    """Stands in for a function of ``os``: holds the calling thread until released."""

    def __init__(self, real: Callable[..., Any]) -> None:
        self._real = real
        self.entered = threading.Event()
        self.release = threading.Event()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.entered.set()
        assert self.release.wait(20)
        return self._real(*args, **kwargs)


# -- whole or not at all ------------------------------------------------------------------------


async def test_failed_and_cancelled_puts_leave_no_trace_and_no_descriptor(
    store: DirectoryArtifactStore, root: Path
) -> None:
    async def broken(*, stall: asyncio.Event | None) -> AsyncIterator[bytes]:
        yield b"x" * (2 * MIB)
        if stall is None:
            raise ConnectionError("the source went away")
        stall.set()
        await asyncio.Event().wait()

    await put(store, KEY, b"warm")  # the executor's and the loop's own descriptors are open now
    await store.delete([KEY])
    before = open_descriptors()
    with pytest.raises(ConnectionError):
        await store.put(KEY, broken(stall=None), content_type="image/png")
    reached = asyncio.Event()
    task = asyncio.create_task(store.put(KEY, broken(stall=reached), content_type="image/png"))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert files(root) == []
    assert open_descriptors() == before


@pytest.mark.parametrize("repeats", [1, 3])
async def test_put_cancelled_while_it_flushes_ends_after_the_disk_and_stores_nothing(
    store: DirectoryArtifactStore, root: Path, monkeypatch: pytest.MonkeyPatch, repeats: int
) -> None:
    held = Held(os.fsync)
    monkeypatch.setattr(os, "fsync", held)
    task = asyncio.create_task(put(store, KEY, b"content"))
    await asyncio.to_thread(held.entered.wait, 20)
    for _ in range(repeats):
        task.cancel()
        await asyncio.sleep(0)
    still_waiting = not task.done()
    held.release.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert still_waiting, "whoever cancelled could have removed the prefix too early"
    assert files(root) == []


@pytest.mark.parametrize("already_there", [False, True])
async def test_killed_writer_leaves_nothing_under_the_key_and_the_next_open_sweeps(
    root: Path, already_there: bool
) -> None:
    store = open_store(root)
    if already_there:
        await put(store, KEY, b"whole")
    script = f"""
import asyncio
from pathlib import Path
from genjobs.adapters.local.artifact_store import DirectoryArtifactStore

async def main():
    store = DirectoryArtifactStore(Path({str(root)!r}), signing_key=b"k" * 32, base_url="")
    async def chunks():
        for _ in range(4):
            yield b"x" * 1_000_000
        print("written", flush=True)
        await asyncio.sleep(60)
    await store.put({KEY!r}, chunks(), content_type="image/png")

asyncio.run(main())
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:  # noqa: ASYNC220
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"written\n"
            open_store(root)
            assert len(incoming(root)) == 1, "the file of a living writer was swept"
        finally:
            writer.send_signal(signal.SIGKILL)
        writer.wait(20)

    assert await store.stat(KEY) == (len(b"whole") if already_there else None)
    assert len(incoming(root)) == 1
    reopened = open_store(root)
    assert incoming(root) == []
    assert await reopened.stat(KEY) == (len(b"whole") if already_there else None)


async def test_reader_of_a_replaced_file_sees_one_version_whole(
    store: DirectoryArtifactStore,
) -> None:
    versions = [bytes([letter]) * (2 * MIB + 1) for letter in b"ab"]
    await put(store, KEY, versions[0])
    stop = asyncio.Event()

    async def replace() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            await put(store, KEY, versions[turn % 2])

    writer = asyncio.create_task(replace())
    try:
        for _ in range(15):
            assert await content(store, KEY) in versions
    finally:
        stop.set()
        await writer


async def test_put_and_delete_prefix_at_once_never_fail(
    store: DirectoryArtifactStore, root: Path
) -> None:
    stop = asyncio.Event()

    async def remove() -> None:
        while not stop.is_set():
            await store.delete_prefix(user_prefix(OWNER))

    removers = [asyncio.create_task(remove()) for _ in range(2)]
    try:
        for index in range(60):
            await put(store, ArtifactKey(f"{KEY}/{index % 3}"), b"x")
    finally:
        stop.set()
        await asyncio.gather(*removers)
    await store.delete_prefix(user_prefix(OWNER))

    assert files(root) == []


# -- a disk that fails --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "code"),
    [("write", errno.ENOSPC), ("fsync", errno.EIO), ("replace", errno.EROFS)],
)
async def test_disk_error_is_unavailable_and_keeps_what_was_there(
    store: DirectoryArtifactStore,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    code: int,
) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    await put(store, KEY, b"whole")
    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        with pytest.raises(Unavailable) as caught:
            await put(store, KEY, b"x" * (3 * MIB), b"more")

    assert isinstance(caught.value.__cause__, OSError)
    assert str(root) not in str(caught.value)
    assert await content(store, KEY) == b"whole"
    assert incoming(root) == []


def test_full_disk_in_the_middle_of_a_file_leaves_nothing(root: Path) -> None:
    """A real refusal of the operating system: the size limit of a file."""
    script = f"""
import asyncio, resource
from pathlib import Path
from genjobs.adapters.local.artifact_store import DirectoryArtifactStore
from genjobs.domain.errors import Unavailable

async def main():
    root = Path({str(root)!r})
    store = DirectoryArtifactStore(root, signing_key=b"k" * 32, base_url="")
    async def chunks():
        for _ in range(5):
            yield b"x" * 1_000_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_500_000, 2_500_000))
    try:
        await store.put({KEY!r}, chunks(), content_type="image/png")
    except Unavailable:
        print(await store.stat({KEY!r}), list((root / ".writing").iterdir()))

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "None []\n"


async def test_lost_root_is_unavailable_and_not_a_missing_file(
    store: DirectoryArtifactStore, root: Path
) -> None:
    await put(store, KEY, b"x")
    root.rename(root.with_name("elsewhere"))
    for call in (store.check(), store.stat(KEY), content(store, KEY), put(store, KEY, b"x")):
        with pytest.raises(Unavailable):
            await call


def test_unusable_root_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigurationError):
        open_store(tmp_path / "file")


# -- nothing outside the root -------------------------------------------------------------------


@pytest.mark.parametrize("depth", range(5))
async def test_planted_link_to_a_folder_is_not_followed(root: Path, depth: int) -> None:
    outside = root.with_name("outside")
    there = open_store(outside)
    await put(there, KEY, b"not yours")
    store = open_store(root)
    parts = KEY.split("/")[: depth + 1]
    link = root.joinpath(*parts)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside.joinpath(*parts), target_is_directory=True)

    for call in (
        store.stat(KEY),
        content(store, KEY),
        put(store, KEY, b"overwritten"),
        store.delete([KEY]),
        store.delete_prefix(job_prefix(OWNER, JOB)),
    ):
        with pytest.raises(Unavailable):
            await call
    assert await content(there, KEY) == b"not yours"


async def test_planted_link_to_a_file_is_replaced_or_removed_but_not_followed(
    store: DirectoryArtifactStore, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not yours")
    await put(store, KEY, b"x")
    path = store.path(KEY)
    path.unlink()
    path.symlink_to(secret)

    for call in (store.stat(KEY), content(store, KEY)):
        with pytest.raises(Unavailable):
            await call
    await put(store, KEY, b"mine")
    assert (await content(store, KEY), secret.read_bytes()) == (b"mine", b"not yours")
    (path.parent / "folder").symlink_to(tmp_path, target_is_directory=True)
    assert await store.delete_prefix(job_prefix(OWNER, JOB)) == 1
    assert secret.read_bytes() == b"not yours"


async def test_pipe_in_the_place_of_a_file_does_not_block(store: DirectoryArtifactStore) -> None:
    await put(store, KEY, b"x")
    store.path(KEY).unlink()
    os.mkfifo(store.path(KEY))
    async with asyncio.timeout(20):
        with pytest.raises(Unavailable):
            await content(store, KEY)


@pytest.mark.parametrize("text", ["", "/etc/passwd", "../x", f"{KEY}/../x", f"{KEY}/", f"{KEY}\n"])
async def test_text_that_is_no_key_reaches_no_file(
    store: DirectoryArtifactStore, root: Path, text: str
) -> None:
    key = ArtifactKey(text)
    for call in (store.stat(key), store.delete([key]), content(store, key), put(store, key, b"x")):
        with pytest.raises(ValueError, match="not an artifact key"):
            await call
    assert files(root) == []


@pytest.mark.parametrize("prefix", ["", "t/", "/", f"{KEY}", "../", f"{KEY}/../../"])
async def test_text_that_is_no_prefix_removes_nothing(
    store: DirectoryArtifactStore, prefix: str
) -> None:
    await put(store, KEY, b"x")
    with pytest.raises(ValueError, match="not an artifact prefix"):
        await store.delete_prefix(prefix)
    assert await store.stat(KEY) == 1


# -- the rest -----------------------------------------------------------------------------------


async def test_key_may_be_the_start_of_another_key(store: DirectoryArtifactStore) -> None:
    longer = ArtifactKey(f"{KEY}/part")
    await put(store, KEY, b"short")
    await put(store, longer, b"long")

    assert (await content(store, KEY), await content(store, longer)) == (b"short", b"long")
    assert await store.delete_prefix(f"{KEY}/") == 1
    assert await content(store, KEY) == b"short"


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, 0), (0, 1), (MIB - 1, 2), (MIB, None), (2 * MIB + 4, 1), (2 * MIB + 5, None), (5, 9**9)],
)
async def test_any_part_is_what_a_slice_would_be(
    store: DirectoryArtifactStore, start: int, length: int | None
) -> None:
    whole = bytes(range(256)) * (2 * MIB // 256) + b"12345"
    await put(store, KEY, whole)
    async with store.read(KEY, start=start, length=length) as chunks:
        part = b"".join([chunk async for chunk in chunks])
    assert part == whole[start : None if length is None else start + length]


async def test_reader_that_stops_early_closes_the_file(store: DirectoryArtifactStore) -> None:
    await put(store, KEY, b"x" * (3 * MIB))
    before = open_descriptors()
    async with store.read(KEY) as chunks:
        assert len(await anext(chunks)) == MIB
        assert open_descriptors() == before + 1
    assert open_descriptors() == before


async def test_removal_takes_empty_folders_along_however_many_files(
    store: DirectoryArtifactStore, root: Path
) -> None:
    await put(store, KEY, b"x")
    folder = store.path(KEY).parent
    for index in range(1_200):
        (folder / f"made_{index}.bin").touch()

    assert await store.delete_prefix(user_prefix(OWNER)) == 1_201
    assert [path.name for path in root.iterdir()] == [".writing"]
    await put(store, KEY, b"x")
    await store.delete([KEY])
    assert [path.name for path in root.iterdir()] == [".writing"]


async def test_files_are_for_their_owner_only(store: DirectoryArtifactStore, root: Path) -> None:
    await put(store, KEY, b"x")
    assert [path for path in root.rglob("*") if path.stat().st_mode & 0o077] == []


def test_memory_stays_flat_for_a_large_file(root: Path) -> None:
    script = f"""
import asyncio, hashlib, resource
from pathlib import Path
from genjobs.adapters.local.artifact_store import DirectoryArtifactStore

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

async def main():
    store = DirectoryArtifactStore(Path({str(root)!r}), signing_key=b"k" * 32, base_url="")
    async def chunks(count):
        for index in range(count):
            yield index.to_bytes(4, "big") * 16_384
    async def through(count):
        stored = await store.put({KEY!r}, chunks(count), content_type="video/mp4")
        digest = hashlib.sha256()
        async with store.read({KEY!r}) as content:
            async for chunk in content:
                digest.update(chunk)
        assert digest.hexdigest() == stored.sha256 and stored.bytes == count * 65_536
        await store.delete([{KEY!r}])
    await through(160)
    before = peak()
    await through(3_200)
    print(peak() - before)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(done.stdout) < 16 * MIB, "200 MiB went through"


async def test_measured_digest_is_of_the_chunks_in_order(store: DirectoryArtifactStore) -> None:
    chunks = [bytes([index]) * 300_000 for index in range(11)]
    stored = await store.put(KEY, stream(*chunks), content_type="image/png")
    assert stored.sha256 == hashlib.sha256(b"".join(chunks)).hexdigest()
    assert await content(store, KEY) == b"".join(chunks)
