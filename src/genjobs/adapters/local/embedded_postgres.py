"""
A real Postgres of this machine's own, without TCP, for one folder.

Started by the first process that needs it and stopped by the last. Who still uses it is told by
file locks, which the kernel drops when a process dies however it dies; no list of pids can go
stale. The schema is not made here.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

import asyncpg
import structlog

from genjobs.adapters.local.postgres_binaries import (
    PostgresBinaries,
    find_binaries,
    private_folder,
    reachable,
)
from genjobs.domain.errors import ConfigurationError

_START_SECONDS: Final = 60.0  # recovery after a crash included
_STOP_SECONDS: Final = 20.0
_LOCK_SECONDS: Final = 120.0
_LONGEST_SOCKET: Final = 90  # of the 107 bytes a Unix socket address has, less the file's name
_LOG_BYTES: Final = 10 * 1024 * 1024
_OPTIONS: Final = (
    "-c listen_addresses= -c unix_socket_permissions=0700 -c max_connections=200 "
    "-c timezone=UTC -c log_timezone=UTC "
    "-c log_error_verbosity=terse"  # the rest shows rows, with the users in them
)
_ROLES: Final = ("genjobs_owner", "genjobs_api", "genjobs_worker")
_DATABASE: Final = "genjobs"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedUrls:
    """The same server for four roles; ``admin`` is the superuser on the maintenance database."""

    owner: str
    api: str
    worker: str
    admin: str


@asynccontextmanager
async def embedded_postgres(directory: Path) -> AsyncIterator[EmbeddedUrls]:
    """
    Hold the Postgres that keeps its data in ``directory``, started if need be.

    Raises:
        ConfigurationError: there is no Postgres on this machine, or it does not start.
    """
    directory = directory.resolve()  # one server, whatever link leads to it
    server = await asyncio.to_thread(_Server.prepare, directory)
    try:
        await asyncio.to_thread(server.enter)
    except RuntimeError as exc:
        raise ConfigurationError(f"the embedded Postgres does not start: {exc}") from exc
    try:
        async with asyncio.timeout(_LOCK_SECONDS):
            await _make_roles(server.socket)
        yield EmbeddedUrls(
            owner=server.url("genjobs_owner", _DATABASE),
            api=server.url("genjobs_api", _DATABASE),
            worker=server.url("genjobs_worker", _DATABASE),
            admin=server.url("postgres", "postgres"),
        )
    finally:
        await asyncio.shield(asyncio.to_thread(server.leave))


class _Server:
    """The cluster of one folder, seen by one opener."""

    def __init__(self, directory: Path, cluster: Path, socket: Path, binaries: PostgresBinaries):
        self._directory = directory
        self._cluster = cluster
        self.socket = socket
        self._binaries = binaries
        self._users: IO[bytes] | None = None

    @classmethod
    def prepare(cls, directory: Path) -> _Server:
        binaries = find_binaries()
        directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        home = directory
        if binaries.user is not None and not reachable(directory):
            # A root process in a folder closed to others: the server's user cannot get there.
            home = private_folder("data", directory, binaries)
        socket = home / "socket"
        if len(os.fsencode(socket)) > _LONGEST_SOCKET:
            socket = private_folder("socket", directory, binaries)
        return cls(directory, home / "cluster", socket, binaries)

    def url(self, role: str, database: str) -> str:
        return f"postgresql+asyncpg://{role}@/{database}?host={quote(str(self.socket))}"

    def enter(self) -> None:
        """Count as a user, and start the server unless it runs."""
        with self._turn():
            users = (self._directory / "users.lock").open("ab")
            try:
                fcntl.flock(users, fcntl.LOCK_SH)
                if not (self._cluster / "PG_VERSION").exists():
                    self._create()
                self.socket.mkdir(exist_ok=True)
                self._binaries.give(self.socket)
                self._start()
            except BaseException:
                users.close()
                raise
            self._users = users

    def leave(self) -> None:
        """Stop counting as a user; the last one stops the server."""
        with self._turn():
            users, self._users = self._users, None
            if users is None:
                return
            with users:
                fcntl.flock(users, fcntl.LOCK_UN)
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
                self._stop()

    def _create(self) -> None:
        new = self._cluster.with_name("cluster.new")
        if new.exists():  # an earlier try was cut off
            shutil.rmtree(new)
        new.mkdir()
        self._binaries.give(new)
        self._binaries.run(
            "initdb",
            *("-D", new, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"),
            timeout=_START_SECONDS,
        )
        new.rename(self._cluster)

    def _start(self) -> None:
        if self._running():
            return
        log = self._cluster / "server.log"
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.unlink()
        self._drop_foreign_pid()
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                self._binaries.run(
                    "pg_ctl",
                    *("start", "-D", self._cluster, "-l", log, "-w", "-t", "60"),
                    *("-o", f"{_OPTIONS} -k '{self.socket}'"),
                    timeout=_START_SECONDS + 10,
                )
                return
            except RuntimeError:
                # After a crash, children of the dead server may still hold its shared memory.
                if time.monotonic() > until:
                    raise
                time.sleep(0.3)

    def _stop(self) -> None:
        for mode in ("fast", "immediate"):
            if not self._running():
                return
            try:
                self._binaries.run(
                    "pg_ctl",
                    *("stop", "-D", self._cluster, "-m", mode, "-w"),
                    *("-t", str(int(_STOP_SECONDS))),
                    timeout=_STOP_SECONDS + 5,
                )
            except RuntimeError as exc:
                _log.warning("embedded_postgres.stop_failed", mode=mode, reason=str(exc))

    def _running(self) -> bool:
        pid = self._pid()
        return pid is not None and _is_postgres(pid, self._cluster)

    def _drop_foreign_pid(self) -> None:
        """Remove a pid file whose pid now belongs to something else: Postgres would not start."""
        pid = self._pid()
        if pid is not None and not _is_postgres(pid, self._cluster):
            (self._cluster / "postmaster.pid").unlink(missing_ok=True)

    def _pid(self) -> int | None:
        try:
            first = (self._cluster / "postmaster.pid").read_text().partition("\n")[0]
        except FileNotFoundError:
            return None
        return int(first) if first.strip().isdigit() else None

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Let one opener at a time look, start and stop."""
        with (self._directory / "turn.lock").open("ab") as file:
            until = time.monotonic() + _LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise RuntimeError("another process does not let go of it") from None
                    time.sleep(0.05)
            yield


