"""
The schema's history and its code; shipped inside the package and run by ``genjobs db upgrade``.

Tables change by numbered migrations, which are never edited once released. Views, functions and
grants hold no data: after the migrations they are made anew from ``sql/code``.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.util import await_only

_FOLDER: Final = files(__name__) / "sql"


def code_digest() -> str:
    """Return the digest of views, functions and grants: what tells one code from another."""
    digest = hashlib.sha256()
    for name in _code_names():
        digest.update((_FOLDER / name).read_bytes())
    return f"sha256:{digest.hexdigest()}"


def run_code(connection: Connection) -> None:
    """Make views, functions and grants anew."""
    for name in _code_names():
        run_script(connection, name)


def _code_names() -> list[str]:
    return sorted(f"code/{script.name}" for script in (_FOLDER / "code").iterdir())


def run_script(connection: Connection, name: str) -> None:
    """
    Run a file of several SQL statements as it stands.

    It goes to asyncpg's simple protocol: prepared statements, which SQLAlchemy uses, hold one
    statement each.
    """
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection is closed")
    await_only(driver.execute((_FOLDER / name).read_text()))
