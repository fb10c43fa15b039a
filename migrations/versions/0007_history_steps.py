"""How far apart the passes of a row of history stand: what is old is thinned, and only once."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE history ADD COLUMN step_s INTEGER DEFAULT 15 NOT NULL")
    op.execute("CREATE INDEX idx_history_step ON history (step_s, taken_until)")
