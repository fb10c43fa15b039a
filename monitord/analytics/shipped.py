"""Files that the hosts of a fleet shipped: which of them a view reads, and whose rows they are.

A bucket holds what others wrote there: torn files, foreign ones, those of another version. What can't be read
is passed over and said. Whose rows a file has says its folder (`host=…`), whatever stands in it; only in what
was compacted (`host=_all`) it is the column, and there a host's own file of that day counts instead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
_MAGIC = b"PAR1"
_TAIL_BYTES = 8
_NEEDED = 2  # columns that every version has: whose row it is, and when or which
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Sound:
    """The files that a view can read, which of its columns they have, and what is said of the others."""

    files: tuple[str, ...]
    columns: frozenset[str]
    notes: tuple[str, ...]
    is_alike: bool = False


def sound(
    connection: Any, columns: Sequence[Sequence[str]], files: Sequence[str], *, thorough: bool = False
) -> Sound:
    """Return which of the files are ours and whole; `thorough` reads them to their ends."""
    bad = {file: reason for file in files if (reason := _tail_trouble(file))}
    whole = [file for file in files if file not in bad]
    held: set[str] = set()
    kinds = 0
    for described, named in _described(connection, whole, bad):
        reason, known = _unfit(columns, described)
        if reason:
            bad |= dict.fromkeys(named, reason)
        else:
            held |= known
            kinds += 1
    if thorough:
        bad |= _unreadable(connection, [file for file in whole if file not in bad])
    return Sound(
        tuple(file for file in files if file not in bad), frozenset(held), tuple(_notes(bad)), kinds < 2
    )


def view_sql(
    columns: Sequence[Sequence[str]],
    found: Sound,
    types: Mapping[str, str],
    quoted: Callable[[str], str],
    literal: Callable[[str], str],
) -> str:
    """Return the SELECT of a view over sound files."""
    if not found.files:
        empty = ", ".join(f"NULL::{types[kind]} AS {quoted(name)}" for name, kind in columns)
        return f"SELECT {empty} WHERE false"
    taken = ", ".join(
        quoted(name) if name in found.columns else f"NULL::{types[kind]} AS {quoted(name)}"
        for name, kind in columns
        if name != "host_id"
    )
    listed = ", ".join(literal(path) for path in found.files)
    read = (
        f"read_parquet([{listed}], union_by_name = {not found.is_alike}, hive_partitioning = true,"
        " hive_types = {'date': DATE, 'host': VARCHAR}, file_row_number = false)"
    )
    if not any(place and place[2] == COMPACTED for place in map(_PLACE.search, found.files)):
        return f"SELECT host AS host_id, {taken} FROM {read}"
    whose = f"CASE WHEN host = '{COMPACTED}' THEN host_id ELSE host END AS host_id"
    replaced = _replaced(found.files, literal)
    return f"SELECT {whose}, {taken} FROM {read} WHERE NOT ({replaced})"


def _replaced(files: Iterable[str], literal: Callable[[str], str]) -> str:
    """The condition of compacted rows whose host has a file of its own on that day."""
    days: dict[str, list[str]] = {}
    compacted = set()
    for file in files:
        place = _PLACE.search(file)
        if place and place[2] == COMPACTED:
            compacted.add(place[1])
        elif place:
            days.setdefault(place[1], []).append(literal(place[2]))
    told = [
        f"(date = DATE {literal(day)} AND host_id IN ({', '.join(hosts)}))"
        for day, hosts in sorted(days.items())
        if day in compacted
    ]
    return f"host = '{COMPACTED}' AND ({' OR '.join(['host_id IS NULL', *told])})"


def _tail_trouble(file: str) -> str | None:
    """What a look at both ends says against a file; it costs three system calls."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    try:
        size = os.fstat(descriptor).st_size
        if size > LARGEST_FILE_BYTES:
            return f"larger than {LARGEST_FILE_BYTES >> 20} MiB, which no host ships in a day"
        tail = os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        if tail[4:] != _MAGIC or int.from_bytes(tail[:4], "little") + 12 > size:
            return "torn or not Parquet"
        return None
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    finally:
        os.close(descriptor)


def _described(
    connection: Any, files: Sequence[str], bad: dict[str, str]
) -> list[tuple[list[str], list[str]]]:
    """Each set of columns among the files, with the files that have it; what has none goes to `bad`."""
    import duckdb

    sql = (
        "SELECT columns, list(file_name) FROM (SELECT file_name,"
        " list(name || ' ' || coalesce(duckdb_type, '?') ORDER BY column_id) AS columns"
        " FROM parquet_schema($files) WHERE coalesce(num_children, 0) = 0 GROUP BY file_name)"
        " GROUP BY columns"
    )
    if not files:
        return []
    try:
        found: list[tuple[list[str], list[str]]] = connection.execute(sql, {"files": list(files)}).fetchall()
        return found
    except duckdb.Error:
        if len(files) == 1:
            bad[files[0]] = "torn or not Parquet"
            return []
    half = len(files) // 2
    return [
        *_described(connection, files[:half], bad),
        *_described(connection, files[half:], bad),
    ]


def _unfit(columns: Sequence[Sequence[str]], described: Sequence[str]) -> tuple[str | None, set[str]]:
    """Why these columns are not of the table, else which of them are; those of later versions may follow."""
    found = {}
    for each in described:
        name, _, type_ = each.partition(" ")
        if name.lower() in found:
            return "has a column twice", set()
        found[name.lower()] = type_
    known = {name for name, _ in columns if name in found}
    if any(name not in known for name, _ in columns[:_NEEDED]):
        return "not a table of monitord", set()
    wrong = [name for name, kind in columns if name in known and found[name] != _STORED_AS[kind]]
    return (f"has another type of {wrong[0]}" if wrong else None), known


def _unreadable(connection: Any, files: Sequence[str]) -> dict[str, str]:
    import duckdb

    bad = {}
    for file in files:
        try:
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
