"""
A process of the fleet: what the commands start, on mined adapters.

``python -m tests.chaos.member worker`` or ``serve``; the rest is in the environment: ``GENJOBS_*``
as for the commands, ``CHAOS_*`` for what is around them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

from genjobs.bootstrap import Adapters
from genjobs.cli import serving
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.ingests import IngestRules
from genjobs.settings import Settings
from genjobs.telemetry import configure_logging
from tests.chaos.failpoints import Fuse, MinedAdapters

#: A process that sleeps longer than it meant to by so much was kept from its heartbeats.
STALL = 0.75  # seconds
NAP = 0.25  # seconds


class HastySettings(Settings):
    """The settings, with pauses that no setting shortens."""

    def deadlines(self) -> Deadlines:
        """Return the durations with short pauses after a loss."""
        return dataclasses.replace(
            super().deadlines(),
            backoff=timedelta(seconds=0.3),
            max_backoff=timedelta(seconds=1.5),
        )

    def ingest_rules(self) -> IngestRules:
        """Return the rules with short pauses after a failed try."""
        return dataclasses.replace(
            super().ingest_rules(),
            backoff=timedelta(seconds=0.02),
            outage_pause=timedelta(seconds=0.5),
        )


async def _tell_stalls(fuse: Fuse) -> None:
    while True:
        before = time.monotonic()
        await asyncio.sleep(NAP)
        late = time.monotonic() - before - NAP
        if late > STALL:
            fuse.note(f"stalled {late:.1f}")


async def _main(kind: str) -> int:
    settings = HastySettings()
    configure_logging(json=settings.log_json, level=settings.log_level)
    fuse = Fuse(
        os.environ["CHAOS_FAILPOINT"],
        int(os.environ["CHAOS_TIMES"]),
        notes=Path(os.environ["CHAOS_NOTES"]),
        truce=Path(os.environ["CHAOS_TRUCE"]),
    )
    stalls = asyncio.create_task(_tell_stalls(fuse))

    def adapters(settings: Settings, stack: AsyncExitStack) -> Adapters:
        made = MinedAdapters(
            settings, stack, fuse=fuse, media_port=int(os.environ["CHAOS_MEDIA_PORT"])
        )
        if kind == "worker":
            fuse.note(f"engine {made._comfyui().url}")
        return made

    try:
        if kind == "worker":
            return await serving.work(settings, adapters)
        await serving.serve(
            settings,
            host="127.0.0.1",
            port=int(os.environ["CHAOS_PORT"]),
            worker=False,
            supervisor=True,
            ingester=True,
            ready=lambda url, _: fuse.note(f"ready {url}"),
            adapters=adapters,
        )
        return 0
    finally:
        stalls.cancel()


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(sys.argv[1])))
