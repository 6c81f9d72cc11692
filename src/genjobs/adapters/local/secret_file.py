"""Secrets of the embedded mode: made on first use, kept in a file that only its owner reads."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def load_or_create_secret(path: Path, make: Callable[[], str]) -> str:
    """Return the secret in ``path``; of several processes that make it, one wins for all."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    made = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(made, path)  # unlike a rename, refuses to replace what another one made
    finally:
        made.unlink()
    return path.read_text().strip()
