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
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import uvicorn

from genjobs.simulator.app import Simulator, create_simulator
from genjobs.simulator.faults import Faults

_HOST = "127.0.0.1"
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_TICK_SECONDS = 0.1
_GRACE_POLLS = 200
_GRACE_POLL_SECONDS = 0.005

#: What the shell shows for a process killed by SIGKILL.
_KILLED = 137


class _Server(uvicorn.Server):
    """A server that leaves as soon as it is told to, from whatever thread."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._leaving = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        """Serve until told to leave; a signal handler's ``should_exit`` is seen at each tick."""
        self._loop = asyncio.get_running_loop()
        tick = 0
        while not await self.on_tick(tick):
            tick += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), _TICK_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port and the connections; the base class waits a fixed time, this does not."""
        for listening in self.servers:
            listening.close()
        for listener in sockets or ():
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(_GRACE_POLLS):
            state = self.server_state
            if self.force_exit or not (state.connections or state.tasks):
                break
            await asyncio.sleep(_GRACE_POLL_SECONDS)
        await self.lifespan.shutdown()

    def call_soon(self, call: Callable[[], None]) -> None:
        """Run ``call`` on the server's loop, if it still runs."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    def leave(self) -> None:
        """End in good order; callable from any thread."""
        self.should_exit = True
        self.call_soon(self._leaving.set)

    def vanish(self) -> None:
        """Close the port and break every connection; callable from any thread."""

        def abort() -> None:
            for listening in self.servers:
                listening.close()
            for connection in list(self.server_state.connections):
                if connection.transport is not None:
                    connection.transport.abort()

        self.force_exit = True
        self.call_soon(abort)
        self.leave()

    def abort_connection(self, peer: tuple[str, int]) -> None:
        """Break the connection that comes from ``peer``, without a close frame."""
        for connection in list(self.server_state.connections):
            transport = connection.transport
            if transport is not None and transport.get_extra_info("peername") == peer:
                transport.abort()


class RunningSimulator:
    """A simulator served by a thread of this process, with an event loop of its own."""

    def __init__(self, base_directory: Path, port: int, faults: Faults, options: Any) -> None:
        self.faults = faults
        self.base_directory = base_directory
        self._options = options
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._simulator: Simulator | None = None

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
        simulator.hub.abort = server.abort_connection
        simulator.on_death = server.vanish
        self._simulator = simulator
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
            self._server.leave()
            await asyncio.to_thread(self._thread.join, _STOP_SECONDS)

    async def die(self) -> None:
        """Vanish as a killed process would: connections break, the port refuses, memory is lost."""
        if self._simulator is not None:
            self._simulator.die()
        await self.stop()

    async def restart(self) -> None:
        """Come back on the same port: empty queue, history and cache; output files are kept."""
        await self.stop()
        await self.start()

    def _serve(self, server: _Server, listener: socket.socket) -> None:
        with listener:
            asyncio.run(server.serve(sockets=[listener]))


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
    base_directory: Path,
    port: int,
    *,
    announce: Callable[[str], None],
    faults: Faults | None = None,
    **options: Any,
) -> None:
    """
    Serve a simulator in this process until it is told to stop (SIGINT, SIGTERM); blocks.

    ``announce`` is told the address once connections are accepted (they wait for the server).
    The fault ``die_at`` ends the process with status 137. ``options`` are those of
    ``create_simulator``.
    """
    simulator = create_simulator(base_directory, faults=faults, **options)
    simulator.on_death = lambda: os._exit(_KILLED)
    server = _uvicorn_server(simulator)
    simulator.hub.abort = server.abort_connection
    with _listen(port) as listener:
        listener.listen()
        announce(f"http://{_HOST}:{listener.getsockname()[1]}")
        server.run(sockets=[listener])


def _listen(port: int) -> socket.socket:
    # With the protocol named, asyncio switches Nagle's algorithm off for accepted connections;
    # left out, every answer waits some 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
    except OSError:
        listener.close()
        raise
    return listener


def _uvicorn_server(simulator: Simulator) -> _Server:
    return _Server(
        uvicorn.Config(
            simulator,
            log_level="warning",
            access_log=False,
            lifespan="on",
            ws_ping_interval=None,  # the real server sends no pings
        )
    )
