"""
The simulator on a port: inside another program's process, or as a process of its own.

Listens on the loopback address only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn

from genjobs.simulator.app import Simulator, create_simulator
from genjobs.simulator.faults import Faults

_HOST = "127.0.0.1"
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0

#: What the shell shows for a process killed by SIGKILL.
_KILLED = 137


class RunningSimulator:
    """A simulator served by a thread of this process, with an event loop of its own."""

    def __init__(self, base_directory: Path, port: int, faults: Faults, options: Any) -> None:
        self.faults = faults
        self.base_directory = base_directory
        self._options = options
        self._port = port
        self._server: uvicorn.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """``http://127.0.0.1:<port>``; the port stays the same over a restart."""
        return f"http://{_HOST}:{self._port}"

    async def start(self) -> None:
        """Listen and serve; raises RuntimeError when it does not come up."""
        simulator = create_simulator(self.base_directory, faults=self.faults, **self._options)
        listener = _listen(self._port)
        self._port = int(listener.getsockname()[1])
        server = self._server = _uvicorn_server(simulator)
        simulator.hub.abort = lambda peer: abort_connection(server, peer)
        simulator.on_death = self._vanish
        self._thread = threading.Thread(
            target=self._serve, args=(server, listener), name="simulator-server", daemon=True
        )
        self._thread.start()
        async with asyncio.timeout(_START_SECONDS):
            while not server.started:
                if not self._thread.is_alive():
                    raise RuntimeError("the simulator did not start")
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Stop serving in good order; harmless when it has stopped or died."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            await asyncio.to_thread(self._thread.join, _STOP_SECONDS)

    async def die(self) -> None:
        """Vanish as a killed process would: connections break, the port refuses, memory is lost."""
        self._vanish()
        await self.stop()

    async def restart(self) -> None:
        """Come back on the same port: empty queue, history and cache; output files are kept."""
        await self.stop()
        await self.start()

    def _serve(self, server: uvicorn.Server, listener: socket.socket) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await server.serve(sockets=[listener])

        with listener:
            asyncio.run(serve())

    def _vanish(self) -> None:
        """Close the port and break every connection; callable from any thread."""
        server, loop = self._server, self._loop
        if server is None or loop is None or loop.is_closed():
            return

        def vanish() -> None:
            server.should_exit = server.force_exit = True
            for listening in getattr(server, "servers", ()):
                listening.close()
            for connection in list(server.server_state.connections):
                if connection.transport is not None:
                    connection.transport.abort()

        loop.call_soon_threadsafe(vanish)


def abort_connection(server: uvicorn.Server, peer: tuple[str, int]) -> None:
    """Break the connection that comes from ``peer``, without a close frame."""
    for connection in list(server.server_state.connections):
        transport = connection.transport
        if transport is not None and transport.get_extra_info("peername") == peer:
            transport.abort()


@contextlib.asynccontextmanager
async def running_simulator(
    base_directory: Path, *, port: int = 0, faults: Faults | None = None, **options: Any
) -> AsyncIterator[RunningSimulator]:
    """
    Serve a simulator on the loopback address while the block runs.

    It has a thread and a loop of its own, so a busy caller does not slow it down, and it leaves
    signal handlers alone. ``options`` are those of ``create_simulator``.
    """
    running = RunningSimulator(base_directory, port, faults or Faults(), options)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


def serve_simulator(
    base_directory: Path, port: int, *, faults: Faults | None = None, **options: Any
) -> None:
    """
    Serve a simulator in this process until it is told to stop (SIGINT, SIGTERM); blocks.

    The fault ``die_at`` ends the process with status 137. ``options`` are those of
    ``create_simulator``.
    """
    simulator = create_simulator(base_directory, faults=faults, **options)
    simulator.on_death = lambda: os._exit(_KILLED)
    server = _uvicorn_server(simulator)
    simulator.hub.abort = lambda peer: abort_connection(server, peer)
    with _listen(port) as listener:
        server.run(sockets=[listener])


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
    except OSError:
        listener.close()
        raise
    return listener


def _uvicorn_server(simulator: Simulator) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            simulator,
            log_level="warning",
            access_log=False,
            lifespan="on",
            ws_ping_interval=None,  # the real server sends no pings
            timeout_graceful_shutdown=1,
        )
    )
