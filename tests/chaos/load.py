"""Those who submit, cancel and read: every answer is judged, every accepted job remembered."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos.orders import Order

_TIMEOUT = 20.0  # seconds
#: Before a request that was not answered is repeated, in seconds; grows.
_PAUSE, _LONGEST_PAUSE = 0.3, 3.0
#: Requests at once: this process carries the fleet's connections to Postgres as well.
_ROOM = 32
_FINAL = {"completed", "failed", "cancelled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An order that was answered with a job."""

    order: Order
    job_id: str


@dataclass(slots=True, kw_only=True)
class Load:
    """The clients of all tenants."""

    urls: list[str]
    #: Of each tenant.
    keys: list[str]
    chance: random.Random
    accepted: list[Accepted] = field(default_factory=list)
    #: Ids of jobs for which a cancel was answered.
    cancelled: set[str] = field(default_factory=set)
    #: What was read of a job when it was final: it must never be anything else.
    seen: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    #: What no client should ever be told.
    wrong: list[str] = field(default_factory=list)
    #: Longest time from the first try of a submit to its answer.
    longest: float = 0.0
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_ROOM))
    _http: httpx.AsyncClient = field(
        default_factory=lambda: httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False)
    )

    async def close(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def submit(self, order: Order) -> Accepted | None:
        """Submit until there is an answer; None when it is a refusal, which is wrong."""
        begun = time.monotonic()
        answer = await self._insist(
            "POST", "/v1/jobs", order, json=order.body, headers={"Idempotency-Key": order.key}
        )
        if answer.status_code != 202:
            self.wrong.append(f"submit of {order.kind}: {answer.status_code} {answer.text[:300]}")
            return None
        self.longest = max(self.longest, time.monotonic() - begun)
        accepted = Accepted(order=order, job_id=answer.json()["id"])
        self.accepted.append(accepted)
        if "Idempotency-Replayed" in answer.headers:
            self.answers["replayed"] += 1
        return accepted

    async def see_through(self, order: Order) -> None:
        """Submit, and do what else the order says."""
        accepted = await self.submit(order)
        if accepted is not None and order.cancel_after is not None:
            while order.cancel_running and await self._waits(accepted):
                await asyncio.sleep(0.3)
            await asyncio.sleep(order.cancel_after)
            await self.cancel(accepted)

    async def _waits(self, accepted: Accepted) -> bool:
        return (await self.read(accepted)).get("status") == "queued"

    async def cancel(self, accepted: Accepted) -> None:
        """Cancel until there is an answer."""
        path = f"/v1/jobs/{accepted.job_id}"
        answer = await self._insist("DELETE", path, accepted.order)
        if answer.status_code not in {200, 202}:
            self.wrong.append(f"cancel: {answer.status_code} {answer.text[:300]}")
        self.cancelled.add(accepted.job_id)

    async def read_on(self) -> None:
        """Read jobs at random until cancelled."""
        while True:
            await asyncio.sleep(self.chance.uniform(0.02, 0.2))
            if self.accepted:
                await self.read(self.chance.choice(self.accepted))

    async def read(self, accepted: Accepted) -> dict[str, Any]:
        """Read a job until there is an answer; it must agree with what was read before."""
        before = self.seen.get(accepted.job_id)
        answer = await self._insist("GET", f"/v1/jobs/{accepted.job_id}", accepted.order)
        if answer.status_code != 200:
            self.wrong.append(f"read: {answer.status_code} {answer.text[:300]}")
            return {}
        job: dict[str, Any] = answer.json()
        if job["status"] in _FINAL:
            now = (
                job["status"],
                (job["error"] or {}).get("code"),
                job["finished_at"],
                tuple(output["sha256"] for output in job["outputs"]),
            )
            self.seen[accepted.job_id] = now
            if before is not None and before != now:
                self.wrong.append(f"{accepted.job_id} was {before} and is {now}")
        elif before is not None:
            self.wrong.append(f"{accepted.job_id} was {before} and is {job['status']}")
        return job

    async def download(self, url: str) -> bytes:
        """Follow a signed link."""
        return (await self._http.get(url)).raise_for_status().content

    async def _insist(self, method: str, path: str, order: Order, **parts: Any) -> httpx.Response:
        """Repeat a request, to whichever API, while nobody can answer it."""
        headers = {"Authorization": f"Bearer {self.keys[order.tenant]}"} | parts.pop("headers", {})
        params = {} if method == "POST" else {"user_id": order.user}
        pause = _PAUSE
        while True:
            url = self.chance.choice(self.urls)
            try:
                async with self._room:
                    answer = await self._http.request(
                        method, f"{url}{path}", params=params, headers=headers, **parts
                    )
            except httpx.TransportError as exc:
                self.answers[type(exc).__name__] += 1
            else:
                self.answers[str(answer.status_code)] += 1
                if answer.status_code != 503:
                    return answer
                if answer.json()["code"] != "unavailable" or "Retry-After" not in answer.headers:
                    self.wrong.append(f"503 of another form: {answer.text[:300]}")
            await asyncio.sleep(self.chance.uniform(0.5, 1.5) * pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE)
