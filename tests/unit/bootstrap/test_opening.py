"""Opening a part of genjobs by itself: the same wiring, and what is opened is closed."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from pydantic import SecretStr

from genjobs.bootstrap import open_ingester, open_worker
from genjobs.settings import Settings
from genjobs.testing.harness import FakeAdapters

SETTINGS = Settings(data_directory=Path("unused"), api_key=SecretStr("gj_test_key_of_a_test"))


class Recorded:
    """A factory of fakes that keeps what it made."""

    def __init__(self) -> None:
        self.closed = False

    def __call__(self, settings: Settings, stack: AsyncExitStack) -> FakeAdapters:
        stack.callback(setattr, self, "closed", True)
        self.fakes = FakeAdapters(settings, stack)
        return self.fakes


async def test_ingester_opens_by_itself() -> None:
    factory = Recorded()
    async with open_ingester(SETTINGS, factory) as ingester:
        assert await ingester.run_due() == 0
        assert ingester.ingest.fetcher is factory.fakes.fake_web
        assert ingester.ingest.check.inspector is factory.fakes.fake_inspector
        assert not factory.closed
    assert factory.closed


async def test_worker_opens_by_itself() -> None:
    factory = Recorded()
    async with open_worker(SETTINGS, factory) as worker:
        assert worker.engine is factory.fakes.fake_engine
    assert factory.closed
