"""The table as the requirement draws it."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE profile_capture (
            id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
            process_name TEXT NOT NULL,
            pid INTEGER NOT NULL,
            trigger_metric TEXT NOT NULL,
            trigger_value REAL NOT NULL,
            captured_at DATETIME DEFAULT CURRENT_TIMESTAMP,
            profile_path TEXT NOT NULL,
            duration_seconds INTEGER,
            notes TEXT
        )
    """)
    op.execute("CREATE INDEX idx_profile_capture_time ON profile_capture(captured_at)")
    op.execute("CREATE INDEX idx_profile_capture_pid_time ON profile_capture(pid, captured_at DESC)")
