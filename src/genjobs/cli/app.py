"""The commands and their options; what they do is in the modules beside this one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from genjobs.cli.credentials import issuers, keys, tokens
from genjobs.cli.pinning import pins_app
from genjobs.cli.running import Json, load_settings, print_fields, print_json, run
from genjobs.cli.tenancy import plans, tenants
from genjobs.cli.users import users
from genjobs.telemetry import configure_logging

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
for group in (tenants, keys, plans, issuers, tokens, users, pins_app):
    app.add_typer(group)
dispatch = typer.Typer(name="dispatch", help="Giving jobs to workers.", no_args_is_help=True)
app.add_typer(dispatch)

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

    settings = load_settings()
    run(
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

    sys.exit(run(serving.work(load_settings())))


@app.command()
def ingest() -> None:
    """Fetch media named by URL in a process of its own; any number may run at once."""
    from genjobs.cli import serving

    run(serving.ingest(load_settings()))


@app.command()
def supervise(
    once: Annotated[bool, typer.Option(help="Do what is due and exit")] = False,
    as_json: Json = False,
) -> None:
    """Expire queued jobs, rescue those whose worker is lost, see cancels through."""
    from genjobs.cli import supervising

    settings = load_settings()
    if not once:
        run(supervising.supervise(settings))
        return
    tick = run(supervising.supervise_once(settings))
    if as_json:
        print_json(tick)


@app.command()
def reconcile(
    remove: Annotated[
        bool, typer.Option("--remove", help="Also remove files that nobody needs")
    ] = False,
    as_json: Json = False,
) -> None:
    """Hold all stored files and all jobs against each other, and say what does not fit."""
    from genjobs.cli import supervising

    found = run(supervising.inventory(load_settings(), remove=remove))
    if as_json:
        print_json(found)
        return
    print_fields(found)


@app.command()
def status(as_json: Json = False) -> None:
    """Show queue, slots, open cancels, what was rescued, and when a supervisor looked last."""
    from genjobs.cli import supervising

    found = run(supervising.overview(load_settings()))
    if as_json:
        print_json(found)
        return
    print_fields(found)


@app.command()
def doctor(
    deployment: Annotated[
        bool, typer.Option(help="With the settings that containers at Modal have")
    ] = False,
    before_deploy: Annotated[
        bool, typer.Option(help="The same, and what deploying makes or mends only warns")
    ] = False,
    as_json: Json = False,
) -> None:
    """
    Look at settings, database, store, Modal and ComfyUI, and say how to mend what is wrong.

    Exits with 1 when something does not work. Nothing is changed: a small file is put into the
    store and removed again.
    """
    from genjobs.application.diagnose import has_failed
    from genjobs.cli import diagnosing

    found = run(
        diagnosing.examine(deployment=deployment or before_deploy, before_deploying=before_deploy)
    )
    if as_json:
        print_json(diagnosing.as_json(found))
    else:
        for line in diagnosing.lines(found):
            typer.echo(line)
        typer.echo(diagnosing.summary(found), err=True)
    if has_failed(found):
        sys.exit(1)


@app.command()
def smoke(as_json: Json = False) -> None:
    """
    Run one job through the public API of a deployment, by GENJOBS_SMOKE_* of the environment.

    Shows what a cold start cost, whether the worker came from a snapshot, and what rendering took.
    Exits with 1 when the job was not done.
    """
    from genjobs.cli import deployed

    shown, failed = run(deployed.smoke_and_tell())
    if as_json:
        print_json(shown)
    else:
        print_fields({name.replace("_", " "): value for name, value in shown.items()})
    if failed:
        sys.exit(1)


@app.command()
def capacity(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell; change nothing")] = False,
    as_json: Json = False,
) -> None:
    """Adjust the pool of containers to its work if that is due, and show what was seen and why."""
    from genjobs.cli import pooling

    shown = run(pooling.look(load_settings(), dry_run=dry_run))
    if as_json:
        print_json(shown)
        return
    print_fields(pooling.lines(shown))


@app.command()
def simulator(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8188,
    directory: Annotated[
        Path | None, typer.Option(help="Where input, output and temp are kept")
    ] = None,
) -> None:
    """Run a ComfyUI that needs no GPU, on loopback."""
    from genjobs.simulator import serve_simulator

    settings = load_settings()
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

    settings = load_settings()
    if "log_level" not in settings.model_fields_set:  # the demo tells what happens itself
        configure_logging(json=settings.log_json, level="warning")
    final = run(demonstration.run(settings, port=port, once=once, quiet=as_json))
    if as_json and final is not None:
        print_json(final)
    if once and (final is None or final["status"] != "completed"):
        sys.exit(1)


@db.command("upgrade")
def db_upgrade(
    deployment: Annotated[
        bool, typer.Option(help="With the settings that containers at Modal have")
    ] = False,
) -> None:
    """Bring the database to this version; several may run this at once."""
    from genjobs.bootstrap import containers, doctor

    settings = load_settings()  # which sets logging up
    if deployment:
        settings = doctor.load_deployed_settings(doctor.load_deployment())
    run(containers.upgrade(settings))


@db.command("check")
def db_check() -> None:
    """Fail unless the database has the schema this version needs."""
    from genjobs.cli import serving

    run(serving.check_database(load_settings()))


@dispatch.command("pause")
def dispatch_pause() -> None:
    """Give no job to any worker until it is resumed; what runs goes on, and submits are taken."""
    from genjobs.cli import supervising

    run(supervising.pause(load_settings()))


@dispatch.command("resume")
def dispatch_resume() -> None:
    """Give jobs to workers again."""
    from genjobs.cli import supervising

    run(supervising.resume(load_settings()))


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
