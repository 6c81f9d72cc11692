"""The adapters of one machine, and the fakes beside them, against their contracts."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from genjobs.adapters.local.artifact_store import DirectoryArtifactStore
from genjobs.adapters.local.signals import LocalSignals
from genjobs.adapters.media_probe import PillowProbe
from genjobs.adapters.system import SystemClock, SystemIds
from genjobs.api.context import ApiContext
from genjobs.domain.ports import SignedFiles
from genjobs.testing import FakeClock, MemoryArtifactStore, SequentialIds, open_harness
from genjobs.testing.contracts import (
    ArtifactOutageContract,
    ArtifactStoreContract,
    ClockContract,
    Fetch,
    Fetched,
    IdSourceContract,
    MediaProbeContract,
    Send,
    SignalsContract,
    SignedFilesContract,
    SignedPutContract,
    SignedPutOutageContract,
    SignedUrlContract,
)
from tests.sending import sent


@pytest.fixture
def directory_store(tmp_path: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(
        tmp_path / "files", signing_key=b"k" * 32, base_url="http://genjobs.test"
    )


class TestDirectoryArtifactStore(ArtifactStoreContract):
    @pytest.fixture
    def store(self, directory_store: DirectoryArtifactStore) -> DirectoryArtifactStore:
        return directory_store


class TestMemoryArtifactStore(ArtifactStoreContract):
    @pytest.fixture
    def store(self) -> MemoryArtifactStore:
        return MemoryArtifactStore()


class TestMemoryArtifactOutage(ArtifactOutageContract, SignedPutOutageContract):
    @pytest.fixture
    def unreachable(self) -> MemoryArtifactStore:
        store = MemoryArtifactStore()
        store.available = False
        return store


class TestDirectoryArtifactOutage(ArtifactOutageContract, SignedPutOutageContract):
    @pytest.fixture
    def unreachable(self, tmp_path: Path) -> DirectoryArtifactStore:
        folder = tmp_path / "files"
        store = DirectoryArtifactStore(
            folder, signing_key=b"k" * 32, base_url="http://genjobs.test"
        )
        shutil.rmtree(folder)
        folder.write_bytes(b"not a directory")
        return store


class TestDirectorySignedFiles(SignedFilesContract):
    @pytest.fixture
    def store(self, directory_store: DirectoryArtifactStore) -> DirectoryArtifactStore:
        return directory_store

    @pytest.fixture
    def signed(self, store: DirectoryArtifactStore) -> DirectoryArtifactStore:
        return store


class TestMemorySignedFiles(SignedFilesContract):
    @pytest.fixture
    def store(self) -> MemoryArtifactStore:
        return MemoryArtifactStore()

    @pytest.fixture
    def signed(self, store: MemoryArtifactStore) -> MemoryArtifactStore:
        return store


class ServedByTheApi:
    """Needs the fixture ``signed``: the serving side of the store."""

    @pytest.fixture
    def fetch(self, send: Send) -> Fetch:
        async def fetch(method: str, url: str, at: datetime, headers: Mapping[str, str]) -> Fetched:
            return await send(method, url, at, headers, b"")

        return fetch

    @pytest.fixture
    async def send(self, signed: SignedFiles) -> AsyncIterator[Send]:
        async with open_harness() as harness:

            async def send(
                method: str,
                url: str,
                at: datetime,
                headers: Mapping[str, str],
                content: bytes | list[bytes],
            ) -> Fetched:
                context: ApiContext = harness.api.state.context
                harness.api.state.context = replace(
                    context, signed_files=signed, clock=FakeClock(at)
                )
                transport = httpx.ASGITransport(app=harness.api, raise_app_exceptions=False)
                async with httpx.AsyncClient(transport=transport) as http:
                    answer = await http.request(method, url, headers=headers, content=sent(content))
                return Fetched(
                    status=answer.status_code, headers=answer.headers, content=answer.content
                )

            yield send


class OnADirectory(ServedByTheApi):
    @pytest.fixture
    def store(self, directory_store: DirectoryArtifactStore) -> DirectoryArtifactStore:
        return directory_store

    @pytest.fixture
    def signed(self, directory_store: DirectoryArtifactStore) -> DirectoryArtifactStore:
        return directory_store

    @pytest.fixture
    def stranger(self, tmp_path: Path) -> DirectoryArtifactStore:
        return DirectoryArtifactStore(
            tmp_path / "files", signing_key=b"x" * 32, base_url="http://genjobs.test"
        )


class InMemory(ServedByTheApi):
    @pytest.fixture
    def store(self) -> MemoryArtifactStore:
        return MemoryArtifactStore()

    @pytest.fixture
    def signed(self, store: MemoryArtifactStore) -> MemoryArtifactStore:
        return store

    @pytest.fixture
    def stranger(self, store: MemoryArtifactStore) -> MemoryArtifactStore:
        other = MemoryArtifactStore()
        other.files = store.files
        return other


class TestDirectorySignedUrls(OnADirectory, SignedUrlContract):
    pass


class TestDirectorySignedPuts(OnADirectory, SignedPutContract):
    pass


class TestMemorySignedUrls(InMemory, SignedUrlContract):
    pass


class TestMemorySignedPuts(InMemory, SignedPutContract):
    pass


class TestSystemClock(ClockContract):
    @pytest.fixture
    def clock(self) -> SystemClock:
        return SystemClock()


class TestFakeClock(ClockContract):
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()


class TestSystemIds(IdSourceContract):
    @pytest.fixture
    def ids(self) -> SystemIds:
        return SystemIds()


class TestSequentialIds(IdSourceContract):
    @pytest.fixture
    def ids(self) -> SequentialIds:
        return SequentialIds()


class TestLocalSignals(SignalsContract):
    @pytest.fixture
    def signals(self) -> LocalSignals:
        return LocalSignals()


class TestPillowProbe(MediaProbeContract):
    @pytest.fixture
    def probe(self) -> PillowProbe:
        return PillowProbe()