def _is_postgres(pid: int, cluster: Path) -> bool:
    """Whether the process is the server of ``cluster``."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False
    command = Path(f"/proc/{pid}/cmdline")
    if not Path("/proc/self").exists():  # no /proc here: the pid has to do
        return True
    try:
        return os.fsencode(cluster) in command.read_bytes().split(b"\0")
    except FileNotFoundError:
        return False


async def _make_roles(socket: Path) -> None:
    """Make the roles and the database, whoever else does so at the same time."""
    connection = await _connect(socket)
    try:
        await connection.execute("SELECT pg_advisory_lock(1)")  # dropped with the connection
        have = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        for role in _ROLES:
            if role not in have:
                await connection.execute(f"CREATE ROLE {role} LOGIN")
        if not await connection.fetch("SELECT 1 FROM pg_database WHERE datname = $1", _DATABASE):
            await connection.execute(f"CREATE DATABASE {_DATABASE} OWNER genjobs_owner")
        await connection.execute(f"REVOKE ALL ON DATABASE {_DATABASE} FROM PUBLIC")
        await connection.execute(
            f"GRANT CONNECT ON DATABASE {_DATABASE} TO genjobs_api, genjobs_worker"
        )
    finally:
        await connection.close()


async def _connect(socket: Path) -> asyncpg.Connection[asyncpg.Record]:
    """Connect as superuser; a server that recovers from a crash is waited for."""
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            return await asyncpg.connect(
                host=str(socket), user="postgres", database="postgres", timeout=10
            )
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError):
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.2)
