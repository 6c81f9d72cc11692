"""What is another's does not exist, on Postgres; ``tests.two_tenants`` holds what is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.postgres import Database
from tests.two_tenants import TwoTenantReplay
from tests.worlds import World, postgres_world


class TestForeignOnPostgres(TwoTenantReplay):
    @pytest.fixture
    async def world(self, database: Database) -> AsyncIterator[World]:
        async with postgres_world(database, user_requests_per_second=1000) as opened:
            yield opened
