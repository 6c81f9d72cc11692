"""Workers: what runs attempts, and the two ways they come to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genjobs.application.heart import Heart
from genjobs.application.recording import Recorder
from genjobs.application.renderer import Renderer
from genjobs.application.run import RunJob
from genjobs.bootstrap.adapters import Adapters
from genjobs.bootstrap.dispatching import need_modal
from genjobs.gpu.keeping import LocalRetirement
from genjobs.gpu.pushed import PushedWorker
from genjobs.gpu.worker import PullWorker

if TYPE_CHECKING:
    from genjobs.domain.ports import Retirement


async def build_worker(adapters: Adapters) -> PullWorker:
    """Return a worker that pulls jobs and renders them."""
    keeper = await adapters.keeper()
    retirement = LocalRetirement(keeper=keeper)
    return PullWorker(
        ledger=await adapters.ledger(),
        engine=await adapters.engine(),
        keeper=keeper,
        signals=await adapters.signals(),
        clock=adapters.clock(),
        retired=retirement.retired,
        places=adapters.settings.worker_places,
        run_job=await _run_job(adapters, retirement),
    )


async def build_pushed_worker(adapters: Adapters) -> PushedWorker:
    """Return a worker that is called with jobs, in a container at Modal."""
    need_modal()
    from genjobs.adapters.modal import ModalRetirement, own_call_id

    retirement = ModalRetirement()
    return PushedWorker(
        run_job=await _run_job(adapters, retirement),
        keeper=await adapters.keeper(),
        retirement=retirement,
        retired=retirement.retired,
        own_call_id=own_call_id,
        places=adapters.settings.worker_places,
    )


async def _run_job(adapters: Adapters, retirement: Retirement) -> RunJob:
    ledger, engine, clock = await adapters.ledger(), await adapters.engine(), adapters.clock()
    keeper, artifacts = await adapters.keeper(), await adapters.artifacts()
    deadlines = adapters.settings.deadlines()
    return RunJob(
        ledger=ledger,
        artifacts=artifacts,
        engine=engine,
        probe=adapters.probe(),
        clock=clock,
        ids=adapters.ids(),
        signals=await adapters.signals(),
        catalogue=adapters.catalogue(),
        deadlines=deadlines,
        heart=Heart(
            ledger=ledger, clock=clock, notices=await adapters.notices(), deadlines=deadlines
        ),
        renderer=Renderer(
            engine=engine,
            keeper=keeper,
            retirement=retirement,
            clock=clock,
            deadlines=deadlines,
        ),
        recorder=Recorder(ledger=ledger, artifacts=artifacts, engine=engine, clock=clock),
    )
