"""What happened to a process, its samples left out: one more index, of few rows."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX idx_event_pid_type ON event(pid, event_type) WHERE event_type > 0")
