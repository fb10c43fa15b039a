"""Many small files of a day become one: sorted by host, written whole or not at all, then the small ones go.

At each step every row is there once for a question: a host's own file counts before what was compacted
(`monitord/analytics/shipped.py`). Files are united one after another: memory grows with their bytes alone.
"""

from __future__ import annotations

import heapq
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from monitord.analytics.parquet import batches, is_sound, schema_of
from monitord.analytics.shipped import COMPACTED
from monitord.analytics.tables import Table
from monitord.errors import StorageError
from monitord.fleet import layout
from monitord.fleet.bucket import Bucket, Scope, Shipped
from monitord.model import counted, sized
from monitord.storage.artefacts.errors import AccessDeniedError, ArtefactChangedError, ArtefactExistsError
from monitord.storage.objects import Absent

_GROUP_ROWS = 122_880
_GROUP_BYTES = 64 << 20
_LEAST_FILES = 2
_LARGEST_BYTES = 300_000_000  # of a day's files: what they become is in memory while it is written
_MEMORY_BYTES = 3 << 30  # a page that unpacks to more is refused, not the machine's memory taken


@dataclass(frozen=True, slots=True)
class Compacted:
    """One table and day: how many files and rows became one, and what was left alone, in words."""

    table: str
    day: date
    files: int
    rows: int
    size_bytes: int
    removed: int
    notes: tuple[str, ...] = ()


def days_of(bucket: Bucket, table: Table, before: date) -> list[date]:
    """Return the days of a table before this one, oldest first."""
    folders = bucket.objects.folders(layout.table_folder(table))
    return sorted(day for day in map(layout.parse_day, folders) if day is not None and day < before)


def compact(bucket: Bucket, table: Table, day: date) -> Compacted | None:
    """Make one file of a table's day and remove those that it holds; None where there is nothing to unite.

    A file that is torn, foreign, of a later version, too large or too long stays as it is, and is named.
    Raises StorageError, with nothing changed, when somebody else compacts the same day.
    """
    at = datetime.combine(day, time(), UTC)
    whole = bucket.shipped(table, Scope(at, at))
    old = next((one for one in whole if one.host_id == COMPACTED), None)
    own = sorted((one for one in whole if one.host_id != COMPACTED), key=lambda one: one.host_id)
    if not own or (old is None and len(own) < _LEAST_FILES):
        return None
    fitting = _fitting(own, old)
    with bucket.brought(fitting) as paths, bucket.brought([old] if old else []) as held, _bounded_memory():
        if not all(is_sound(Path(path), table) for path in held):
            return Compacted(table.name, day, 0, 0, 0, 0, tuple(map(_left_alone, filter(None, [old]))))
        by_host = {path.split("/host=")[-1].partition("/")[0]: Path(path) for path in paths}
        taken = [
            one
            for one in fitting
            if one.host_id in by_host and is_sound(by_host[one.host_id], table, table.most_rows)
        ]
        notes = tuple(_left_alone(one) for one in own if one not in taken)
        if not taken:
            return Compacted(table.name, day, 0, 0, 0, 0, notes)
        kept = {one.host_id: by_host[one.host_id] for one in taken}
        try:
            united, rows = _united(table, kept, [Path(path) for path in held])
        except MemoryError:
            why = f"left alone: all of {table.name} of {day} (its rows unpack to too much)"
            return Compacted(table.name, day, 0, 0, 0, 0, (*notes, why))
    _put(bucket, layout.compacted_path(table, day), united, old)
    removed, more = _remove(bucket, taken)
    return Compacted(table.name, day, len(taken), rows, len(united), removed, (*notes, *more))


def _fitting(own: Sequence[Shipped], old: Shipped | None) -> list[Shipped]:
    """The small ones first: one host's file of gigabytes keeps no other from being united."""
    left, fitting = _LARGEST_BYTES - (old.info.size_bytes if old else 0), []
    for one in sorted(own, key=lambda one: one.info.size_bytes):
        left -= one.info.size_bytes
        if left < 0:
            break
        fitting.append(one)
    return sorted(fitting, key=lambda one: one.host_id)


def _left_alone(one: Shipped) -> str:
    return f"left alone: {one.info.path} ({sized(one.info.size_bytes, 'disk_bytes')})"


