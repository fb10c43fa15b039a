"""Which files of hosts are read, and whose rows they are, whatever lies in the bucket."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.made_fleet import LAST_DAY, SMALL, make_fleet, path_of
from monitord.analytics import shipped
from monitord.analytics.footers import read_footer
from monitord.analytics.tables import INCIDENTS, MACHINE_MINUTES, TABLES, Table
from tests.fleet.hosts import bomb

TYPES = {"text": "VARCHAR", "int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN", "time": "TIMESTAMPTZ"}


def view_of(table: Table, found: shipped.Sound) -> str:
    def literal(text: str) -> str:
        return f"'{text}'"

    def kept(texts: Sequence[str | None]) -> str:
        return f"[{', '.join('NULL' if text is None else literal(text) for text in texts)}]::VARCHAR[]"

    return shipped.view_sql(table.columns, found, TYPES, lambda name: f'"{name}"', literal, kept)


def asked(
    table: Table, files: Sequence[Path], what: str, *, thorough: bool = False, most_rows: int | None = None
) -> tuple[Any, list[str]]:
    """One row of a SELECT over the view of these files, and what was said of them."""
    connection = duckdb.connect()
    names = [str(file) for file in files]
    found = shipped.sound(connection, table.columns, names, thorough=thorough, most_rows=most_rows)
    view = view_of(table, found)
    row = connection.execute(f"SELECT {what} FROM ({view})").fetchone()  # noqa: S608  our own words
    return row, list(found.notes)


@pytest.fixture
def hosts(tmp_path: Path) -> list[Path]:
    """Files of a table of four hosts."""
    make_fleet(tmp_path, 4, size=SMALL)
    return [path_of(tmp_path, MACHINE_MINUTES, LAST_DAY, f"host-000{number}") for number in range(4)]


def changed(path: Path, **columns: Any) -> None:
    held = pq.ParquetFile(path).read()
    for name, values in columns.items():
        at = held.schema.get_field_index(name)
        held = held.append_column(name, values) if at < 0 else held.set_column(at, name, values)
    pq.write_table(held, path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def footless(path: Path) -> None:
    path.write_bytes(b"PAR1" + b"x" * 400 + (300).to_bytes(4, "little") + b"PAR1")


def endless(path: Path) -> None:
    path.write_bytes(b"PAR1" + b"x" * 400 + (0xFFFFFFFF).to_bytes(4, "little") + b"PAR1")


def foreign(path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), path)


def widened(path: Path) -> None:
    changed(path, machine_percent=pa.array(["much"] * SMALL.minutes))


def doubled(path: Path) -> None:
    changed(path, TAKEN_AT=pa.array([1] * SMALL.minutes))


def linked(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def gone(path: Path) -> None:
    path.unlink()


def numbered(path: Path) -> None:
    """It would say of its rows that they are of another host's file."""
    changed(path, File_Index=pa.array([3] * SMALL.minutes, pa.uint64()))


TRAPS = (numbered, cut, empty, footless, endless, foreign, widened, doubled, linked, gone)


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
@pytest.mark.parametrize("at", [0, 2])
def test_a_file_that_can_not_be_read_is_passed_over_and_said(hosts: list[Path], trap: Any, at: int) -> None:
    """All others are read, wherever it stands among them."""
    trap(hosts[at])
    row, notes = asked(MACHINE_MINUTES, hosts, "count(*), count(distinct host_id), avg(machine_percent) > 0")
    assert row == (3 * SMALL.minutes, 3, True)
    assert [note for note in notes if f"host=host-000{at}/day.parquet" in note] == notes
    assert len(notes) == 1


def test_every_way_of_being_wrong_is_said_in_a_line(hosts: list[Path]) -> None:
    """One line a reason, three names a line: a bucket with a thousand torn files says so in few words."""
    many = [hosts[0].with_name(f"{number}.parquet") for number in range(50)]
    for path in many:
        path.write_bytes(b"no")
    foreign(hosts[1])
    _row, notes = asked(MACHINE_MINUTES, [*hosts, *many], "count(*)")
    assert len(notes) == 2
    assert sum("and 47 more: torn or not Parquet" in note for note in notes) == 1


def test_damage_inside_is_found_by_reading_to_the_end(hosts: list[Path]) -> None:
    """Where a look at the ends says nothing."""
    data = bytearray(hosts[1].read_bytes())
    data[4:60] = b"\xff" * 56  # the first page's header
    hosts[1].write_bytes(bytes(data))
    assert asked(MACHINE_MINUTES, hosts, "1", thorough=False)[1] == []
    row, notes = asked(MACHINE_MINUTES, hosts, "count(distinct host_id)", thorough=True)
    assert row == (3,)
    assert "damaged inside" in notes[0]


def test_later_and_earlier_columns_stand_beside_each_other(hosts: list[Path]) -> None:
    """A column that we don't know is not read; one that a file lacks is null there, or everywhere."""
    changed(hosts[0], shade=pa.array(["x"] * SMALL.minutes))
    for path in hosts[1:]:
        pq.write_table(pq.ParquetFile(path).read().drop_columns(["cpu_count"]), path)
    row, notes = asked(MACHINE_MINUTES, hosts, "count(*), count(cpu_count)")
    assert (row, notes) == ((4 * SMALL.minutes, SMALL.minutes), [])
    row, notes = asked(MACHINE_MINUTES, hosts[1:], "count(*), count(cpu_count)")
    assert (row, notes) == ((3 * SMALL.minutes, 0), [])


