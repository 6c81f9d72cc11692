"""The contract of storing: whole or not at all, whatever ends it, whoever else stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from genjobs.domain.artifacts import ArtifactKey, input_key
from genjobs.domain.ports import ArtifactStore
from genjobs.domain.tenancy import Owner
from genjobs.testing.contracts.artifact_files import (
    LARGE,
    ArtifactFixtures,
    a_job_id,
    content_of,
    stream,
)


class ArtifactPutsContract(ArtifactFixtures):
    """Needs the fixture ``store``: an empty store."""

    async def test_failed_put_leaves_nothing(self, store: ArtifactStore, key: ArtifactKey) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"x" * 2_000_000
            raise ConnectionError("the source went away")

        with pytest.raises(ConnectionError):
            await store.put(key, broken(), content_type="image/png")
        assert await store.stat(key) is None

    async def test_failed_put_keeps_what_was_there(
        self, store: ArtifactStore, key: ArtifactKey
    ) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"half"
            raise ConnectionError("the source went away")

        await store.put(key, stream(b"whole"), content_type="image/png")
        with pytest.raises(ConnectionError):
            await store.put(key, broken(), content_type="image/png")
        assert await content_of(store, key) == b"whole"

    async def test_large_put_that_fails_leaves_nothing(
        self, store: ArtifactStore, key: ArtifactKey
    ) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"x" * LARGE
            raise ConnectionError("the source went away")

        with pytest.raises(ConnectionError):
            await store.put(key, broken(), content_type="video/mp4")
        assert await store.stat(key) is None

    async def test_large_put_that_is_cancelled_leaves_nothing(
        self, store: ArtifactStore, key: ArtifactKey
    ) -> None:
        reached = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield b"x" * LARGE
            reached.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(store.put(key, endless(), content_type="video/mp4"))
        await reached.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await store.stat(key) is None

    async def test_put_cancelled_at_any_moment_leaves_a_whole_file_or_none(
        self, store: ArtifactStore, owner: Owner
    ) -> None:
        async def slowly() -> AsyncIterator[bytes]:
            for _ in range(6):
                yield b"x" * (LARGE // 6)
                await asyncio.sleep(0)

        for index, delay in enumerate((0, 0.001, 0.005, 0.02, 0.05, 0.1, 0.2)):
            key = input_key(owner, a_job_id(), index)
            task = asyncio.create_task(store.put(key, slowly(), content_type="video/mp4"))
            await asyncio.sleep(delay)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await store.stat(key) in {None, LARGE}

    async def test_cancelled_put_leaves_nothing(
        self, store: ArtifactStore, key: ArtifactKey
    ) -> None:
        reached = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield b"x" * 2_000_000
            reached.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(store.put(key, endless(), content_type="image/png"))
        await reached.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await store.stat(key) is None

    async def test_cancelled_put_keeps_what_was_there(
        self, store: ArtifactStore, key: ArtifactKey
    ) -> None:
        reached = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield b"x" * 2_000_000
            reached.set()
            await asyncio.Event().wait()

        await store.put(key, stream(b"whole"), content_type="image/png")
        task = asyncio.create_task(store.put(key, endless(), content_type="image/png"))
        await reached.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await content_of(store, key) == b"whole"

    async def test_puts_of_one_key_at_once_leave_one_whole_file(
        self, store: ArtifactStore, key: ArtifactKey
    ) -> None:
        contents = [bytes([n]) * (1_000_000 + n) for n in range(6)]
        stored = await asyncio.gather(
            *(
                store.put(key, stream(content[:9], content[9:]), content_type="image/png")
                for content in contents
            )
        )

        left = await content_of(store, key)
        assert left in contents
        assert [file.bytes for file in stored] == [len(content) for content in contents]

    async def test_puts_of_many_keys_at_once_do_not_meet(
        self, store: ArtifactStore, owner: Owner
    ) -> None:
        keys = [input_key(owner, a_job_id(), index) for index in range(12)]
        await asyncio.gather(
            *(
                store.put(key, stream(str(key).encode() * (n + 1)), content_type="text/plain")
                for n, key in enumerate(keys)
            )
        )
        for n, key in enumerate(keys):
            assert await content_of(store, key) == str(key).encode() * (n + 1)
