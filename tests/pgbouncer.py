"""
PgBouncer in transaction mode, in front of a database under test: a process of its own per test.

It listens on a Unix socket only. It is not part of the suite's packages: where it is not installed,
tests are skipped with that reason; ``.ci/run`` installs it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from genjobs.adapters.postgres.pool import connect_arguments
from tests.postgres import Database

_BINARY: Final = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
#: Who it runs as when the tests run as root, which it refuses to.
_NOBODY: Final = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")

needs_pgbouncer = pytest.mark.skipif(
    _BINARY is None, reason="pgbouncer is not installed (Debian: apt-get install pgbouncer)"
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bouncer:
    """A running one, and the database through it."""

    #: URLs that say that they lead through a pooler; the owner's and the superuser's are direct.
    database: Database
    #: The same without saying so.
    silent_about_it: Database
    #: Connections of the server at most, for the API's and the worker's login together.
    size: int


@asynccontextmanager
async def bouncing(database: Database, *, each: int = 2) -> AsyncIterator[Bouncer]:
    """Run one that opens ``each`` connections to the database at most, for each of our logins."""
    assert _BINARY is not None
    folder = Path(tempfile.mkdtemp(prefix="genjobs-pgbouncer-"))
    server = connect_arguments(database.admin)
    users = folder / "users.txt"
    names = ("genjobs_owner", "genjobs_api", "genjobs_worker", str(server["user"]))
    users.write_text("".join(f'"{name}" ""\n' for name in names))
    configuration = folder / "pgbouncer.ini"
    port = f"port={server['port']}" if server["port"] else ""
    configuration.write_text(
        f"""
[databases]
{database.name} = host={server["host"] or "127.0.0.1"} {port}
[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
listen_port = 5432
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {each}
max_client_conn = 300
logfile = {folder / "log"}
"""
    )
    start = [_BINARY, str(configuration)]
    if os.getuid() == 0:
        for path in (folder, users, configuration):
            shutil.chown(path, "nobody")
        start = [*_NOBODY, *start]
    process = await asyncio.create_subprocess_exec(
        *start, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        silent = dataclasses.replace(
            database,
            api=f"postgresql+asyncpg://genjobs_api@/{database.name}?host={folder}",
            worker=f"postgresql+asyncpg://genjobs_worker@/{database.name}?host={folder}",
            owner=f"postgresql+asyncpg://genjobs_owner@/{database.name}?host={folder}",
        )
        await _answers(silent.api, process, folder / "log")
        declared = dataclasses.replace(
            database,
            api=f"{silent.api}&pooler=transaction",
            worker=f"{silent.worker}&pooler=transaction",
        )
        yield Bouncer(database=declared, silent_about_it=silent, size=2 * each)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        shutil.rmtree(folder, ignore_errors=True)


async def _answers(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                connection = await asyncpg.connect(**connect_arguments(url), timeout=5)
            except (OSError, asyncpg.PostgresError):
                if process.returncode is not None:
                    raise AssertionError(log.read_text() if log.exists() else "no log") from None
                await asyncio.sleep(0.05)
            else:
                await connection.close()
                return
