"""How a question's SQL, which is plain, is said in another engine's words. Pure: text in, text out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from monitord.analytics.tables import Kind, Table

_PARAMETER = re.compile(r"\$([a-z_]+)")
_SECONDS = re.compile(r"extract\(epoch from ([a-z_.]+)\)")
_QUOTED = re.compile(r'"([a-z_]+)"')
_ONCE = re.compile(r"\bas materialized\b")  # DuckDB's: one scan for all that name it, the same answer


@dataclass(frozen=True, slots=True)
class Dialect:
    """`view` gives the statements that make a table of a bucket's URL; `parameter` names one in a question.

    `seconds` is the expression of a time's seconds since 1970, with `{}` for the time; `quote` what stands
    on both sides of a name; `ends` what a question ends with.
    """

    name: str
    types: Mapping[Kind, str]
    view: Callable[[Table, str], str]
    parameter: Callable[[str], str]
    seconds: str
    quote: str
    literal: Callable[[Any], str]
    ends: str = ""


def other_columns(table: Table) -> str:
    """Return what a view takes of the rows `r` of hosts' files, but whose they are; none is a sum."""
    names = [f"r.`{name}`" for name, _kind in table.columns if name != "host_id"]
    return ", ".join([*names, *([f"r.`{table.last[1]}` AS {table.last[0]}"] if table.last else [])])


def ported(sql: str, dialect: Dialect) -> str:
    """Return a question's SQL, its parameters named as the engine does."""
    return _PARAMETER.sub(lambda found: dialect.parameter(found[1]), _said(sql, dialect)) + dialect.ends


def filled(sql: str, values: Mapping[str, Any], dialect: Dialect) -> str:
    """Return a question's SQL with its values in it: for who pastes it into the engine's own client."""
    return _PARAMETER.sub(lambda found: dialect.literal(values[found[1]]), _said(sql, dialect)) + dialect.ends


def _said(sql: str, dialect: Dialect) -> str:
    said = _SECONDS.sub(lambda found: dialect.seconds.format(found[1]), sql.strip())
    return _ONCE.sub("as", _QUOTED.sub(rf"{dialect.quote}\1{dialect.quote}", said))


def text_literal(value: str) -> str:
    """Return a text as both engines write it: nothing that stands in it can end it."""
    inside = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{inside}'"


def plain_literal(value: Any) -> str:
    """Return a number, a truth or a UTC time as most engines write it; raises ValueError for a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
    raise ValueError(f"invalid value {value!r}, expected a number, a truth or a time")


def script(url: str, sql: str, tables: Sequence[Table], values: Mapping[str, Any], dialect: Dialect) -> str:
    """Return what an engine's own client runs: a bucket's tables, then a question with its values."""
    views = "\n\n".join(dialect.view(table, url) for table in tables)
    return f"{views}\n\n{filled(sql, values, dialect)};\n"
