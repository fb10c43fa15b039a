"""Files that the hosts of a fleet shipped: which of them a view reads, and whose rows they are.

A bucket holds what others wrote there: torn files, foreign ones, those of another version. What can't be read
is passed over and said. Whose rows a file has says its folder (`host=…`), whatever stands in it; only in what
was compacted (`host=_all`) it is the column, and there a host's own file of that day counts instead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitord.analytics.footers import read_footer

COMPACTED = "_all"
_PLACE = re.compile(r"/date=([0-9-]{10})/host=([^/]+)/[^/]+\Z")
_STORED_AS = {
    "text": "VARCHAR",
    "int64": "BIGINT",
    "float64": "DOUBLE",
    "bool": "BOOLEAN",
    "time": "TIMESTAMP WITH TIME ZONE",
}
LARGEST_FILE_BYTES = 512 << 20
_LONGEST_TEXT_BYTES = 64 << 10  # a dictionary repeats one text for all rows: kilobytes become gigabytes
_FILE = "file_index"  # which file of the list a row is of; DuckDB shows a column of this name instead
_NEEDED = 2  # columns that every version has: whose row it is, and when or which
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Sound:
    """The files that a view can read, each with the columns that it has; what is said of the others."""

    files: Mapping[str, frozenset[str]]
    notes: tuple[str, ...]
    is_alike: bool = False


def sound(
    connection: Any,
    columns: Sequence[Sequence[str]],
    files: Sequence[str],
    *,
    most_rows: int | None = None,
    thorough: bool = False,
) -> Sound:
    """Return which of the files are ours and whole; `thorough` reads them to their ends.

    `columns` are all that a file may have. A host's file of more than `most_rows` rows is passed over.
    """
    bad: dict[str, str] = {}
    fit: dict[str, frozenset[str]] = {}
    kinds: set[tuple[str, ...]] = set()
    for named in _by_columns(files, most_rows, bad).values():
        described = _described(connection, named, bad)
        reason, known = _unfit(columns, described)
        if reason:
            bad |= {file: reason for file in named if file not in bad}
        else:
            fit |= dict.fromkeys(named, frozenset(known))
            kinds.add(tuple(described))
    if thorough:
        bad |= _unreadable(connection, [file for file in fit if file not in bad], most_rows)
    return Sound(
        {file: fit[file] for file in files if file in fit and file not in bad},
        tuple(_notes(bad)),
        len(kinds) < 2,
    )


@dataclass(frozen=True, slots=True)
class Summed:
    """How a view has one row of a host's day in the place of many, in files of these days.

    `marker` is 0 in those that another one sums; `sum_of` says which column counts in the place of which one.
    `last` is a column of the view, and what it is in files without sums.
    """

    days: Collection[str]
    marker: str
    sum_of: Mapping[str, str]
    last: Sequence[str]


def view_sql(
    columns: Sequence[Sequence[str]],
    found: Sound,
    types: Mapping[str, str],
    quoted: Callable[[str], str],
    literal: Callable[[str], str],
    kept: Callable[[Sequence[str | None]], str],
    summed: Summed | None = None,
) -> str:
    """Return the SELECT of a view over sound files; `kept` returns what stands in it for a list of texts."""
    if not found.files:
        empty = ", ".join(f"NULL::{types[kind]} AS {quoted(name)}" for name, kind in columns)
        return f"SELECT {empty} WHERE false"
    days = summed.days if summed is not None else ()
    marker = summed.marker if summed is not None else ""
    whole = [file for file, held in found.files.items() if marker in held and _day_of(file) in days]
    hourly = [*found.files.keys() - whole]
    parts = []
    for files, is_summed in ((whole, True), (sorted(hourly), False)):
        held = frozenset[str]().union(*(found.files[file] for file in files))
        taken = ", ".join(
            _taken(name, types[kind], held, summed, quoted, is_summed=is_summed)
            for name, kind in columns
            if name != "host_id"
        )
        if files:
            wanted = f"{quoted(marker)} > 0" if is_summed else ""
            parts.append(_part(taken, files, found, wanted, literal, kept))
    return " UNION ALL ".join(parts)


def _day_of(file: str) -> str:
    place = _PLACE.search(file)
    return place[1] if place else ""


def _taken(
    name: str,
    type_: str,
    held: Collection[str],
    summed: Summed | None,
    quoted: Callable[[str], str],
    *,
    is_summed: bool,
) -> str:
    own = summed.last[1] if summed and name == summed.last[0] else name
    if own not in held:
        return f"NULL::{type_} AS {quoted(name)}"
    if summed and is_summed and name in summed.sum_of:
        return f"{quoted(summed.sum_of[name])} AS {quoted(name)}"
    return f"{quoted(own)} AS {quoted(name)}"


def _part(
    taken: str,
    files: Sequence[str],
    found: Sound,
    wanted: str,
    literal: Callable[[str], str],
    kept: Callable[[Sequence[str | None]], str],
) -> str:
    """One SELECT. Whose rows a file has is looked up by its place in the list: DuckDB takes a path apart for
    each row, and `hive_partitioning` each time that the view is named.
    """
    read = f"read_parquet({kept(files)}, union_by_name = {not found.is_alike}, hive_partitioning = false)"
    hosts = [place[2] if place else "" for place in map(_PLACE.search, files)]
    kept_hosts = kept([None if host == COMPACTED else host for host in hosts])
    whose = f"list_extract({kept_hosts}, CAST({_FILE} AS BIGINT) + 1)"
    conditions = [wanted] if wanted else []
    if COMPACTED in hosts:
        whose = f"coalesce({whose}, host_id)"
        conditions.append(f"NOT ({_replaced(found.files, files, literal)})")
    within = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {whose} AS host_id, {taken} FROM {read}{within}"


def _replaced(known: Iterable[str], files: Sequence[str], literal: Callable[[str], str]) -> str:
    """The condition of compacted rows whose host has a file of its own on that day, or that are nobody's."""
    own: dict[str, list[str]] = {}
    for place in map(_PLACE.search, known):
        if place and place[2] != COMPACTED:
            own.setdefault(place[1], []).append(literal(place[2]))
    told = []
    for at, place in enumerate(map(_PLACE.search, files)):
        if place and place[2] == COMPACTED:
            hosts = own.get(place[1])
            gone = f"host_id IS NULL OR host_id IN ({', '.join(hosts)})" if hosts else "host_id IS NULL"
            told.append(f"{_FILE} = {at} AND ({gone})")
    return " OR ".join(told)


