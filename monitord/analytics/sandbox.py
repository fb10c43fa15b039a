"""A DuckDB that reads the files of its views and nothing else: no network, no other file, no writing.

Four walls: DuckDB's own locked configuration; SQL as a part of another question, where none can write;
Landlock and seccomp, where the kernel has them; limits of memory, CPU and file size.
"""

from __future__ import annotations

import json
import math
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any

from monitord import rights
from monitord.analytics import shipped

_CELL_CHARACTERS = 1 << 16
_ROW_CHARACTERS = 1 << 20
_MAX_COLUMNS = 1000
_BATCH_ROWS = 256
_DEEPEST = 100
_OWN_MB = 448  # of address space that is written to: Python, DuckDB, pyarrow, stacks of threads
_TYPES = {"text": "VARCHAR", "int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN", "time": "TIMESTAMPTZ"}
_INTEGERS = frozenset(
    f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
)
_TIMES = frozenset(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "DATE"))
_VARIABLES = count(1)
_NESTED = ("STRUCT(", "MAP(", "UNION(", "JSON", "VARIANT")


class RefusedError(Exception):
    """SQL that is not one question, in words."""


def give_up_rights(memory_mb: int, cpu_s: float) -> None:
    """Bound this process, for good: it may read what it could read, and reach and write nothing."""
    limits = [(resource.RLIMIT_CPU, math.ceil(cpu_s)), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)]
    if sys.platform == "linux":  # macOS refuses it
        limits.append((resource.RLIMIT_DATA, (memory_mb + _OWN_MB) << 20))
    for which, most in limits:
        resource.setrlimit(which, (most, most))
    rights.keep_only((rights.CAP_DAC_READ_SEARCH,))
    rights.write_only_in(())
    rights.refuse_calls(profiles=False)


