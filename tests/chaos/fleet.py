"""The processes: started, killed and started again, with what was done to each written down."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.cluster import POSTGRES_AWAY, Cluster
from tests.chaos.failpoints import API, TIMES, WORKER
from tests.chaos.member import NAP
from tests.chaos.plan import Plan
from tests.proxy import Proxy, proxied

_REPOSITORY = Path(__file__).parents[2]
_START_SECONDS = 150.0
_SLOW = 0.4  # seconds
_STOP_SECONDS = 30.0
#: Before a process that died is started again, as whatever keeps it running would.
_PAUSE = 0.2


@dataclass(slots=True, kw_only=True)
class Harm:
    """What was done to a process, from when until when (seconds since the epoch)."""

    pid: int
    kind: str
    begun: float
    ended: float | None = None


@dataclass(slots=True, kw_only=True)
class Member:
    """A place in the fleet; one process after another has it."""

    name: str
    kind: str
    proxy: Proxy
    folder: Path
    environment: dict[str, str]
    process: asyncio.subprocess.Process | None = None
    lives: int = 0
    port: int = 0
    #: Whether the next end of its process is somebody's doing.
    doomed: bool = False

    @property
    def pid(self) -> int | None:
        """The process's id while it lives."""
        if self.process is None or self.process.returncode is not None:
            return None
        return self.process.pid

    @property
    def ready(self) -> bool:
        """Whether its process has come so far as to work."""
        mine = str(self.pid)
        return any(note[1] == mine and note[2] in {"ready", "engine"} for note in self.notes())

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://127.0.0.1:{self.port}"

    def notes(self) -> list[list[str]]:
        """Return what its processes left word of: time, pid, word, and what."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.folder / "notes").read_text().splitlines()
            return [line.split(" ", 3) for line in lines]
        return []

    def logs(self) -> list[Path]:
        """Return the logs of its processes, the first one's first."""
        return [self.folder / f"{number}.log" for number in range(1, self.lives + 1)]

    def engine(self) -> str | None:
        """Return the address of its ComfyUI, once it has one."""
        found = [note[3] for note in self.notes() if note[2] == "engine"]
        return found[-1] if found else None


