"""Those who make trouble, each by its own seed, and the truce for what must not be disturbed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from genjobs.domain.ids import parse_job_id
from tests.chaos.cluster import POSTGRES_AWAY, Cluster
from tests.chaos.fleet import Fleet, Harm, Member
from tests.chaos.plan import Plan

#: Statements whose answers are cut off, by who makes them.
STATEMENTS = {
    "worker": (
        b"genjobs.start_attempt",
        b"genjobs.start_attempt",
        b"genjobs.end_execution",
        b"genjobs.end_execution",
        b"genjobs.dispatch",
        b"genjobs.crash_execution",
        b"UPDATE genjobs.slots",
    ),
    "serve": (
        b"genjobs.create_job",
        b"genjobs.request_cancel",
        b"genjobs.claim_ingests",
        b"genjobs.finish_ingest",
        b"genjobs.settle_ingest",
        b"genjobs.rescue_lost",
        b"genjobs.begin_tick",
    ),
}
#: Those that no run may be without.
FIRST = {"worker": (b"genjobs.start_attempt", b"genjobs.end_execution"), "serve": ()}
#: What a ComfyUI is told to do wrong.
FAULTS: tuple[dict[str, object], ...] = (
    {"die_at": "now"},
    {"die_at": "prompt"},
    {"die_at": "step"},
    {"freeze_seconds": 2.5},
    {"freeze_seconds": 30},
    {"lose_cancels": 2},
    {"drop_socket_at": 3},
    {"silence_socket_at": 3},
    {"queue_and_answer_500": 1},
    {"lose_histories": 1},
    {"fail_device": 1},
)
_Trouble = Callable[[random.Random, str], Awaitable[None]]
_CUT_SECONDS = 3.0  # after which a statement that nobody makes is given up on
_CUT_ANSWER = 0.2  # seconds, from the statement to its answer


@dataclass(slots=True, kw_only=True)
class Troubles:
    """All trouble, and how much of it there was."""

    plan: Plan
    fleet: Fleet
    cluster: Cluster
    #: Submits a job that renders for so many seconds, and returns its id.
    lasting: Callable[[float], Awaitable[str]]
    done: Counter[str] = field(default_factory=Counter)
    cuts: Counter[str] = field(default_factory=Counter)
    _statements: dict[str, list[bytes]] = field(default_factory=dict)
    _quiet: asyncio.Event = field(default_factory=asyncio.Event)
    #: Members that something is being done to.
    _busy: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._quiet.set()

    def all(self) -> list[Coroutine[Any, Any, None]]:
        """Return all but the outages, each of which goes on until it is cancelled."""
        plan = self.plan
        kinds = [
            ("kills", plan.kill_every, self._kill),
            ("holes", plan.hole_every, self._black_hole),
            ("freezes", plan.freeze_every, self._freeze),
            ("engines", plan.engine_every, self._spoil_engine),
            *((f"cuts {kind}", plan.cut_every * 2, self._cut) for kind in STATEMENTS),
        ]
        if plan.forget_every is not None:
            kinds.append(("forgets", plan.forget_every, self._forget))
        return [self._often(name, every, make) for name, every, make in kinds]

    @contextmanager
    def truce(self) -> Iterator[None]:
        """Let nothing more be done to any process meanwhile."""
        self._quiet.clear()
        self.fleet.truce.touch()
        try:
            yield
        finally:
            self.fleet.truce.unlink()
            self._quiet.set()

    async def calm(self) -> None:
        """Return once nothing is being done to anybody."""
        while self._busy:
            await asyncio.sleep(0.1)

    async def outage(self, seconds: float) -> None:
        """Stop Postgres at once, and start it again after ``seconds``."""
        begun = time.time()
        await self.cluster.stop_at_once()
        await asyncio.sleep(seconds)
        await self.cluster.start()
        self.cluster.away.append((begun, time.time()))

    async def _often(self, name: str, every: float, make: _Trouble) -> None:
        chance = self.plan.chance(name)
        while True:
            await asyncio.sleep(min(chance.expovariate(1 / every), 3 * every))
            await self._quiet.wait()
            await make(chance, name)

    def _victim(self, chance: random.Random, members: list[Member]) -> Member | None:
        free = [member for member in members if member.ready and member.name not in self._busy]
        return chance.choice(free) if free else None

    async def _kill(self, chance: random.Random, _: str) -> None:
        member = self._victim(chance, self.fleet.members)
        if member is not None:
            self.fleet.kill(member)
            self.done[f"killed {member.kind}"] += 1

    async def _cut(self, chance: random.Random, name: str) -> None:
        """Cut the next answer to a statement off, whichever of those who make it is first."""
        kind = name.removeprefix("cuts ")
        left = self._statements.setdefault(kind, list(FIRST[kind]))
        if not left:
            left += chance.sample(STATEMENTS[kind], k=len(STATEMENTS[kind]))
        statement = left[-1]
        proxies = [member.proxy for member in self.fleet.of(kind)]
        before = sum(proxy.cut for proxy in proxies)
        for proxy in proxies:
            proxy.cut_reply_of = statement
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(
                3 * _CUT_SECONDS if statement in FIRST[kind] else _CUT_SECONDS
            ):
                while all(proxy.cut_reply_of for proxy in proxies):
                    await asyncio.sleep(0.02)
        for proxy in proxies:
            proxy.cut_reply_of = None
        await asyncio.sleep(_CUT_ANSWER)
        done = sum(proxy.cut for proxy in proxies) - before
        if done:
            self.cuts[statement.decode().rpartition(".")[2]] += done
        if done or statement not in FIRST[kind]:
            left.pop()

    async def _black_hole(self, chance: random.Random, _: str) -> None:
        """Let a member's connections to Postgres fall silent; then they are reset."""
        member = self._victim(chance, self.fleet.members)
        if member is None:
            return
        self._busy.add(member.name)
        harm = self.fleet.harm(member, "black hole")
        member.proxy.silent.set()
        try:
            await asyncio.sleep(chance.uniform(0.5, 2) * self.plan.lease)
        finally:
            member.proxy.reset()
            member.proxy.silent.clear()
            self._over(member, harm)
        self.done[f"black hole before {member.kind}"] += 1

    async def _forget(self, chance: random.Random, _: str) -> None:
        """Let what connections a member has fall silent; new ones work, so it is no excuse."""
        member = self._victim(chance, self.fleet.members)
        if member is not None:
            member.proxy.forget()
            self.done[f"connections of {member.kind} forgotten"] += 1

    async def _freeze(self, _: random.Random, __: str) -> None:
        await self.freeze()

    async def freeze(self) -> bool:
        """
        Stop a worker in a render until another renders its job, and let it go on.

        Return whether it came to that.
        """
        lease = self.plan.lease
        job = await self.lasting(2 * lease)
        held = await self._renderer(job, 0, 4 * lease)
        member = next((it for it in self.fleet.of("worker") if held and it.pid == held[1]), None)
        if held is None or member is None or member.name in self._busy:
            return False
        self._busy.add(member.name)
        harm = self.fleet.harm(member, "frozen")
        self.fleet.signal(member, signal.SIGSTOP)
        try:
            taken = await self._renderer(job, held[0], 6 * lease)
        finally:
            self.fleet.signal(member, signal.SIGCONT)
            self._over(member, harm)
        self.done["frozen worker" + (", came back to a job of another's" if taken else "")] += 1
        return taken is not None

    async def _renderer(self, job: str, after: int, seconds: float) -> tuple[int, int] | None:
        """Return attempt and pid of who renders a job in a later attempt; None if nobody does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    with contextlib.suppress(OSError, *POSTGRES_AWAY):
                        rows = await self.cluster.rows(
                            "SELECT attempt, call_id FROM genjobs.slots WHERE job_id = $1"
                            " AND attempt > $2 AND phase = 'rendering'",
                            parse_job_id(job),
                            after,
                        )
                        if rows:
                            return rows[0]["attempt"], int(rows[0]["call_id"].rpartition(":")[2])
                    await asyncio.sleep(0.1)
        return None

    def _over(self, member: Member, harm: Harm | None) -> None:
        self._busy.discard(member.name)
        if harm is not None:
            harm.ended = time.time()

    async def _spoil_engine(self, chance: random.Random, _: str) -> None:
        """Let a worker's ComfyUI do something wrong, die, or hang for good."""
        member = self._victim(chance, self.fleet.of("worker"))
        url = member.engine() if member else None
        if member is None or url is None:
            return
        if chance.random() < 0.15:
            pid = _listening(url.rpartition(":")[2])
            if pid is not None:
                os.kill(pid, signal.SIGSTOP)  # its keeper finds out, and kills it
                self.done["engine hung"] += 1
            return
        fault = chance.choice(FAULTS)
        try:
            async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
                await http.post(f"{url}/simulator/faults", json=fault)
        except httpx.TransportError:
            if fault != {"die_at": "now"}:
                return
        self.done["engine " + " ".join(f"{name}={value}" for name, value in fault.items())] += 1

    async def heal(self) -> None:
        """End what is going on: from now on everything works."""
        self._quiet.clear()
        self.fleet.truce.touch()
        await self.calm()
        for member in self.fleet.members:
            member.proxy.cut_reply_of = None
            url = member.engine()
            if url is not None:
                with contextlib.suppress(httpx.TransportError):
                    async with httpx.AsyncClient(timeout=1, trust_env=False) as http:
                        await http.post(f"{url}/simulator/faults", json={"clear": True})


def _listening(port: str) -> int | None:
    """Return the simulator that was started for a port."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_bytes().split(b"\0")
                if b"genjobs.simulator" in words and port.encode() in words:
                    return int(process.name)
    return None
