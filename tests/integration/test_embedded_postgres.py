"""The embedded Postgres: who starts it, who stops it, and what killing leaves behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from genjobs.adapters.local.embedded_postgres import embedded_postgres
from genjobs.adapters.postgres.pool import connect_arguments
from tests.e2e.processes import enterable, servers_of

_HOLD = """
import asyncio, sys
from pathlib import Path
from genjobs.adapters.local.embedded_postgres import embedded_postgres

async def main():
    async with embedded_postgres(Path(sys.argv[1])) as urls:
        print(urls.admin, flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return enterable(tmp_path) / "pg"


@asynccontextmanager
async def holder(folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that has the server open, until it is sent a line."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _HOLD, str(folder)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60)
    try:
        yield process
    finally:
        if process.returncode is None:
            await asyncio.wait_for(process.communicate(b"\n"), 60)


async def one(url: str, statement: str) -> object:
    connection = await asyncpg.connect(**connect_arguments(url))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_data_are_kept_and_the_server_is_stopped(folder: Path) -> None:
    async with embedded_postgres(folder) as urls:
        await one(urls.owner, "CREATE TABLE kept AS SELECT 7 AS x")
        assert await one(urls.api, "SELECT current_user") == "genjobs_api"
        assert await one(urls.admin, "SHOW listen_addresses") == ""
    assert servers_of(folder) == []
    async with embedded_postgres(folder) as urls:
        assert await one(urls.owner, "SELECT x FROM kept") == 7
    assert servers_of(folder) == []


async def test_last_one_out_stops_it(folder: Path) -> None:
    async with holder(folder):
        async with embedded_postgres(folder) as first, embedded_postgres(folder) as second:
            assert first == second
        assert len(servers_of(folder)) == 1  # the other process still has it
    assert servers_of(folder) == []


async def test_killed_user_does_not_count(folder: Path) -> None:
    async with holder(folder) as process:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert len(servers_of(folder)) == 1
    async with embedded_postgres(folder) as urls:
        assert await one(urls.admin, "SELECT 1") == 1
    assert servers_of(folder) == []


async def test_server_and_user_killed_together_recover(folder: Path) -> None:
    async with holder(folder) as process:
        async with embedded_postgres(folder) as urls:
            await one(urls.owner, "CREATE TABLE kept AS SELECT 7 AS x")
        for pid in servers_of(folder):
            os.kill(pid, signal.SIGKILL)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with embedded_postgres(folder) as urls:
        assert await one(urls.owner, "SELECT x FROM kept") == 7
    assert servers_of(folder) == []


async def test_pid_that_now_is_another_process_is_no_server(folder: Path) -> None:
    async with embedded_postgres(folder):
        pass
    stale = folder / "cluster" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n")
    async with embedded_postgres(folder) as urls:
        assert await one(urls.admin, "SELECT 1") == 1


async def test_folder_too_deep_for_a_socket_works(folder: Path) -> None:
    deep = folder / ("x" * 60) / ("y" * 60)
    async with embedded_postgres(deep) as urls:
        assert await one(urls.api, "SELECT 1") == 1
    assert servers_of(deep) == []


async def test_openers_at_once_get_one_server(folder: Path) -> None:
    async with holder(folder):
        results = await asyncio.gather(*(_open_and_ask(folder) for _ in range(5)))
        assert results == [1] * 5
        assert len(servers_of(folder)) == 1


async def _open_and_ask(folder: Path) -> object:
    async with embedded_postgres(folder) as urls:
        return await one(urls.worker, "SELECT 1")


@pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root to make a folder that others cannot enter"
)
async def test_root_in_a_closed_folder_finds_a_place(folder: Path) -> None:
    folder.parent.chmod(0o700)
    async with embedded_postgres(folder) as urls:
        assert await one(urls.api, "SELECT 1") == 1
