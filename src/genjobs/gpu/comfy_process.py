"""
ComfyUI as a process of this worker: started, looked after, killed when it hangs, started again.

What runs in it is the engine's business; this module knows how to ask whether it answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import structlog

from genjobs.domain.errors import EngineFailed
from genjobs.domain.ports import Clock
from genjobs.gpu.confinement import Confinement
from genjobs.gpu.prepared import PreparedProcess
from genjobs.gpu.spawning import confined, open_log

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Care:
    """How long to wait for what."""

    #: From starting the process until it answers; a first start compiles and loads much.
    start: timedelta = timedelta(minutes=5)
    #: Between two questions whether it answers, while it starts.
    ask_starting: timedelta = timedelta(milliseconds=100)
    #: The same afterwards.
    ask: timedelta = timedelta(seconds=10)
    #: Without an answer for so long it is hung. Nodes can freeze its server for many seconds, and
    #: loading a model for minutes: a busy server must not be taken for a dead one.
    deaf: timedelta = timedelta(minutes=3)
    #: First pause before a crashed process is started again; doubles up to the longest.
    backoff: timedelta = timedelta(milliseconds=200)
    longest_backoff: timedelta = timedelta(seconds=30)
    #: Having lived so long, a process that crashes is started again without a growing pause.
    healthy: timedelta = timedelta(minutes=1)


class ComfyProcess:
    """The ``EngineKeeper`` port for a process that this worker owns; an async context manager."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        check: Callable[[], Awaitable[None]],
        clock: Clock,
        environment: Mapping[str, str],
        directory: Path | None = None,
        log: Path | None = None,
        care: Care | None = None,
        confinement: Confinement | None = None,
        prepared: PreparedProcess | None = None,
    ) -> None:
        """
        Take what starts it.

        ``check`` raises ``EngineFailed`` unless the engine answers; ``log`` takes what the process
        prints; ``confinement`` is the user that it runs as, this process's own if there is none.
        ``prepared`` becomes the first life, if it still can.
        """
        self._command = list(command)
        self._check = check
        self._clock = clock
        self._environment = dict(environment)
        self._directory = directory
        self._log_path = log
        self._care = care or Care()
        self._confinement = confinement
        self._prepared = prepared
        self._from_prepared = False
        self._life = 0
        self._process: asyncio.subprocess.Process | PreparedProcess | None = None
        self._answering = asyncio.Event()
        self._died = asyncio.Event()
        self._died_at: datetime | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._confinement is not None:
            self._confinement.adopt_orphans(True)
        self._keeping = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._keeping is not None  # noqa: S101  (it was entered)
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        if self._prepared is not None:  # left before it could be woken
            self._prepared.close()
        if self._confinement is not None:
            self._confinement.adopt_orphans(False)

    @property
    def owned(self) -> bool:
        """See the port."""
        return True

    @property
    def life(self) -> int:
        """See the port."""
        return self._life

    @property
    def prepared(self) -> bool:
        """See the port."""
        return self._from_prepared

    @property
    def pid(self) -> int | None:
        """The process's id while it lives."""
        return self._process.pid if self._process is not None else None

    async def ready(self) -> None:
        """See the port."""
        try:
            async with asyncio.timeout(self._care.start.total_seconds()):
                await self._answering.wait()
        except TimeoutError:
            raise EngineFailed("ComfyUI does not start.") from None

    async def kill(self, life: int) -> datetime | None:
        """See the port."""
        if life == self._life and self._process is not None:
            _log.warning("comfyui.killed", life=life)
            died = self._died
            self._kill()
            await died.wait()
        return self._died_at or self._clock.now()

    def _kill(self) -> None:
        self._answering.clear()
        if self._process is not None:
            # Stopped processes die of it as well, and the group takes its children along.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _keep(self) -> None:
        """Start the process again and again; a cancel kills it."""
        pause = self._care.backoff
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._live()
            except OSError as exc:
                _log.error("comfyui.not_started", reason=exc.strerror)
            except Exception:
                # The edge of a task that nobody waits for: without it nothing is started again.
                _log.exception("comfyui.keeper_crashed")
            if asyncio.get_running_loop().time() - began > self._care.healthy.total_seconds():
                pause = self._care.backoff
            await asyncio.sleep(pause.total_seconds())
            pause = min(2 * pause, self._care.longest_backoff)

    async def _live(self) -> None:
        """One life of the process, from its start until it was seen dead."""
        process = self._woken() or await self._started()
        self._from_prepared = isinstance(process, PreparedProcess)
        self._process, self._died = process, asyncio.Event()
        self._life += 1
        _log.info("comfyui.started", pid=process.pid, life=self._life, prepared=self._from_prepared)
        asking = asyncio.create_task(self._ask())
        try:
            await process.wait()
            _log.warning("comfyui.ended", code=process.returncode, life=self._life)
        finally:
            asking.cancel()
            self._kill()
            while process.returncode is None:
                # Not to be given up: a process that outlives this holds the port and the GPU.
                with contextlib.suppress(asyncio.CancelledError):
                    await process.wait()
            who = self._confinement
            if who is not None and (left := who.kill_all()):
                _log.warning("comfyui.left_processes", count=left, life=self._life)
            self._process, self._died_at = None, self._clock.now()
            self._died.set()
            await asyncio.gather(asking, return_exceptions=True)

    async def _ask(self) -> None:
        """Ask whether the process answers, and kill it when it does not for too long."""
        now = asyncio.get_running_loop().time
        heard_at, began = now(), now()
        while True:
            try:
                await self._check()
                heard_at = now()
                if not self._answering.is_set():
                    _log.info("comfyui.ready", life=self._life, seconds=round(now() - began, 1))
                    self._answering.set()
            except EngineFailed:
                answering = self._answering.is_set()
                limit = self._care.deaf if answering else self._care.start
                if now() - heard_at > limit.total_seconds():
                    _log.error("comfyui.deaf", life=self._life, started=answering)
                    self._kill()
                    return
            pause = self._care.ask if self._answering.is_set() else self._care.ask_starting
            await asyncio.sleep(pause.total_seconds())

    def _woken(self) -> PreparedProcess | None:
        """Return the process that was prepared, gone on; None when there is none to be used."""
        prepared, self._prepared = self._prepared, None
        if prepared is None:
            return None
        reason = prepared.unfit(self._command, self._environment)
        if reason is None:
            if prepared.wake(self._environment):
                return prepared
            reason = "it does not listen"
        _log.warning("comfyui.prepared_in_vain", pid=prepared.pid, reason=reason)
        prepared.close()
        return None

    async def _started(self) -> asyncio.subprocess.Process:
        with open_log(self._log_path) as log:
            return await asyncio.create_subprocess_exec(
                *confined(self._command, self._confinement),
                cwd=self._directory,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
