"""Unit tests run on the harness: the real composition root on fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from genjobs.testing import Harness, open_harness
from genjobs.testing.harness import TEST_KEY
from tests.documented import documented


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    async with open_harness() as opened:
        yield opened


@pytest.fixture
async def http(harness: Harness) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=harness.api, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://genjobs.test",
        headers={"Authorization": f"Bearer {TEST_KEY}"},
        event_hooks={"response": [documented]},
    ) as client:
        yield client
