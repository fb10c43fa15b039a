"""State with namespaces and times to live; what the old table held is everybody's now."""

from __future__ import annotations

import time

from alembic import op
from sqlalchemy import text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE state RENAME TO old_state")
    op.execute(
        """
        CREATE TABLE state (
            user_id TEXT NOT NULL,
            session_id TEXT NOT NULL,
            key TEXT NOT NULL,
            data BLOB NOT NULL,
            created_us INTEGER NOT NULL,
            expires_us INTEGER,
            version TEXT NOT NULL,
            PRIMARY KEY (user_id, session_id, key)
        )
        """
    )
    op.execute("CREATE INDEX idx_state_expiry ON state(expires_us) WHERE expires_us IS NOT NULL")
    # A zero byte before the data: as it is, not compressed (monitord.storage.state.codec).
    op.get_bind().execute(
        text(
            "INSERT INTO state (user_id, session_id, key, data, created_us, version)"
            " SELECT '', '', key, CAST(x'00' || CAST(value AS BLOB) AS BLOB), :now_us,"
            " lower(hex(randomblob(8)))"
            " FROM old_state WHERE key <> ''"
        ),
        {"now_us": time.time_ns() // 1000},
    )
    op.execute("DROP TABLE old_state")
