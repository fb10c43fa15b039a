"""A file is whole or is not there; what is read is what was written, and nothing of somebody else's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as some

from monitord.analytics.parquet import is_sound, read, schema_of, write_table
from monitord.analytics.tables import EVENTS, HOTSPOTS, MACHINE_MINUTES, TABLES, Kind, Table
from monitord.errors import StorageError

AT = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
VALUES: dict[Kind, Any] = {"text": "läuft", "int64": 2**40, "float64": 0.5, "bool": True, "time": AT}
ANY = {
    "text": some.none() | some.text(some.characters(exclude_categories=["Cs"])),
    "int64": some.none() | some.integers(-(2**63), 2**63 - 1),
    "float64": some.none() | some.floats(allow_nan=False),
    "bool": some.none() | some.booleans(),
    "time": some.none() | some.datetimes(datetime(1970, 1, 1), datetime(2109, 1, 1)).map(  # noqa: DTZ001
        lambda moment: moment.replace(tzinfo=UTC)
    ),
}  # fmt: skip


def a_row(table: Table, **changes: object) -> tuple[object, ...]:
    return tuple(changes.get(name, VALUES[kind]) for name, kind in table.columns)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_types_are_plain_and_frozen(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    assert write_table(table, [a_row(table)], path) == 1
    kinds = {
        "text": "string", "int64": "int64", "float64": "double", "bool": "bool",
        "time": "timestamp[us, tz=UTC]",
    }  # fmt: skip
    found = [(field.name, str(field.type)) for field in pyarrow.parquet.read_schema(path)]
    assert found == [(name, kinds[kind]) for name, kind in table.columns]
    assert pyarrow.parquet.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize(
    "before", ["", "notes_of(path, EVENTS)", "list(read(path, EVENTS))", "write_table(EVENTS, [], other)"]
)
def test_a_sound_file_is_sound_whatever_was_read_before(tmp_path: Path, before: str) -> None:
    """Arrow's allocator and threads are made at their first use: within the limit, they took all of it."""
    path = tmp_path / "a.parquet"
    write_table(EVENTS, [a_row(EVENTS)], path)
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from monitord.analytics.parquet import is_sound, notes_of, read, write_table\n"
        "from monitord.analytics.tables import EVENTS\n"
        f"path = Path(sys.argv[1])\nother = path.with_name('b.parquet')\n{before}\n"
        "print(is_sound(path, EVENTS), is_sound(path, EVENTS))"
    )
    words = [sys.executable, "-c", code, str(path)]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "True True\n"


def test_pandas_is_loaded_by_nobody_who_did_not_ask_for_it(tmp_path: Path) -> None:
    """pyarrow does so for its first array, a quarter of a second; who has it can still use both."""
    pytest.importorskip("pandas", reason="needs pandas: install the extra `dev`")
    code = (
        "import sys\nfrom pathlib import Path\nfrom monitord.analytics.parquet import is_sound, write_table\n"
        "from monitord.analytics.tables import EVENTS\n"
        "path = Path(sys.argv[1])\nwrite_table(EVENTS, [tuple(None for _ in EVENTS.columns)], path)\n"
        "print(is_sound(path, EVENTS), 'pandas' in sys.modules)\n"
        "import pandas, pyarrow\n"
        "print(pyarrow.array(pandas.Series([1, 2])).to_pylist(), len(pyarrow.table({'a': [1]}).to_pandas()))"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "a.parquet")]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == ["True False", "[1, 2] 1"]


