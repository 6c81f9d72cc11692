"""
Move a job's files: inputs from the artifact store into the engine, outputs the other way.

Everything streams; no file is ever held in memory whole. Retrying and time limits are the
caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid5

from genjobs.application.together import together
from genjobs.domain.artifacts import InputFile, Output, output_key
from genjobs.domain.attempts import Execution
from genjobs.domain.errors import InputUnavailable, NotFound
from genjobs.domain.ids import OUTPUT_PREFIX, ExecutionId, to_text
from genjobs.domain.media import PLAIN_TEXT, SNIFF_BYTES, MediaKind, MediaType, sniff
from genjobs.domain.ports import (
    ArtifactStore,
    EngineFile,
    MediaProbe,
    PictureSize,
    Rendered,
    WorkflowEngine,
)
from genjobs.domain.scrubbing import Scrubber

_HEAD_BYTES: Final = 64 * 1024
_PARALLEL: Final = 4


class _Head:
    """Keeps the first bytes of a stream that passes through."""

    def __init__(self) -> None:
        self.bytes = b""

    async def through(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            if len(self.bytes) < _HEAD_BYTES:
                self.bytes += chunk[: _HEAD_BYTES - len(self.bytes)]
            yield chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Both directions."""

    artifacts: ArtifactStore
    engine: WorkflowEngine
    probe: MediaProbe

    async def stage(self, execution_id: ExecutionId, inputs: Sequence[InputFile]) -> dict[str, str]:
        """
        Put the inputs where the engine can load them; return media name to engine name.

        Raises:
            InputUnavailable: an input is not in the artifact store.
            EngineFailed: the engine does not take it.
            Unavailable: the artifact store cannot be reached; repeating is safe.
        """
        gate = asyncio.Semaphore(_PARALLEL)

        async def one(index: int, entry: InputFile) -> str:
            async with gate:
                try:
                    async with self.artifacts.read(entry.key) as chunks:
                        head = await anext(chunks, b"")
                        # The engine tells formats by extension; ours comes from the content.
                        name = f"input_{index}{sniff(head[:SNIFF_BYTES]).extension}"
                        return await self.engine.stage(execution_id, name, _joined(head, chunks))
                except NotFound as exc:
                    raise InputUnavailable from exc

        names = await together(one(index, entry) for index, entry in enumerate(inputs))
        return {entry.name: name for entry, name in zip(inputs, names, strict=True)}

    async def store(self, execution: Execution, rendered: Rendered) -> tuple[Output, ...]:
        """
        Store every output under the attempt's prefix and return what was stored.

        Raises:
            NoOutput: the engine reported a file that it does not have.
            EngineFailed: the engine cannot be reached.
            Unavailable: the artifact store cannot be reached; repeating is safe.
        """
        gate = asyncio.Semaphore(_PARALLEL)

        async def one(index: int, file: EngineFile) -> Output:
            async with gate:
                return await self._store_one(execution, index, file)

        return tuple(await together(one(i, file) for i, file in enumerate(rendered.outputs)))

    async def _store_one(self, execution: Execution, index: int, file: EngineFile) -> Output:
        # The same on every try, so that a repeated upload replaces instead of leaving orphans.
        output_id = to_text(OUTPUT_PREFIX, uuid5(execution.execution_id, str(index)))
        key = output_key(execution.owner, execution.job_id, execution.attempt, output_id)
        head = _Head()
        async with self.engine.read(file) as chunks:
            stored = await self.artifacts.put(
                key, _scrubbed(head.through(chunks)), content_type="application/octet-stream"
            )
        found = _type_of(file, head.bytes)
        size = self._picture_size(found, head.bytes)
        return Output(
            id=output_id,
            node_id=file.node_id,
            name=file.name,
            kind=found.kind,
            content_type=found.content_type,
            bytes=stored.bytes,
            sha256=stored.sha256,
            key=key,
            width=size.width if size else None,
            height=size.height if size else None,
        )

    def _picture_size(self, found: MediaType, head: bytes) -> PictureSize | None:
        return self.probe.picture_size(head) if found.kind is MediaKind.IMAGE else None


def _type_of(file: EngineFile, head: bytes) -> MediaType:
    return PLAIN_TEXT if file.kind is MediaKind.TEXT else sniff(head[:SNIFF_BYTES])


async def _joined(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if head:
        yield head
    async for chunk in rest:
        yield chunk


async def _scrubbed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a file without what a workflow wrote into it about itself."""
    head = b""
    while len(head) < SNIFF_BYTES and (chunk := await anext(chunks, b"")):
        head += chunk
    scrubber = Scrubber(sniff(head[:SNIFF_BYTES]))
    yield scrubber.feed(head)
    async for chunk in chunks:
        yield scrubber.feed(chunk)
    yield scrubber.finish()
