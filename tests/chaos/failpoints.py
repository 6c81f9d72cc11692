"""
Failpoints: named moments at which a process kills itself, put around its ports from outside.

Nothing in the product knows of them. A port's method has one before its call and one after it, when
what it did is done and its caller has not heard; storing a file has one in the middle too.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from genjobs.adapters.safe_fetch import FetchLimits, SafeFetcher
from genjobs.application.sweep import GRACE
from genjobs.bootstrap import Adapters
from genjobs.domain.artifacts import ArtifactKey, StoredFile
from genjobs.domain.ports import (
    ArtifactStore,
    IngestLedger,
    JobLedger,
    JobStore,
    ListedFile,
    Supervision,
    WorkflowEngine,
)
from genjobs.settings import Settings
from tests.attack_server import Network

WORKER = (
    "after dispatch",
    "before start",
    "after start",
    "after stage",
    "after heartbeat",
    "before put output",
    "mid put output",
    "after put output",
    "before finish",
    "after finish",
)
API = (
    "before put input",
    "mid put input",
    "after put input",
    "before create",
    "after create",
    "after request_cancel",
    "after claim",
    "before put fetched",
    "mid put fetched",
    "after put fetched",
    "after ingest.finish",
    "after begin_tick",
    "after rescue_lost",
    "after reclaim_unstarted",
    "after orphans",
)
#: At which passing a process may die, where it is not between the second and the eighth: what is
#: passed all the time, and what is passed seldom.
TIMES = {
    "after heartbeat": (3, 30),
    "after begin_tick": (3, 15),
    "after rescue_lost": (3, 15),
    "after reclaim_unstarted": (3, 15),
    "after request_cancel": (1, 2),
    "before put input": (1, 2),
    "mid put input": (1, 2),
    "after put input": (1, 2),
    "after claim": (1, 3),
    "before put fetched": (1, 2),
    "mid put fetched": (1, 2),
    "after put fetched": (1, 2),
    "after ingest.finish": (1, 2),
    "after orphans": (1, 2),
}

#: Until files are old enough to be swept: longer than any submit here takes.
SWEEP_GRACE = timedelta(seconds=40)


class Fuse:
    """Kills this process when a named point is passed for the n-th time."""

    def __init__(self, point: str, times: int, *, notes: Path, truce: Path) -> None:
        """Take ``point``, "" for none; while the file ``truce`` is there nothing happens."""
        self._point = point
        self._left = times
        self._notes = notes
        self._truce = truce

    def at(self, point: str) -> None:
        """Pass a point."""
        if point != self._point or self._truce.exists():
            return
        self._left -= 1
        if self._left <= 0:
            self.note(f"struck {point}")
            os.kill(os.getpid(), signal.SIGKILL)

    def note(self, text: str) -> None:
        """Leave word for who reads the notes after this process is gone."""
        line = f"{time.time():.3f} {os.getpid()} {text}\n"
        descriptor = os.open(self._notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line.encode())
        os.close(descriptor)


class Mined:
    """Any port, with a failpoint before and after each of its calls."""

    def __init__(self, port: object, fuse: Fuse, prefix: str = "") -> None:
        self._port = port
        self._fuse = fuse
        self._prefix = prefix

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._port, method)
        if not inspect.iscoroutinefunction(found):
            return found
        name = f"{self._prefix}{method}"

        async def call(*arguments: Any, **named: Any) -> Any:
            self._fuse.at(f"before {name}")
            answer = await found(*arguments, **named)
            self._fuse.at(f"after {name}")
            return answer

        return call


class MinedStore(Mined):
    """An artifact store that may not outlive what it is given; its files look older."""

    async def put(
        self, key: ArtifactKey, chunks: AsyncIterator[bytes], *, content_type: str
    ) -> StoredFile:
        """Store, with failpoints by what is stored."""
        kind = "output" if "/attempt_" in key else "fetched" if "/ingest_" in key else "input"
        store, fuse = cast("ArtifactStore", self._port), self._fuse

        async def mined() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                yield chunk
                fuse.at(f"mid put {kind}")

        fuse.at(f"before put {kind}")
        stored = await store.put(key, mined(), content_type=content_type)
        fuse.at(f"after put {kind}")
        return stored

    async def list_files(self, prefix: str, *, after: str, limit: int) -> Sequence[ListedFile]:
        """List, with times by which the sweep's hour is over in less than one."""
        files = await cast("ArtifactStore", self._port).list_files(prefix, after=after, limit=limit)
        ago = GRACE - SWEEP_GRACE
        return [dataclasses.replace(file, stored_at=file.stored_at - ago) for file in files]


class MinedAdapters(Adapters):
    """The adapters that the settings name, mined, on a network of the run's own."""

    def __init__(
        self, settings: Settings, stack: AsyncExitStack, *, fuse: Fuse, media_port: int
    ) -> None:
        super().__init__(settings, stack)
        self._fuse = fuse
        self._network = Network(port=media_port, tls_port=0)

    def fetcher(self) -> SafeFetcher:
        """Return the real fetcher on the run's network."""
        return SafeFetcher(
            resolver=self._network,
            dialer=self._network,
            limits=FetchLimits(connect=2, head=3, window=2, total=8),
        )

    async def ledger(self) -> JobLedger:
        """Return the ledger, mined."""
        return cast("JobLedger", Mined(await super().ledger(), self._fuse))

    async def jobs(self) -> JobStore:
        """Return the store, mined."""
        return cast("JobStore", Mined(await super().jobs(), self._fuse))

    async def ingests(self) -> IngestLedger:
        """Return the ingests, mined: their methods are named as some of the ledger's."""
        return cast("IngestLedger", _Ingests(await super().ingests(), self._fuse, "ingest."))

    async def supervision(self) -> Supervision:
        """Return what supervisors share, mined."""
        return cast("Supervision", Mined(await super().supervision(), self._fuse))

    async def engine(self) -> WorkflowEngine:
        """Return the engine, mined."""
        return cast("WorkflowEngine", Mined(await super().engine(), self._fuse))

    async def artifacts(self) -> ArtifactStore:
        """Return the store of files, mined."""
        return cast("ArtifactStore", MinedStore(await super().artifacts(), self._fuse))


class _Ingests(Mined):
    async def claim(self, *arguments: Any, **named: Any) -> Any:
        found = await cast("IngestLedger", self._port).claim(*arguments, **named)
        if found:  # an empty answer is no moment worth dying at
            self._fuse.at("after claim")
        return found
