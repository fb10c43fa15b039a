"""The tables, as the writer sees them. A test holds them equal to what the migrations build.

Cells are filled and read through `cells`, so column types here only name SQLite's; those of incidents and
captures are the fields of `records`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING
from typing import Any

from sqlalchemy import (
    REAL,
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    desc,
    text,
)
from sqlalchemy.event import listens_for
from sqlalchemy.types import UserDefinedType

from monitord.storage.cells import REFUSED, RecordColumn, columns_of
from monitord.storage.events.statements import BUILT_IN
from monitord.storage.records import StoredCapture, StoredIncident

metadata = MetaData()


class Timestamp(UserDefinedType[str]):
    """UTC text as `cells.time_cell` writes it, in a column that SQLite's tools show as DATETIME."""

    cache_ok = True

    def get_col_spec(self, **_options: Any) -> str:
        return "DATETIME"


# Microseconds need 64 bits, which PostgreSQL has to be told.
_WIDE = Integer().with_variant(BigInteger(), "postgresql")


_TYPES: Mapping[str, Any] = {
    "TEXT": Text, "INTEGER": Integer, "REAL": REAL, "BLOB": LargeBinary, "DATETIME": Timestamp,
}  # fmt: skip


def _columns_from(record: type[Any], **others: Column[Any]) -> list[Column[Any]]:
    """A record's fields as columns; `others` are those of which the schema says more, or less."""
    fields = columns_of(record)
    return [others[name] if name in others else _column(each) for name, each in fields.items()]


def _column(column: RecordColumn) -> Column[Any]:
    is_optional = column.null is not REFUSED
    default = None
    if not is_optional and column.default is not MISSING:
        cell = column.kind.write(column.kind.plain(column.default))
        default = text(str(cell) if isinstance(cell, int) else f"'{cell}'")
    return Column(column.name, _TYPES[column.kind.sql], nullable=is_optional, server_default=default)


incident = Table(
    StoredIncident.TABLE,
    metadata,
    *_columns_from(
        StoredIncident, correlation_id=Column("correlation_id", Text, primary_key=True, nullable=False)
    ),
    Index("idx_incident_time", "raised_at"),
)

profile_capture = Table(
    StoredCapture.TABLE,
    metadata,
    *_columns_from(
        StoredCapture,
        id=Column("id", Integer, primary_key=True, autoincrement=True),
        captured_at=Column("captured_at", Timestamp, server_default=text("CURRENT_TIMESTAMP")),
        correlation_id=Column("correlation_id", Text, ForeignKey("incident.correlation_id")),
    ),
    sqlite_autoincrement=True,
)
Index("idx_profile_capture_time", profile_capture.c.captured_at)
Index("idx_profile_capture_pid_time", profile_capture.c.pid, desc(profile_capture.c.captured_at))
Index("idx_profile_capture_incident", profile_capture.c.correlation_id)
# What `monitord recent` reads: one row per incident, newest first, whatever else there is.
Index(
    "idx_profile_capture_leading",
    profile_capture.c.captured_at,
    sqlite_where=profile_capture.c.is_leading == 1,
)

history = Table(
    "history",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("taken_from", Timestamp, nullable=False),
    Column("taken_until", Timestamp, nullable=False),
    Column("rates", LargeBinary, nullable=False),
    Column("step_s", Integer, nullable=False, server_default=text("15")),
    Index("idx_history_time", "taken_until"),
    Index("idx_history_step", "step_s", "taken_until"),
)

# The one key-value table; "" stands for "no user" and "no session" (see the room `state`).
state = Table(
    "state",
    metadata,
    Column("user_id", Text, primary_key=True, nullable=False),
    Column("session_id", Text, primary_key=True, nullable=False),
    Column("key", Text, primary_key=True, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("created_us", _WIDE, nullable=False),
    Column("expires_us", _WIDE),
    Column("version", Text, nullable=False),
)
Index("idx_state_expiry", state.c.expires_us, sqlite_where=state.c.expires_us.is_not(None))

event = Table(
    "event",
    metadata,
    Column("id", _WIDE, primary_key=True, autoincrement=False),
    Column("event_type", Integer, nullable=False),
    Column("pid", Integer),
    Column("start_ticks", _WIDE),
    Column("process_name", Text),
    Column("module", Text),
    Column("function", Text),
    Column("arity", Integer),
    Column("correlation_id", Text),
    Column("ast_node_id", Text),
    Column("payload", Text),
)
for _index in BUILT_IN:
    Index(_index.name, *(event.c[column] for column in _index.columns), sqlite_where=text(_index.where))


@listens_for(event, "before_create")
def _tell_postgresql(table: Table, connection: Connection, **_options: Any) -> None:
    """The same conditions for PostgreSQL; said above they would load its dialect (2 MB) into every daemon."""
    if connection.dialect.name == "postgresql":
        for index in table.indexes:
            index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]


# Alembic's own, so that a new database can be built without importing it; kept out of `metadata`.
alembic_version = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
