"""Running the shipped commands as processes, and looking at what they leave behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from genjobs.testing import a_key_text

KEY = a_key_text("processes").reveal()
USER = "u_1"
#: A lost worker is found out in seconds instead of half a minute.
HASTE = {
    "GENJOBS_HEARTBEAT_SECONDS": "0.5",
    "GENJOBS_LEASE_SECONDS": "2",
    "GENJOBS_SUPERVISE_SECONDS": "0.3",
    "GENJOBS_STOP_SECONDS": "3",
    "GENJOBS_API_KEY": KEY,
}


@dataclass(slots=True)
class Command:
    """A running ``genjobs`` command."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    #: Standard output, once it has ended.
    out: str = ""

    async def says(self, text: str, seconds: float = 60) -> str:
        """Return the first line on standard error that holds ``text``."""
        async with asyncio.timeout(seconds):
            for line in self.lines:
                if text in line:
                    return line
            assert self.process.stderr is not None
            while line := (await self.process.stderr.readline()).decode():
                self.lines.append(line)
                if text in line:
                    return line
        raise AssertionError(f"never said {text!r}:\n{''.join(self.lines)}")

    async def ends(self, seconds: float = 60) -> int:
        """Return the exit code."""
        async with asyncio.timeout(seconds):
            out, err = await self.process.communicate()
            self.out += out.decode()
            self.lines += err.decode().splitlines(keepends=True)
        assert self.process.returncode is not None
        return self.process.returncode

    def kill(self) -> None:
        """Kill it as ``kill -9`` does."""
        self.process.send_signal(signal.SIGKILL)

    async def stop(self) -> int:
        """Ask it to stop and return the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await self.ends()


@asynccontextmanager
async def running(data: Path, *arguments: str, **settings: str | None) -> AsyncIterator[Command]:
    """Hold a command whose files are in ``data``; it is stopped at the end. None unsets one."""
    wanted = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "GENJOBS_DATA_DIRECTORY": str(data),
        **HASTE,
        **settings,
    }
    environment = {name: value for name, value in wanted.items() if value is not None}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "genjobs", *arguments),
        env=environment,
        cwd=data,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    command = Command(process)
    try:
        yield command
    finally:
        if process.returncode is None:
            await command.stop()


async def base_url(command: Command) -> str:
    """Return where a ``serve`` or ``demo`` listens."""
    line = await command.says("http://127.0.0.1:")
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found, line
    return found[0]


@asynccontextmanager
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Hold an API client of the one test user."""
    async with httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {KEY}"},
        params={"user_id": USER},
        timeout=30,
        trust_env=False,
    ) as http:
        yield http


async def final(http: httpx.AsyncClient, job_id: str, seconds: float = 60) -> dict[str, Any]:
    """Wait until the job is final and return it."""
    async with asyncio.timeout(seconds):
        while True:
            job: dict[str, Any] = (await http.get(f"/v1/jobs/{job_id}")).raise_for_status().json()
            if job["status"] in {"completed", "failed", "cancelled"}:
                return job
            await asyncio.sleep(0.1)


def servers_of(data: Path) -> list[int]:
    """Return the pids of Postgres servers whose cluster is in ``data``."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if command.split(b"\0")[0].endswith(b"/postgres") and os.fsencode(data) in command:
                found.append(int(process.name))
    return found


def peak_memory(pid: int) -> int:
    """Return the most memory a process has held, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")
