"""What must be true of the stored files when it is over."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import Image

from genjobs.adapters.local.artifact_store import DirectoryArtifactStore
from genjobs.adapters.postgres import PostgresSupervision, PostgresUploadLedger, open_pool
from genjobs.application.sweep import SWEEP_EVERY, SweepFiles
from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.ports import ArtifactStore
from genjobs.testing import FakeClock
from tests.chaos.checks import Verdict
from tests.chaos.cluster import Cluster
from tests.chaos.load import Load
from tests.chaos.orders import Order


def open_store(folder: Path) -> ArtifactStore:
    """Return the store of files that the fleet used."""
    return DirectoryArtifactStore(folder, signing_key=b"k" * 32, base_url="http://127.0.0.1:1")


async def check_files(
    verdict: Verdict,
    cluster: Cluster,
    load: Load,
    jobs: Sequence[Mapping[str, Any]],
    store: ArtifactStore,
) -> None:
    """One sweep leaves no orphan, and every output is there, whole, and what was ordered."""
    wanted: set[str] = set()
    for row in jobs:
        for file in (*json.loads(row["inputs"]), *json.loads(row["outputs"])):
            wanted.add(file["key"])
    before = await _all_files(store)
    swept = await _sweep(cluster, store)
    left = await _all_files(store)
    verdict.counts["files"] = {"found": len(before), "swept": swept, "left": len(left)}
    for key in sorted(left - wanted):
        verdict.faults.append(f"orphan after the sweep: {key}")
    for key in sorted(wanted - left):
        verdict.faults.append(f"needed and not there: {key} (before the sweep: {key in before})")

    orders = {accepted.order.key: accepted.order for accepted in load.accepted}
    outputs = 0
    for row in jobs:
        order = orders.get(json.loads(row["metadata"])["order"])
        files = json.loads(row["outputs"])
        verdict.need(
            bool(files) == (row["status"] == "completed"), f"{row['id']}: {len(files)} files"
        )
        for file in files:
            outputs += 1
            if file["key"] not in left:
                continue
            async with store.read(ArtifactKey(file["key"])) as chunks:
                content = b"".join([chunk async for chunk in chunks])
            digest = hashlib.sha256(content).hexdigest()
            told = (file["sha256"], file["bytes"])
            verdict.need(told == (digest, len(content)), f"{file['key']} is not what is recorded")
            if order is not None:
                _as_drawn(verdict, file["key"], content, order)
    verdict.counts["outputs"] = outputs


def _as_drawn(verdict: Verdict, key: str, content: bytes, order: Order) -> None:
    if order.bytes is not None:
        verdict.need(len(content) == order.bytes, f"{key}: {len(content)} bytes")
    if order.colour is not None:
        pixel = Image.open(io.BytesIO(content)).convert("RGB").getpixel((0, 0))
        verdict.need(pixel == order.colour, f"{key}: {pixel} instead of {order.colour}")


async def _all_files(store: ArtifactStore) -> set[str]:
    found: set[str] = set()
    after = ""
    while page := await store.list_files("", after=after, limit=1000):
        found |= {file.key for file in page}
        after = page[-1].key
    return found


async def _sweep(cluster: Cluster, store: ArtifactStore) -> int:
    """Sweep the whole store once, as a supervisor does some hours later."""
    clock = FakeClock(datetime.now(UTC) + timedelta(days=1))
    async with open_pool(cluster.urls.worker, size=2) as pool:
        supervision = PostgresSupervision(pool, Deadlines())
        await supervision.keep_sweep("", due=clock.now())
        sweep = SweepFiles(
            artifacts=store,
            supervision=supervision,
            uploads=PostgresUploadLedger(pool),
            clock=clock,
            page=100,
        )
        removed = 0
        while True:
            removed += await sweep()
            clock.advance(timedelta(minutes=1))
            [place] = await cluster.rows("SELECT swept, sweep_due FROM genjobs.supervision")
            if place["sweep_due"] > clock.now() + SWEEP_EVERY / 2:
                return removed
