"""
``genjobs keys``, ``genjobs issuers`` and ``genjobs tokens``.

A key's text is printed once, on standard output, and never taken as an argument: others on a
machine see those.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from genjobs.cli import running
from genjobs.cli.administering import (
    AnyTenant,
    TenantName,
    UserName,
    administer,
    names,
    user_id,
)
from genjobs.cli.running import Json
from genjobs.domain.administration import ListedIssuerKey, ListedKey
from genjobs.domain.credentials import ISSUER_ALGORITHMS
from genjobs.domain.errors import ConfigurationError
from genjobs.domain.tenancy import Scope

keys = typer.Typer(name="keys", help="API keys.", no_args_is_help=True)
issuers = typer.Typer(
    name="issuers", help="Keys by which a site signs tokens of its own users.", no_args_is_help=True
)
tokens = typer.Typer(name="tokens", help="Tokens of end users.", no_args_is_help=True)

_MOST_BYTES: Final = 64 * 1024  # of a file with a public key
Scopes = Annotated[list[str], typer.Option(help=f"Separated by commas: {', '.join(Scope)}")]


@keys.command("create")
def create_key(
    context: typer.Context,
    tenant: TenantName,
    scopes: Scopes,
    name: Annotated[str, typer.Option(help="What the key is for")] = "",
    live: Annotated[
        bool, typer.Option("--live/--test", help="What the key's text begins with")
    ] = True,
    expires_days: Annotated[int | None, typer.Option(help="Days that the key lives")] = None,
    as_json: Json = False,
) -> None:
    """Make an API key and print it: it is not stored, and not shown again."""
    made = administer(
        context,
        lambda to: to.credentials.create_key(
            tenant, names(scopes), name=name, live=live, expires_days=expires_days
        ),
    )
    running.tell(f"key {made.record.id} of tenant {tenant!r}; its text is not shown again")
    if not as_json:
        typer.echo(made.text.reveal())
        return
    running.print_json(
        {
            "key": made.text.reveal(),
            "id": made.record.id,
            "tenant": tenant,
            "name": made.name,
            "live": made.record.live,
            "scopes": sorted(made.record.scopes),
            "expires_at": running.time_text(made.record.expires_at),
        }
    )


@keys.command("list")
def list_keys(context: typer.Context, tenant: AnyTenant = None, as_json: Json = False) -> None:
    """List keys, those revoked and expired too."""
    found = [
        _key(item) for item in administer(context, lambda to: to.credentials.list_keys(tenant))
    ]
    if as_json:
        running.print_json(found)
        return
    running.print_table(
        found,
        ("id", "tenant", "name", "live", "scopes", "expires_at", "revoked_at", "last_used_at"),
    )


@keys.command("revoke")
def revoke_key(
    context: typer.Context,
    key_id: Annotated[str, typer.Argument(help="The key's id, never its text")],
    as_json: Json = False,
) -> None:
    """Revoke a key and the tokens made by it; effective everywhere within 5 seconds."""
    administer(context, lambda to: to.credentials.revoke_key(key_id))
    running.tell(f"key {key_id} is revoked")
    if as_json:
        running.print_json({"id": key_id, "revoked": True})


@issuers.command("add")
def add_issuer(
    context: typer.Context,
    tenant: TenantName,
    issuer: Annotated[str, typer.Option(help="The iss of the site's tokens, as a rule its URL")],
    kid: Annotated[str, typer.Option(help="The kid of the site's tokens")],
    algorithm: Annotated[str, typer.Option(help=f"One of {', '.join(ISSUER_ALGORITHMS)}")],
    public_key: Annotated[Path, typer.Option(help="File with the public key, PEM")],
    scopes: Scopes = ("jobs:read",),  # type: ignore[assignment]
    as_json: Json = False,
) -> None:
    """Accept tokens for this tenant's users that its own site signs with this key."""
    content = _content(public_key)
    added = administer(
        context,
        lambda to: to.credentials.add_issuer_key(
            tenant,
            issuer=issuer,
            kid=kid,
            algorithm=algorithm,
            content=content,
            scopes=names(scopes),
        ),
    )
    running.tell(f"tokens of {issuer!r} signed by {kid!r} are accepted for tenant {tenant!r}")
    if as_json:
        running.print_json(
            {
                "issuer": added.issuer,
                "kid": added.kid,
                "tenant": tenant,
                "algorithm": added.algorithm,
                "scopes": sorted(added.scopes),
            }
        )


@issuers.command("list")
def list_issuers(context: typer.Context, tenant: AnyTenant = None, as_json: Json = False) -> None:
    """List the sites' signing keys, revoked ones too."""
    listed = administer(context, lambda to: to.credentials.list_issuer_keys(tenant))
    found = [_issuer(item) for item in listed]
    if as_json:
        running.print_json(found)
        return
    running.print_table(
        found, ("issuer", "kid", "tenant", "algorithm", "scopes", "created_at", "revoked_at")
    )


@issuers.command("revoke")
def revoke_issuer(
    context: typer.Context,
    issuer: Annotated[str, typer.Option(help="The key's issuer")],
    kid: Annotated[str, typer.Option(help="The key's kid")],
    as_json: Json = False,
) -> None:
    """Revoke a site's signing key and all tokens signed by it; effective within 5 seconds."""
    administer(context, lambda to: to.credentials.revoke_issuer_key(issuer, kid))
    running.tell(f"key {kid!r} of {issuer!r} is revoked")
    if as_json:
        running.print_json({"issuer": issuer, "kid": kid, "revoked": True})


@tokens.command("revoke")
def revoke_tokens(
    context: typer.Context, tenant: TenantName, user: UserName, as_json: Json = False
) -> None:
    """Revoke all tokens of one user made until now; effective within 5 seconds."""
    whom = user_id(user)
    administer(context, lambda to: to.credentials.revoke_tokens(tenant, whom))
    running.tell("the user's tokens are revoked")
    if as_json:
        running.print_json({"tenant": tenant, "revoked": True})


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be read: {exc.strerror}") from None


def _key(item: ListedKey) -> dict[str, Any]:
    return {
        "id": item.id,
        "tenant": item.tenant,
        "name": item.name,
        "live": item.live,
        "scopes": sorted(item.scopes),
        "created_at": running.time_text(item.created_at),
        "expires_at": running.time_text(item.expires_at),
        "revoked_at": running.time_text(item.revoked_at),
        "last_used_at": running.time_text(item.last_used_at),
    }


def _issuer(item: ListedIssuerKey) -> dict[str, Any]:
    return {
        "issuer": item.issuer,
        "kid": item.kid,
        "tenant": item.tenant,
        "algorithm": item.algorithm,
        "scopes": sorted(item.scopes),
        "public_key": item.public_key,
        "created_at": running.time_text(item.created_at),
        "revoked_at": running.time_text(item.revoked_at),
    }
