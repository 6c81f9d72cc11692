"""``genjobs users``: erasing a tenant's user, and the receipt."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from genjobs.cli import running
from genjobs.cli.administering import TenantName, UserName, administer, user_id
from genjobs.cli.running import Json
from genjobs.domain.erasure import Erasure
from genjobs.domain.ids import erasure_text

users = typer.Typer(name="users", help="Users of a tenant.", no_args_is_help=True)


@users.command("erase")
def erase_user(
    context: typer.Context, tenant: TenantName, user: UserName, as_json: Json = False
) -> None:
    """
    Erase all that is a user's: jobs, files, uploads and records.

    It has begun when this returns, and supervisors do it; see `genjobs users erasure`.
    """
    whom = user_id(user)
    _show(administer(context, lambda to: to.users.erase(tenant, whom)), as_json)


@users.command("erasure")
def show_erasure(
    context: typer.Context,
    erasure: Annotated[str, typer.Argument(help="The erasure's id, era_...")],
    tenant: TenantName,
    as_json: Json = False,
) -> None:
    """Show how far an erasure is; once it has ended, its receipt."""
    _show(administer(context, lambda to: to.users.erasure(tenant, erasure)), as_json)


def _show(erasure: Erasure, as_json: bool) -> None:
    fields: dict[str, Any] = {
        "id": erasure_text(erasure.id),
        "kind": erasure.kind.value,
        "status": "running" if erasure.finished_at is None else "completed",
        "requested_at": running.time_text(erasure.requested_at),
        "finished_at": running.time_text(erasure.finished_at),
        "jobs": erasure.erased.jobs,
        "files": erasure.erased.files,
        "uploads": erasure.erased.uploads,
        "idempotency_keys": erasure.erased.idempotency_keys,
    }
    if as_json:
        running.print_json(fields)
    else:
        running.print_fields(fields)
