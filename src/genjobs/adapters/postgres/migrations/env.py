"""Alembic's entry: runs the migrations on the connection that ``migrate`` hands over."""

from __future__ import annotations

from alembic import context

from genjobs.adapters.postgres.keeping_tables import metadata
from genjobs.adapters.postgres.migrations import run_code
from genjobs.adapters.postgres.tables import SCHEMA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
)
with context.begin_transaction():
    context.run_migrations()
    run_code(context.config.attributes["connection"])
