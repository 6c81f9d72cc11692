"""
The simulated server as an ASGI application: wiring, routing, start and end.

The application starts its threads with the ASGI lifespan or, without one, at the first request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send

from genjobs.simulator.answers import guarded, json_answer, plain_http_error, read_json
from genjobs.simulator.cache import CacheMode, NodeCache
from genjobs.simulator.catalogue import Catalogue
from genjobs.simulator.executor import PromptExecutor
from genjobs.simulator.faults import Faults
from genjobs.simulator.file_routes import FileRoutes
from genjobs.simulator.folders import Folders
from genjobs.simulator.info_routes import InfoRoutes
from genjobs.simulator.prompt_routes import PromptRoutes
from genjobs.simulator.prompt_run import Behaviour, Workbench
from genjobs.simulator.queue import InterruptFlag, PromptQueue
from genjobs.simulator.sockets import SocketHub

_CONTROL = "/simulator/faults"


class Simulator:
    """
    A ComfyUI v0.26.0 without a GPU; an ASGI application.

    ``faults`` may be changed at any time. ``die`` ends it without a word; what that means is up to
    ``on_death`` (the process, a listening socket); by default every later call raises
    ConnectionRefusedError.
    """

    def __init__(
        self,
        folders: Folders,
        *,
        faults: Faults,
        behaviour: Behaviour,
        checkpoints: tuple[str, ...],
        cache: CacheMode,
        cache_entries: int,
    ) -> None:
        self.faults = faults
        self.folders = folders
        self.on_death: Callable[[], None] | None = None
        self._dead = False
        self._started = False
        self._catalogue = Catalogue(folders, checkpoints)
        self.hub = SocketHub(faults, lambda: self.queue.remaining())
        self.queue = PromptQueue(InterruptFlag(), self.hub.send_status)
        self._executor = PromptExecutor(
            queue=self.queue,
            bench=Workbench(
                hub=self.hub,
                cache=NodeCache(cache, cache_entries, folders),
                catalogue=self._catalogue,
                folders=folders,
                behaviour=behaviour,
            ),
            faults=faults,
            die=self.die,
        )
        self._app = Starlette(
            routes=self._routes(), exception_handlers={HTTPException: plain_http_error}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        self._start()
        controls = scope["path"] == _CONTROL
        if not controls:
            await self.faults.wait_until_thawed()
            if scope["type"] == "http" and self.faults.take_death("request"):
                self.die()
        if self._dead:
            await self._say_nothing()

        async def send_while_alive(message: Message) -> None:
            if self._dead:
                await self._say_nothing()
            await send(message)

        await self._app(scope, receive, send_while_alive)

    def die(self) -> None:
        """End at once: nothing more is sent, run or written. Callable from any thread."""
        self._dead = True
        self._executor.stop()
        if self.on_death is not None:
            self.on_death()

    async def _say_nothing(self) -> None:
        """Leave a caller without an answer until its connection is broken."""
        if self.on_death is None:
            raise ConnectionRefusedError("the simulator is dead")
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Stop the executor (at its next check) and the publisher."""
        self._executor.stop()
        await self.hub.stop()

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self.hub.start()
            self._executor.start()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    def _routes(self) -> list[BaseRoute]:
        prompts = PromptRoutes(
            queue=self.queue,
            catalogue=self._catalogue,
            folders=self.folders,
            faults=self.faults,
            die=self.die,
        )
        files = FileRoutes(self.folders)
        info = InfoRoutes(self._catalogue, self.folders)
        twice = [
            ("GET", "/prompt", prompts.queue_size),
            ("POST", "/prompt", prompts.submit),
            ("GET", "/queue", prompts.queue),
            ("POST", "/queue", prompts.change_queue),
            ("GET", "/history", prompts.history),
            ("POST", "/history", prompts.change_history),
            ("GET", "/history/{prompt_id}", prompts.history_of),
            ("POST", "/interrupt", prompts.interrupt),
            ("POST", "/free", prompts.free),
            ("POST", "/upload/image", files.upload),
            ("GET", "/view", files.view),
            ("GET", "/object_info", info.object_info),
            ("GET", "/object_info/{class_type}", info.object_info_of),
            ("GET", "/system_stats", info.system_stats),
            ("GET", "/features", info.features),
        ]
        once = [
            ("GET", "/api/jobs", prompts.jobs),
            ("POST", "/api/jobs/cancel", prompts.cancel_jobs),
            ("GET", "/api/jobs/{job_id}", prompts.job),
            ("POST", "/api/jobs/{job_id}/cancel", prompts.cancel_job),
            ("GET", _CONTROL, self._show_faults),
            ("POST", _CONTROL, self._order_faults),
        ]
        routes: list[BaseRoute] = []
        for method, path, endpoint in twice + [
            (method, "/api" + path, endpoint) for method, path, endpoint in twice
        ]:
            routes.append(Route(path, guarded(endpoint), methods=[method]))
        for method, path, endpoint in once:
            routes.append(Route(path, guarded(endpoint), methods=[method]))
        routes.append(WebSocketRoute("/ws", self.hub.serve))
        routes.append(WebSocketRoute("/api/ws", self.hub.serve))
        return routes

    async def _show_faults(self, _request: Request) -> Response:
        return json_answer(self.faults.as_dict())

    async def _order_faults(self, request: Request) -> Response:
        """``POST /simulator/faults``: set fields; ``{"clear": true}`` first clears all of them."""
        orders = await read_json(request)
        if not isinstance(orders, dict):
            return json_answer({"error": "an object of faults is expected"}, 400)
        if orders.pop("clear", False):
            self.faults.clear()
        try:
            self.faults.update({k: v for k, v in orders.items() if (k, v) != ("die_at", "now")})
        except ValueError as error:
            return json_answer({"error": str(error)}, 400)
        if orders.get("die_at") == "now":
            self.die()
        return json_answer(self.faults.as_dict())


def create_simulator(
    base_directory: Path,
    *,
    faults: Faults | None = None,
    step_seconds: float = 0.05,
    checkpoints: tuple[str, ...] = ("tiny_sd15.safetensors",),
    cache: CacheMode = "lru",
    cache_entries: int = 64,
    preview_method: str = "none",
    metadata: bool = True,
) -> Simulator:
    """
    Make a simulated server over ``base_directory`` (``input``, ``output``, ``temp``).

    ``temp`` is wiped, the other two are kept; queue, history and cache begin empty.

    Args:
        base_directory: created if missing.
        faults: what goes wrong; also reachable later as the ``faults`` of the result.
        step_seconds: seconds one sampler step takes.
        checkpoints: file names CheckpointLoaderSimple lists.
        cache: what is kept between prompts: "lru", "classic" (the last prompt's) or "none".
        cache_entries: how many results "lru" keeps.
        preview_method: "none" or "latent2rgb", for prompts that do not say.
        metadata: whether pictures carry the whole prompt.

    """
    folders = Folders(base_directory)
    folders.prepare()
    return Simulator(
        folders,
        faults=faults or Faults(),
        behaviour=Behaviour(
            step_seconds=step_seconds, preview_method=preview_method, metadata=metadata
        ),
        checkpoints=checkpoints,
        cache=cache,
        cache_entries=cache_entries,
    )
