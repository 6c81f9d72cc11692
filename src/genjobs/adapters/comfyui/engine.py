"""
A render on ComfyUI: submit once, follow by socket and history, stop for sure, clean up.

``/history`` is the truth. The socket brings progress and makes waiting short; without it a render
is followed by asking.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

import structlog

from genjobs.adapters.comfyui.client import ComfyUIClient, Unreachable, is_uuid
from genjobs.adapters.comfyui.files import ComfyUIFolders
from genjobs.adapters.comfyui.following import ABSENCES, Follower
from genjobs.adapters.comfyui.messages import refusal_of
from genjobs.adapters.comfyui.patience import Patience
from genjobs.adapters.comfyui.progress import ProgressTracker
from genjobs.adapters.comfyui.results import PreviewFile, folder_of, previews_of, result_of
from genjobs.adapters.comfyui.socket import open_socket
from genjobs.domain.errors import EngineFailed, OutOfMemory, RenderInterrupted, WorkflowRefused
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import Progress
from genjobs.domain.ports import Clock, EngineFile, Rendered, StopSignal
from genjobs.domain.workflow import Workflow

#: Answers to a submit that judge the workflow: not valid, or larger than ComfyUI takes.
_JUDGED: Final = frozenset({400, 413})

_log = structlog.get_logger(__name__)


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
        self._client = ComfyUIClient(self._url, answer=self._patience.answer)
        #: Per render not yet discarded: the preview files it left in ComfyUI's temp folder.
        self._previews: dict[ExecutionId, tuple[PreviewFile, ...]] = {}

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
                follower = Follower(
                    client=self._client,
                    clock=self._clock,
                    patience=self._patience,
                    prompt_id=prompt_id,
                    socket=socket,
                )
                if refusal is not None:
                    await self._withdraw(follower)
                    raise refusal
                entry = await follower.follow(stop)
        except Unreachable as exc:
            raise EngineFailed("ComfyUI cannot be reached.") from exc
        self._previews[execution_id] = previews_of(entry)
        try:
            rendered = result_of(entry, execution_id, stop_asked=stop.is_set())
        except OutOfMemory:
            await self._free()
            raise
        on_progress(tracker.ended())
        return rendered

    async def _submit(
        self, document: Mapping[str, Any], prompt_id: str, client_id: str
    ) -> WorkflowRefused | None:
        """
        Queue the prompt, once.

        Return None when it is queued or may be: a 500, a cut or a time-out does not mean that it
        is not, so whoever follows it decides. Return the refusal when only parts of it are queued.

        Raises:
            WorkflowRefused: nothing of it is queued.
            EngineFailed: this ComfyUI does not let us name prompts.
            Unreachable: nobody listens.
        """
        try:
            answer = await self._client.submit(document, prompt_id, client_id)
        except Unreachable as exc:
            if exc.refused:
                raise
            _log.warning("comfyui.submit_unclear", reason=str(exc))
            return None
        if answer.status in _JUDGED:
            raise refusal_of(answer.body)
        queued_as = answer.body.get("prompt_id") if isinstance(answer.body, dict) else None
        if answer.status != 200 or queued_as is None:
            _log.warning("comfyui.submit_unclear", status=answer.status)
            return None
        if queued_as != prompt_id:
            if is_uuid(queued_as):
                await self._client.cancel(queued_as)
            raise EngineFailed("ComfyUI is too old: it gave the job an id of its own.")
        return refusal_of(answer.body) if answer.body.get("node_errors") else None

    async def _withdraw(self, follower: Follower) -> None:
        """Stop what was queued of a workflow that was refused in parts: nobody wants half a job."""
        unwanted = asyncio.Event()
        unwanted.set()
        try:
            await follower.follow(unwanted)
        except RenderInterrupted:
            _log.info("comfyui.part_withdrawn")

    async def _free(self) -> None:
        try:
            await self._client.free()
        except Unreachable as exc:  # the next render will show what is left
            _log.warning("comfyui.not_freed", reason=str(exc))

    async def settle(self, execution_id: ExecutionId) -> None:
        """See the port."""
        absent = 0
        while absent < ABSENCES:
            try:
                await self._client.cancel(str(execution_id))
                queued = await self._client.is_queued(str(execution_id))
            except Unreachable as exc:
                raise EngineFailed("ComfyUI cannot be reached.") from exc
            absent = 0 if queued else absent + 1
            await asyncio.sleep(self._patience.poll_closely.total_seconds())

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
        previews = self._previews.pop(execution_id, ())
        try:
            await self._client.forget(str(execution_id))
        except Unreachable as exc:
            raise EngineFailed("ComfyUI cannot be reached.") from exc
        finally:
            if self._folders is not None:
                await self._folders.remove(folder_of(execution_id), previews)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    if content:
        yield content
