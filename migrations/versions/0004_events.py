"""Events: everything that monitord sees and does, in the order of time."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE event (
        id INTEGER NOT NULL PRIMARY KEY,
        event_type INTEGER NOT NULL,
        pid INTEGER,
        start_ticks INTEGER,
        process_name TEXT,
        module TEXT,
        function TEXT,
        arity INTEGER,
        correlation_id TEXT,
        ast_node_id TEXT,
        payload TEXT
    )
    """,
    "CREATE INDEX idx_event_process ON event(pid) WHERE pid IS NOT NULL",
    "CREATE INDEX idx_event_type ON event(event_type) WHERE event_type > 0",
    "CREATE INDEX idx_event_function ON event(function) WHERE function IS NOT NULL",
    "CREATE INDEX idx_event_module ON event(module, function, arity) WHERE module IS NOT NULL",
    "CREATE INDEX idx_event_correlation ON event(correlation_id) WHERE correlation_id IS NOT NULL",
    "CREATE INDEX idx_event_node ON event(ast_node_id) WHERE ast_node_id IS NOT NULL",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)
