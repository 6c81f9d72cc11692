"""What is another's does not exist, on fakes; ``tests.two_tenants`` holds what is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.two_tenants import TwoTenantReplay
from tests.worlds import World, memory_world


class TestForeignInMemory(TwoTenantReplay):
    @pytest.fixture
    async def world(self) -> AsyncIterator[World]:
        async with memory_world(user_requests_per_second=1000) as opened:
            yield opened
