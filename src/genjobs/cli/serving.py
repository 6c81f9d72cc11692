"""The long-running commands: what runs in a process, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
import uvicorn
from fastapi import FastAPI

from genjobs import bootstrap
from genjobs.api.app import create_app
from genjobs.bootstrap import Adapters, AdaptersFactory
from genjobs.cli.connections import GuardedProtocol
from genjobs.domain.errors import ConfigurationError
from genjobs.settings import Settings

#: How long open requests may take once the server is told to stop.
_GRACE_SECONDS: Final = 5
#: How long a connection may be idle between two requests.
_IDLE_SECONDS: Final = 5
#: Exit code of a worker whose device is broken.
RETIRED: Final = 75
#: Exit code of a process that was told to stop three times.
_CUT_OFF: Final = 130

_log = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    """A server that leaves signals alone: the process around it closes more than HTTP."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not."""
        yield


def server_config(
    app: FastAPI, settings: Settings, protocol: type[GuardedProtocol] = GuardedProtocol
) -> uvicorn.Config:
    """Return how HTTP is served."""
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # Only a named proxy is believed when it says who the client is.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


async def serve(
    settings: Settings,
    *,
    host: str,
    port: int,
    worker: bool,
    supervisor: bool,
    ingester: bool,
    ready: Callable[[str, asyncio.Event], None] | None = None,
    adapters: AdaptersFactory = Adapters,
) -> None:
    """
    Serve until told to stop; ``ready`` gets the base URL and the event that stops it.

    ``adapters`` are other ones than the settings name, as everywhere in ``bootstrap``.

    Raises:
        ConfigurationError: the address cannot be listened on, or the settings are not usable.
    """
    listener = _listen(host, port)
    base_url = f"http://{host}:{listener.getsockname()[1]}"
    if settings.public_url is None:
        settings = settings.model_copy(update={"public_url": base_url})
    with contextlib.closing(listener):
        async with stopping() as stop, bootstrap.open_adapters(settings, adapters) as opened:
            context = await bootstrap.build_context(opened)
            app = create_app(
                lambda: contextlib.nullcontext(context),
                version=bootstrap.version(),
                cors_origins=settings.cors_origins,
            )
            server = Server(server_config(app, settings))
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(server.serve(sockets=[listener]))
                beside = await _beside(
                    group, opened, stop, worker=worker, supervisor=supervisor, ingester=ingester
                )
                while not server.started and not serving.done():
                    await asyncio.sleep(0.01)
                _log.info("api.listening", address=base_url)
                if ready is not None:
                    ready(base_url, stop)
                await first_of(serving, stop)
                stop.set()
                server.should_exit = True
                for task in beside:
                    task.cancel()


async def _beside(
    group: asyncio.TaskGroup,
    adapters: Adapters,
    stop: asyncio.Event,
    *,
    worker: bool,
    supervisor: bool,
    ingester: bool,
) -> list[asyncio.Task[None]]:
    """Start worker, ingester and supervisor; return those that must be cancelled to end."""
    if ingester:
        fetch = await bootstrap.build_ingester(adapters)
        group.create_task(fetch.run(stop))
    if worker and not adapters.pushes:  # else workers are called elsewhere
        pull = await bootstrap.build_worker(adapters)
        group.create_task(pull.run(stop))
    if not supervisor:
        return []
    supervise = await bootstrap.build_supervisor(adapters)
    return [group.create_task(supervise.run(every=adapters.settings.supervise_every()))]


async def work(settings: Settings, adapters: AdaptersFactory = Adapters) -> int:
    """
    Run a worker until told to stop; its jobs are then finished or given back.

    Return the exit code: 0, or ``RETIRED`` when its machine must not be used as it is.

    Raises:
        ConfigurationError: workers do not pull here, they are called.
    """
    if not settings.dispatch_url.startswith("local:"):
        raise ConfigurationError("a worker pulls only with GENJOBS_DISPATCH_URL=local://")
    async with stopping() as stop, bootstrap.open_worker(settings, adapters, alone=True) as pull:
        await pull.run(stop)
        return RETIRED if pull.retired.is_set() else 0


async def ingest(settings: Settings) -> None:
    """Fetch media until told to stop; what is being fetched then is given back."""
    async with stopping() as stop, bootstrap.open_ingester(settings) as fetch:
        await fetch.run(stop)


async def check_database(settings: Settings) -> None:
    """Raise ``Unavailable`` unless the database has the schema this version needs."""
    async with bootstrap.open_adapters(settings) as adapters:
        await (await adapters.jobs()).check()


@asynccontextmanager
async def stopping() -> AsyncIterator[asyncio.Event]:
    """
    Yield an event that SIGINT and SIGTERM set, so that everything is closed in order.

    The second of them cancels what is inside, which then only stops the render and says so; the
    third ends the process on the spot.
    """
    stop, hurried = asyncio.Event(), False
    loop, inside = asyncio.get_running_loop(), asyncio.current_task()

    def heed() -> None:
        nonlocal hurried
        if hurried:
            os._exit(_CUT_OFF)
        if stop.is_set() and inside is not None:
            hurried = True
            inside.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, heed)
    try:
        yield stop
    except asyncio.CancelledError:
        if not hurried:
            raise
        _log.warning("process.hurried")
        raise KeyboardInterrupt from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def first_of(task: asyncio.Task[Any], stop: asyncio.Event) -> None:
    """Return when the task has ended or ``stop`` is set, whichever is first."""
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off for what it accepts; otherwise
    # small answers wait some 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise ConfigurationError(f"cannot listen on {host}:{port}: {exc.strerror}") from None
    return listener
