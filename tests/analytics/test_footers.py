"""The end of a Parquet file: what describes its columns is the same bytes for the same columns, and no others."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.analytics.footers import Footer, read_footer
from monitord.analytics.parquet import schema_of
from monitord.analytics.tables import TABLES

TYPES = (
    *(pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.timestamp("us", "UTC"), pa.binary(), pa.int8()),
    *(pa.list_(pa.int64()), pa.struct([("a", pa.int64())]), pa.decimal128(10, 2), pa.date32()),
)
SCHEMAS = st.lists(
    st.tuples(st.text(max_size=300), st.sampled_from(TYPES)), max_size=20, unique_by=lambda c: c[0]
)


def footer(path: Path, known: tuple[bytes, ...] = ()) -> Footer:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return read_footer(descriptor, known)
    finally:
        os.close(descriptor)


def written(path: Path, columns: list[tuple[str, pa.DataType]], rows: int) -> Path:
    held = {name: pa.nulls(rows, type_) for name, type_ in columns}
    pq.write_table(pa.table(held, schema=pa.schema(columns)), path, row_group_size=3)
    return path


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(one=SCHEMAS, other=SCHEMAS, rows=st.integers(0, 10))
def test_the_same_columns_are_the_same_bytes_and_others_are_not(
    tmp_path: Path, one: list[tuple[str, pa.DataType]], other: list[tuple[str, pa.DataType]], rows: int
) -> None:
    first = footer(written(tmp_path / "a", one, rows))
    again = footer(written(tmp_path / "b", one, 7), (first.columns,))
    assert first.columns == again.columns
    assert again.rows == (7 if one else 0)
    assert first.rows == pq.ParquetFile(tmp_path / "a").metadata.num_rows
    second = footer(written(tmp_path / "c", other, rows), (first.columns,))
    assert (second.columns == first.columns) == (other == one)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_columns_of_every_table_of_ours_are_met_in_one_read(tmp_path: Path, table: object) -> None:
    """A file of which they are known is not gone through."""
    columns = [(field.name, field.type) for field in schema_of(table, is_summed=True)]  # type: ignore[arg-type]
    found = footer(written(tmp_path / "a", columns, 5))
    assert len(found.columns) < 8192
    assert footer(tmp_path / "a", (b"else", found.columns)) == found


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    junk=st.binary(max_size=300),
    changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=4),
)
def test_a_strangers_bytes_are_an_error_and_nothing_else(
    tmp_path: Path, junk: bytes, changes: list[tuple[int, int]]
) -> None:
    """Neither an end without sense nor one of ours with other bytes in it hangs or raises something else."""
    path = tmp_path / "file"
    path.write_bytes(b"PAR1" + junk + len(junk).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(ValueError, match="torn or not Parquet"):
        footer(path)
    data = bytearray(written(path, [(f"column {n}", pa.string()) for n in range(20)], 3).read_bytes())
    for back, value in changes:
        data[-1 - back % len(data)] = value
    path.write_bytes(bytes(data))
    with contextlib.suppress(ValueError):
        assert footer(path).columns


@pytest.mark.parametrize(
    "columns",
    [
        b"\x15\x02\x19\xfc" + b"\xff" * 9 + b"\x01",  # a list of as many as there can be
        b"\x15\x02\x19" + b"\x19" * 3000,  # lists within lists
        b"\x15\x02\x19\x1c" + b"\x1c" * 3000,
        b"\x15" + b"\xff" * 3000,
        b"\x15\x02\x19\x18\xff\xff\xff\xff\x0f",
        b"\x15\x02\x19\xf1" + b"\xff" * 8 + b"\x7f",
    ],
)
def test_what_claims_to_hold_more_than_there_is_ends_at_once(tmp_path: Path, columns: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"PAR1" + columns + len(columns).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(ValueError, match="torn or not Parquet"):
        footer(path)
