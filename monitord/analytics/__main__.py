"""Answers one question of SQL: an order on stdin (a line of JSON), lines of JSON on stdout.

It ends when its stdin closes: then the asker has ended.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

from monitord.analytics import sandbox


def main() -> int:
    """Do what the order says."""
    import monitord.analytics.duck  # noqa: F401  loaded while its parent still looks for files

    order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_asker, daemon=True).start()
    try:
        _answer(order)
    except MemoryError:
        _say({"error": "memory"})
    return 0


def _answer(order: dict[str, Any]) -> None:
    from monitord.analytics.duck import duckdb

    sandbox.give_up_rights(order["memory_mb"], order["deadline_s"] * (order["threads"] + 1))
    notes: list[str] = []
    if not order["sql"].isascii() and not _is_unicode(order["sql"]):
        _say({"error": "sql", "detail": "invalid SQL: bytes that are not UTF-8"})
        return
    try:
        connection = sandbox.connect(
            order["views"], order["memory_mb"], order["threads"], order["sql"], notes
        )
    except duckdb.Error as error:
        _say({"error": "views", "detail": _first_line(error)})
        return
    try:
        for line in sandbox.answer(connection, order["sql"], order["parameters"], order["max_rows"]):
            if isinstance(line, dict) and "rows" in line:
                line["notes"][:0] = notes
            _say(line)
        sys.stdout.buffer.flush()
    except sandbox.RefusedError as error:
        _say({"error": "sql", "detail": str(error)})
    except duckdb.OutOfMemoryException:
        _say({"error": "memory"})
    except duckdb.Error as error:
        _say({"error": "sql", "detail": f"invalid SQL: {_first_line(error)}"})


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _first_line(error: Exception) -> str:
    """What DuckDB says, without the excerpt of the SQL below it."""
    return str(error).partition("\nLINE ")[0]


def _say(line: object) -> None:
    sys.stdout.buffer.write(json.dumps(line).encode() + b"\n")
    if isinstance(line, dict):
        sys.stdout.buffer.flush()


def _end_with_asker() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
