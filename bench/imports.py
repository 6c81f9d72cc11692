"""
How long a cold API container imports: until the application is there, and until it could serve.

The floor is a process that imports FastAPI and asyncpg and does nothing with them.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from bench.measuring import Result, cost, versus

FLOOR = "import fastapi, asyncpg"
#: What ``deploy/modal_app.py`` does in a container of the API.
BUILT = "from genjobs.bootstrap import containers; app = containers.api()"
#: And what its lifespan imports to open what production has: a database, a bucket, calls.
OPENED = f"{BUILT}; import genjobs.adapters.postgres, genjobs.adapters.r2, genjobs.adapters.modal"
_PRODUCTION = {
    "GENJOBS_ENV": "production",
    "GENJOBS_DATABASE_URL": "postgresql+asyncpg://a@localhost/d",
    "GENJOBS_WORKER_DATABASE_URL": "postgresql+asyncpg://w@localhost/d",
    "GENJOBS_ARTIFACTS_URL": "r2://account/bucket",
    "GENJOBS_R2_ACCESS_KEY_ID": "none",
    "GENJOBS_R2_SECRET_ACCESS_KEY": "none",
    "GENJOBS_DISPATCH_URL": "modal://genjobs/Comfy",
    "GENJOBS_COMFYUI_URL": "http://127.0.0.1:8188",
}


async def imports() -> list[Result]:
    """Return the seconds of whole processes, the interpreter's own start included."""
    results = []
    for name, ours, goal in (("import, built", BUILT, 0.4), ("import, opened", OPENED, 0.2)):
        mine, floor = await versus(lambda ours=ours: _seconds(ours), lambda: _seconds(FLOOR))  # type: ignore[misc]
        results.append(cost(name, "ms", mine * 1000, floor * 1000, goal))
    return results


async def _seconds(code: str) -> float:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env={"PATH": os.environ["PATH"], **_PRODUCTION}
    )
    if await process.wait() != 0:
        raise RuntimeError(f"does not run: {code}")
    return time.perf_counter() - began