@given(data=some.data())
def test_what_was_written_is_read(data: some.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    table = data.draw(some.sampled_from(TABLES))
    row = some.tuples(*(ANY[kind] for _name, kind in table.columns))
    rows = data.draw(some.lists(row, max_size=5))
    path = tmp_path_factory.mktemp("p") / "a.parquet"
    assert write_table(table, rows, path) == len(rows)
    assert list(read(path, table)) == rows
    assert is_sound(path, table)


def test_many_rows_and_large_texts_are_written_in_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = [a_row(MACHINE_MINUTES, taken_at=AT + timedelta(microseconds=i)) for i in range(120_000)]
    assert write_table(MACHINE_MINUTES, iter(rows), path) == 120_000
    assert sum(1 for _row in read(path, MACHINE_MINUTES)) == 120_000
    wide = (a_row(HOTSPOTS, function="x" * 1_000_000) for _ in range(40))
    assert write_table(HOTSPOTS, wide, path) == 40
    assert pyarrow.parquet.ParquetFile(path).num_row_groups >= 3


def test_what_a_column_cannot_hold_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    row = a_row(HOTSPOTS, function="a\udc80b", line=2**63, version=None)
    write_table(HOTSPOTS, [row], path)
    names = [name for name, _kind in HOTSPOTS.columns]
    found = dict(zip(names, next(read(path, HOTSPOTS)), strict=True))
    assert (found["function"], found["line"], found["version"]) == ("a?b", None, None)


def test_a_failed_write_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(HOTSPOTS, [a_row(HOTSPOTS)], path)
    before = path.read_bytes()

    def failing() -> Iterator[tuple[object, ...]]:
        yield a_row(HOTSPOTS)
        raise StorageError("the store went away")

    with pytest.raises(StorageError):
        write_table(HOTSPOTS, failing(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_any_changed_or_missing_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = [a_row(MACHINE_MINUTES, process_count=i) for i in range(200)]
    write_table(MACHINE_MINUTES, rows, path)
    whole = path.read_bytes()
    for end in range(0, len(whole), 37):
        path.write_bytes(whole[:end])
        assert not is_sound(path, MACHINE_MINUTES)
    for at in range(0, len(whole), 37):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        if is_sound(path, MACHINE_MINUTES):
            assert len(list(read(path, MACHINE_MINUTES))) == 200


def test_a_file_of_another_table_and_a_changed_type_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(HOTSPOTS, [a_row(HOTSPOTS)], path)
    assert not is_sound(path, MACHINE_MINUTES)
    schema = schema_of(MACHINE_MINUTES)
    narrow = schema.set(schema.get_field_index("cpu_count"), pyarrow.field("cpu_count", pyarrow.int32()))
    pyarrow.parquet.write_table(narrow.empty_table(), path)
    assert not is_sound(path, MACHINE_MINUTES)


def test_an_older_file_lacks_the_last_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(MACHINE_MINUTES, [a_row(MACHINE_MINUTES)], path)
    older = pyarrow.parquet.read_table(path).drop_columns(["cpu_count"])
    pyarrow.parquet.write_table(older, path)
    assert is_sound(path, MACHINE_MINUTES)
    assert next(read(path, MACHINE_MINUTES)) == a_row(MACHINE_MINUTES, cpu_count=None)


@pytest.mark.parametrize("kind", ["link", "folder", "fifo", "missing"])
def test_what_is_not_a_regular_file_is_not_read_and_not_waited_for(kind: str, tmp_path: Path) -> None:
    real, path = tmp_path / "real.parquet", tmp_path / "a.parquet"
    write_table(HOTSPOTS, [a_row(HOTSPOTS)], real)
    make: dict[str, Callable[[], object]] = {
        "link": lambda: path.symlink_to(real),
        "folder": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
        "missing": lambda: None,
    }
    make[kind]()
    assert not is_sound(path, HOTSPOTS)
    with pytest.raises(StorageError, match="cannot read"):
        list(read(path, HOTSPOTS))


def test_a_link_at_the_name_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "a.parquet"
    victim.write_text("precious")
    path.symlink_to(victim)
    write_table(HOTSPOTS, [a_row(HOTSPOTS)], path)
    assert victim.read_text() == "precious"
    assert not path.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600


def _hostile(table: Table, path: Path, name: str, array: Any) -> Path:
    """A file of the right columns, one of which another writer filled."""
    columns = [
        array if field.name == name else pyarrow.nulls(len(array), field.type) for field in schema_of(table)
    ]
    names = [field.name for field in schema_of(table)]
    made = pyarrow.Table.from_arrays(columns, names=names)
    pyarrow.parquet.write_table(made, path, store_schema=False, compression="zstd")
    return path


BYTES = pyarrow.array([b"\xff\xfe"], pyarrow.binary()).view(pyarrow.string())
AGES = [pyarrow.array([at], pyarrow.int64()).cast(pyarrow.timestamp("us", "UTC")) for at in (2**62, -(2**62))]


@pytest.mark.parametrize(
    ("name", "array"), [("process", BYTES), *((MACHINE_MINUTES.at, each) for each in AGES)]
)
def test_values_that_no_column_of_ours_holds_make_a_file_unsound(
    name: str, array: Any, tmp_path: Path
) -> None:
    """Bytes that are not UTF-8, and times that Python lacks, are told as every other damage."""
    table = next(
        each for each in (HOTSPOTS, MACHINE_MINUTES) if name in [column for column, _ in each.columns]
    )
    path = _hostile(table, tmp_path / "a.parquet", name, array)
    assert not is_sound(path, table)
    with pytest.raises(StorageError, match="damaged"):
        list(read(path, table))


CHECKING = """
import sys
from pathlib import Path
from monitord.analytics.parquet import is_sound
from monitord.analytics.tables import EVENTS
print(is_sound(Path(sys.argv[1]), EVENTS), open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA is Linux's")
def test_a_footer_that_lies_about_how_much_there_is_costs_bounded_memory(tmp_path: Path) -> None:
    """Texts of 80 MB in 20 kB, in a group that says it has a hundred bytes."""
    schema, text = schema_of(EVENTS), "A" * (80 << 20)
    cells = {"string": text, "timestamp[us, tz=UTC]": datetime(2026, 11, 1, tzinfo=UTC)}
    row = [pyarrow.array([cells.get(str(field.type), 1)], field.type) for field in schema]
    path = tmp_path / "2026-11-01.parquet"
    pyarrow.parquet.write_table(
        pyarrow.Table.from_arrays(row, schema=schema), path, compression="zstd", use_dictionary=False
    )
    size = pyarrow.parquet.read_metadata(path).row_group(0).total_byte_size
    content, told, lie = path.read_bytes(), varint(2 * size), varint(200)
    lie = lie[:-1] + bytes([lie[-1] | 128]) + b"\x80" * (len(told) - len(lie) - 1) + b"\0"
    at = content.rindex(told)
    path.write_bytes(content[:at] + lie + content[at + len(told) :])
    assert pyarrow.parquet.read_metadata(path).row_group(0).total_byte_size == 100
    done = subprocess.run(
        [sys.executable, "-c", CHECKING, str(path)], capture_output=True, text=True, check=True
    )
    is_it_sound, peak_kb = done.stdout.split()
    assert is_it_sound == "False"
    assert int(peak_kb) < 1_400_000


def varint(number: int) -> bytes:
    """As Thrift's compact protocol writes it."""
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


def test_a_small_file_that_unpacks_to_much_is_refused_before_it_does(tmp_path: Path) -> None:
    """A text that stands there once can be the text of all rows; a run of one value takes no room."""
    text = pyarrow.array(["x" * 200_000])
    many = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 20_000, pyarrow.int32()), text)
    bomb = _hostile(HOTSPOTS, tmp_path / "bomb.parquet", "process", many)
    assert bomb.stat().st_size < 20_000
    held = pyarrow.total_allocated_bytes()
    assert not is_sound(bomb, HOTSPOTS)
    assert pyarrow.total_allocated_bytes() - held < 100 << 20
    with pytest.raises(StorageError, match="texts are too large"):
        list(read(bomb, HOTSPOTS))
    rows = pyarrow.nulls(1_048_576, pyarrow.string())
    with pytest.raises(StorageError, match="groups of rows are too large"):
        list(read(_hostile(HOTSPOTS, tmp_path / "rows.parquet", "process", rows), HOTSPOTS))
