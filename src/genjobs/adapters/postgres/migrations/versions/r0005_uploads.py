"""Uploads, which jobs use them, and how many are unused."""

from __future__ import annotations

from alembic import op

from genjobs.adapters.postgres.migrations import run_script

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    run_script(op.get_bind(), "0005_uploads.sql")
