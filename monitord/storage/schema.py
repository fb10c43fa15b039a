"""Which schema this monitord speaks, and the names in the data directory; standard library only.

A test holds HEAD and REVISIONS to what the migrations say, so that a start needs no Alembic to know
that nothing is to be done.
"""

from __future__ import annotations

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008")
HEAD = REVISIONS[-1]

DATABASE_NAME = "monitord.db"
ARTEFACTS_NAME = "artefacts"
MANIFEST_NAME = "manifest.json"  # of a backup
QUARANTINE_NAME = "quarantine"
WARM_NAME = "warm"
MIGRATION_LOCK_NAME = "migration.lock"
UNFILLED_NAME = f"{DATABASE_NAME}.unfilled"
