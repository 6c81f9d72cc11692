"""The engine of a worker, and what keeps its process: an address, a command, or the simulator."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from genjobs.bootstrap.comfyui import ComfyUIPlace, comfyui_place
from genjobs.bootstrap.opened import Opened
from genjobs.gpu.comfy_process import Care, ComfyProcess
from genjobs.gpu.keeping import ForeignEngine

if TYPE_CHECKING:
    from genjobs.domain.ports import EngineKeeper, WorkflowEngine


class EngineAdapters(Opened):
    """The adapters around ComfyUI."""

    async def engine(self) -> WorkflowEngine:
        """Return the workflow engine; whatever keeps its process must be opened beside it."""
        if "engine" not in self._opened:
            from genjobs.adapters.comfyui import ComfyUIEngine, Patience

            place = self._comfyui()
            patience = Patience(silent=timedelta(seconds=self.settings.comfyui_deaf_seconds))
            self._opened["engine"] = await self._stack.enter_async_context(
                ComfyUIEngine(
                    place.url, directory=place.directory, clock=self.clock(), patience=patience
                )
            )
        engine: WorkflowEngine = self._opened["engine"]
        return engine

    async def keeper(self) -> EngineKeeper:
        """Return what keeps the engine's process; one of our own is started."""
        if "keeper" not in self._opened:
            engine, place = await self.engine(), self._comfyui()
            keeper: EngineKeeper
            if place.command is None:
                keeper = ForeignEngine(engine.check)
            else:
                settings = self.settings
                keeper = await self._stack.enter_async_context(
                    ComfyProcess(
                        place.command,
                        check=engine.check,
                        clock=self.clock(),
                        environment=settings.environment_of_others(),
                        directory=settings.comfyui_workdir,
                        log=place.log,
                        care=Care(
                            start=timedelta(seconds=settings.comfyui_start_seconds),
                            deaf=timedelta(seconds=settings.comfyui_deaf_seconds),
                        ),
                    )
                )
            self._opened["keeper"] = keeper
        kept: EngineKeeper = self._opened["keeper"]
        return kept

    def _comfyui(self) -> ComfyUIPlace:
        return self._once("comfyui", lambda: comfyui_place(self.settings))
