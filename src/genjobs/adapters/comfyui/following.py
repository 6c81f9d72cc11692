"""Following one prompt to its end, and stopping it for sure; what it made is not read here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from genjobs.adapters.comfyui.client import ComfyUIClient, Unreachable
from genjobs.adapters.comfyui.patience import Patience
from genjobs.adapters.comfyui.socket import RenderSocket
from genjobs.domain.errors import EngineFailed, RenderInterrupted
from genjobs.domain.ports import Clock, StopSignal

#: In how many looks a prompt must be missing, for it may end between the look at the history and
#: the one at the queue.
ABSENCES: Final = 3
#: By how much of the time spent asking closely the pause grows: a long render is not asked ten
#: times a second for its whole length.
_GROWTH: Final = 0.05

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Follower:
    """Follows a prompt that was submitted, perhaps without a clear answer."""

    client: ComfyUIClient
    clock: Clock
    patience: Patience
    prompt_id: str
    socket: RenderSocket
    _closely_since: float | None = field(default=None, init=False)

    async def follow(self, stop: StopSignal) -> Mapping[str, Any]:
        """
        Return the history entry once the prompt has been seen to have ended.

        Raises:
            RenderInterrupted: it was dequeued because of ``stop``.
            EngineFailed: ComfyUI does not answer, or does not know the prompt.
        """
        cancelling: asyncio.Task[None] | None = None
        stopping = asyncio.create_task(stop.wait())
        ended = asyncio.create_task(self.socket.ended.wait())
        absent = 0
        heard_at = self.clock.monotonic()
        try:
            while True:
                await self._pause(stopping, ended)
                if stop.is_set() and cancelling is None:
                    cancelling = asyncio.create_task(self._cancel())
                if cancelling is not None and cancelling.done():
                    cancelling.result()  # it never ends by itself: raise what ended it
                try:
                    entry = await self.client.history(self.prompt_id)
                    if entry is not None:
                        return entry
                    absent = 0 if await self.client.is_queued(self.prompt_id) else absent + 1
                    heard_at = self.clock.monotonic()
                except Unreachable as exc:
                    silent = self.clock.monotonic() - heard_at
                    limit = self.patience.refused if exc.refused else self.patience.silent
                    if silent > limit.total_seconds():
                        raise EngineFailed("ComfyUI stopped answering.") from exc
                    continue
                if absent >= ABSENCES:
                    if stop.is_set():
                        raise RenderInterrupted  # a cancelled prompt that waited just vanishes
                    await self._call_off()
                    raise EngineFailed("ComfyUI lost the job, perhaps by a restart.")
        finally:
            tasks = [task for task in (stopping, ended, cancelling) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pause(self, stopping: asyncio.Task[Any], ended: asyncio.Task[Any]) -> None:
        """Wait for the next look: until something is heard, or the time is up."""
        seconds = self.patience.poll.total_seconds()
        if self.socket.closed.is_set() or ended.done() or stopping.done():
            now = self.clock.monotonic()
            if self._closely_since is None:
                self._closely_since = now
            grown = _GROWTH * (now - self._closely_since)
            seconds = min(self.patience.poll_closely.total_seconds() + grown, seconds)
        waiting = {task for task in (stopping, ended) if not task.done()}
        if waiting:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(seconds)

    async def _cancel(self) -> None:
        """Ask again and again: ComfyUI can accept a cancel and lose it (seen 1 in 250)."""
        pause = self.patience.cancel_again.total_seconds()
        longest = 4 * pause
        while True:
            try:
                await self.client.cancel(self.prompt_id)
            except Unreachable as exc:
                _log.info("comfyui.cancel_unheard", reason=str(exc))
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, longest)

    async def _call_off(self) -> None:
        """Cancel a prompt that is not there: if it arrives late, it renders for nobody."""
        with contextlib.suppress(Unreachable):
            await self.client.cancel(self.prompt_id)
