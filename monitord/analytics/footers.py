"""What the end of a Parquet file says: its columns, as the bytes that describe them, and how many rows.

A fleet's question reads the ends of thousands of files, of which nearly all have the same columns: then the
bytes are the same, and DuckDB has to be asked of one file alone. The format is Thrift's compact protocol
(parquet.thrift, FileMetaData: version, schema, num_rows …). Bytes are a stranger's: what does not fit is a
ValueError.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

_MAGIC = b"PAR1"
_TAIL_BYTES = 8
_AT_ONCE = 8192  # the columns of our tables are described in fewer
_MOST_BYTES = 64 << 10  # of what describes columns: more would take seconds to go through
_DEEPEST = 8
_TRIED = 8  # versions of monitord that ship at once; others are gone through
_STOP, _BINARY, _STRUCT = 0, 8, 12
_VERSION, _SCHEMA, _ROWS = b"\x15", b"\x19", b"\x16"  # fields 1 (i32), 2 (list) and 3 (i64), in their order


@dataclass(frozen=True, slots=True)
class Footer:
    """`columns` are the bytes until they end: files with the same ones have the same columns."""

    columns: bytes
    rows: int


def read_footer(descriptor: int, known: Iterable[bytes] = ()) -> Footer:
    """Return what a file's end says; `known` are columns that were met before. Raises ValueError, OSError."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or not 0 < length <= size - 12:
        raise ValueError("torn or not Parquet")
    begin = size - _TAIL_BYTES - length
    data = os.pread(descriptor, min(length, _AT_ONCE), begin)
    columns = next((one for one in islice(known, _TRIED) if data.startswith(one)), None)
    try:
        if columns is None:
            data = os.pread(descriptor, min(length, _MOST_BYTES), begin)
            columns = data[: _end_of_columns(data)]
        return Footer(columns, _rows(data, len(columns)))
    except IndexError as error:
        raise ValueError("torn or not Parquet") from error


def _end_of_columns(data: bytes) -> int:
    if data[:1] != _VERSION:
        raise ValueError("torn or not Parquet")
    _value, at = _number(data, 1)
    if data[at : at + 1] != _SCHEMA:
        raise ValueError("torn or not Parquet")
    return _skipped(data, at + 1, 9, 0)


def _rows(data: bytes, at: int) -> int:
    if data[at : at + 1] != _ROWS:
        raise ValueError("torn or not Parquet")
    value, _at = _number(data, at + 1)
    return (value >> 1) ^ -(value & 1)


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("torn or not Parquet")


def _skipped(data: bytes, at: int, kind: int, depth: int) -> int:
    """Where a value of a kind that begins at `at` ends."""
    if depth > _DEEPEST:
        raise ValueError("torn or not Parquet")
    if kind in (1, 2):  # a truth, which its field's kind says already
        return at
    if kind == 3:
        return at + 1
    if kind in (4, 5, 6):
        return _number(data, at)[1]
    if kind == 7:
        return at + 8
    if kind == _BINARY:
        length, at = _number(data, at)
        return at + length
    if kind in (9, 10):
        return _skipped_list(data, at, depth)
    if kind == _STRUCT:
        return _skipped_struct(data, at, depth)
    raise ValueError("torn or not Parquet")


def _skipped_list(data: bytes, at: int, depth: int) -> int:
    count, kind = data[at] >> 4, data[at] & 0x0F
    at += 1
    if count == 15:
        count, at = _number(data, at)
    for _ in range(count):
        before = at
        at = at + 1 if kind in (1, 2) else _skipped(data, at, kind, depth + 1)
        if at > len(data) or at == before:
            raise ValueError("torn or not Parquet")
    return at


def _skipped_struct(data: bytes, at: int, depth: int) -> int:
    while data[at] != _STOP:
        kind, is_next = data[at] & 0x0F, data[at] >> 4
        at += 1
        if not is_next:
            _number_of_field, at = _number(data, at)
        at = _skipped(data, at, kind, depth + 1)
    return at + 1
