"""The port to what renders workflows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import Progress
from genjobs.domain.media import MediaKind
from genjobs.domain.workflow import Workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFile:
    """An output the engine reports: a file it holds, or a text in ``text``."""

    node_id: str
    name: str
    #: The engine's own reference, opaque to everyone else.
    reference: Mapping[str, str]
    kind: MediaKind
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A successful render: at least one deliverable output."""

    outputs: tuple[EngineFile, ...]


class StopSignal(Protocol):
    """Tells a render that it shall stop; ``asyncio.Event`` is one."""

    def is_set(self) -> bool:
        """Whether a stop was asked for."""

    async def wait(self) -> Any:
        """Return once a stop was asked for."""


class WorkflowEngine(Protocol):
    """
    Something that renders workflows: ComfyUI, one prompt at a time.

    ``execution_id`` names the render everywhere; files of one render are never visible to
    another.
    """

    async def stage(
        self, execution_id: ExecutionId, filename: str, chunks: AsyncIterator[bytes]
    ) -> str:
        """
        Put an input file where the engine can load it; return the name nodes must use.

        ``filename`` is one path part chosen by genjobs, unique within the render. Streams.

        Raises:
            EngineFailed: the engine cannot be reached or refuses the file.
        """

    async def render(
        self,
        execution_id: ExecutionId,
        workflow: Workflow,
        files: Mapping[str, str],
        *,
        on_progress: Callable[[Progress], None],
        stop: StopSignal,
    ) -> Rendered:
        """
        Run the workflow to its end and return what it made.

        ``files`` maps media names to what :meth:`stage` returned. Progress is reported often and
        must never go back. Returns or raises only after the engine has been *seen* in a terminal
        state for this render, or has been lost. When ``stop`` is set, the engine is asked to stop
        this render, and no other, again and again until that is seen.

        Raises:
            RenderInterrupted: it stopped because of ``stop``. A render that finishes although
                asked to stop returns normally.
            WorkflowRefused: the engine did not accept it, or only parts of it.
            NodeError, NoOutput: as their docstrings say.
            OutOfMemory: the same; the engine was asked to free what it holds.
            DeviceFailed: no later render can be trusted before the engine is started anew.
            EngineFailed: the engine was lost, forgot the render, or does not say what became of
                it; :meth:`settle` tells which.
        """

    async def settle(self, execution_id: ExecutionId) -> None:
        """
        Make sure that the render neither waits nor runs: cancel it until that has been seen.

        May take for ever while the engine does not answer: the caller bounds it.

        Raises:
            EngineFailed: the engine cannot be reached.
        """

    def read(self, file: EngineFile) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """
        Open an output file as chunks; ``NoOutput`` on entering when the engine has no such file.

        Raises:
            EngineFailed: the engine cannot be reached.
        """

    async def discard(self, execution_id: ExecutionId) -> None:
        """
        Remove the render's inputs, outputs and history from the engine, as far as it can.

        Raises:
            EngineFailed: the engine cannot be reached; files on this machine are gone all the
                same.
        """

    async def check(self) -> None:
        """Raise ``EngineFailed`` unless the engine answers."""
