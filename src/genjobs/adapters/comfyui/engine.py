"""
A render on ComfyUI: submit once, follow by socket and history, stop for sure, clean up.

``/history`` is the truth. The socket brings progress and makes waiting short; without it a render
is followed by asking.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import structlog

from genjobs.adapters.comfyui.client import Answer, ComfyUIClient, Unreachable
from genjobs.adapters.comfyui.files import ComfyUIFolders
from genjobs.adapters.comfyui.messages import refusal_of
from genjobs.adapters.comfyui.progress import ProgressTracker
from genjobs.adapters.comfyui.results import folder_of, result_of
from genjobs.adapters.comfyui.socket import RenderSocket, open_socket
from genjobs.domain.errors import EngineFailed, RenderInterrupted, WorkflowRefused
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import Progress
from genjobs.domain.ports import Clock, EngineFile, Rendered, StopSignal
from genjobs.domain.workflow import Workflow

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for what."""

    #: Between two looks at ``/history`` while the socket is open, for it may be silent.
    poll: timedelta = timedelta(seconds=1)
    #: The same once the socket is gone or has said that the prompt ended.
    poll_closely: timedelta = timedelta(milliseconds=100)
    #: First pause between two requests to cancel; grows by half up to four times.
    cancel_again: timedelta = timedelta(milliseconds=500)
    #: How long nobody may listen at the address before ComfyUI counts as dead.
    refused: timedelta = timedelta(seconds=5)
    #: How long it may give no answer at all; nodes can freeze its server for many seconds.
    silent: timedelta = timedelta(seconds=120)


