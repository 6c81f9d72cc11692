"""The contract of ``SignedFiles``: what signed URLs serve and take, and nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from genjobs.domain.artifacts import ArtifactKey, output_key, upload_key
from genjobs.domain.errors import NotFound, Unavailable, UploadExists, UploadMismatch
from genjobs.domain.ids import UploadId
from genjobs.domain.ports import ArtifactStore, SignedFiles, SignedTarget
from genjobs.testing.contracts.artifact_files import (
    LATER,
    NAME,
    NOW,
    a_job_id,
    content_of,
    stream,
)
from genjobs.testing.factories import an_owner


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
        key = output_key(an_owner(), a_job_id(), 1, "out_a")
        await store.put(key, stream(b"content"), content_type="image/png")
        url = store.signed_url(key, expires_at=LATER, filename=NAME, content_type="image/png")
        parts = urlsplit(url)
        assert unquote(parts.path).endswith(f"/files/{key}")
        return key, dict(parse_qsl(parts.query))

    async def test_signed_url_stands_for_its_file(
        self, store: ArtifactStore, signed: SignedFiles
    ) -> None:
        key, query = await self._signed(store)
        file = await signed.resolve(key, query, now=NOW)

        assert (file.key, file.bytes) == (key, 7)
        assert (file.filename, file.content_type) == (NAME, "image/png")
        async with signed.read(file.key, start=1, length=3) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == b"ont"

    async def test_expired_url_is_nothing(self, store: ArtifactStore, signed: SignedFiles) -> None:
        key, query = await self._signed(store)
        await signed.resolve(key, query, now=LATER - timedelta(seconds=1))

        with pytest.raises(NotFound):
            await signed.resolve(key, query, now=LATER)

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

    # -- putting ------------------------------------------------------------------------------

    async def _to_put(self, store: ArtifactStore) -> tuple[ArtifactKey, dict[str, str]]:
        key = upload_key(an_owner(), UploadId(a_job_id()))
        put = store.signed_put(key, expires_at=LATER, content_type="image/png", length=7)
        parts = urlsplit(put.url)
        assert unquote(parts.path).endswith(f"/files/{key}")
        return key, dict(parse_qsl(parts.query))

    async def test_signed_put_stands_for_its_target(
        self, store: ArtifactStore, signed: SignedFiles
    ) -> None:
        key, query = await self._to_put(store)
        target = await signed.resolve_put(key, query, now=NOW)
        assert target == SignedTarget(key=key, content_type="image/png", length=7)

        await signed.take(target, stream(b"con", b"", b"tent"))
        assert await content_of(store, key) == b"content"

    async def test_any_change_makes_a_put_nothing(
        self, store: ArtifactStore, signed: SignedFiles
    ) -> None:
        key, query = await self._to_put(store)
        other, _ = await self._signed(store)
        changed: list[tuple[str, dict[str, str]]] = [
            *((name, query) for name in (other, f"{key}x", f"../{key}", "")),
            *((key, {**query, name: f"{value}0"}) for name, value in query.items()),
            *((key, {**query, name: f"{value}\udc80é"}) for name, value in query.items()),
            (key, {**query, "more": "1"}),
            (key, {}),
        ]
        for changed_key, changed_query in changed:
            with pytest.raises(NotFound):
                await signed.resolve_put(changed_key, changed_query, now=NOW)
        with pytest.raises(NotFound):
            await signed.resolve_put(key, query, now=LATER)

    async def test_signature_of_one_method_is_none_of_the_other(
        self, store: ArtifactStore, signed: SignedFiles
    ) -> None:
        key, query = await self._to_put(store)
        await store.put(key, stream(b"content"), content_type="image/png")
        with pytest.raises(NotFound):
            await signed.resolve(key, query, now=NOW)
        read_key, read_query = await self._signed(store)
        with pytest.raises(NotFound):
            await signed.resolve_put(read_key, read_query, now=NOW)

    @pytest.mark.parametrize("pieces", [[], [b"conten"], [b"content", b"x"], [b"x" * 999]])
    async def test_other_length_is_not_taken(
        self, store: ArtifactStore, signed: SignedFiles, pieces: list[bytes]
    ) -> None:
        key, query = await self._to_put(store)
        target = await signed.resolve_put(key, query, now=NOW)
        with pytest.raises(UploadMismatch):
            await signed.take(target, stream(*pieces))
        assert await store.stat(key) is None

    async def test_file_that_is_there_stays(
        self, store: ArtifactStore, signed: SignedFiles
    ) -> None:
        key, query = await self._to_put(store)
        target = await signed.resolve_put(key, query, now=NOW)

        async def slowly(content: bytes) -> AsyncIterator[bytes]:
            for at in range(7):
                yield content[at : at + 1]
                await asyncio.sleep(0)

        results = await asyncio.gather(
            *(signed.take(target, slowly(content)) for content in (b"first__", b"second_")),
            return_exceptions=True,
        )
        assert sorted(map(repr, map(type, results))) == sorted(
            map(repr, (type(None), UploadExists))
        )
        left = await content_of(store, key)
        with pytest.raises(UploadExists):
            await signed.take(target, stream(b"content"))
        assert await content_of(store, key) == left

    async def test_sender_that_goes_away_leaves_nothing(
        self, store: ArtifactStore, signed: SignedFiles
    ) -> None:
        key, query = await self._to_put(store)
        target = await signed.resolve_put(key, query, now=NOW)

        async def broken() -> AsyncIterator[bytes]:
            yield b"con"
            raise ConnectionError("the sender went away")

        with pytest.raises(ConnectionError):
            await signed.take(target, broken())
        assert await store.stat(key) is None
        await signed.take(target, stream(b"content"))


class SignedPutOutageContract:
    """Needs the fixture ``unreachable``: the serving side of a store that cannot be reached."""

    async def test_put_to_a_store_that_is_away_is_unavailable(
        self, unreachable: SignedFiles
    ) -> None:
        key = upload_key(an_owner(), UploadId(a_job_id()))
        target = SignedTarget(key=key, content_type="image/png", length=7)
        with pytest.raises(Unavailable):
            await unreachable.take(target, stream(b"content"))
