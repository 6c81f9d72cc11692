"""
The composition root: settings -> adapters -> use cases.

One root for local and production. Which adapter a setting chooses is in ``adapters``; no rule of
the product is here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from genjobs.application.authenticate import Authenticate
from genjobs.application.cancel import CancelJob
from genjobs.application.catalogues import Catalogues
from genjobs.application.check_media import CheckMedia
from genjobs.application.create_upload import CreateUpload
from genjobs.application.denials import Denials
from genjobs.application.erase import EraseJob, EraseUser, GetErasure
from genjobs.application.genjobs import Genjobs
from genjobs.application.ingest import IngestMedia
from genjobs.application.ingesting import Ingester
from genjobs.application.mint_token import MintToken
from genjobs.application.query import GetJob, GetOutput, LinkSigner, ListJobs
from genjobs.application.submit import SubmitJob
from genjobs.application.supervise import Supervise
from genjobs.application.uploaded_media import FindUploads
from genjobs.application.usage import GetUsage
from genjobs.bootstrap.adapters import Adapters
from genjobs.bootstrap.administration import (
    Administration,
    AdministrationOpener,
    open_administration,
)
from genjobs.bootstrap.capacity import build_adjuster, build_preview
from genjobs.bootstrap.loading import load_settings, version
from genjobs.bootstrap.preparing import DatabaseUrls, api_key, prepare_database
from genjobs.bootstrap.reading import build_reader_context, rate_of
from genjobs.bootstrap.supervising import build_supervisor
from genjobs.bootstrap.working import build_pushed_worker, build_worker
from genjobs.domain.ids import TenantId
from genjobs.gpu.prepared import PreparedProcess
from genjobs.gpu.pushed import PushedWorker
from genjobs.gpu.worker import PullWorker
from genjobs.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from genjobs.api.context import ApiContext, ReaderContext
    from genjobs.application.supervise import Supervise

__all__ = [
    "Adapters",
    "AdaptersFactory",
    "Administration",
    "AdministrationOpener",
    "DatabaseUrls",
    "api_key",
    "build_adjuster",
    "build_api",
    "build_context",
    "build_genjobs",
    "build_ingester",
    "build_preview",
    "build_pushed_worker",
    "build_reader",
    "build_reader_context",
    "build_supervisor",
    "build_worker",
    "load_settings",
    "open_adapters",
    "open_administration",
    "open_genjobs",
    "open_ingester",
    "open_pushed_worker",
    "open_supervisor",
    "open_worker",
    "prepare_database",
    "version",
]

AdaptersFactory = Callable[[Settings, AsyncExitStack], Adapters]


async def build_genjobs(adapters: Adapters) -> Genjobs:
    """Return the use cases of the API side."""
    jobs, artifacts, clock = await adapters.jobs(), await adapters.artifacts(), adapters.clock()
    signer = LinkSigner(artifacts=artifacts, clock=clock, life=adapters.settings.link_life())
    get_job = GetJob(jobs=jobs, signer=signer)
    erasures = await adapters.erasures()
    uploads = await adapters.uploads()
    tenants, codec = await adapters.tenants(), adapters.token_codec()
    authenticate = Authenticate(
        keys=await adapters.keys(), tenants=tenants, codec=codec, clock=clock
    )
    await adapters.beside(authenticate.keep_noting(), authenticate.note_use)
    return Genjobs(
        submit_job=SubmitJob(
            jobs=jobs,
            artifacts=artifacts,
            clock=clock,
            ids=adapters.ids(),
            signals=await adapters.signals(),
            catalogues=Catalogues(adapters.catalogue(), tenants, clock),
            denials=Denials(clock),
            deadlines=adapters.settings.deadlines(),
            fetcher=adapters.fetcher(),
            find_uploads=FindUploads(uploads=uploads, artifacts=artifacts, clock=clock),
            check=CheckMedia(inspector=await adapters.inspector()),
            ingest_deadline=adapters.settings.ingest_rules().deadline,
            max_media=adapters.settings.max_media,
        ),
        get_job=get_job,
        get_output=GetOutput(get_job=get_job),
        list_jobs=ListJobs(jobs=jobs, signer=signer),
        cancel_job=CancelJob(
            jobs=jobs, clock=clock, signals=await adapters.signals(), signer=signer
        ),
        create_upload=CreateUpload(
            uploads=uploads,
            artifacts=artifacts,
            clock=clock,
            ids=adapters.ids(),
            rules=adapters.settings.upload_rules(),
            limit=adapters.settings.max_media_bytes,
        ),
        mint_token=MintToken(tenants=tenants, codec=codec, clock=clock, ids=adapters.ids()),
        get_usage=GetUsage(tenants=tenants, clock=clock),
        erase_user=EraseUser(erasures=erasures, clock=clock, ids=adapters.ids()),
        erase_job=EraseJob(erasures=erasures, clock=clock, ids=adapters.ids()),
        get_erasure=GetErasure(erasures=erasures),
        authenticator=authenticate,
        jobs=jobs,
        artifacts=artifacts,
        tenant_id=TenantId(adapters.settings.tenant_id),
    )


async def build_ingester(adapters: Adapters) -> Ingester:
    """Return what fetches media named by URL."""
    ingests, settings = await adapters.ingests(), adapters.settings
    return Ingester(
        ingests=ingests,
        clock=adapters.clock(),
        ids=adapters.ids(),
        signals=await adapters.signals(),
        ingest=IngestMedia(
            ingests=ingests,
            artifacts=await adapters.artifacts(),
            fetcher=adapters.fetcher(),
            check=CheckMedia(inspector=await adapters.inspector()),
            clock=adapters.clock(),
            signals=await adapters.signals(),
            rules=settings.ingest_rules(),
            limit=settings.max_media_bytes,
        ),
    )


async def build_context(adapters: Adapters) -> ApiContext:
    """Return what the API serves from."""
    from genjobs.api.context import ApiContext
    from genjobs.api.throttle import Throttle

    settings = adapters.settings
    return ApiContext(
        genjobs=await build_genjobs(adapters),
        clock=adapters.clock(),
        throttle=Throttle(
            clock=adapters.clock(),
            keys=rate_of(settings.requests_per_second),
            end_users=rate_of(settings.user_requests_per_second),
        ),
        signed_files=adapters.signed_files(),
    )


@asynccontextmanager
async def open_adapters(
    settings: Settings, adapters: AdaptersFactory = Adapters
) -> AsyncIterator[Adapters]:
    """Hold the adapters that ``settings`` name; whatever was opened is closed at the end."""
    async with AsyncExitStack() as stack:
        yield adapters(settings, stack)


@asynccontextmanager
async def open_genjobs(
    settings: Settings | None = None, adapters: AdaptersFactory = Adapters
) -> AsyncIterator[Genjobs]:
    """
    Open genjobs for a script: submit, get, list, cancel and wait without HTTP.

    Raises:
        ConfigurationError: the settings are not usable.
    """
    async with open_adapters(settings or load_settings(), adapters) as opened:
        yield await build_genjobs(opened)


@asynccontextmanager
async def open_worker(
    settings: Settings | None = None, adapters: AdaptersFactory = Adapters, *, alone: bool = False
) -> AsyncIterator[PullWorker]:
    """
    Open a worker's part of a process.

    ``alone``: it is all of it, so that a supervisor may kill the process when the worker does not
    answer a cancel.
    """
    async with open_adapters(settings or load_settings(), adapters) as opened:
        opened.worker_is_alone = alone
        yield await build_worker(opened)


@asynccontextmanager
async def open_pushed_worker(
    settings: Settings | None = None,
    adapters: AdaptersFactory = Adapters,
    *,
    prepared: PreparedProcess | None = None,
) -> AsyncIterator[PushedWorker]:
    """
    Open a worker that is called, its engine ready; leaving gives back what it has.

    ``prepared`` is what ``prepare_engine`` returned, and is this worker's from here on.
    """
    began = asyncio.get_running_loop().time()
    async with open_adapters(settings or load_settings(), adapters) as opened:
        opened.prepared = prepared
        worker = await build_pushed_worker(opened)
        try:
            await worker.open(since=began)
            yield worker
        finally:
            await worker.close()


@asynccontextmanager
async def open_supervisor(
    settings: Settings | None = None, adapters: AdaptersFactory = Adapters
) -> AsyncIterator[Supervise]:
    """Open the part of a process that supervises."""
    async with open_adapters(settings or load_settings(), adapters) as opened:
        yield await build_supervisor(opened)


@asynccontextmanager
async def open_ingester(
    settings: Settings | None = None, adapters: AdaptersFactory = Adapters
) -> AsyncIterator[Ingester]:
    """Open the part of a process that fetches media."""
    async with open_adapters(settings or load_settings(), adapters) as opened:
        yield await build_ingester(opened)


def build_api(settings: Settings | None = None, adapters: AdaptersFactory = Adapters) -> FastAPI:
    """Return the API as an application of its own; its lifespan opens and closes the adapters."""
    from genjobs.api.app import create_app

    loaded = settings or load_settings()

    @asynccontextmanager
    async def open_context() -> AsyncIterator[ApiContext]:
        async with open_adapters(loaded, adapters) as opened:
            yield await build_context(opened)

    return create_app(open_context, version=version(), cors_origins=loaded.cors_origins)


def build_reader(settings: Settings | None = None, adapters: AdaptersFactory = Adapters) -> FastAPI:
    """Return the API that only reads, for end users, as an application of its own."""
    from genjobs.api.app import create_reader

    loaded = settings or load_settings()

    @asynccontextmanager
    async def open_context() -> AsyncIterator[ReaderContext]:
        async with open_adapters(loaded, adapters) as opened:
            yield await build_reader_context(opened)

    return create_reader(open_context, version=version(), cors_origins=loaded.cors_origins)