class ComfyUIEngine:
    """
    The ``WorkflowEngine`` port; an async context manager.

    With ``directory`` (ComfyUI's base directory, on this machine) files are read and written
    there and are removed afterwards. Without it they go through HTTP, and only the history is
    removed: ComfyUI has no route that deletes files.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        directory: Path | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._clock = clock
        self._folders = ComfyUIFolders(directory) if directory else None
        self._patience = patience or Patience()
        self._client = ComfyUIClient(self._url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def check(self) -> None:
        """See the port."""
        try:
            await self._client.alive()
        except Unreachable as exc:
            raise EngineFailed("ComfyUI cannot be reached.") from exc

    async def stage(
        self, execution_id: ExecutionId, filename: str, chunks: AsyncIterator[bytes]
    ) -> str:
        """See the port."""
        folder = folder_of(execution_id)
        if self._folders is not None:
            return await self._folders.stage(folder, filename, chunks)
        return await self._client.upload(folder, filename, chunks)

    async def render(
        self,
        execution_id: ExecutionId,
        workflow: Workflow,
        files: Mapping[str, str],
        *,
        on_progress: Callable[[Progress], None],
        stop: StopSignal,
    ) -> Rendered:
        """See the port."""
        if stop.is_set():
            raise RenderInterrupted
        prompt_id = str(execution_id)
        tracker = ProgressTracker(workflow)

        def heed(kind: str, data: Mapping[str, Any]) -> None:
            progress = tracker.fold(kind, data)
            if progress is not None:
                on_progress(progress)

        client_id = uuid.uuid4().hex
        document = workflow.bound(files, folder_of(execution_id))
        try:
            # Open before the submit, or the first messages are lost.
            async with open_socket(self._url, client_id, prompt_id, heed) as socket:
                refusal = await self._submit(document, prompt_id, client_id)
                follower = _Follower(
                    client=self._client,
                    clock=self._clock,
                    patience=self._patience,
                    execution_id=execution_id,
                    socket=socket,
                )
                if refusal is None:
                    return await follower.follow(stop)
                # Some of its outputs were queued all the same: nobody wants half a job.
                unwanted = asyncio.Event()
                unwanted.set()
                with contextlib.suppress(RenderInterrupted):
                    await follower.follow(unwanted)
                raise refusal
        except Unreachable as exc:
            raise EngineFailed("ComfyUI cannot be reached.") from exc

    async def _submit(
        self, document: Mapping[str, Any], prompt_id: str, client_id: str
    ) -> WorkflowRefused | None:
        """
        Queue the prompt, once.

        Return None when it is queued whole, the refusal when only parts of it are. Raises
        ``WorkflowRefused`` when nothing is.
        """
        answer: Answer | None = None
        try:
            answer = await self._client.submit(document, prompt_id, client_id)
        except Unreachable as exc:
            if exc.refused:
                raise
        if answer is not None and answer.status == 200:
            errors = answer.body.get("node_errors") if isinstance(answer.body, dict) else None
            return refusal_of(answer.body) if errors else None
        if answer is not None and 400 <= answer.status < 500:
            raise refusal_of(answer.body)
        # A 500, a cut or a time-out does not mean that it was not queued.
        _log.warning("comfyui.submit_unclear", status=answer.status if answer else None)
        if await self._arrived(prompt_id):
            return None
        raise EngineFailed("ComfyUI failed to take the workflow.")

    async def _arrived(self, prompt_id: str) -> bool:
        for _ in range(3):
            with contextlib.suppress(Unreachable):
                if await self._client.is_queued(prompt_id) or await self._client.history(prompt_id):
                    return True
            await asyncio.sleep(self._patience.poll_closely.total_seconds())
        return False

    @asynccontextmanager
    async def read(self, file: EngineFile) -> AsyncIterator[AsyncIterator[bytes]]:
        """See the port."""
        if file.text is not None:
            yield _once(file.text.encode("utf-8", "replace"))
        elif self._folders is not None:
            reference = file.reference
            async with self._folders.open(reference["subfolder"], reference["filename"]) as chunks:
                yield chunks
        else:
            async with self._client.view(file.reference) as chunks:
                yield chunks

    async def discard(self, execution_id: ExecutionId) -> None:
        """See the port."""
        try:
            await self._client.forget(str(execution_id))
        except Unreachable as exc:
            raise EngineFailed("ComfyUI cannot be reached.") from exc
        finally:
            if self._folders is not None:
                await self._folders.remove(folder_of(execution_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Follower:
    """Follows one queued prompt to its end."""

    client: ComfyUIClient
    clock: Clock
    patience: Patience
    execution_id: ExecutionId
    socket: RenderSocket

    async def follow(self, stop: StopSignal) -> Rendered:
        """Return or raise what became of it, once it has been seen to have ended."""
        prompt_id = str(self.execution_id)
        cancelling: asyncio.Task[None] | None = None
        stopping = asyncio.create_task(stop.wait())
        ended = asyncio.create_task(self.socket.ended.wait())
        absent = 0
        heard_at = self.clock.monotonic()
        try:
            while True:
                await self._pause(stopping, ended, cancelling)
                if stop.is_set() and cancelling is None:
                    cancelling = asyncio.create_task(self._cancel(prompt_id))
                try:
                    entry = await self.client.history(prompt_id)
                    if entry is not None:
                        return result_of(entry, self.execution_id, stop_asked=stop.is_set())
                    absent = 0 if await self.client.is_queued(prompt_id) else absent + 1
                    heard_at = self.clock.monotonic()
                except Unreachable as exc:
                    silent = self.clock.monotonic() - heard_at
                    limit = self.patience.refused if exc.refused else self.patience.silent
                    if silent > limit.total_seconds():
                        raise EngineFailed("ComfyUI stopped answering.") from exc
                    continue
                # More than once: it may end between the look at the history and at the queue.
                if absent >= 3:
                    if stop.is_set():
                        raise RenderInterrupted  # a cancelled prompt that waited just vanishes
                    raise EngineFailed("ComfyUI lost the job, perhaps by a restart.")
        finally:
            tasks = [task for task in (stopping, ended, cancelling) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pause(
        self,
        stopping: asyncio.Task[Any],
        ended: asyncio.Task[Any],
        cancelling: asyncio.Task[None] | None,
    ) -> None:
        """Wait for the next look: until something is heard, or the time is up."""
        closely = self.socket.closed.is_set() or ended.done() or cancelling is not None
        pause = self.patience.poll_closely if closely else self.patience.poll
        waiting = {task for task in (stopping, ended) if not task.done()}
        if waiting:
            await asyncio.wait(
                waiting, timeout=pause.total_seconds(), return_when=asyncio.FIRST_COMPLETED
            )
        else:
            await asyncio.sleep(pause.total_seconds())

    async def _cancel(self, prompt_id: str) -> None:
        """Ask again and again: ComfyUI can accept a cancel and lose it (seen 1 in 250)."""
        pause = self.patience.cancel_again.total_seconds()
        longest = 4 * pause
        while True:
            try:
                await self.client.cancel(prompt_id)
            except Unreachable as exc:
                _log.info("comfyui.cancel_unheard", reason=str(exc))
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, longest)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    if content:
        yield content
