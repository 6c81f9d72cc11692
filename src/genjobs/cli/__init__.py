"""
The ``genjobs`` command. Data on standard output, everything else on standard error.

Exit codes: 0 done; 1 the job did not complete, or a check failed; 2 wrong usage or configuration;
3 a part of the service cannot be reached; 4 what was named is not there; 75 the worker's device is
broken; 130 interrupted.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence

from typer.main import get_command

from genjobs.bootstrap import AdministrationOpener
from genjobs.cli.app import app
from genjobs.domain.errors import (
    ConfigurationError,
    GenjobsError,
    InvalidInput,
    NotFound,
    Unavailable,
)

__all__ = ["main"]


def main(
    arguments: Sequence[str] | None = None, *, administration: AdministrationOpener | None = None
) -> None:
    """
    Run the command line; errors become one line and a documented exit code.

    A test, or another deployment, may open the administrators' side otherwise.
    """
    try:
        _command()(arguments, obj=administration)
    except GenjobsError as exc:
        print(f"genjobs: {exc.message}", file=sys.stderr)  # noqa: T201
        sys.exit(_exit_code(exc))


@functools.cache
def _command() -> Callable[..., object]:
    return get_command(app)


def _exit_code(error: GenjobsError) -> int:
    match error:
        case ConfigurationError() | InvalidInput():
            return 2
        case Unavailable():
            return 3
        case NotFound():
            return 4
    return 1
