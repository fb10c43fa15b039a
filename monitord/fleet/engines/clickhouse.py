"""ClickHouse: the questions as SQL for its own client, over files or a bucket. Tried with chdb, which is it.

A torn file stops it: `monitord fleet query` tells which ones it passes over, and these have to go first.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from monitord.analytics.shipped import COMPACTED
from monitord.analytics.tables import Kind, Table
from monitord.fleet import layout
from monitord.fleet.engines.dialect import Dialect, other_columns, plain_literal, text_literal

_TYPES: Mapping[Kind, str] = {
    "text": "Nullable(String)",
    "int64": "Nullable(Int64)",
    "float64": "Nullable(Float64)",
    "bool": "Nullable(Bool)",
    "time": "Nullable(DateTime64(6, 'UTC'))",
}
_SETTINGS = {
    "use_hive_partitioning": "0",  # host=007 would become the number 7
    "prefer_column_name_to_alias": "1",  # min(hour) AS hour … WHERE hour: the column, as elsewhere
    "join_use_nulls": "1",
    "cast_keep_nullable": "1",
    "aggregate_functions_null_for_empty": "1",
}
_LAST = datetime(2299, 12, 31)  # noqa: DTZ001  the last year that its times know
_KINDS = {
    **dict.fromkeys(("since", "until"), "DateTime64(6, 'UTC')"),
    **dict.fromkeys(("limit", "hosts", "window_s"), "UInt64"),
    "factor": "Float64",
    "pinned": "Bool",
}


def _source(table: Table, url: str) -> str:
    """The table function of a bucket: `file` of a folder, `s3` of a bucket by its HTTP address."""
    structure = ", ".join(f"`{name}` {_TYPES[kind]}" for name, kind in table.columns)
    place = f"{url}/{layout.table_folder(table)}/date=*/host=*/{layout.DAY_FILE}"
    function = "s3" if url.startswith(("http://", "https://")) else "file"
    return f"{function}({text_literal(place.removeprefix('file://'))}, 'Parquet', {text_literal(structure)})"


def _view(table: Table, url: str) -> str:
    others = other_columns(table)
    last = "/host=[^/]+/[^/]*$"
    place = (
        f"extract(_path, '{last.replace('[^/]+', '([^/]+)')}') AS folder,"
        f" extract(_path, '/date=([^/]+){last}') AS day"
    )
    source = _source(table, url)
    settings = ", ".join(f"{name} = {value}" for name, value in _SETTINGS.items() if "hive" in name)
    return (
        f"CREATE OR REPLACE VIEW {table.name} AS\n"  # noqa: S608  our own names; what is foreign is a literal
        f"SELECT if(folder = '{COMPACTED}', r.host_id, folder) AS host_id, {others}\n"
        f"FROM (SELECT *, {place} FROM {source}) r\n"
        f"WHERE folder <> '{COMPACTED}' OR (day, assumeNotNull(r.host_id)) NOT IN\n"
        f"  (SELECT day, folder FROM (SELECT {place} FROM {source}) WHERE folder <> '{COMPACTED}')\n"
        f"SETTINGS {settings};"
    )


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return text_literal(value)
    if isinstance(value, datetime):
        return f"toDateTime64('{plain_literal(min(value, _LAST.replace(tzinfo=value.tzinfo)))}', 6, 'UTC')"
    return plain_literal(value)


CLICKHOUSE = Dialect(
    name="clickhouse",
    types=_TYPES,
    view=_view,
    parameter=lambda name: f"{{{name}:{_KINDS.get(name, 'String')}}}",
    seconds="(toUnixTimestamp64Micro(assumeNotNull({})) / 1e6)",
    quote='"',
    literal=_literal,
    ends="\nSETTINGS " + ", ".join(f"{name} = {value}" for name, value in _SETTINGS.items()),
)
