"""
The schema's history and its code; shipped inside the package and run by ``genjobs db upgrade``.

Tables change by numbered migrations, which are never edited once released. Views, functions and
grants hold no data: after the migrations they are made anew from ``sql/code``.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.util import await_only

_FOLDER: Final = files(__name__) / "sql"


def run_code(connection: Connection) -> None:
    """Make views, functions and grants anew."""
    for script in sorted((_FOLDER / "code").iterdir(), key=lambda script: script.name):
        run_script(connection, f"code/{script.name}")


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
