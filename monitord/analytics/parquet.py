"""Rows as Parquet files and back (extra `analytics`): whole or not at all, read again before they count."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import stat
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitord import procfs
from monitord.analytics.tables import Kind, Table
from monitord.durable import synchronise, synchronise_folder
from monitord.errors import StorageError
from monitord.installation import install_command

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ParquetFile

SUFFIX = ".parquet"
_ROWS_AT_ONCE = 10_000
_GROUP_ROWS, _GROUP_TEXT = 50_000, 16 << 20  # a group of rows ends with the first that is reached
_INT64 = 2**63
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
# What one group of rows may unpack to. Ours are far below; a file that says more is not read.
_GROUP_LIMIT_BYTES = 256 << 20
_GROUP_LIMIT_ROWS = 1_000_000
_UNPACKED_BYTES = 256 << 20  # beside the gibibyte that Arrow's allocator has
_BOUNDED = threading.Lock()
_FILE_LIMIT_ROWS = 100_000_000


def schema_of(table: Table, *, is_summed: bool = False) -> pyarrow.Schema:
    """Return the frozen schema: plain text, int64, float64, bool, and microseconds UTC."""
    arrow = _arrow()
    types: dict[Kind, Any] = {
        "text": arrow.string(), "int64": arrow.int64(), "float64": arrow.float64(), "bool": arrow.bool_(),
        "time": arrow.timestamp("us", "UTC"),
    }  # fmt: skip
    return arrow.schema([(name, types[kind]) for name, kind in _columns(table, is_summed=is_summed)])


def _columns(table: Table, *, is_summed: bool) -> tuple[tuple[str, Kind], ...]:
    return table.stored if is_summed else table.columns


def write_table(
    table: Table,
    rows: Iterable[tuple[object, ...]],
    path: Path,
    *,
    mode: int = 0o600,
    notes: Mapping[str, str] | None = None,
    is_summed: bool = False,
) -> int:
    """Write rows (columns in the table's order) as a file, replacing one of this name; how many rows.

    `is_summed`: they have the table's sums behind them. `notes` go into its footer, for `notes_of`. The file
    is read back before it takes its name, and is on the disk when this returns. No link is followed at the
    name. Raises StorageError; of a failed call nothing is left.
    """
    draft = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        descriptor = os.open(draft, _NEW, mode)
        try:
            with open(descriptor, "w+b") as file:
                count = _write(table, rows, file, notes or {}, is_summed=is_summed)
                file.flush()
                synchronise(file.fileno())
            found = sum(batch.num_rows for batch in batches(table, draft))
            if found != count:
                raise StorageError(f"cannot keep {path}: it holds {found} rows, expected {count}")
            os.replace(draft, path)  # noqa: PTH105 - beside os.open
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
        synchronise_folder(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    return count


def read(path: Path, table: Table, *, host_id: str | None = None) -> Iterator[tuple[object, ...]]:
    """Yield a file's rows, columns in the table's order; columns that came later are None.

    With `host_id` those of that host alone.
    Raises StorageError for a file that is missing, damaged or of another table.
    """
    names = [name for name, _kind in table.columns]
    for batch in batches(table, path):
        if host_id is not None:
            batch = batch.filter(_compute().equal(batch.column("host_id"), host_id))  # noqa: PLW2901
        columns = [
            batch.column(name).to_pylist() if name in batch.schema.names else [None] * batch.num_rows
            for name in names
        ]
        yield from zip(*columns, strict=True)


def is_sound(path: Path, table: Table, most_rows: int | None = None) -> bool:
    """Whether all of a file can be read as this table, and it has no more rows than that.

    A link, or what is not a regular file, can't.
    """
    rows = 0
    try:
        with _bounded_memory():
            for batch in batches(table, path):
                rows += batch.num_rows
                if most_rows is not None and rows > most_rows:
                    return False
    except (StorageError, MemoryError):
        return False
    return True


@contextmanager
def _bounded_memory() -> Iterator[None]:
    """For the block: a footer says how much its groups unpack to, and may lie; the kernel counts.

    Arrow's own allocator takes a gibibyte of addresses at its first use, whatever is asked of it. Within the
    limit that left nothing, and sound files were called damaged: so it is used before.
    """
    if sys.platform != "linux":  # macOS has no such limit
        yield
        return
    arrow = _arrow()
    with _BOUNDED:  # the limit is the whole process'
        arrow.allocate_buffer(1)
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        held = 1024 * int(procfs.status_of(os.getpid()).get("VmData", "0 kB").split()[0])
        limits = (held + _UNPACKED_BYTES, soft, hard)
        most = min(one for one in limits if one != resource.RLIM_INFINITY)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _write(
    table: Table, rows: Iterable[tuple[object, ...]], file: Any, notes: Mapping[str, str], *, is_summed: bool
) -> int:
    arrow, parquet = _arrow(), _parquet()
    schema = schema_of(table, is_summed=is_summed)
    kinds = [kind for _name, kind in _columns(table, is_summed=is_summed)]
    count = 0
    with parquet.ParquetWriter(
        file, schema, compression="zstd", write_page_checksum=True, coerce_timestamps="us"
    ) as writer:
        for chunk in groups(rows):
            columns = zip(*chunk, strict=True)
            arrays = [
                arrow.array([_cell(value, kind) for value in column], type=field.type)
                for column, kind, field in zip(columns, kinds, schema, strict=True)
            ]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))
            count += len(chunk)
        writer.add_key_value_metadata({f"monitord.{name}": text for name, text in notes.items()})
    return count


def groups(rows: Iterable[tuple[object, ...]]) -> Iterator[list[tuple[object, ...]]]:
    """Rows by the group, so that what waits in memory is bounded whatever the texts."""
    group: list[tuple[object, ...]] = []
    text = 0
    for row in rows:
        group.append(row)
        text += sum(len(value) for value in row if isinstance(value, str))
        if len(group) >= _GROUP_ROWS or text >= _GROUP_TEXT:
            yield group
            group, text = [], 0
    if group:
        yield group


def _cell(value: Any, kind: Kind) -> object:
    """A value as its column can hold it. What no column of ours can hold is unknown; bytes that are not text
    become "?".
    """
    if value is None:
        return None
    if kind == "text":
        return str(value).encode("utf-8", "replace").decode()
    if kind == "int64":
        return int(value) if -_INT64 <= value < _INT64 else None
    if kind == "float64":
        return float(value)
    if kind == "time" and (not isinstance(value, datetime) or value.tzinfo is None):
        raise ValueError("a time without its zone can't be stored")
    return value


def notes_of(path: Path, table: Table) -> Mapping[str, str]:
    """Return what `write_table` noted in a file's footer; raises StorageError as `read` does."""
    with _opened(table, path) as source:
        held = source.metadata.metadata or {}
        prefix = b"monitord."
        return {
            name.removeprefix(prefix).decode(errors="replace"): text.decode(errors="replace")
            for name, text in held.items()
            if name.startswith(prefix)
        }


def batches(table: Table, path: Path) -> Iterator[pyarrow.RecordBatch]:
    """Yield all rows in batches, checksums and schema checked; raises StorageError as `read` does."""
    with _opened(table, path) as source:
        left = source.metadata.num_rows
        for batch in source.iter_batches(_ROWS_AT_ONCE):
            left -= batch.num_rows
            yield _plain(table, path, batch)
        if left != 0:  # the footer has no checksum of its own
            raise StorageError(f"cannot read {path}: {left} rows are missing")


def _plain(table: Table, path: Path, batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    """The batch without dictionaries: a text that stands there once can be the text of every row."""
    arrow, compute = _arrow(), _compute()
    size = 0
    for column in batch.columns:
        if isinstance(column, arrow.DictionaryArray):
            lengths = compute.binary_length(column.dictionary).take(column.indices)
            size += compute.sum(lengths).as_py() or 0
    if size > _GROUP_LIMIT_BYTES:
        raise StorageError(f"cannot read {path}: its texts are too large")
    names = batch.schema.names
    schema = arrow.schema([field for field in schema_of(table, is_summed=True) if field.name in names])
    plain = arrow.RecordBatch.from_arrays(
        [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)], schema=schema
    )
    plain.validate(full=True)  # text that is not UTF-8
    for column in plain.columns:
        if arrow.types.is_timestamp(column.type):
            compute.min_max(column).as_py()  # raises where Python has no such time
    return plain


@contextmanager
def _opened(table: Table, path: Path) -> Iterator[ParquetFile]:
    arrow = _arrow()
    try:
        with open(os.open(path, _OLD), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise StorageError(f"cannot read {path}: it is not a regular file")
            texts = [name for name, kind in table.columns if kind == "text"]
            source = _parquet().ParquetFile(file, page_checksum_verification=True, read_dictionary=texts)
            _check(table, path, source)
            yield source
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or 'it is damaged'}") from error
    except (arrow.ArrowException, ValueError, OverflowError, MemoryError) as error:
        raise StorageError(f"cannot read {path}: it is damaged, or not a file of {table.name}") from error


def _check(table: Table, path: Path, source: ParquetFile) -> None:
    """Columns as frozen: an older file may lack the last ones, no other difference is ours."""
    expected, found = schema_of(table, is_summed=True), source.metadata.schema.to_arrow_schema()
    is_ours = list(found) == list(expected)[: len(found)] and len(found) > 0
    if not is_ours:
        raise StorageError(f"cannot read {path}: other columns than those of {table.name}")
    metadata = source.metadata
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    is_bounded = metadata.num_rows <= _FILE_LIMIT_ROWS and all(
        0 <= group.total_byte_size <= _GROUP_LIMIT_BYTES and group.num_rows <= _GROUP_LIMIT_ROWS
        for group in groups
    )
    if not is_bounded:
        raise StorageError(f"cannot read {path}: its groups of rows are too large")


def require_pyarrow() -> None:
    """Raise StorageError, which says what to install, where pyarrow is missing."""
    _arrow()


@cache
def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise StorageError(
            "cannot read or write Parquet: this needs the extra `analytics`;"
            f" try {install_command('analytics')}"
        ) from error
    without_pandas(pyarrow)
    return pyarrow


class _WithoutPandas:
    """Has Python find no pandas."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def without_pandas(pyarrow: Any) -> None:
    """Have pyarrow take pandas as missing: for its first array it loads it, 0.3 s for nothing."""
    if "pandas" not in sys.modules:
        finder: Any = _WithoutPandas()
        sys.meta_path.insert(0, finder)
        try:
            pyarrow.array([])
        finally:
            sys.meta_path.remove(finder)


def _compute() -> Any:
    _arrow()
    import pyarrow.compute

    return pyarrow.compute


def _parquet() -> Any:
    _arrow()
    import pyarrow.parquet

    return pyarrow.parquet
