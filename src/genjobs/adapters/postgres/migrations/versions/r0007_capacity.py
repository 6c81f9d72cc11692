"""Attempts by time; what is remembered of the pool of workers."""

from __future__ import annotations

from alembic import op

from genjobs.adapters.postgres.migrations import run_script

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    run_script(op.get_bind(), "0007_capacity.sql")
