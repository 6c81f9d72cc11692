"""What is due for removal; erasures; files that are missing."""

from __future__ import annotations

from alembic import op

from genjobs.adapters.postgres.migrations import run_script

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    run_script(op.get_bind(), "0006_retention.sql")
