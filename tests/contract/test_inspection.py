"""The media inspectors against their contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from genjobs.adapters.media_inspection import SubprocessInspector
from genjobs.testing import HeadInspector
from genjobs.testing.contracts import MediaInspectorContract


@pytest.fixture(scope="module")
async def subprocess_inspector() -> AsyncIterator[SubprocessInspector]:
    async with SubprocessInspector() as opened:
        yield opened


class TestSubprocessInspector(MediaInspectorContract):
    @pytest.fixture
    def inspector(self, subprocess_inspector: SubprocessInspector) -> SubprocessInspector:
        return subprocess_inspector


class TestHeadInspector(MediaInspectorContract):
    @pytest.fixture
    def inspector(self) -> HeadInspector:
        return HeadInspector()
