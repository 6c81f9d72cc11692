"""The engine of a worker, and what keeps its process: an address, a command, or the simulator."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from genjobs.bootstrap.comfyui import ComfyUIPlace, comfyui_place
from genjobs.bootstrap.opened import Opened
from genjobs.domain.errors import ConfigurationError
from genjobs.gpu.comfy_process import Care, ComfyProcess
from genjobs.gpu.confinement import Confinement
from genjobs.gpu.keeping import ForeignEngine

if TYPE_CHECKING:
    from genjobs.domain.ports import EngineKeeper, WorkflowEngine
    from genjobs.gpu.prepared import PreparedProcess
    from genjobs.settings.comfyui import ComfyUISettings


class EngineAdapters(Opened):
    """The adapters around ComfyUI."""

    #: A process of it that waits to be told to go on.
    prepared: PreparedProcess | None = None

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
        """
        Return what keeps the engine's process; one of our own is started.

        Raises:
            ConfigurationError: a user is set for a process that is not ours to start.
        """
        if "keeper" not in self._opened:
            engine, place = await self.engine(), self._comfyui()
            keeper: EngineKeeper
            if place.command is None:
                if self.settings.comfyui_user is not None:
                    raise ConfigurationError("comfyui_user needs comfyui_command")
                keeper = ForeignEngine(engine.check)
            else:
                settings = self.settings
                confinement, environment = _confinement(settings, place)
                keeper = await self._stack.enter_async_context(
                    ComfyProcess(
                        place.command,
                        check=engine.check,
                        clock=self.clock(),
                        environment=environment,
                        confinement=confinement,
                        prepared=self.prepared,
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


def prepare_engine(settings: ComfyUISettings) -> PreparedProcess | None:
    """
    Begin ComfyUI as far as it goes without a device, for a memory snapshot.

    None when the settings do not ask for it, or it cannot be: it is then started as ever.

    Raises:
        ConfigurationError: the settings ask for it and are not usable.
    """
    place = comfyui_place(settings)
    if not settings.comfyui_snapshot or settings.comfyui_url.startswith("simulator:"):
        return None
    if place.command is None:
        raise ConfigurationError("comfyui_snapshot needs comfyui_command")
    from genjobs.gpu.prepared import PRELOADED, prepare

    confinement, environment = _confinement(settings, place)
    return prepare(
        place.command,
        environment=environment,
        limit=timedelta(seconds=settings.comfyui_start_seconds),
        modules=(*PRELOADED, *settings.comfyui_preload),
        directory=settings.comfyui_workdir,
        log=place.log,
        confinement=confinement,
    )


def _confinement(
    settings: ComfyUISettings, place: ComfyUIPlace
) -> tuple[Confinement | None, dict[str, str]]:
    """Return the user of ComfyUI's process, if it has one of its own, and its environment."""
    environment = settings.environment_of_comfyui()
    if settings.comfyui_user is None:
        return None, environment
    if place.directory is None:
        raise ConfigurationError("comfyui_user needs comfyui_directory")
    confinement = Confinement.of(settings.comfyui_user)
    confinement.prepare(place.directory)
    return confinement, environment | confinement.environment(place.directory)
