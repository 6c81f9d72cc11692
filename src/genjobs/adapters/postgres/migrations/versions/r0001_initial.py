"""Tables, functions and the grants of the two roles."""

from __future__ import annotations

from importlib.resources import files

from alembic import op

from genjobs.adapters.postgres.migrations import run_script

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make everything."""
    folder = files("genjobs.adapters.postgres.migrations") / "sql"
    for part in ("tables", "functions", "roles"):
        run_script(op.get_bind(), (folder / f"0001_{part}.sql").read_text())
