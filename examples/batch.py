"""
What an internal script does: a batch of jobs through the library, so many at a time.

    python examples/batch.py 200

The settings are those of every command. Without a ``genjobs worker`` elsewhere, one works here.
Run again under the same name, it goes on where it stopped: each item is one job, and stays that.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from genjobs import Submission, job_text
from genjobs.application.genjobs import Genjobs
from genjobs.application.query import JobView
from genjobs.bootstrap import open_genjobs, open_worker
from genjobs.domain.errors import LimitReached, Unavailable, UserBeingErased
from genjobs.telemetry import configure_logging

USER, BATCH, AT_ONCE = "batch", "catalogue-2026-11", 16


def workflow(number: int) -> dict[str, Any]:
    """Return the graph of one item."""
    size = {"width": 64, "height": 64, "batch_size": 1}
    return {
        "1": {"class_type": "EmptyImage", "inputs": {**size, "color": number}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "item"}},
    }


async def render(genjobs: Genjobs, number: int) -> JobView:
    """Return the item's job once it is final; what passes is waited for."""
    wanted = Submission(workflow=workflow(number), idempotency_key=f"{BATCH}/{number}")
    while True:
        try:
            job = await genjobs.submit(genjobs.owner(USER), wanted)
            return await genjobs.wait(genjobs.reach(USER), job.id)
        except LimitReached as full:
            await asyncio.sleep(full.retry_after)
        except (Unavailable, UserBeingErased, TimeoutError):
            await asyncio.sleep(2)


async def batch(genjobs: Genjobs, count: int, ended: Callable[[JobView], None]) -> None:
    """Render the items, no more than ``AT_ONCE`` at a time, so that others have their turn."""
    numbers = iter(range(count))

    async def lane() -> None:
        for number in numbers:  # all lanes take from the same
            ended(await render(genjobs, number))

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(lane())


async def main(count: int) -> None:
    """Render ``count`` items and say what became of them."""
    ends = Counter[str]()

    def ended(view: JobView) -> None:
        ends[view.job.status] += 1
        if view.job.error is not None:
            print(job_text(view.job.id), view.job.error.code, view.job.error.message)

    async with open_genjobs() as genjobs, open_worker() as worker:
        stop = asyncio.Event()
        working = asyncio.create_task(worker.run(stop))
        try:
            await batch(genjobs, count, ended)
        finally:
            stop.set()
            await working
    print(*(f"{number} {status}" for status, number in ends.items()), sep=", ")


if __name__ == "__main__":
    configure_logging(json=False, level="warning")
    asyncio.run(main(int(sys.argv[1])))
