"""Eight hours of the clock under load: nothing that a process or the database holds may grow."""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest

from genjobs.adapters.local.embedded_postgres import embedded_postgres
from genjobs.adapters.postgres.pool import connect_arguments
from tests import environment
from tests.e2e.processes import HASTE, KEY
from tests.soak.clients import Clients
from tests.soak.growth import Sample, look, slope

_HOURS = 8
_JOBS = 50_000
_AT_ONCE = 48
#: Of the run, before what is held is looked at: caches fill, and the first jobs come to their end.
_WARM_UP = 0.5
_EVERY = 5  # seconds
#: In seconds of the clock that hurries, so that all that jobs leave behind is gone within the run.
_SETTINGS = {
    **HASTE,
    "GENJOBS_LEASE_SECONDS": "300",
    "GENJOBS_HEARTBEAT_SECONDS": "0.5",
    "GENJOBS_QUEUE_TIMEOUT_SECONDS": "7200",
    "GENJOBS_RETENTION_SECONDS": "2700",
    "GENJOBS_KEEP_INPUTS_SECONDS": "900",
    "GENJOBS_TENANT_LIMITS": '{"submits_per_second": null, "submit_burst": null}',
    "GENJOBS_USER_LIMITS": '{"submits_per_second": null, "submit_burst": null}',
    "GENJOBS_REQUESTS_PER_SECOND": "1e6",
    "GENJOBS_LOG_JSON": "true",
}


@dataclass(frozen=True, slots=True)
class _Served:
    process: asyncio.subprocess.Process
    log: Path
    url: str


@pytest.mark.slow
@pytest.mark.e2e
async def test_nothing_grows_in_eight_hours(open_folder: Path) -> None:
    seconds = environment.SOAK_SECONDS
    async with (
        embedded_postgres(open_folder / "postgres") as urls,
        _served(open_folder, factor=_HOURS * 3600 / seconds) as served,
        httpx.AsyncClient(
            base_url=served.url,
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=30,
            trust_env=False,
        ) as http,
    ):
        begun = time.monotonic()
        clients = Clients(
            http=http, ends=begun + seconds, jobs=_JOBS, chance=random.Random("a working day")
        )
        admin = urls.admin.replace("/postgres?", "/genjobs?")
        connection = await asyncpg.connect(**connect_arguments(admin))
        samples: list[Sample] = []
        try:
            async with asyncio.TaskGroup() as group:
                working = group.create_task(clients.go(_AT_ONCE))
                while not working.done():
                    await asyncio.wait({working}, timeout=_EVERY)
                    samples.append(await look(served.process.pid, connection, clients.done))
        finally:
            await connection.close()

    warm = [sample for sample in samples if sample.jobs >= _WARM_UP * clients.done]
    names = ("memory", "descriptors", "connections", "dead_tuples", "database")
    slopes = {name: slope(warm, name) for name in names}
    print(
        f"\n{clients.done} jobs in {seconds} s, {_HOURS} h of the clock: {dict(clients.statuses)}"
    )
    for name in names:
        ends = (getattr(warm[0], name), getattr(warm[-1], name))
        found = slopes[name]
        told = f"{found.value:+.2%} in 10,000 jobs, give or take {found.doubt:.2%}"
        print(f"  {name:12} {ends[0]:>12} .. {ends[1]:>12}  {told}")
    assert clients.wrong == []
    assert '"exception"' not in served.log.read_text()
    assert set(clients.statuses) <= {"completed", "cancelled"}
    assert [name for name in names if not slopes[name].flat] == []


@asynccontextmanager
async def _served(folder: Path, *, factor: float) -> AsyncIterator[_Served]:
    log = folder / "serve.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.soak.hurried", str(factor), "0"),
            env={
                "PATH": os.environ["PATH"],
                "HOME": os.environ.get("HOME", "/"),
                "GENJOBS_DATA_DIRECTORY": str(folder),
                **_SETTINGS,
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        async with asyncio.timeout(60):
            while (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())) is None:
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.1)
        yield _Served(process, log, found[0])
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(60):
            await process.wait()
