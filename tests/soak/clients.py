"""Those who use the site all day: they submit, watch, cancel now and then, and look at pictures."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from genjobs.testing import a_workflow, png_bytes
from tests.integration.site import inverting

_USERS = 200
#: Between two looks at a job, in seconds.
_LOOK = 0.4
_FINAL = {"completed", "failed", "cancelled"}
_PICTURE = png_bytes()


@dataclass(slots=True, kw_only=True)
class Clients:
    """So many at once, until ``ends`` (``time.monotonic``) or ``jobs`` jobs."""

    http: httpx.AsyncClient
    ends: float
    jobs: int
    chance: random.Random
    statuses: Counter[str] = field(default_factory=Counter)
    #: What nobody should be told.
    wrong: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """How many jobs have ended."""
        return self.statuses.total()

    async def go(self, at_once: int) -> None:
        """Be all of them."""
        await asyncio.gather(*(self._one(f"c{number}") for number in range(at_once)))

    async def _one(self, name: str) -> None:
        count = 0
        while time.monotonic() < self.ends and self.done < self.jobs:
            count += 1
            user = f"u_{self.chance.randrange(_USERS)}"
            body = {"user_id": user, "workflow": a_workflow(color=self.chance.randrange(2**24))}
            if self.chance.random() < 0.05:
                body |= await self._with_upload(user)
            headers = {"Idempotency-Key": f"{name}-{count}"}
            job = await self._call("POST", "/v1/jobs", json=body, headers=headers)
            if self.chance.random() < 0.03:
                await self._call("POST", "/v1/jobs", json=body, headers=headers)
            path = f"/v1/jobs/{job['id']}"
            if self.chance.random() < 0.05:
                await self._call("DELETE", path, params={"user_id": user})
            await self._watch(path, user)
            if self.chance.random() < 0.02:
                await self._call("GET", "/v1/jobs", params={"user_id": user})

    async def _with_upload(self, user: str) -> dict[str, Any]:
        """Put a picture into the store, and return what of a job needs it."""
        made = await self._call(
            "POST",
            "/v1/uploads",
            json={
                "user_id": user,
                "filename": "photo.png",
                "content_type": "image/png",
                "bytes": len(_PICTURE),
            },
        )
        answer = await self.http.put(made["url"], content=_PICTURE, headers=made["headers"])
        if answer.status_code != 200:
            self.wrong.append(f"PUT: {answer.status_code} {answer.text[:300]}")
        media = [{"name": "photo.png", "upload_id": made["id"]}]
        return {"workflow": inverting("photo.png"), "media": media}

    async def _watch(self, path: str, user: str) -> None:
        etag = ""
        while True:
            answer = await self.http.get(
                path, params={"user_id": user}, headers={"If-None-Match": etag}
            )
            if answer.status_code == 200:
                job = answer.json()
                etag = answer.headers["ETag"]
                if job["status"] in _FINAL:
                    break
            elif answer.status_code != 304:
                self.wrong.append(f"GET: {answer.status_code} {answer.text[:300]}")
                return
            await asyncio.sleep(_LOOK)
        self.statuses[job["error"]["code"] if job["status"] == "failed" else job["status"]] += 1
        if job["outputs"] and self.chance.random() < 0.1:
            picture = await self.http.get(job["outputs"][0]["url"])
            if picture.status_code != 200:
                self.wrong.append(f"output: {picture.status_code}")

    async def _call(self, method: str, path: str, **named: Any) -> dict[str, Any]:
        answer = await self.http.request(method, path, **named)
        if answer.status_code >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json()  # type: ignore[no-any-return]
