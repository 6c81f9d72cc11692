"""
The rate of a worker of procrastinate, on the same server with the same durability.

Jobs that do nothing, as ours here, so that the job system is measured. Its jobs are deferred in one
batch beforehand, and one worker process takes ten at once.
"""

from __future__ import annotations

import asyncio
import sys
import time

import procrastinate


async def main(conninfo: str, jobs: int) -> None:
    """Print jobs per second."""
    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(conninfo=conninfo, min_size=4, max_size=12)
    )

    @app.task(queue="bench")
    async def nothing() -> None:
        """Do nothing."""

    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        await nothing.batch_defer_async(*({} for _ in range(jobs)))
        begun = time.perf_counter()
        await app.run_worker_async(
            queues=["bench"], wait=False, concurrency=10, install_signal_handlers=False
        )
        print(jobs / (time.perf_counter() - begun))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
