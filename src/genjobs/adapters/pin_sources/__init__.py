"""
Where pins are read: registries of images, git repositories, a hub of models.

For an operator's machine. It is configured like everything else there: proxies and certificates are
those of the environment, and git is the one that is installed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from genjobs.adapters.pin_sources.asking import Asker
from genjobs.adapters.pin_sources.commits import GitCommits
from genjobs.adapters.pin_sources.hub import ModelHub
from genjobs.adapters.pin_sources.registry import ImageRegistry
from genjobs.domain.pins import HUB, ImageRead, ModelRead

__all__ = ["Asker", "GitCommits", "ImageRegistry", "ModelHub", "NetPinSources", "open_pin_sources"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetPinSources:
    """The ``PinSources`` port."""

    images: ImageRegistry
    commits: GitCommits
    models: ModelHub

    async def image(self, name: str, reference: str) -> ImageRead:
        """See the port."""
        return await self.images.read(name, reference)

    async def commit(self, url: str, ref: str) -> str:
        """See the port."""
        return await self.commits.read(url, ref)

    async def model(self, repository: str, file: str, revision: str | None) -> ModelRead:
        """See the port."""
        return await self.models.read(repository, file, revision)


@asynccontextmanager
async def open_pin_sources() -> AsyncIterator[NetPinSources]:
    """Open the sources; nothing is connected before it is asked."""
    async with httpx.AsyncClient() as client:
        asker = Asker(client)
        yield NetPinSources(
            images=ImageRegistry(asker), commits=GitCommits(), models=ModelHub(asker, HUB)
        )
