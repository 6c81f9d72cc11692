"""
Run the benchmarks and print them; also written to bench/latest.json.

Servers run as processes of their own, ours and the floor in turns, five rounds; medians count.
Postgres is as durable for all of them. With names, only those: api, whole, sizes, peer,
fairness, pipeline, objects, imports, capacity. What capacity prints is simulated, and needs no server.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from bench import pipeline
from bench.api import KEY, api, whole_path
from bench.capacity import capacity
from bench.imports import imports
from bench.objects import objects
from bench.queues import beside_a_peer, fairness, sizes
from genjobs.adapters.local.embedded_postgres import embedded_postgres

ALL = ("api", "whole", "sizes", "peer", "fairness", "pipeline", "objects", "imports", "capacity")
#: The benchmarks come from one user, as fast as they can; counted they are all the same.
FAST = json.dumps({"submits_per_second": 1e6, "submit_burst": 1_000_000, "max_queued": 10_000_000})


async def main(wanted: Collection[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="genjobs-bench-") as folder:
        data = Path(folder)
        data.chmod(0o755)
        settings = {
            "GENJOBS_DATA_DIRECTORY": str(data),
            "GENJOBS_API_KEY": KEY,
            "GENJOBS_TENANT_LIMITS": FAST,
            "GENJOBS_USER_LIMITS": FAST,
            "GENJOBS_REQUESTS_PER_SECOND": "1e6",
            "GENJOBS_LOG_JSON": "true",
        }
        # A database of its own: the jobs of the first benchmark would all be run in the second.
        other = {**settings, "GENJOBS_DATA_DIRECTORY": str(data / "whole")}
        (data / "whole").mkdir(mode=0o755)
        results = []
        if "api" in wanted:
            results += await api(data, settings)
        if "whole" in wanted:
            results.append(await whole_path(other, data / "whole"))
        if {"sizes", "peer", "fairness"} & set(wanted):
            async with embedded_postgres(data / "queues") as urls:
                if "sizes" in wanted:
                    results += await sizes(urls)
                if "peer" in wanted:
                    results.append(await beside_a_peer(urls))
                if "fairness" in wanted:
                    results += await fairness(urls)
        if "pipeline" in wanted:
            results += await pipeline.rows(data, settings)
        if "objects" in wanted:
            results += await objects()
        if "imports" in wanted:
            results += await imports()
        if "capacity" in wanted:
            results += capacity()
    latest = Path(__file__).parent / "latest.json"
    latest.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ALL))
