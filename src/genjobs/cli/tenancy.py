"""``genjobs tenants`` and ``genjobs plans``. What is checked, and how, is the application's."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from genjobs.application.administer_tenants import LimitsInForce
from genjobs.cli import running
from genjobs.cli.administering import (
    TenantName,
    UserName,
    administer,
    assignments,
    limits_fields,
    names,
    user_id,
)
from genjobs.cli.running import Json
from genjobs.domain.administration import TenantRecord
from genjobs.domain.catalogue import Narrowing
from genjobs.domain.errors import ConfigurationError
from genjobs.domain.ids import tenant_text

tenants = typer.Typer(name="tenants", help="Tenants and their limits.", no_args_is_help=True)
plans = typer.Typer(name="plans", help="Plans of a tenant's users.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The tenant's name")]
Plan = Annotated[str, typer.Argument(help="The plan's name")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="name=value, a JSON scalar; null lifts the limit; repeatable"),
]
Values = Annotated[
    list[str] | None,
    typer.Argument(help="name=value, a JSON scalar; null lifts the limit"),
]
Unset = Annotated[
    list[str] | None,
    typer.Option("--unset", help="Let this limit be the built-in one again; repeatable"),
]


@tenants.command("create")
def create_tenant(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Make a tenant. Its name is for administrators; no two have the same."""
    made = administer(context, lambda to: to.tenants.create(name))
    if as_json:
        running.print_json(_tenant(made))
    else:
        running.print_fields(_tenant(made))


@tenants.command("list")
def list_tenants(context: typer.Context, as_json: Json = False) -> None:
    """List all tenants with what was set for them."""
    found = [_tenant(item) for item in administer(context, lambda to: to.tenants.list())]
    if as_json:
        running.print_json(found)
    else:
        running.print_table(found, ("name", "id", "created_at", "limits"))


@tenants.command("limits")
def limits_of_tenant(
    context: typer.Context,
    name: Name,
    changes: Set = None,
    unset: Unset = None,
    as_json: Json = False,
) -> None:
    """Show, and with --set or --unset change, the limits of a tenant as a whole."""
    wanted = assignments(changes or ())
    found = administer(context, lambda to: to.tenants.limits(name, wanted, names(unset or ())))
    _show_limits({"tenant": name}, found, as_json=as_json)


@tenants.command("narrow")
def narrow_tenant(
    context: typer.Context,
    name: Name,
    deny: Annotated[
        list[str] | None, typer.Option(help="Deny this node class too; repeatable")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Allow these node classes only, in the place of an earlier --only"),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Give all classes back first")] = False,
    as_json: Json = False,
) -> None:
    """Show, or change, which node classes a tenant does without; nothing is ever added."""
    found = administer(
        context,
        lambda to: to.tenants.narrow(
            name, deny=names(deny or ()), only=names(only or ()), reset=reset
        ),
    )
    document = {"tenant": name, **_narrowing(found)}
    if as_json:
        running.print_json(document)
    else:
        running.print_fields(document)


@plans.command("set")
def set_plan(
    context: typer.Context,
    tenant: TenantName,
    plan: Plan,
    changes: Values = None,
    unset: Unset = None,
    as_json: Json = False,
) -> None:
    """Make or change a plan: limits of each of its users. Others than named stay as they are."""
    wanted = assignments(changes or ())
    found = administer(
        context, lambda to: to.tenants.set_plan(tenant, plan, wanted, names(unset or ()))
    )
    _show_limits({"tenant": tenant, "plan": plan}, found, as_json=as_json)


@plans.command("list")
def list_plans(context: typer.Context, tenant: TenantName, as_json: Json = False) -> None:
    """List a tenant's plans, each with what it changes."""
    found = administer(context, lambda to: to.tenants.list_plans(tenant))
    rows = [{"plan": plan, "set": dict(changes)} for plan, changes in found.items()]
    if as_json:
        running.print_json(rows)
    else:
        running.print_table(rows, ("plan", "set"))


@plans.command("remove")
def remove_plan(
    context: typer.Context, tenant: TenantName, plan: Plan, as_json: Json = False
) -> None:
    """Remove a plan; its users have the built-in limits then."""
    administer(context, lambda to: to.tenants.remove_plan(tenant, plan))
    running.tell(f"plan {plan!r} is removed")
    if as_json:
        running.print_json({"tenant": tenant, "plan": plan, "removed": True})


@plans.command("assign")
def assign_plan(
    context: typer.Context,
    tenant: TenantName,
    user: UserName,
    plan: Annotated[str | None, typer.Argument(help="The plan's name")] = None,
    none: Annotated[bool, typer.Option("--none", help="The built-in limits, no plan")] = False,
    as_json: Json = False,
) -> None:
    """Give a user a plan until a submit names another."""
    if (plan is None) is not none:
        raise ConfigurationError("name a plan, or give --none")
    whom = user_id(user)
    administer(context, lambda to: to.tenants.assign_plan(tenant, whom, plan))
    running.tell("assigned")
    if as_json:
        running.print_json({"tenant": tenant, "plan": plan})


def _show_limits(head: dict[str, Any], found: LimitsInForce, *, as_json: bool) -> None:
    effective = limits_fields(found.effective)
    if as_json:
        running.print_json({**head, "set": dict(found.set), "effective": effective})
        return
    rows = [
        {"limit": name, "value": "none" if value is None else value, "set": name in found.set}
        for name, value in effective.items()
    ]
    running.print_table(rows, ("limit", "value", "set"))


def _tenant(record: TenantRecord) -> dict[str, Any]:
    return {
        "id": tenant_text(record.id),
        "name": record.name,
        "created_at": running.time_text(record.created_at),
        "limits": dict(record.limits),
        "narrowing": _narrowing(record.narrowing),
    }


def _narrowing(narrowing: Narrowing) -> dict[str, Any]:
    allowed = narrowing.allowed
    return {
        "only": None if allowed is None else sorted(allowed),
        "denied": sorted(narrowing.denied),
    }