@contextmanager
def _bounded_memory() -> Iterator[None]:
    """For the block: what a hostile file claims to hold ends in an error of the reader."""
    if sys.platform != "linux":  # macOS has no such limit
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = min(one for one in (_MEMORY_BYTES, soft, hard) if one != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _united(table: Table, own: Mapping[str, Path], old: Sequence[Path]) -> tuple[bytes, int]:
    """The bytes of one file of all rows, sorted by host, and how many rows; own files replace old rows."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    schema = schema_of(table, is_summed=True)
    streams: list[Iterator[tuple[str, Any]]] = [_of_own(table, own)]
    streams += [_of_old(table, path, own) for path in old]
    held, count = pyarrow.BufferOutputStream(), 0
    waiting: list[Any] = []
    with ParquetWriter(held, schema, compression="zstd", write_page_checksum=True) as writer:
        for _host, batch in heapq.merge(*streams, key=lambda each: each[0]):
            waiting.append(_conformed(table, batch, schema))
            count += batch.num_rows
            is_full = sum(len(each) for each in waiting) >= _GROUP_ROWS
            if is_full or sum(each.nbytes for each in waiting) >= _GROUP_BYTES:
                writer.write_table(pyarrow.Table.from_batches(waiting, schema), _GROUP_ROWS)
                waiting.clear()
        writer.write_table(pyarrow.Table.from_batches(waiting, schema), _GROUP_ROWS)
    return held.getvalue().to_pybytes(), count


def _of_own(table: Table, own: Mapping[str, Path]) -> Iterator[tuple[str, Any]]:
    """Each host's rows; whose they are says the folder."""
    import pyarrow

    for host_id, path in sorted(own.items()):
        for batch in batches(table, path):
            at = batch.schema.get_field_index("host_id")
            whose = pyarrow.repeat(pyarrow.scalar(host_id), batch.num_rows)
            yield host_id, batch.set_column(at, "host_id", whose)


def _of_old(table: Table, path: Path, own: Mapping[str, Path]) -> Iterator[tuple[str, Any]]:
    """What was compacted before, a host at a time, without the hosts that have files of their own.

    Rows of a host that can't be called so were put there by somebody else: they are not taken over.
    """
    import pyarrow.compute

    for batch in batches(table, path):
        runs = pyarrow.compute.run_end_encode(batch.column("host_id"))
        begin = 0
        for host_id, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            if host_id not in own and host_id is not None and layout.is_host_id(host_id):
                yield host_id, batch.slice(begin, end - begin)
            begin = end


def _conformed(table: Table, batch: Any, schema: Any) -> Any:
    """The same rows with all columns: those that came later are null, and each row is the sum of itself."""
    import pyarrow

    own = {marker: name for name, marker in table.sum_of}
    own |= {marker: table.last[1] for marker, name in own.items() if table.last and name == table.last[0]}
    arrays = []
    for field in schema:
        source = own.get(field.name, field.name) if field.name not in batch.schema.names else field.name
        if source in batch.schema.names:
            arrays.append(batch.column(source))
        elif table.sums and field.name == table.sums[0][0]:
            arrays.append(pyarrow.repeat(pyarrow.scalar(1, field.type), len(batch)))
        else:
            arrays.append(pyarrow.nulls(len(batch), field.type))
    return pyarrow.RecordBatch.from_arrays(arrays, schema=schema)


def _put(bucket: Bucket, path: str, united: bytes, old: Shipped | None) -> None:
    """Write the day's file in the place of the one that was read, and see that it is there."""
    try:
        bucket.objects.put(path, united, old.info if old else Absent())
    except (ArtefactChangedError, ArtefactExistsError) as error:
        raise StorageError(f"cannot write {path}: somebody else compacts this day") from error
    if not bucket.objects.holds(path, united):
        raise StorageError(f"cannot keep {path}: it is not as it was written")


def _remove(bucket: Bucket, taken: Sequence[Shipped]) -> tuple[int, list[str]]:
    """Remove what was united, unless it was replaced meanwhile; how many, and what stays."""
    removed = 0
    for one in taken:
        now = [*bucket.objects.list(one.info.path.rpartition("/")[0])]
        if one.info not in now:
            continue  # its host was late: its file counts before what was compacted
        try:
            bucket.objects.delete(one.info.path)
        except AccessDeniedError as error:
            left = counted(len(taken) - removed, "file")
            return removed, [f"{left} cannot be removed, and other engines would count them twice: {error}"]
        removed += 1
    return removed, []
