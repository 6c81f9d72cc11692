"""What supervisors share; which worker runs an attempt; losses that are not charged."""

from __future__ import annotations

from alembic import op

from genjobs.adapters.postgres.migrations import run_script

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    run_script(op.get_bind(), "0004_supervision.sql")
