"""The contract of ``SignedFiles``: what a signed URL serves, and that nothing else does."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from genjobs.domain.artifacts import ArtifactKey, output_key
from genjobs.domain.errors import NotFound
from genjobs.domain.ports import ArtifactStore, SignedFiles
from genjobs.testing.contracts.artifact_files import LATER, NAME, NOW, a_job_id, stream
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
