"""The supervisor's commands, and what operators ask and order."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from typing import Any

from genjobs import bootstrap
from genjobs.application.inventory import TakeInventory
from genjobs.cli.serving import first_of, stopping
from genjobs.settings import Settings


async def supervise(settings: Settings) -> None:
    """Run a supervisor until told to stop."""
    async with stopping() as stop, bootstrap.open_adapters(settings) as adapters:
        supervisor = await bootstrap.build_supervisor(adapters)
        ticking = asyncio.create_task(supervisor.run(every=settings.supervise_every()))
        await first_of(ticking, stop)
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking


async def supervise_once(settings: Settings) -> dict[str, Any]:
    """Do what is due now and return what was done."""
    async with bootstrap.open_adapters(settings) as adapters:
        supervisor = await bootstrap.build_supervisor(adapters)
        return dataclasses.asdict(await supervisor.tick())


async def inventory(settings: Settings, *, remove: bool) -> dict[str, Any]:
    """Hold the store and the jobs against each other and return what was found."""
    async with bootstrap.open_adapters(settings) as adapters:
        supervisor = await bootstrap.build_supervisor(adapters)
        take = TakeInventory(sweep=supervisor.sweep, reconcile=supervisor.reconcile)
        return dataclasses.asdict(await take(remove=remove))


async def overview(settings: Settings) -> dict[str, Any]:
    """Return the figures operators watch."""
    async with bootstrap.open_adapters(settings) as adapters:
        ledger = await adapters.ledger()
        found = await ledger.overview(now=adapters.clock().now())
        backlog = await (await adapters.ingests()).backlog()
        return {**dataclasses.asdict(found), "ingest_backlog": backlog}


async def pause(settings: Settings) -> None:
    """Give out no slot any more."""
    async with bootstrap.open_adapters(settings) as adapters:
        await (await adapters.supervision()).pause(now=adapters.clock().now())


async def resume(settings: Settings) -> None:
    """Give out slots again."""
    async with bootstrap.open_adapters(settings) as adapters:
        await (await adapters.supervision()).resume()