@dataclass(slots=True, kw_only=True)
class Fleet:
    """All of them."""

    plan: Plan
    members: list[Member]
    truce: Path
    harms: list[Harm] = field(default_factory=list)
    #: Processes that ended with nobody's doing: (name, exit code).
    strays: list[tuple[str, int]] = field(default_factory=list)
    #: Workers that a supervisor ended for a cancel.
    ended_by_supervisors: int = 0
    stalls: list[tuple[float, float]] = field(default_factory=list)
    exits: Counter[int] = field(default_factory=Counter)
    _over: bool = False
    _keeping: list[asyncio.Task[None]] = field(default_factory=list)
    _points: dict[str, list[tuple[str, int]]] = field(default_factory=dict)

    def of(self, kind: str) -> list[Member]:
        """Return the members of a kind."""
        return [member for member in self.members if member.kind == kind]

    def harm(self, member: Member, kind: str) -> Harm | None:
        """Write down that something is being done to a member's process."""
        if member.pid is None:
            return None
        harm = Harm(pid=member.pid, kind=kind, begun=time.time())
        self.harms.append(harm)
        return harm

    def kill(self, member: Member, kind: str = "killed") -> None:
        """Kill a member as ``kill -9`` does."""
        if self.harm(member, kind) is not None:
            member.doomed = True
            self.signal(member, signal.SIGKILL)

    def signal(self, member: Member, number: signal.Signals) -> None:
        """Send a signal to a member that lives."""
        if member.pid is not None:
            # Not by the process object: it would first look whether the process has ended, and
            # take the exit code from whoever waits for it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, number)

    async def start(self) -> None:
        """Start every member, and keep each running."""
        self._keeping = [asyncio.create_task(self._keep(member)) for member in self.members]
        async with asyncio.timeout(_START_SECONDS):
            for member in self.members:
                while not member.ready:
                    await asyncio.sleep(0.1)

    async def tell_stalls(self, cluster: Cluster) -> None:
        """
        Write down when the machine has no time to spare.

        That is when this process, through which all connections lead, or a new connection to
        Postgres takes as long as no heartbeat can afford. A Postgres that is stopped answers at
        once that it is.
        """
        while True:
            before = time.time()
            await asyncio.sleep(NAP)
            with contextlib.suppress(OSError, *POSTGRES_AWAY):
                await cluster.rows("SELECT 1")
            if time.time() - before > NAP + _SLOW:
                self.stalls.append((before, time.time()))

    async def stop(self) -> None:
        """Tell every member to stop and wait for its end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                while not all(member.ready for member in self.members):
                    await asyncio.sleep(0.1)
        self._over = True
        for member in self.members:
            self.signal(member, signal.SIGTERM)
        await asyncio.wait(self._keeping, timeout=_STOP_SECONDS)
        for member in self.members:
            if member.pid is not None:
                self.strays.append((member.name, -1))  # it did not stop
                self.kill(member)
        await asyncio.gather(*self._keeping)

    async def _keep(self, member: Member) -> None:
        while not self._over:
            point = self._next_point(member.kind)
            process = await self._begin(member, *point)
            code = await process.wait()
            self.exits[code] += 1
            struck = [
                float(note[0])
                for note in member.notes()
                if note[1] == str(process.pid) and note[2] == "struck"
            ]
            if struck:
                self.harms.append(Harm(pid=process.pid, kind="failpoint", begun=struck[0]))
            elif code == -signal.SIGKILL and not member.doomed and member.kind == "worker":
                self.ended_by_supervisors += 1
            elif not member.doomed and not (self._over and code == 0):
                self.strays.append((member.name, code))
            if not struck:
                self._points[member.kind].append(point)  # for the next one
            member.doomed = False
            await asyncio.sleep(_PAUSE)

    async def _begin(self, member: Member, point: str, times: int) -> asyncio.subprocess.Process:
        member.lives += 1
        log = member.folder / f"{member.lives}.log"
        with log.open("wb") as output:
            member.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.chaos.member", member.kind),
                env={
                    **member.environment,
                    "CHAOS_FAILPOINT": point,
                    "CHAOS_TIMES": str(times),
                    "CHAOS_NOTES": str(member.folder / "notes"),
                    "CHAOS_TRUCE": str(self.truce),
                },
                cwd=_REPOSITORY,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        return member.process

    def _next_point(self, kind: str) -> tuple[str, int]:
        """Return the next failpoint of a kind's round, and at which passing of it to die."""
        left = self._points.setdefault(kind, [])
        if not left:
            chance = self.plan.chance(f"failpoints {kind} {len(self.harms)}")
            points = list(WORKER if kind == "worker" else API)
            chance.shuffle(points)
            left += [(point, chance.randint(*TIMES.get(point, (2, 8)))) for point in points]
        return left.pop()


@asynccontextmanager
async def open_fleet(
    plan: Plan, cluster: Cluster, folder: Path, *, media_port: int
) -> AsyncIterator[Fleet]:
    """Hold a fleet that is not started yet; whatever is left of it is killed at the end."""
    async with AsyncExitStack() as stack:
        members: list[Member] = []
        kinds = ["serve"] * plan.apis + ["worker"] * plan.workers
        for number, kind in enumerate(kinds, start=1):
            name = f"{kind}-{number}"
            home = folder / name
            home.mkdir()
            proxy = await stack.enter_async_context(proxied(cluster.urls.api))
            member = Member(
                name=name, kind=kind, proxy=proxy, folder=home, environment={}, port=_free_port()
            )
            member.environment = {
                "PATH": os.environ["PATH"],
                "HOME": os.environ.get("HOME", "/"),
                **plan.settings(),
                "GENJOBS_DATA_DIRECTORY": str(home),
                "GENJOBS_ARTIFACTS_URL": f"file:{folder / 'artifacts'}",
                "GENJOBS_DATABASE_URL": proxy.url_as("genjobs_api"),
                "GENJOBS_WORKER_DATABASE_URL": proxy.url_as("genjobs_worker"),
                "GENJOBS_SIGNING_KEY": "signs the links of the chaos run and nothing else",
                "GENJOBS_TOKEN_KEYS": '["signs the tokens of the chaos run, nothing else"]',
                "CHAOS_PORT": str(member.port),
                "CHAOS_MEDIA_PORT": str(media_port),
            }
            members.append(member)
        fleet = Fleet(plan=plan, members=members, truce=folder / "truce")
        try:
            yield fleet
        finally:
            fleet._over = True
            for member in members:
                fleet.kill(member)
            await asyncio.gather(*fleet._keeping, return_exceptions=True)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
