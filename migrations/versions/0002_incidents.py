"""Incidents around the captures, history, state; each old row becomes an incident of its own."""

from __future__ import annotations

import secrets

from alembic import op
from sqlalchemy import text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_LETTERS = "abcdefghijklmnopqrstuvwxyz"

_TABLES = (
    """
    CREATE TABLE incident (
        correlation_id TEXT NOT NULL,
        rule TEXT NOT NULL,
        trigger_metric TEXT NOT NULL,
        trigger_value REAL NOT NULL,
        threshold_value REAL,
        threshold_unit TEXT,
        window_s REAL NOT NULL,
        severity REAL NOT NULL,
        reason TEXT NOT NULL,
        crossed_at DATETIME NOT NULL,
        raised_at DATETIME NOT NULL,
        process_name TEXT NOT NULL,
        pid INTEGER,
        started_ticks INTEGER,
        boot_id TEXT,
        started_at DATETIME,
        parent_pid INTEGER,
        uid INTEGER,
        user TEXT,
        executable TEXT,
        command_line TEXT,
        cgroup TEXT,
        unit TEXT,
        container_id TEXT,
        thread_count INTEGER,
        fd_count INTEGER,
        history BLOB,
        not_captured TEXT DEFAULT '[]' NOT NULL,
        hotspots TEXT DEFAULT '[]' NOT NULL,
        suppressed_by TEXT,
        late INTEGER DEFAULT 0 NOT NULL,
        pinned INTEGER DEFAULT 0 NOT NULL,
        is_summary INTEGER DEFAULT 0 NOT NULL,
        artefact_key TEXT,
        stored_bytes INTEGER DEFAULT 0 NOT NULL,
        state TEXT DEFAULT 'active' NOT NULL,
        PRIMARY KEY (correlation_id)
    )
    """,
    "CREATE INDEX idx_incident_time ON incident(raised_at)",
    """
    CREATE TABLE history (
        id INTEGER NOT NULL PRIMARY KEY,
        taken_from DATETIME NOT NULL,
        taken_until DATETIME NOT NULL,
        rates BLOB NOT NULL
    )
    """,
    "CREATE INDEX idx_history_time ON history(taken_until)",
    "CREATE TABLE state (key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (key))",
)

_COLUMNS = (
    "correlation_id TEXT REFERENCES incident(correlation_id)",
    "role TEXT DEFAULT 'profile' NOT NULL",
    "started_ticks INTEGER",
    "user TEXT",
    "command_line TEXT",
    "profiler TEXT",
    "profiler_version TEXT",
    "status TEXT DEFAULT 'ok' NOT NULL",
    "failure_reason TEXT",
    "fix TEXT",
    "format TEXT",
    "rate_hz INTEGER",
    "sample_count INTEGER",
    "error_count INTEGER",
    "target_cpu_percent REAL",
    "late INTEGER DEFAULT 0 NOT NULL",
    "is_leading INTEGER DEFAULT 0 NOT NULL",
    "artefact_key TEXT",
    "size_bytes INTEGER DEFAULT 0 NOT NULL",
    "stored_bytes INTEGER DEFAULT 0 NOT NULL",
    "checksum TEXT",
    "state TEXT DEFAULT 'active' NOT NULL",
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
    for column in _COLUMNS:
        op.execute(f"ALTER TABLE profile_capture ADD COLUMN {column}")
    op.execute("CREATE INDEX idx_profile_capture_incident ON profile_capture(correlation_id)")
    op.execute(
        "CREATE INDEX idx_profile_capture_leading ON profile_capture(captured_at) WHERE is_leading = 1"
    )
    _give_old_rows_their_incidents()


def _give_old_rows_their_incidents() -> None:
    connection = op.get_bind()
    # CURRENT_TIMESTAMP wrote whole seconds; one form of time keeps text comparison exact.
    connection.execute(
        text(
            "UPDATE profile_capture SET captured_at = CASE"
            " WHEN captured_at IS NULL THEN CURRENT_TIMESTAMP || '.000000'"
            " WHEN captured_at LIKE '%.%' THEN captured_at ELSE captured_at || '.000000' END,"
            # Whatever somebody put there by hand stays, as JSON.
            " notes = CASE WHEN notes IS NULL OR (json_valid(notes) AND json_type(notes) = 'object')"
            " THEN notes ELSE json_object('text', notes) END"
        )
    )
    adopt = text(
        "INSERT INTO incident (correlation_id, rule, trigger_metric, trigger_value, window_s, severity,"
        " reason, crossed_at, raised_at, process_name, pid, command_line)"
        " SELECT :correlation_id, '', trigger_metric, trigger_value, 0, 0, '', captured_at, captured_at,"
        " process_name, pid, '[]' FROM profile_capture WHERE id = :id"
    )
    mark = text(
        "UPDATE profile_capture SET correlation_id = :correlation_id, is_leading = 1, command_line = '[]',"
        " trigger_metric = CASE trigger_metric WHEN 'diskIO' THEN 'disk_io' ELSE trigger_metric END"
        " WHERE id = :id"
    )
    for row_id in list(connection.execute(text("SELECT id FROM profile_capture")).scalars()):
        values = {"id": row_id, "correlation_id": _new_correlation_id()}
        connection.execute(adopt, values)
        connection.execute(mark, values)
    connection.execute(text("UPDATE incident SET trigger_metric = 'disk_io' WHERE trigger_metric = 'diskIO'"))


def _new_correlation_id() -> str:
    """As monitord makes them at this revision; kept here because a migration must never change."""
    return secrets.choice(_LETTERS) + "".join(secrets.choice(_LETTERS + "234567") for _ in range(11))