def test_a_host_can_not_speak_for_another(hosts: list[Path]) -> None:
    """Whose rows they are says the folder, which is what a bucket gives rights to."""
    changed(hosts[0], host_id=pa.array(["host-0003"] * SMALL.minutes))
    row, _notes = asked(
        MACHINE_MINUTES, hosts, "count(*) FILTER (host_id = 'host-0003'), count(distinct host_id)"
    )
    assert row == (SMALL.minutes, 4)


def test_compacted_rows_count_where_a_host_has_no_file_of_its_own(hosts: list[Path]) -> None:
    """At each step of a compaction, and when a host comes late, every row is there once."""
    compacted = path_of(hosts[0].parents[4], MACHINE_MINUTES, LAST_DAY, "host-0000").parents[1] / "host=_all"
    compacted.mkdir()
    whole = pa.concat_tables([pq.ParquetFile(path).read() for path in hosts])
    pq.write_table(whole, compacted / "day.parquet")
    other_day = hosts[0].parents[2] / f"date={date(2026, 11, 19)}" / "host=host-0001" / "day.parquet"
    other_day.parent.mkdir(parents=True)
    shutil.copy(hosts[1], other_day)
    for left in range(5):
        files = [compacted / "day.parquet", other_day, *hosts[left:]]
        row, _notes = asked(MACHINE_MINUTES, files, "count(*), count(distinct host_id)")
        assert row == (5 * SMALL.minutes, 4)


def test_a_torn_file_of_a_host_does_not_hide_its_compacted_rows(hosts: list[Path]) -> None:
    """Only what is read replaces them."""
    compacted = hosts[0].parents[1] / "host=_all" / "day.parquet"
    compacted.parent.mkdir()
    pq.write_table(pa.concat_tables([pq.ParquetFile(path).read() for path in hosts]), compacted)
    cut(hosts[2])
    row, _notes = asked(MACHINE_MINUTES, [compacted, *hosts], "count(*), count(distinct host_id)")
    assert row == (4 * SMALL.minutes, 4)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_of_which_nothing_was_shipped_has_its_columns(table: Table) -> None:
    """And no rows."""
    connection = duckdb.connect()
    found = shipped.sound(connection, table.columns, [])
    view = view_of(table, found)
    described = connection.execute(f"DESCRIBE {view}").fetchall()
    assert [(name, type_) for name, type_, *_ in described] == [
        (name, TYPES[kind].replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE")) for name, kind in table.columns
    ]


def test_a_day_without_rows_is_a_file_like_any_other(tmp_path: Path) -> None:
    """A host on which nothing happened."""
    make_fleet(tmp_path, 8, size=SMALL)
    files = sorted((tmp_path / "v1" / "incident").rglob("*.parquet"))
    assert any(pq.ParquetFile(path).metadata.num_rows == 0 for path in files) or files
    assert asked(INCIDENTS, files, "count(*) > 0") == ((True,), [])


def test_rows_of_no_host_count_for_none(hosts: list[Path]) -> None:
    """In what was compacted the column says whose a row is."""
    table = pq.ParquetFile(hosts[1]).read()
    at = table.schema.get_field_index("host_id")
    whole = hosts[0].parent.parent / "host=_all" / "day.parquet"
    whole.parent.mkdir()
    nobody = pa.array([None] * SMALL.minutes, pa.string())
    pq.write_table(table.set_column(at, "host_id", nobody), whole)
    for files in ([whole], [whole, hosts[0]]):
        row, _notes = asked(MACHINE_MINUTES, files, "count(*) FILTER (host_id IS NULL)")
        assert row == (0,)


def test_a_file_larger_than_any_host_ships_is_passed_over_unread(hosts: list[Path]) -> None:
    """Four gigabytes, of which a disk holds nothing."""
    os.truncate(hosts[2], 4 << 30)
    row, notes = asked(MACHINE_MINUTES, hosts, "count(DISTINCT host_id)")
    assert row == (3,)
    assert notes == [
        f"passed over {'/'.join(hosts[2].parts[-4:])}: larger than 512 MiB, which no host ships in a day"
    ]


def test_a_file_whose_texts_unpack_to_gigabytes_is_passed_over(hosts: list[Path]) -> None:
    """A few kilobytes that hold one text of a megabyte for each of a hundred thousand rows."""
    bomb(hosts[2], MACHINE_MINUTES)
    assert hosts[2].stat().st_size < 100_000
    row, notes = asked(MACHINE_MINUTES, hosts, "count(DISTINCT host_id)", thorough=True)
    assert row == (3,)
    assert "texts of more than 64 KiB" in notes[0]


def test_an_end_that_hides_how_many_rows_there_are_is_found_when_all_is_read(hosts: list[Path]) -> None:
    """The end says three, the rows are all there: DuckDB would read them."""
    path = hosts[2]
    descriptor = os.open(path, os.O_RDONLY)
    end = read_footer(descriptor)
    os.close(descriptor)
    data = bytearray(path.read_bytes())
    at = data.rindex(end.columns) + len(end.columns)
    assert data[at : at + 2] == bytes((0x16, 2 * SMALL.minutes))
    data[at + 1] = 6
    path.write_bytes(bytes(data))
    most = SMALL.minutes - 1
    others = [path, *(other for other in hosts if other != path)]
    for thorough, left in ((False, 1), (True, 0)):
        row, notes = asked(
            MACHINE_MINUTES, others, "count(DISTINCT host_id)", thorough=thorough, most_rows=most
        )
        assert row == (left,)
        assert [f"has more than {most:,} rows" in note for note in notes] == [True]
