"""A workflow engine that does what a test tells it, and keeps what it was given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from genjobs.domain.errors import EngineFailed, GenjobsError, NoOutput, RenderInterrupted
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import Progress
from genjobs.domain.media import MediaKind
from genjobs.domain.ports import EngineFile, Rendered, StopSignal
from genjobs.domain.workflow import Workflow
from genjobs.testing.factories import png_bytes


@dataclass(slots=True, kw_only=True)
class Script:
    """What the next renders do."""

    #: Output name to content.
    outputs: dict[str, bytes] = field(default_factory=lambda: {"picture_00001_.png": png_bytes()})
    #: Raised instead of returning.
    error: GenjobsError | None = None
    #: Set it to let a render finish; a fresh, unset event makes renders hang until then.
    gate: asyncio.Event | None = None
    #: Whether a render that hangs ends when asked to stop.
    stoppable: bool = True


class ScriptedEngine:
    """The ``WorkflowEngine`` port; one ``script`` for all renders until it is changed."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.staged: dict[str, bytes] = {}
        self.rendered: list[Workflow] = []
        self.discarded: list[ExecutionId] = []
        #: Set when a render has begun.
        self.begun = asyncio.Event()
        self.alive = True
        #: Renders that began and have not been seen to end, a killed engine's excepted.
        self.running: set[ExecutionId] = set()
        #: How often a render was settled.
        self.settled: list[ExecutionId] = []
        self._death = asyncio.Event()
        self._made: dict[str, bytes] = {}

    async def stage(
        self, execution_id: ExecutionId, filename: str, chunks: AsyncIterator[bytes]
    ) -> str:
        """See the port."""
        await self.check()
        name = f"{execution_id}/{filename}"
        self.staged[name] = b"".join([chunk async for chunk in chunks])
        return name

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
        await self.check()
        if stop.is_set():
            raise RenderInterrupted
        script = self.script
        workflow.bound(files, "scripted")
        self.rendered.append(workflow)
        total = len(workflow.nodes)
        on_progress(Progress(fraction=0.5, nodes_done=total // 2, nodes_total=total))
        self.begun.set()
        self.running.add(execution_id)
        if script.gate is not None:
            try:
                await self._hang(script.gate, stop, stoppable=script.stoppable)
            except RenderInterrupted:
                self.running.discard(execution_id)
                raise
        if isinstance(script.error, EngineFailed):
            raise script.error  # nobody knows what became of the render
        self.running.discard(execution_id)
        if script.error is not None:
            raise script.error
        outputs = []
        for name, content in script.outputs.items():
            reference = f"{execution_id}/{name}"
            self._made[reference] = content
            outputs.append(
                EngineFile(node_id="9", name=name, reference={"at": reference}, kind=MediaKind.FILE)
            )
        if not outputs:
            raise NoOutput
        on_progress(Progress(fraction=1.0, nodes_done=total, nodes_total=total))
        return Rendered(outputs=tuple(outputs))

    @asynccontextmanager
    async def read(self, file: EngineFile) -> AsyncIterator[AsyncIterator[bytes]]:
        """See the port."""
        await self.check()
        content = self._made.get(file.reference.get("at", ""))
        if content is None:
            raise NoOutput
        yield _once(content)

    async def discard(self, execution_id: ExecutionId) -> None:
        """See the port; what was staged stays in ``staged`` for tests to look at."""
        self.discarded.append(execution_id)
        for reference in [name for name in self._made if name.startswith(f"{execution_id}/")]:
            del self._made[reference]
        await self.check()

    async def check(self) -> None:
        """See the port."""
        if not self.alive:
            raise EngineFailed

    async def settle(self, execution_id: ExecutionId) -> None:
        """See the port; a render that cannot be stopped is never seen to be over."""
        await self.check()
        while execution_id in self.running and not self.script.stoppable:
            await asyncio.sleep(0.01)
        self.running.discard(execution_id)
        self.settled.append(execution_id)

    def die(self) -> None:
        """Lose what is being rendered, as a killed process does; be there again at once."""
        death, self._death = self._death, asyncio.Event()
        self.running.clear()
        death.set()

    async def _hang(self, gate: asyncio.Event, stop: StopSignal, *, stoppable: bool) -> None:
        death = self._death
        waits = [asyncio.ensure_future(gate.wait()), asyncio.ensure_future(death.wait())]
        if stoppable:
            waits.append(asyncio.ensure_future(stop.wait()))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if death.is_set():
            raise EngineFailed
        if stop.is_set() and stoppable and not gate.is_set():
            raise RenderInterrupted


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
