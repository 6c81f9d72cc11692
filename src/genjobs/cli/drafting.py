"""Drafting catalogue entries from a file; what a draft holds is the application's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, NoReturn

import typer

from genjobs.application.draft_catalogue import draft_catalogue
from genjobs.domain.catalogue import shipped_classes
from genjobs.domain.errors import InvalidRequest

_MOST_BYTES: Final = 64 * 1024 * 1024


def draft(path: Path, wanted: tuple[str, ...]) -> None:
    """Print drafts as JSON; ends the command with exit code 2 when the file is not usable."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            _wrong(f"{path} is larger than {_MOST_BYTES} bytes")
        found = draft_catalogue(json.loads(content), shipped_classes().keys(), wanted)
    except OSError as exc:
        _wrong(f"{path} cannot be read: {exc.strerror}")
    except InvalidRequest as exc:
        _wrong(f"{path}: {exc.message}")
    except (ValueError, RecursionError):
        _wrong(f"{path} is not valid JSON in UTF-8")
    typer.echo(json.dumps(found, ensure_ascii=False, indent=2))


def _wrong(message: str) -> NoReturn:
    typer.echo(f"genjobs: {message}", err=True)
    raise typer.Exit(2)
