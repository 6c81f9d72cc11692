"""The commands and their options; what they do is in the modules beside this one."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from genjobs import bootstrap
from genjobs.settings import Settings
from genjobs.telemetry import configure_logging

_T = TypeVar("_T")

app = typer.Typer(
    name="genjobs",
    help="Run ComfyUI workflows as jobs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
db = typer.Typer(name="db", help="The database's schema.", no_args_is_help=True)
app.add_typer(db)
nodes = typer.Typer(name="nodes", help="The node classes that workflows may use.")
app.add_typer(nodes)

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output")]
Host = Annotated[str, typer.Option(help="Address to listen on")]


@app.command()
def serve(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8000,
    worker: Annotated[bool, typer.Option(help="Also run a pull worker in this process")] = True,
    supervisor: Annotated[bool, typer.Option(help="Also run a supervisor")] = True,
    ingester: Annotated[bool, typer.Option(help="Also fetch media named by URL")] = True,
) -> None:
    """Serve the API; a supervisor, an ingester and, with local dispatch, a worker run beside it."""
    from genjobs.cli import serving

    settings = _settings()
    _run(
        serving.serve(
            settings,
            host=host,
            port=port,
            worker=worker and settings.dispatch_url.startswith("local:"),
            supervisor=supervisor,
            ingester=ingester,
        )
    )


@app.command()
def worker() -> None:
    """
    Run jobs in a process of its own; any number may run at once.

    Exits with 75 when its ComfyUI's device is broken and somebody else has to start it anew.
    """
    from genjobs.cli import serving

    sys.exit(_run(serving.work(_settings())))


@app.command()
def ingest() -> None:
    """Fetch media named by URL in a process of its own; any number may run at once."""
    from genjobs.cli import serving

    _run(serving.ingest(_settings()))


@app.command()
def supervise(
    once: Annotated[bool, typer.Option(help="Do what is due and exit")] = False,
    as_json: Json = False,
) -> None:
    """Expire queued jobs and rescue those whose worker is lost."""
    from genjobs.cli import serving

    settings = _settings()
    if not once:
        _run(serving.supervise(settings))
        return
    tick = _run(serving.supervise_once(settings))
    if as_json:
        _print(tick)


@app.command()
def status(as_json: Json = False) -> None:
    """Show queue, slots and open cancels."""
    from genjobs.cli import serving

    found = _run(serving.overview(_settings()))
    if as_json:
        _print(found)
        return
    for name, value in found.items():
        typer.echo(f"{name:26} {value if value is not None else '-'}")


@app.command()
def simulator(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8188,
    directory: Annotated[
        Path | None, typer.Option(help="Where input, output and temp are kept")
    ] = None,
) -> None:
    """Run a ComfyUI that needs no GPU, on loopback."""
    from genjobs.simulator import serve_simulator

    settings = _settings()
    serve_simulator(
        directory or settings.data_directory / "comfyui",
        port=port,
        announce=lambda url: typer.echo(f"simulator listening at {url}", err=True),
    )


@app.command()
def demo(
    once: Annotated[bool, typer.Option(help="Exit once the job is final")] = False,
    as_json: Json = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8000,
) -> None:
    """Start everything on this machine and run a sample job over HTTP."""
    from genjobs.cli import demonstration

    settings = _settings()
    if "log_level" not in settings.model_fields_set:  # the demo tells what happens itself
        configure_logging(json=settings.log_json, level="warning")
    final = _run(demonstration.run(settings, port=port, once=once, quiet=as_json))
    if as_json and final is not None:
        _print(final)
    if once and (final is None or final["status"] != "completed"):
        sys.exit(1)


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the database to this version; several may run this at once."""
    from genjobs.cli import serving

    _run(serving.upgrade(_settings()))


@db.command("check")
def db_check() -> None:
    """Fail unless the database has the schema this version needs."""
    from genjobs.cli import serving

    _run(serving.check_database(_settings()))


@nodes.callback()
def _nodes() -> None:
    """The node classes that workflows may use."""


@nodes.command("catalogue")
def nodes_catalogue(
    object_info: Annotated[Path, typer.Argument(help="Answer of ComfyUI's GET /object_info")],
    only: Annotated[
        list[str] | None, typer.Option("--class", help="Draft this class; may be repeated")
    ] = None,
) -> None:
    """Draft entries for node classes that are not shipped; a person has to review them."""
    from genjobs.cli import drafting

    drafting.draft(object_info, tuple(only or ()))


def _settings() -> Settings:
    settings = bootstrap.load_settings()
    configure_logging(json=settings.log_json, level=settings.log_level)
    return settings


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        sys.exit(130)


def _print(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))
