"""Every template over 30 days of made history, incidents and hotspots, beside raw DuckDB on the same files.

    python benchmarks/query.py

A busy month as the warm tier has it: a file a table and day, made by `made_fleet` for one host. Each
is asked as `monitord query` asks it: in a child with walls around it, whose start is part of the figure. Raw
DuckDB asks the same SQL of the same files in this process, warm and without any wall.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recording import ROOT, Row, command_of, parser, show

sys.path.insert(0, str(ROOT))
DAYS, ROUNDS = 30, 3
VALUES = {"what-changed-since": ["2.4.0"]}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--days", type=int, default=DAYS)
    arguments = options.parse_args()
    show([*measured(arguments.days)], arguments.rows)


def measured(days: int) -> Iterator[Row]:
    from benchmarks.made_fleet import Size, make_fleet
    from monitord.analytics.engine import View
    from monitord.analytics.tables import TABLES
    from monitord.analytics.templates import templates

    with tempfile.TemporaryDirectory() as folder:
        make_fleet(Path(folder), 1, days=days, size=Size())
        files = {
            table: sorted(map(str, Path(folder).glob(f"v1/{table.folder}/*/*/*.parquet"))) for table in TABLES
        }
        views = [View.of(table, files[table]) for table in TABLES]
        held = {table: sum(map(rows_in, files[table])) for table in TABLES}
        told = ", ".join(f"{count:,} {table.name}" for table, count in held.items() if count)
        for name, template in sorted(templates([]).items()):
            values = template.values(VALUES.get(name, []))
            asked = [asked_s(views, template.sql, values) for _ in range(ROUNDS)]
            raw = [raw_s(files, template.sql, values) for _ in range(ROUNDS)]
            assert asked[0][1] == raw[0][1], f"{name}: {asked[0][1]} rows, raw {raw[0][1]}"
            yield Row(
                f"`query {name}`, {days} days: {told}",
                f"median {statistics.median(took for took, _ in asked):.2f} s, {asked[0][1]} rows",
                f"raw DuckDB, warm {statistics.median(took for took, _ in raw):.2f} s",
                "–",
                None,
                command_of(__file__),
            )
            told = "the same"
        most_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        yield Row(
            "the largest child of these questions",
            f"{most_mib:.0f} MiB resident",
            "`--memory` 512 MB for DuckDB alone",
            "–",
            None,
            command_of(__file__),
        )


def asked_s(views: list[Any], sql: str, values: dict[str, Any]) -> tuple[float, int]:
    from monitord.analytics.engine import open_engine

    began_s = time.monotonic()
    with open_engine(views) as engine:
        rows = sum(1 for _row in engine.ask(sql, values).rows)
    return time.monotonic() - began_s, rows


def raw_s(files: dict[Any, list[str]], sql: str, values: dict[str, Any]) -> tuple[float, int]:
    import duckdb

    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for table, paths in files.items():
            columns = ", ".join(f"CAST(NULL AS {_TYPES[kind]}) AS {name}" for name, kind in table.columns)
            source = f"FROM read_parquet({paths!r})" if paths else f"SELECT {columns} LIMIT 0"
            connection.execute(f"CREATE VIEW {table.name} AS {source}")
        began_s = time.monotonic()
        rows = len(connection.execute(sql, values).fetchall())
        return time.monotonic() - began_s, rows


_TYPES = {
    "text": "VARCHAR", "int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN", "time": "TIMESTAMPTZ",
}  # fmt: skip


def rows_in(path: str) -> int:
    import pyarrow.parquet

    return int(pyarrow.parquet.read_metadata(path).num_rows)


if __name__ == "__main__":
    main()
