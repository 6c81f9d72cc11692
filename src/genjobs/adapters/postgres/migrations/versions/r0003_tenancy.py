"""Tenants with keys, plans and limits; what each tenant and user has waiting and running."""

from __future__ import annotations

from alembic import op

from genjobs.adapters.postgres.migrations import run_script

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    run_script(op.get_bind(), "0003_tenancy.sql")
