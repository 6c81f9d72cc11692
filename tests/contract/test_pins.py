"""Sources of pins against their contract; nothing beyond this process and its disk is asked."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from genjobs.adapters.pin_sources import (
    Asker,
    GitCommits,
    ImageRegistry,
    ModelHub,
    NetPinSources,
)
from genjobs.domain.pins import ImageRead, ModelRead
from genjobs.testing import MemoryPinSources
from genjobs.testing.contracts import PinSourcesContract
from tests.pin_places import HUB, Places


class MemoryScene:
    image, url, model = "python", "https://git.example.com/x", "owner/tiny"

    def __init__(self, sources: MemoryPinSources) -> None:
        self.sources, self.made = sources, 0

    def new(self, length: int) -> str:
        self.made += 1
        return f"{self.made:0{length}x}"

    def put_image(self, tag: str, python: str | None) -> str:
        found = ImageRead(digest=f"sha256:{self.new(64)}", python=python)
        self.sources.put_image(self.image, tag, found)
        return found.digest

    def put_commit(self, ref: str) -> str:
        self.sources.commits[self.url, ref] = self.new(40)
        return self.sources.commits[self.url, ref]

    def put_model(self, file: str, content: bytes, licence: str | None) -> str:
        found = ModelRead(
            revision=self.new(40),
            sha256=hashlib.sha256(content).hexdigest(),
            bytes=len(content),
            licence=licence,
        )
        self.sources.models.setdefault((self.model, file), []).append(found)
        return found.revision

    def take_down(self) -> None:
        self.sources.down = True


class TestMemoryPinSources(PinSourcesContract):
    @pytest.fixture
    def sources(self) -> MemoryPinSources:
        return MemoryPinSources()

    @pytest.fixture
    def scene(self, sources: MemoryPinSources) -> MemoryScene:
        return MemoryScene(sources)


class TestNetPinSources(PinSourcesContract):
    @pytest.fixture
    def scene(self, tmp_path: Path) -> Places:
        return Places(tmp_path)

    @pytest.fixture
    async def sources(self, scene: Places) -> AsyncIterator[NetPinSources]:
        transport = httpx.MockTransport(scene.answer)
        async with httpx.AsyncClient(transport=transport) as client:
            asker = Asker(client, seconds=10)
            yield NetPinSources(
                images=ImageRegistry(asker),
                commits=GitCommits(protocols=("file",), seconds=10),
                models=ModelHub(asker, f"https://{HUB}"),
            )
