"""
Whole processes, as containers run them: logging is set up, settings are read, the rest is opened.

What a scheduler starts each minute is bounded in time. Which function of which platform calls
these is in ``deploy/``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from genjobs import bootstrap
from genjobs.bootstrap.engine import prepare_engine
from genjobs.bootstrap.loading import load_comfyui_settings
from genjobs.bootstrap.preloading import load_worker_modules
from genjobs.domain.errors import ConfigurationError
from genjobs.gpu.confinement import SHARED_FOLDERS, close_shared_folders
from genjobs.gpu.prepared import PreparedProcess
from genjobs.gpu.pushed import PushedWorker
from genjobs.settings import Settings
from genjobs.settings.comfyui import ComfyUISettings
from genjobs.telemetry import configure_logging

if TYPE_CHECKING:
    from fastapi import FastAPI

_log = structlog.get_logger(__name__)

#: How long a run takes that a scheduler starts each minute; the rest is for starting the next.
A_MINUTE: Final = timedelta(seconds=55)

_log = structlog.get_logger(__name__)


def api() -> FastAPI:
    """Return the API; its lifespan opens the pools."""
    return bootstrap.build_api(_settings())


def reader() -> FastAPI:
    """Return the API that only reads, for end users."""
    return bootstrap.build_reader(_settings())


def prepare(shared: Collection[str] = SHARED_FOLDERS) -> PreparedProcess | None:
    """
    Do what of a worker's start needs no device, no connection and no secret; see docs/snapshot.md.

    Return what ``worker`` is to be given, in this container or in one that has its memory. Where
    ComfyUI has a user of its own, nobody but root may write to ``shared`` folders afterwards.
    """
    loaded = load_comfyui_settings()
    configure_logging(json=True)
    load_worker_modules()
    _close(loaded, shared)
    return prepare_engine(loaded)


@asynccontextmanager
async def worker(
    prepared: PreparedProcess | None = None, shared: Collection[str] = SHARED_FOLDERS
) -> AsyncIterator[PushedWorker]:
    """Hold a worker that is called, its engine ready; both are as in ``prepare``."""
    from genjobs.adapters.modal import READY, container, is_restored

    begun, loaded = time.monotonic(), _settings()
    _close(loaded, shared)  # again: folders in memory may be new ones after a restore
    async with bootstrap.open_pushed_worker(loaded, prepared=prepared) as opened:
        took = round(time.monotonic() - begun, 2)
        _log.info(READY, container=container(), restored=is_restored(), ready_seconds=took)
        yield opened


def _close(settings: ComfyUISettings, shared: Collection[str]) -> None:
    if settings.comfyui_user is not None:
        _log.info("worker.shared_folders_closed", folders=close_shared_folders(shared))


async def supervise(settings: Settings | None = None, length: timedelta = A_MINUTE) -> None:
    """Tick for a while; runs that overlap do no harm."""
    loaded = settings or _settings()
    async with bootstrap.open_supervisor(loaded) as supervisor:
        await supervisor.run(every=loaded.supervise_every(), length=length)


async def ingest(settings: Settings | None = None, length: timedelta = A_MINUTE) -> None:
    """Fetch media for a while, and finish what was begun: a large file takes longer than that."""
    loaded = settings or _settings()
    async with bootstrap.open_ingester(loaded) as ingester:
        shutdown = asyncio.Event()
        asyncio.get_running_loop().call_later(length.total_seconds(), shutdown.set)
        await ingester.run(shutdown, finish=loaded.ingest_rules().deadline)


async def upgrade(settings: Settings | None = None) -> None:
    """
    Migrate the database; the embedded one is migrated by being opened.

    Raises:
        ConfigurationError: there is no URL of the owner's role.
    """
    loaded = settings or _settings()
    async with bootstrap.open_adapters(loaded) as adapters:
        urls = await adapters.database_urls()
        if loaded.embedded_database:
            return
        if urls.owner is None:
            raise ConfigurationError("GENJOBS_OWNER_DATABASE_URL is needed to migrate")
        await bootstrap.prepare_database(loaded, urls.owner)


def _settings() -> Settings:
    loaded = bootstrap.load_settings()
    configure_logging(json=loaded.log_json, level=loaded.log_level)
    return loaded
