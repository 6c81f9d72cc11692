"""Fixtures of the whole suite: the event loop and real Postgres."""

from __future__ import annotations

import pytest

from tests import environment  # noqa: F401  (cleans the environment before anything reads it)

pytest_plugins = ["tests.postgres"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
