"""Spark SQL: for fleets whose questions are more than one machine's work. Its session is the user's own.

It reads the bucket itself, with the frozen columns as its schema: a file of another version says null, a torn
or foreign one is left out by Spark, without a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from monitord.analytics.shipped import COMPACTED
from monitord.analytics.tables import TABLES, Kind, Table
from monitord.errors import MonitordError, UsageError
from monitord.fleet import layout
from monitord.fleet.engines.dialect import Dialect, other_columns, plain_literal, ported, text_literal

_TYPES: Mapping[Kind, str] = {
    "text": "STRING",
    "int64": "BIGINT",
    "float64": "DOUBLE",
    "bool": "BOOLEAN",
    "time": "TIMESTAMP",
}
_CONFIG = {  # what differs from a plain session: times are UTC, and what is printed is the answer alone
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


def _view(table: Table, url: str) -> str:
    columns = ", ".join(f"`{name}` {_TYPES[kind]}" for name, kind in table.columns)
    others = other_columns(table)
    raw = f"{table.name}_shipped"
    return (
        f"CREATE OR REPLACE TEMPORARY VIEW {raw} ({columns}, `date` STRING, `host` STRING)\n"  # noqa: S608  our names
        f"USING parquet OPTIONS (path {_literal(f'{url}/{layout.table_folder(table)}')},\n"
        f"  pathGlobFilter '{layout.DAY_FILE}', ignoreCorruptFiles 'true');\n"
        f"CREATE OR REPLACE TEMPORARY VIEW {table.name} AS\n"
        f"SELECT CASE WHEN r.host = '{COMPACTED}' THEN r.host_id ELSE r.host END AS host_id, {others}\n"
        f"FROM {raw} r LEFT ANTI JOIN\n"
        f"  (SELECT DISTINCT `date`, host FROM {raw} WHERE host <> '{COMPACTED}') own\n"
        f"  ON r.host = '{COMPACTED}' AND own.`date` = r.`date` AND own.host = r.host_id;"
    )


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return text_literal(value)
    return f"TIMESTAMP '{plain_literal(value)}'" if isinstance(value, datetime) else plain_literal(value)


SPARK = Dialect(
    name="spark",
    types=_TYPES,
    view=_view,
    parameter=lambda name: f":{name}",
    seconds="(unix_micros({}) / 1e6)",
    quote="`",
    literal=_literal,
)


def ask_spark(
    url: str, sql: str, tables: Sequence[str], values: Mapping[str, Any], *, most_rows: int = 1_000_000
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Answer a question over the bucket; give its columns and rows.

    The session is the one that spark-defaults.conf and SPARK_* describe, else one on this machine. Raises
    MonitordError with Spark's own first line.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise MonitordError(
            "cannot ask Spark: this needs pyspark and Java; try pip install pyspark"
        ) from None
    builder = SparkSession.builder.appName("monitord")
    for key, value in _CONFIG.items():
        builder = builder.config(key, value)
    try:
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        for table in TABLES:
            if table.name in tables:
                for statement in filter(None, map(str.strip, _view(table, url).split(";\n"))):
                    session.sql(statement.removesuffix(";"))
        found = session.sql(ported(sql, SPARK), args=dict(values))
        return tuple(found.columns), [tuple(row) for row in found.limit(most_rows).collect()]
    except PySparkException as error:
        told = next(iter(str(error).splitlines()), type(error).__name__)
        kind = UsageError if error.getCondition() else MonitordError
        raise kind(f"cannot ask Spark: {told[:400]}") from error
