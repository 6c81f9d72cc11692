"""What commands share: settings, an event loop, and how results are shown."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer

from genjobs import bootstrap
from genjobs.settings import Settings
from genjobs.telemetry import configure_logging

_T = TypeVar("_T")

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output")]


def load_settings() -> Settings:
    """Read the settings, and set logging up by them."""
    settings = bootstrap.load_settings()
    configure_logging(json=settings.log_json, level=settings.log_level)
    return settings


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run to the end, or to an interrupt."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        sys.exit(130)


def print_json(value: object) -> None:
    """Print a result for programs."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def print_fields(fields: Mapping[str, object]) -> None:
    """Print a result for people, a line for each field."""
    for name, value in fields.items():
        typer.echo(f"{name:26} {_shown(value)}")


def print_table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Print results for people, a line for each below a line of names."""
    lines = [list(columns), *([_shown(row[name]) for name in columns] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def tell(message: str) -> None:
    """Say something to the person, beside the data."""
    typer.echo(message, err=True)


def time_text(at: datetime | None) -> str | None:
    """Return a time as the API writes it."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(value: object) -> str:
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, Mapping):
        return " ".join(f"{name}={json.dumps(item)}" for name, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
