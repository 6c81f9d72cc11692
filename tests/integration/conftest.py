"""Fixtures that tests of the media inspector share: one of each for a module."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from genjobs.adapters.media_inspection import SubprocessInspector
from genjobs.adapters.media_inspection.warm_process import WarmProcess
from genjobs.domain.media_limits import MediaLimits
from tests.integration.inspecting import Desk


@pytest.fixture(scope="module")
async def inspector() -> AsyncIterator[SubprocessInspector]:
    async with SubprocessInspector() as opened:
        yield opened


@pytest.fixture(scope="module")
async def process() -> AsyncIterator[WarmProcess]:
    started = await WarmProcess.start(MediaLimits())
    yield started
    await started.stop()


@pytest.fixture
def desk(inspector: SubprocessInspector, tmp_path: Path) -> Desk:
    return Desk(inspector=inspector, folder=tmp_path)
