"""What an incident is attributed to: class, sentence, confidence, what speaks for it; as one JSON object."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE incident ADD COLUMN cause TEXT")
