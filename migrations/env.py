"""Run by Alembic inside `monitord.storage.migrate`: one transaction for all steps, whole or not at all."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

connection: Connection = context.config.attributes["connection"]
# SQLite's DDL is transactional once the driver is told to BEGIN, which the caller's engine does.
context.configure(connection=connection, transactional_ddl=True, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
