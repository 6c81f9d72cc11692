"""The contracts of ``ArtifactStore`` and ``SignedFiles``."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from genjobs.domain.artifacts import ArtifactKey, input_key, job_prefix, output_key, user_prefix
from genjobs.domain.errors import NotFound
from genjobs.domain.ids import JobId
from genjobs.domain.ports import ArtifactStore, SignedFiles
from genjobs.domain.tenancy import Owner
from genjobs.testing.clock import BEGINNING, SequentialIds
from genjobs.testing.factories import an_owner

NOW = BEGINNING
_LATER = NOW + timedelta(hours=1)
_NAME = "ünïcode & 'quotes'.png"


def _job_id() -> JobId:
    return JobId(SequentialIds().uuid7(NOW))


async def _stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _content(
    store: ArtifactStore, key: ArtifactKey, *, start: int = 0, length: int | None = None
) -> bytes:
    async with store.read(key, start=start, length=length) as chunks:
        return b"".join([chunk async for chunk in chunks])


class ArtifactStoreContract:
    """Needs the fixture ``store``: an empty store."""

    @pytest.fixture
    def store(self) -> ArtifactStore:
        """Return the store under test."""
        raise NotImplementedError

    @pytest.fixture
    def owner(self) -> Owner:
        """Return somebody who owns files."""
        return an_owner()

    @pytest.fixture
    def key(self, owner: Owner) -> ArtifactKey:
        """Return a key without a file."""
        return input_key(owner, _job_id(), 0)

    async def test_stored_file_is_read_back_and_measured(
        self, store: ArtifactStore, key: ArtifactKey
    ) -> None:
        content = bytes(range(256)) * 9000  # more than one chunk
        stored = await store.put(key, _stream(content[:7], content[7:]), content_type="image/png")

        assert (stored.bytes, stored.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert await _content(store, key) == content
        assert await store.stat(key) == len(content)

    async def test_chunks_are_bounded(self, store: ArtifactStore, key: ArtifactKey) -> None:
        await store.put(key, _stream(b"x" * (3 * 1024 * 1024 + 1)), content_type="image/png")
        async with store.read(key) as chunks:
            sizes = [len(chunk) async for chunk in chunks]

        assert sum(sizes) == 3 * 1024 * 1024 + 1
        assert max(sizes) <= 1024 * 1024

    async def test_part_of_a_file_is_read(self, store: ArtifactStore, key: ArtifactKey) -> None:
        await store.put(key, _stream(b"0123456789"), content_type="image/png")

        assert await _content(store, key, start=2, length=3) == b"234"
        assert await _content(store, key, start=8) == b"89"

    async def test_empty_file_is_a_file(self, store: ArtifactStore, key: ArtifactKey) -> None:
        stored = await store.put(key, _stream(), content_type="image/png")

        assert (stored.bytes, stored.sha256) == (0, hashlib.sha256(b"").hexdigest())
        assert await store.stat(key) == 0
        assert await _content(store, key) == b""

    async def test_missing_file_is_not_found(self, store: ArtifactStore, key: ArtifactKey) -> None:
        assert await store.stat(key) is None
        with pytest.raises(NotFound):
            await _content(store, key)

    async def test_same_key_replaces(self, store: ArtifactStore, key: ArtifactKey) -> None:
        await store.put(key, _stream(b"old and longer"), content_type="image/png")
        await store.put(key, _stream(b"new"), content_type="image/png")

        assert await _content(store, key) == b"new"

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

        await store.put(key, _stream(b"whole"), content_type="image/png")
        with pytest.raises(ConnectionError):
            await store.put(key, broken(), content_type="image/png")
        assert await _content(store, key) == b"whole"

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

    async def test_deleted_file_is_gone_and_deleting_again_is_fine(
        self, store: ArtifactStore, key: ArtifactKey
    ) -> None:
        await store.put(key, _stream(b"x"), content_type="image/png")
        await store.delete([key])
        await store.delete([key])

        assert await store.stat(key) is None

    async def test_prefix_is_deleted_and_its_neighbours_stay(
        self, store: ArtifactStore, owner: Owner
    ) -> None:
        ids = SequentialIds()
        first, second = JobId(ids.uuid7(NOW)), JobId(ids.uuid7(NOW))
        doomed = [input_key(owner, first, 0), output_key(owner, first, 1, "out_a")]
        kept = input_key(owner, second, 0)
        for key in [*doomed, kept]:
            await store.put(key, _stream(b"x"), content_type="image/png")

        assert await store.delete_prefix(job_prefix(owner, first)) == 2
        assert [await store.stat(key) for key in [*doomed, kept]] == [None, None, 1]
        assert await store.delete_prefix(job_prefix(owner, first)) == 0
        assert await store.delete_prefix(user_prefix(owner)) == 1

    async def test_ready_store_passes_its_check(self, store: ArtifactStore) -> None:
        await store.check()


class SignedFilesContract:
    """Needs the fixtures ``store`` and ``signed``: two faces of one store."""

    @pytest.fixture
    def store(self) -> ArtifactStore:
        """Return the store under test."""
        raise NotImplementedError

    @pytest.fixture
    def signed(self, store: ArtifactStore) -> SignedFiles:
        """Return its serving side."""
        raise NotImplementedError

    async def _signed(self, store: ArtifactStore) -> tuple[ArtifactKey, dict[str, str]]:
        key = output_key(an_owner(), _job_id(), 1, "out_a")
        await store.put(key, _stream(b"content"), content_type="image/png")
        url = store.signed_url(key, expires_at=_LATER, filename=_NAME, content_type="image/png")
        parts = urlsplit(url)
        assert unquote(parts.path).endswith(f"/files/{key}")
        return key, dict(parse_qsl(parts.query))

    async def test_signed_url_stands_for_its_file(
        self, store: ArtifactStore, signed: SignedFiles
    ) -> None:
        key, query = await self._signed(store)
        file = await signed.resolve(key, query, now=NOW)

        assert (file.key, file.bytes) == (key, 7)
        assert (file.filename, file.content_type) == (_NAME, "image/png")
        async with signed.read(file.key, start=1, length=3) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == b"ont"

    async def test_expired_url_is_nothing(self, store: ArtifactStore, signed: SignedFiles) -> None:
        key, query = await self._signed(store)
        await signed.resolve(key, query, now=_LATER - timedelta(seconds=1))

        with pytest.raises(NotFound):
            await signed.resolve(key, query, now=_LATER)

    async def test_any_change_makes_it_nothing(
        self, store: ArtifactStore, signed: SignedFiles
    ) -> None:
        key, query = await self._signed(store)
        other_key, _ = await self._signed(store)
        changed: list[tuple[str, dict[str, str]]] = [
            (other_key, query),
            (f"{key}x", query),
            (f"../{key}", query),
            (key.replace("out_a", "../input_0"), query),
            (key, {**query, "more": "1"}),
            (key, {}),
        ]
        for name, value in query.items():
            changed += [
                (key, {**query, name: f"{value}0"}),
                (key, {**query, name: ""}),
                (key, {**query, name: f"{value}\udc80é"}),
                (key, {other: query[other] for other in query if other != name}),
            ]
        for changed_key, changed_query in changed:
            with pytest.raises(NotFound):
                await signed.resolve(changed_key, changed_query, now=NOW)

    async def test_url_of_a_deleted_file_is_nothing(
        self, store: ArtifactStore, signed: SignedFiles
    ) -> None:
        key, query = await self._signed(store)
        await store.delete([key])

        with pytest.raises(NotFound):
            await signed.resolve(key, query, now=NOW)