def connect(
    views: Sequence[Mapping[str, Any]], memory_mb: int, threads: int, asked: str, notes: list[str]
) -> Any:
    """Return a connection with those views that the SQL may name, locked; `notes` gets what they lack."""
    from monitord.analytics.duck import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "memory_limit": f"{memory_mb}MB",
            "python_enable_replacements": False,
            "temp_directory": "",
            "threads": threads,
            "async_threads": threads,
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET parquet_metadata_cache = true")  # what is asked is first described
    lowered = asked.lower()
    named = [view for view in views if view["name"].lower() in lowered]
    for view in views if _lists_views(lowered) else named:
        columns, files = view["columns"], view["files"]
        select = (
            _shipped(connection, view, notes) if view["shipped"] else view_sql(columns, files, view["bounds"])
        )
        connection.execute(f"CREATE VIEW {quoted(view['name'])} AS {select}")
    paths = ", ".join(literal(path) for view in views for path in view["files"])
    connection.execute(f"SET allowed_paths = [{paths}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _shipped(connection: Any, view: Mapping[str, Any], notes: list[str]) -> str:
    told = view["shipped"]
    found = shipped.sound(
        connection,
        told["stored"],
        view["files"],
        most_rows=told["most_rows"],
        thorough=told["is_thorough"],
    )
    notes += found.notes
    summed = shipped.Summed(**told["summed"]) if told["summed"] else None
    kept = partial(_kept, connection)
    return shipped.view_sql(view["columns"], found, _TYPES, quoted, literal, kept, summed)


def _kept(connection: Any, texts: Sequence[str | None]) -> str:
    """Keep texts in a variable, and return what names it: a thousand of them in SQL are read at each use."""
    name = f"texts {next(_VARIABLES)}"
    told = ", ".join("NULL" if text is None else literal(text) for text in texts)
    connection.execute(f"SET VARIABLE {quoted(name)} = [{told}]::VARCHAR[]")
    return f"getvariable({literal(name)})"


def _lists_views(lowered: str) -> bool:
    return any(word in lowered for word in ("show", "duckdb_", "information_schema", "pg_", "query_table"))


def view_sql(
    columns: Sequence[Sequence[str]],
    files: Sequence[str],
    bounds: Sequence[Sequence[str]] = (),
) -> str:
    """Return the SELECT that unites files: missing columns are null."""
    typed = ", ".join(f"NULL::{_TYPES[kind]} AS {quoted(name)}" for name, kind in columns)
    empty = f"SELECT {typed} WHERE false"
    if not files:
        return empty
    listed = ", ".join(literal(path) for path in files)
    # The empty part comes first: it gives the names, the types, and the columns that no file has.
    read = f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
    united = f"{empty} UNION ALL BY NAME FROM {read}"
    # A foreign file may have another type than the frozen one: null where a value does not fit.
    names = ", ".join(
        f"TRY_CAST({quoted(name)} AS {_TYPES[kind]}) AS {quoted(name)}" for name, kind in columns
    )
    within = [f"{quoted(column)} {sign} TIMESTAMPTZ {literal(time)}" for column, sign, time in bounds]
    return f"SELECT {names} FROM ({united})" + (f" WHERE {' AND '.join(within)}" if within else "")


def answer(
    connection: Any, sql: str, parameters: Mapping[str, Any], max_rows: int
) -> Iterator[Mapping[str, Any] | list[Any]]:
    """Yield the columns, the rows as plain values, and what has to be said of them.

    Raises RefusedError, and what DuckDB raises.
    """
    inner = _one_select(connection, sql)
    connection.execute(f"DESCRIBE SELECT * FROM (\n{inner}\n)", dict(parameters))
    described = [(name, _kind(type_), type_) for name, type_, *_ in connection.fetchall()]
    if len(described) > _MAX_COLUMNS:
        raise RefusedError(f"invalid SQL: {len(described)} columns, expected at most {_MAX_COLUMNS}")
    yield {"columns": [(name, kind) for name, kind, _ in described]}
    taken = ", ".join(f"{_plainly(f'c{i}', kind, type_)}" for i, (_, kind, type_) in enumerate(described))
    named = ", ".join(f"c{i}" for i in range(len(described)))
    connection.execute(f"SELECT {taken} FROM (\n{inner}\n) AS asked({named})", dict(parameters))
    kinds = [kind for _, kind, _ in described]
    count, cuts = 0, 0
    while batch := connection.fetchmany(_BATCH_ROWS):
        for row in batch:
            if count == max_rows:
                yield _end(count, cuts, is_whole=False)
                return
            count += 1
            plain, cut = _plain(row, kinds)
            cuts += cut
            yield plain
    yield _end(count, cuts, is_whole=True)


def _end(count: int, cuts: int, *, is_whole: bool) -> Mapping[str, Any]:
    notes = [] if is_whole else [f"only the first {count} rows; try -n for more, or a narrower question"]
    notes += [f"{cuts} values were cut: they were too long"] if cuts else []
    return {"rows": count, "notes": notes}


def _one_select(connection: Any, sql: str) -> str:
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise RefusedError(f"invalid SQL: {len(statements)} statements")
    kind = statements[0].type.name
    if kind == "MULTI":
        raise RefusedError("invalid SQL: a PIVOT without its values, expected PIVOT … IN (…)")
    if kind != "SELECT":
        raise RefusedError(f"invalid SQL: {kind} is not a question")
    return sql.strip().rstrip("; \n\t")


def _kind(type_: str) -> str:
    if type_ in _INTEGERS:
        return "int64"
    if type_ in ("DOUBLE", "FLOAT") or type_.startswith("DECIMAL"):
        return "float64"
    if type_ == "BOOLEAN":
        return "bool"
    if type_ in _TIMES or type_ == "TIMESTAMP WITH TIME ZONE":
        return "time"
    if type_.startswith(_NESTED) or type_.endswith("]"):
        return "json"
    return "text"


def _plainly(column: str, kind: str, type_: str) -> str:
    """How a column is taken, so that Python gets numbers and text alone."""
    if kind == "time":
        time = f"timezone('UTC', {column})" if type_ == "TIMESTAMP WITH TIME ZONE" else column
        return f"CAST({time} AS VARCHAR)"
    if kind == "json":
        return f"CAST(to_json({column}) AS VARCHAR)"
    return {"float64": f"CAST({column} AS DOUBLE)", "text": f"CAST({column} AS VARCHAR)"}.get(kind, column)


def _plain(row: tuple[Any, ...], kinds: Sequence[str]) -> tuple[list[Any], int]:
    left, cut, plain = _ROW_CHARACTERS, 0, []
    for value, kind in zip(row, kinds, strict=True):
        if isinstance(value, str):
            most = min(_CELL_CHARACTERS, left)
            left -= min(len(value), most)
            if len(value) > most:
                value, cut = value[:most], cut + 1  # noqa: PLW2901
            elif kind == "json":
                value = _read(value)  # noqa: PLW2901
        elif isinstance(value, float) and not math.isfinite(value):
            value = None  # noqa: PLW2901  JSON has none of these
        plain.append(value)
    return plain, cut


def _read(text: str) -> Any:
    """JSON as its values: none of those that JSON lacks; text where it is nested too deeply, or has a number
    that is too long.
    """
    try:
        if _depth(text) > _DEEPEST:
            return text
        return json.loads(text, parse_constant=lambda _name: None, parse_float=_finite)
    except ValueError:
        return text


def _depth(text: str) -> int:
    """How deeply it is nested at most; brackets within its strings count, too."""
    deepest = depth = 0
    for each in text:
        depth += (each in "[{") - (each in "]}")
        deepest = max(deepest, depth)
    return deepest


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
