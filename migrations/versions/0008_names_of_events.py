"""Which processes events are about, by name; samples are left out: they are found through their incident."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX idx_event_name ON event(process_name) WHERE event_type > 0 AND process_name IS NOT NULL"
    )
