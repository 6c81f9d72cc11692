"""What the administrating commands share: opening that side, and options that they all have."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer

from genjobs import bootstrap
from genjobs.bootstrap import Administration, AdministrationOpener
from genjobs.cli import running
from genjobs.domain.errors import ConfigurationError
from genjobs.domain.plans import Limits

_T = TypeVar("_T")

TenantName = Annotated[str, typer.Option("--tenant", help="The tenant's name")]
AnyTenant = Annotated[str | None, typer.Option("--tenant", help="Of this tenant only")]
UserName = Annotated[
    str,
    typer.Option(
        "--user", help="The user's id; - reads it from standard input, where no process list is"
    ),
]


def administer(context: typer.Context, work: Callable[[Administration], Awaitable[_T]]) -> _T:
    """Do something on the administrators' side; who opens it is the caller's of the program."""
    opener: AdministrationOpener = context.obj or bootstrap.open_administration
    settings = running.load_settings()

    async def doing() -> _T:
        async with opener(settings) as administration:
            return await work(administration)

    return running.run(doing())


def assignments(given: Sequence[str]) -> dict[str, Any]:
    """Return ``name=value`` arguments with their values, which are JSON scalars."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"{text!r} is not of the form name=value")
        if name in found:
            raise ConfigurationError(f"{name} is given twice")
        try:
            found[name] = json.loads(value)
        except (ValueError, RecursionError):
            raise ConfigurationError(
                f"{name} must be a number, true, false, or null for no limit"
            ) from None
    return found


def user_id(given: str) -> str:
    """Return the user's id that was given, or that is on standard input."""
    return sys.stdin.readline(256).strip() if given == "-" else given


def names(given: Sequence[str]) -> list[str]:
    """Return what is separated by commas, or was given several times."""
    return [name.strip() for part in given for name in part.split(",") if name.strip()]


def limits_fields(limits: Limits) -> dict[str, Any]:
    """Return limits as they are shown."""
    return dataclasses.asdict(limits)
