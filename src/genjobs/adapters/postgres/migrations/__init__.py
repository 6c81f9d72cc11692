"""The schema's history; shipped inside the package and run by ``genjobs db upgrade``."""

from __future__ import annotations

from sqlalchemy import Connection
from sqlalchemy.util import await_only


def run_script(connection: Connection, script: str) -> None:
    """
    Run a text of several SQL statements as it stands.

    It goes to asyncpg's simple protocol: prepared statements, which SQLAlchemy uses, hold one
    statement each.
    """
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection is closed")
    await_only(driver.execute(script))
