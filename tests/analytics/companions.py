"""Reads a companion file as any other tool would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb


def rows_of(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table's rows; times as text."""
    with duckdb.connect(str(file), read_only=True) as connection:
        names = [name for (name,) in connection.execute("SHOW TABLES").fetchall()]
        connection.execute("SET TimeZone = 'UTC'")
        return {
            name: connection.execute(f"SELECT COLUMNS(*)::VARCHAR FROM {name} ORDER BY ALL").fetchall()
            for name in names
        }


def tables_of(file: Path) -> bytes:
    """All of it as text: in the file itself texts are packed."""
    return repr(rows_of(file)).encode("utf-8", "replace")