def _by_columns(files: Sequence[str], most_rows: int | None, bad: dict[str, str]) -> dict[bytes, list[str]]:
    """The files by what describes their columns; what has none or too many rows goes to `bad`."""
    found: dict[bytes, list[str]] = {}
    for file in files:
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            bad[file] = f"cannot be opened ({error.strerror})"
            continue
        try:
            if os.fstat(descriptor).st_size > LARGEST_FILE_BYTES:
                bad[file] = f"larger than {LARGEST_FILE_BYTES >> 20} MiB, which no host ships in a day"
                continue
            footer = read_footer(descriptor, found)
        except ValueError as error:
            bad[file] = str(error)
        except OSError as error:
            bad[file] = f"cannot be read ({error.strerror})"
        else:
            reason = _too_many(file, footer.rows, most_rows)
            if reason:
                bad[file] = reason
            else:
                found.setdefault(footer.columns, []).append(file)
        finally:
            os.close(descriptor)
    return found


def _too_many(file: str, rows: int, most_rows: int | None) -> str | None:
    """One host's rows must not be all that there is memory for; what was compacted is of many."""
    place = _PLACE.search(file)
    if most_rows is None or rows <= most_rows or (place is not None and place[2] == COMPACTED):
        return None
    return f"has more than {most_rows:,} rows, which no host has in a day"


def _described(connection: Any, files: Sequence[str], bad: dict[str, str]) -> Sequence[str]:
    """The columns that all these files have; one of which DuckDB can't tell them goes to `bad`."""
    from monitord.analytics.duck import duckdb

    sql = (
        "SELECT name || ' ' || coalesce(duckdb_type, '?') FROM parquet_schema($file)"
        " WHERE coalesce(num_children, 0) = 0 ORDER BY column_id"
    )
    for file in files:
        try:
            return [name for (name,) in connection.execute(sql, {"file": file}).fetchall()]
        except duckdb.Error:
            bad[file] = "torn or not Parquet"
    return []


def _unfit(columns: Sequence[Sequence[str]], described: Sequence[str]) -> tuple[str | None, set[str]]:
    """Why these columns are not of the table, else which of them are; those of later versions may follow."""
    found = {}
    for each in described:
        name, _, type_ = each.partition(" ")
        if name.lower() in found:
            return "has a column twice", set()
        found[name.lower()] = type_
    known = {name for name, _ in columns if name in found}
    if _FILE in found or any(name not in known for name, _ in columns[:_NEEDED]):
        return "not a table of monitord", set()
    wrong = [name for name, kind in columns if name in known and found[name] != _STORED_AS[kind]]
    return (f"has another type of {wrong[0]}" if wrong else None), known


def _unreadable(connection: Any, files: Sequence[str], most_rows: int | None) -> dict[str, str]:
    from monitord.analytics.duck import duckdb

    bad = {}
    for file in files:
        try:
            rows = connection.execute(
                "SELECT sum(row_group_num_rows) FROM parquet_metadata($file) WHERE column_id = 0",
                {"file": file},
            ).fetchone()[0]
            reason = _too_many(file, rows or 0, most_rows)  # its end may have said something else
            if reason:
                bad[file] = reason
                continue
            row = connection.execute(
                "SELECT bit_xor(hash(t)), max(strlen(CAST(COLUMNS(*) AS VARCHAR)))"
                " FROM read_parquet($file, hive_partitioning = false) t",
                {"file": file},
            ).fetchone()
        except duckdb.Error:
            bad[file] = "damaged inside"
        else:
            if max((size for size in row[1:] if size is not None), default=0) > _LONGEST_TEXT_BYTES:
                bad[file] = f"has texts of more than {_LONGEST_TEXT_BYTES >> 10} KiB"
    return bad


def _notes(bad: Mapping[str, str]) -> Iterable[str]:
    """One line a reason, with the first files of each."""
    for reason in sorted(set(bad.values())):
        named = [_shown(file) for file, why in sorted(bad.items()) if why == reason]
        more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        yield f"passed over {', '.join(named[:_NAMED])}{more}: {reason}"


def _shown(file: str) -> str:
    """A path from its table on: where it lies in the bucket."""
    return "/".join(file.rsplit("/", 4)[1:])
