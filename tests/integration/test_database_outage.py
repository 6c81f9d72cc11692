"""A database that goes away for three leases under a worker that renders and a supervisor."""

from __future__ import annotations

import asyncio
from pathlib import Path

from genjobs import bootstrap
from genjobs.application.submission import Submission
from genjobs.domain.errors import Unavailable
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.settings import Settings
from genjobs.testing import a_workflow
from tests.postgres import Database
from tests.proxy import proxied

_LEASE = 3.0


async def test_healthy_job_outlives_the_outage(database: Database, tmp_path: Path) -> None:
    async with proxied(database.worker) as proxy:
        settings = Settings.model_validate(
            {
                "database_url": database.api,
                "worker_database_url": proxy.url,
                "owner_database_url": database.owner,
                "data_directory": tmp_path,
                "heartbeat_seconds": 0.5,
                "lease_seconds": _LEASE,
            }
        )
        await bootstrap.prepare_database(settings, database.owner)
        async with (
            bootstrap.open_genjobs(settings) as genjobs,
            bootstrap.open_worker(settings) as worker,
            bootstrap.open_adapters(settings) as adapters,
        ):
            supervisor = await bootstrap.build_supervisor(adapters)
            stop = asyncio.Event()
            working = asyncio.create_task(worker.run(stop))
            job = await genjobs.submit(
                genjobs.owner("u_1"), Submission(workflow=_sleeping(3 * _LEASE + 3))
            )
            reach = genjobs.reach("u_1")
            await supervisor.tick()
            while (await genjobs.get(reach, job.id)).job.phase is not Phase.RENDERING:
                await asyncio.sleep(0.05)
            await supervisor.tick()

            proxy.down.set()
            proxy.reset()
            for _ in range(6):
                await asyncio.sleep(_LEASE / 2)
                try:
                    await supervisor.tick()
                except Unavailable:
                    continue
                raise AssertionError("the database was not away")
            proxy.down.clear()
            tick = await supervisor.tick()
            assert (tick.grace, tick.rescued) == (True, 0)
            assert tick.overview.running == 1

            final = (await genjobs.wait(reach, job.id)).job
            assert (final.status, final.attempt) == (JobStatus.COMPLETED, 1)
            assert (await supervisor.tick()).overview.rescues == 0
            stop.set()
            await working


def _sleeping(seconds: float) -> dict[str, object]:
    graph = a_workflow()
    graph["3"] = {
        "class_type": "SimulatorSleep",
        "inputs": {"image": graph["9"]["inputs"]["images"], "seconds": seconds},
    }
    graph["9"]["inputs"]["images"] = ["3", 0]
    return graph
