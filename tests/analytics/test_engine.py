"""SQL over given files: answers, and nothing that SQL can ask for reaches further, lasts longer or takes more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitord.analytics.engine import Answer, View, open_engine
from monitord.analytics.tables import INCIDENTS, PROCESS_MINUTES, TABLES
from monitord.errors import MonitordError, UsageError
from tests.patience import PATIENCE_S

AT = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
REFUSED = (
    "CREATE TABLE t (i INT)",
    "DROP VIEW process_minutes",
    "INSERT INTO process_minutes VALUES (1)",
    "DELETE FROM process_minutes",
    "UPDATE process_minutes SET pid = 1",
    "COPY (SELECT 1) TO '{file}'",
    "COPY (SELECT 1) TO '{folder}/new.csv'",
    "WITH x AS (COPY (SELECT 1 AS pid) TO '{file}' (USE_TMP_FILE false)) SELECT 1",
    "WITH x AS (DELETE FROM process_minutes) SELECT 1",
    "SELECT 1) AS asked(c0); COPY (SELECT 1) TO '{file}' (USE_TMP_FILE false); SELECT * FROM (SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "EXPORT DATABASE '{folder}'",
    "ATTACH '{folder}/new.db'",
    "ATTACH ':memory:' AS m",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit = '64GB'",
    "SET lock_configuration = false",
    "RESET threads",
    "PRAGMA database_list",
    "CALL enable_logging()",
    "SELECT * FROM enable_logging()",
    "CREATE SECRET s (TYPE s3)",
    "PREPARE p AS SELECT 1",
    "BEGIN",
    "VACUUM",
    "CHECKPOINT",
    "USE memory",
    "SELECT 1; SELECT 2",
    "",
    "-- nothing",
    "PIVOT process_minutes ON process",
    "SELECT * FROM '{other}'",
    "SELECT * FROM '{folder}/*.parquet'",
    "SELECT * FROM read_parquet('{other}')",
    "SELECT * FROM read_parquet('{folder}/../{name}/other.parquet')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_json('/proc/self/status')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM parquet_metadata('{other}')",
    "SELECT * FROM read_parquet('https://127.0.0.1:1/x.parquet')",
    "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
    "SELECT * FROM sqlite_scan('{other}', 'incidents')",
    "SELECT * FROM query('COPY (SELECT 1) TO ''{folder}/new.csv''')",
    "SELECT * FROM order",
    "SELECT * FROM sql",
    "SELECT getenv('HOME')",
    "SELECT nothing FROM process_minutes",
    "SELECT $missing",
)
ENDLESS = (
    "SELECT count(*) FROM range(100000000000) a, range(1000) b",
    "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT count(*) FROM r",
    "SELECT sleep_ms(600000)",  # no interrupt of DuckDB's ends it
)
GREEDY = (
    "SELECT repeat('x', 2000000000)",
    "SELECT printf('%1000000000d', 1)",  # is counted by no limit of DuckDB's
    "SELECT sha256(repeat('a', 2000000000))",
    "SELECT list(i) FROM range(10000000000) t(i)",
    "SELECT * FROM range(1000000000) ORDER BY 1 DESC",
    "SELECT string_agg(repeat('x', 1000000), '') FROM range(100000)",
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """One row of process_minutes, as another writer than ours left it: with fewer columns."""
    path = tmp_path / "it's.parquet"
    _write(path, taken_at=[AT], process=["job"], pid=[4321], cpu_percent=[97.5])
    _write(tmp_path / "other.parquet", pid=[1])
    return path


def _write(path: Path, **columns: list[object]) -> None:
    arrays = {name: pa.array(values) for name, values in columns.items()}
    if "taken_at" in arrays:
        arrays["taken_at"] = arrays["taken_at"].cast(pa.timestamp("us", "UTC"))
    pq.write_table(pa.table(arrays), path)


def _asked(files: list[Path], sql: str, **parameters: object) -> tuple[Answer, list[tuple[object, ...]]]:
    with open_engine([View.of(PROCESS_MINUTES, [str(each) for each in files])]) as engine:
        answer = engine.ask(sql, parameters)
        return answer, list(answer.rows)


def test_a_view_has_its_frozen_columns_whatever_a_file_has(file: Path) -> None:
    """A column that a file lacks is null, one that is not ours does not show, an empty view has all of them."""
    _write(file.with_name("later.parquet"), pid=[7], taken_at=[AT], new_column=["x"])
    _write(file.with_name("wider.parquet"), pid=["8", "no number"], taken_at=[AT, AT])
    files = [file, file.with_name("later.parquet"), file.with_name("wider.parquet")]
    answer, rows = _asked(files, "SELECT * FROM process_minutes ORDER BY pid NULLS LAST")
    assert [(column.name, column.kind) for column in answer.columns] == list(PROCESS_MINUTES.columns)
    assert [row[3] for row in rows] == [7, 8, 4321, None]
    assert rows[2] == (None, AT, "job", 4321, 97.5, None, None, None, None, None)
    for table in TABLES:
        with open_engine([View.of(table, [])]) as engine:
            empty = engine.ask(f"SELECT * FROM {table.name}")
            assert [(column.name, column.kind) for column in empty.columns] == list(table.columns)
            assert list(empty.rows) == []


def test_a_view_of_a_period_has_its_rows_alone(tmp_path: Path) -> None:
    """The end does not belong to it; a row without a time is in none."""
    times = [AT + timedelta(hours=hour) for hour in range(4)]
    _write(tmp_path / "a.parquet", taken_at=[*times, None], pid=[0, 1, 2, 3, 4])
    view = View.of(PROCESS_MINUTES, [str(tmp_path / "a.parquet")], times[1], times[3])
    with open_engine([view]) as engine:
        assert list(engine.ask("SELECT pid FROM process_minutes ORDER BY 1").rows) == [(1,), (2,)]


def test_every_value_of_sql_comes_back_plain(file: Path) -> None:
    """Whatever type DuckDB has, one gets a number, a text, a time, a list or nothing."""
    answer, rows = _asked(
        [file],
        "SELECT 1 AS a, 2 AS a, sum(x) AS huge, 1.5::DECIMAL(5,2) AS d, 'nan'::DOUBLE AS n, 'inf'::FLOAT AS f,"
        " [1, 2] AS l, {'k': 'v'} AS s, '\\x00a'::BLOB AS b, INTERVAL 1 DAY AS i, NULL AS z, true AS t,"
        " DATE '2026-01-02' AS day, TIMESTAMP 'infinity' AS ever, TIMESTAMP '0044-03-15 (BC)' AS bc,"
        " TIMESTAMPTZ '2026-01-02 03:04:05+02' AS at, $text AS told FROM range(9223372036854775807 - 1,"
        " 9223372036854775807) r(x), range(2)",
        text="it's; -- all right",
    )
    row = dict(zip([column.name for column in answer.columns], rows[0], strict=True))
    assert row["huge"] == 2 * (2**63 - 2)
    assert (row["a"], row["a_1"], row["d"], row["n"], row["f"], row["z"], row["t"]) == (
        1,
        2,
        1.5,
        None,
        None,
        None,
        True,
    )
    assert (row["l"], row["s"], row["b"], row["i"]) == ([1, 2], {"k": "v"}, "\\x00a", "1 day")
    assert (row["day"], row["ever"]) == (datetime(2026, 1, 2, tzinfo=UTC), "infinity")
    assert "BC" in str(row["bc"])
    assert (row["at"], row["told"]) == (datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC), "it's; -- all right")


def test_the_order_of_an_answer_is_the_questions(file: Path) -> None:
    """What runs as a part of another question keeps its ORDER BY and its LIMIT; a comment ends nothing."""
    _, rows = _asked([file], "SELECT * FROM range(100000) ORDER BY 1 DESC LIMIT 5000 -- newest first;")
    assert [row[0] for row in rows] == list(range(99999, 94999, -1))


@pytest.mark.parametrize("sql", REFUSED)
def test_sql_that_is_no_question_over_the_views_is_refused(sql: str, file: Path) -> None:
    """It writes nothing, reads no other file, changes no setting; one line names the views."""
    folder, before = file.parent, {each: each.read_bytes() for each in file.parent.iterdir()}
    sql = sql.format(
        file=str(file).replace("'", "''"), folder=folder, other=folder / "other.parquet", name=folder.name
    )
    with pytest.raises(UsageError, match="expected one SELECT over process_minutes") as refused:
        _asked([file], sql)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 700
    assert {each: each.read_bytes() for each in folder.iterdir()} == before


def test_pythons_own_variables_are_no_tables(file: Path) -> None:
    """DuckDB would read what a variable of the program has; ours are not its tables."""
    for name in ("order", "views", "connection", "sandbox", "parameters", "described"):
        with pytest.raises(UsageError, match="expected one SELECT"):
            _asked([file], f'SELECT * FROM "{name}"')


@pytest.mark.parametrize("sql", ENDLESS)
def test_sql_that_never_ends_is_ended(sql: str, file: Path) -> None:
    """After the deadline one hears it in a line, and no child is left."""
    view = View.of(PROCESS_MINUTES, [str(file)])
    with (
        open_engine([view], deadline_s=1.0) as engine,
        pytest.raises(MonitordError, match=r"within 1 s; try a shorter period, or --timeout") as late,
    ):
        list(engine.ask(sql).rows)
    assert not isinstance(late.value, UsageError)
    assert _children() == []


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no limit of a process' memory")
@pytest.mark.parametrize("sql", GREEDY)
def test_sql_that_fills_the_memory_is_ended(sql: str, file: Path) -> None:
    """It gets no more than the limit and what the program itself needs."""
    with (
        open_engine([View.of(PROCESS_MINUTES, [str(file)])], memory_mb=64) as engine,
        pytest.raises(MonitordError, match=r"within 64 MB of memory"),
    ):
        list(engine.ask(sql).rows)
    assert _children() == []


def test_an_answer_is_bounded_and_says_so(file: Path) -> None:
    """Rows past the limit, values that are too long and too many columns: never silently."""
    with open_engine([View.of(PROCESS_MINUTES, [str(file)])], max_rows=10) as engine:
        answer = engine.ask("SELECT * FROM range(1000000000000)")
        assert len(list(answer.rows)) == 10
        assert answer.notes == ["only the first 10 rows; try -n for more, or a narrower question"]
        answer = engine.ask("SELECT repeat('é', 100000), 'short', [repeat('x', 100000)]")
        ((first, second, third),) = answer.rows
        assert (len(first), second, len(third)) == (65536, "short", 65536)
        assert answer.notes == ["2 values were cut: they were too long"]
        answer = engine.ask("SELECT " + ", ".join(["repeat('x', 60000)"] * 900))
        ((*cells,),) = answer.rows
        assert sum(map(len, cells)) <= 1 << 20
        with pytest.raises(UsageError, match="1001 columns, expected at most 1000"):
            engine.ask("SELECT " + ", ".join(["1"] * 1001))


def test_json_that_python_can_t_hold_stays_text_and_what_json_lacks_is_nothing(file: Path) -> None:
    """Nesting without end, numbers without end, no numbers: none of them ends the child."""
    deep, long = "[" * 30_000 + "]" * 30_000, "1" * 5000
    _, rows = _asked(
        [file],
        'SELECT $deep::JSON AS deep, $long::JSON AS long, \'{"a": 1e999, "b": [1]}\'::JSON AS huge,'
        " MAP {'a': 'nan'::DOUBLE} AS nan, 'Infinity'::JSON AS ever",
        deep=deep,
        long=long,
    )
    assert rows == [(deep, long, {"a": None, "b": [1]}, {"a": None}, None)]
    json.dumps(rows, allow_nan=False)


def test_a_row_of_the_longest_texts_arrives(file: Path) -> None:
    """A character may take twelve bytes on the way."""
    _, rows = _asked([file], "SELECT " + ", ".join(["repeat('😀', 65536)"] * 17))
    assert sum(len(str(cell)) for cell in rows[0]) == 1 << 20


@pytest.mark.parametrize("sql", ["SELECT '\udcff'", "SELECT $told"])
def test_bytes_that_are_no_text_are_wrong_sql(sql: str, file: Path) -> None:
    with pytest.raises(UsageError, match="expected one SELECT"):
        _asked([file], sql, told="\udcff")


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, 1e9, 1e300, float("inf"), float("nan")])
def test_a_deadline_that_is_none_is_refused(deadline_s: float) -> None:
    with pytest.raises(UsageError, match="invalid timeout"), open_engine([], deadline_s=deadline_s):
        pass


def test_who_reads_slowly_is_not_late(file: Path) -> None:
    """The deadline counts the work, not the time that a reader takes over its rows."""
    with open_engine([View.of(PROCESS_MINUTES, [str(file)])], deadline_s=2.0) as engine:
        answer = engine.ask("SELECT * FROM range(200000)")
        assert next(answer.rows) == (0,)
        time.sleep(2.5)
        assert sum(1 for _ in answer.rows) == 199999


def test_a_child_ends_when_who_asked_is_gone(tmp_path: Path) -> None:
    """kill -9 of the command line leaves no DuckDB at work."""
    program = (
        "from monitord.analytics.engine import open_engine\n"
        "with open_engine([]) as engine:\n"
        "    engine.ask('SELECT sleep_ms(600000)')\n"
    )
    asker = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[2])
    deadline_s = time.monotonic() + PATIENCE_S
    while not (found := _children(asker.pid)) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    asker.send_signal(signal.SIGKILL)
    asker.wait()
    while any(map(_is_there, found)) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert found
    assert not any(map(_is_there, found))


def test_a_torn_file_is_named(file: Path) -> None:
    """It fails the question with a line that says which file, and not as wrong SQL."""
    torn = file.with_name("torn.parquet")
    torn.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(MonitordError, match=r"cannot read what was stored: .*torn\.parquet") as failed:
        _asked([file, torn], "SELECT * FROM process_minutes")
    assert not isinstance(failed.value, UsageError)


def test_only_the_views_that_are_named_are_made(file: Path) -> None:
    """A torn file of another table does not matter; lists of the views have all of them."""
    torn = file.with_name("torn.parquet")
    torn.write_bytes(b"PAR1")
    views = [View.of(PROCESS_MINUTES, [str(file)]), View.of(INCIDENTS, [str(torn)])]
    with open_engine(views) as engine:
        assert list(engine.ask("SELECT pid FROM PROCESS_MINUTES").rows) == [(4321,)]
    with open_engine([views[0], View.of(INCIDENTS, [])]) as engine:
        assert list(engine.ask("SHOW TABLES").rows) == [("incidents",), ("process_minutes",)]


def _is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _children(pid: int | None = None) -> list[int]:
    if sys.platform != "linux":
        return []
    pid = pid or os.getpid()
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child) for child in listed if b"monitord.analytics" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
