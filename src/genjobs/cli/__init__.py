"""
The ``genjobs`` command. Data on standard output, everything else on standard error.

Exit codes: 0 done; 1 the job did not complete, or a check failed; 2 wrong usage or configuration;
3 a part of the service cannot be reached; 75 the worker's device is broken; 130 interrupted.
"""

from __future__ import annotations

import sys

from genjobs.cli.app import app
from genjobs.domain.errors import ConfigurationError, GenjobsError, Unavailable

__all__ = ["main"]


def main() -> None:
    """Run the command line; errors become one line and a documented exit code."""
    try:
        app()
    except GenjobsError as exc:
        print(f"genjobs: {exc.message}", file=sys.stderr)  # noqa: T201
        if isinstance(exc, ConfigurationError):
            sys.exit(2)
        sys.exit(3 if isinstance(exc, Unavailable) else 1)
