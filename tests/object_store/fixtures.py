"""Fixtures: one moto for the test process, one gate whose bucket each test finds empty."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from genjobs.adapters.r2 import Patience, R2ArtifactStore, open_r2_store
from tests.object_store.gate import Gate, open_gate, running_moto
from tests.object_store.signatures import CREDENTIALS

#: The least that S3 allows, so that files of a few MiB have several parts.
PART_BYTES = 5 * 1024 * 1024
#: Gives up in about a second.
HASTY = Patience(connect=0.3, silence=0.4, attempt=0.6, total=1.5, tries=2, pause=0.01, grace=0.3)
#: Gives up in some seconds: enough for parts on a busy machine.
BRISK = Patience(connect=2, silence=2, attempt=5, total=12, tries=3, pause=0.01, grace=1.5)


@pytest.fixture(scope="session")
def moto_port() -> Iterator[int]:
    with running_moto() as port:
        yield port


@pytest.fixture(scope="session")
async def running_gate(anyio_backend: str, moto_port: int) -> AsyncIterator[Gate]:
    async with open_gate(moto_port) as opened:
        yield opened


@pytest.fixture
async def gate(running_gate: Gate) -> AsyncIterator[Gate]:
    """A gate with an empty bucket."""
    yield running_gate
    await running_gate.clear()


@pytest.fixture(scope="session")
async def r2_store(running_gate: Gate) -> AsyncIterator[R2ArtifactStore]:
    """One client for all tests, as it is one for a process; use it together with ``gate``."""
    patience = Patience(pause=0.01)
    async with open_r2_store(
        running_gate.place, CREDENTIALS, patience=patience, part_bytes=PART_BYTES
    ) as store:
        yield store


@pytest.fixture(scope="session")
async def hasty_store(running_gate: Gate) -> AsyncIterator[R2ArtifactStore]:
    """A store that gives up soon."""
    async with open_r2_store(
        running_gate.place, CREDENTIALS, patience=HASTY, part_bytes=PART_BYTES
    ) as store:
        yield store


@pytest.fixture(scope="session")
async def brisk_store(running_gate: Gate) -> AsyncIterator[R2ArtifactStore]:
    """A store that gives up in some seconds."""
    async with open_r2_store(
        running_gate.place, CREDENTIALS, patience=BRISK, part_bytes=PART_BYTES
    ) as store:
        yield store
