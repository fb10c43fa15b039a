"""Engines past one machine: Spark and ClickHouse answer every question as DuckDB does, traps and all.

One Spark session for all of them: it takes twenty seconds to begin.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made_fleet import HOTTER, LAST_DAY, OLD, Made
from monitord.actions.fleet import Asked
from monitord.actions.fleet_engines import ask_elsewhere
from monitord.actions.workspace import Workspace
from monitord.analytics.tables import TABLES, Table
from monitord.errors import MonitordError
from monitord.fleet import layout
from monitord.fleet.asking import ask, pattern
from monitord.fleet.bucket import Scope, open_bucket
from monitord.fleet.engines import CLICKHOUSE, DIALECTS, SPARK, filled, script
from monitord.fleet.engines.spark import ask_spark
from monitord.fleet.questions import (
    COMPARE,
    HOSTS,
    HOT,
    MACHINE,
    PROCESSES,
    QUESTIONS,
    RECENT,
    RULES,
    SAME,
    Question,
)
from tests.fleet.hosts import ANY

LAST = datetime(LAST_DAY.year, LAST_DAY.month, LAST_DAY.day, tzinfo=UTC)
SINCE, UNTIL = LAST - timedelta(days=1), LAST + timedelta(days=1)
ASKED: list[tuple[Question, str, dict[str, Any]]] = [
    (HOSTS, "", {}),
    (HOSTS, "host-00*", {"limit": 7}),
    (RECENT, "", {}),
    (RECENT, "007", {}),
    (RECENT, "", {"text": pattern("cpu"), "limit": 20}),
    (RECENT, "", {"process": pattern("svc-1?"), "function": pattern("o'rders\\%_")}),
    (RECENT, "", {"pinned": True}),
    (HOT, "", {}),
    (HOT, "", {"function": HOTTER}),
    (SAME, "", {}),
    (SAME, "", {"window_s": 30, "hosts": 3}),
    (RULES, "", {}),
    (RULES, "host-00*", {"limit": 2}),
    (COMPARE, "", {}),
    (COMPARE, "", {"before": OLD, "process": pattern("svc*")}),
    (COMPARE, "", {"version": "9.9"}),
    (PROCESSES, "host-0005", {}),
    (PROCESSES, "007", {"limit": 3}),
    (MACHINE, "host-0005", {}),
    (MACHINE, "latecomer", {}),
]
IDS = [f"{question.name} {host} {values}" for question, host, values in ASKED]

FIRST = [next(each for each in ASKED if each[0] is question) for question in QUESTIONS]
OF_SPARK = [*FIRST, *(each for each in ASKED if {"text", "before", "window_s"} & each[2].keys())]
"""So many as one waits for: each takes Spark seconds."""


def values_of(question: Question, host: str, values: dict[str, Any]) -> dict[str, Any]:
    is_exact = question in (PROCESSES, MACHINE)
    given = {**ANY, "host": host if is_exact else pattern(host, is_whole=True), **values}
    return {name: given.get(name, {"since": SINCE, "until": UNTIL}.get(name)) for name in question.parameters}


def plain(rows: list[Any], columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows as every engine must give them, times in UTC."""
    return [{name: _plain(value) for name, value in zip(columns, row, strict=True)} for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat(timespec="microseconds")
    return float(value) if isinstance(value, Decimal) else value


def assert_alike(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """The same rows in the same order; shares to nine digits, because a decimal is cut here and rounded there."""
    assert [list(row) for row in found] == [list(row) for row in expected]
    for row, other in zip(found, expected, strict=True):
        for name, value in row.items():
            assert _is_alike(value, other[name]), (name, row, other)


def _is_alike(value: Any, other: Any) -> bool:
    if isinstance(value, float) and isinstance(other, int | float):
        return math.isclose(value, other, rel_tol=1e-9, abs_tol=1e-11)
    return bool(value == other)


def of_duckdb(made: Made, question: Question, host: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    bucket = open_bucket(made.root.as_uri())
    given = {
        name: value
        for name, value in values_of(question, host, values).items()
        if not isinstance(value, datetime)
    }
    try:
        found = ask(bucket, question, Scope(SINCE, UNTIL, host), **given)
    finally:
        bucket.close()
    return plain([row.values() for row in found.rows], found.columns)


@pytest.fixture(scope="module")
def spark() -> Iterator[None]:
    from pyspark.sql import SparkSession

    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    options = {
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.memory": "700m",
        "spark.ui.enabled": "false",
        # It lives for a minute: most of its CPU went into compiling itself ever better, and into collecting in parallel.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in options.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    yield
    session.stop()


@pytest.mark.parametrize(("question", "host", "values"), OF_SPARK)
def test_spark_answers_as_duckdb_does(
    spark: None, trapped: Made, question: Question, host: str, values: dict[str, Any]
) -> None:
    """A torn file, a later column, host=007, a late host and an empty day are in it."""
    given = values_of(question, host, values)
    columns, rows = ask_spark(trapped.root.as_uri(), question.sql, question.tables, given)
    assert_alike(plain(rows, columns), of_duckdb(trapped, question, host, values))


def test_spark_s_answer_says_that_nobody_knows_a_rule(spark: None, trapped: Made, tmp_path: Path) -> None:
    """Without a row a misspelt name looks like a quiet fleet."""
    told: list[str] = []
    (tmp_path / "config.toml").touch()
    here = Workspace(tmp_path / "data", tmp_path / "config.toml", told.append)
    asked = Asked(SINCE, UNTIL, url=trapped.root.as_uri())
    assert not ask_elsewhere(here, asked, ["recent", "rule=cpu-hogg"]).rows
    (line,) = told
    assert line.startswith("monitord: cannot find rule 'cpu-hogg' among what these hosts shipped")
    assert "cpu-hog, " in line


@pytest.fixture(scope="module")
def sound(trapped: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that DuckDB does not pass over: a torn one stops ClickHouse."""
    root = tmp_path_factory.mktemp("sound")
    bucket = open_bucket(trapped.root.as_uri())
    for table in TABLES:
        (root / layout.table_folder(table)).mkdir(parents=True)
        for one in bucket.shipped(table, Scope()):
            source = trapped.root / one.info.path
            if source.read_bytes()[-4:] == b"PAR1" and source.stat().st_size > 12:
                (root / one.info.path).parent.mkdir(parents=True, exist_ok=True)
                (root / one.info.path).write_bytes(source.read_bytes())
    bucket.close()
    return root


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from chdb import session

    opened = session.Session(str(tmp_path_factory.mktemp("clickhouse")))
    yield opened
    opened.close()


def of_clickhouse(
    session: Any, root: Path, question: Question, given: dict[str, Any]
) -> list[dict[str, Any]]:
    """As its own client would run what we print for it."""
    tables = [table for table in TABLES if table.name in question.tables]
    *views, asked = script(str(root), question.sql, tables, given, CLICKHOUSE).strip().split(";\n")
    for view in views:
        session.query(view)
    text = str(
        session.query(f"{asked.removesuffix(';')}, output_format_json_quote_64bit_integers = 0", "JSON")
    )
    told = json.loads(text)
    kinds = {each["name"]: each["type"] for each in told["meta"]}
    rows = [[_read(row[name], kinds[name]) for name in kinds] for row in told["data"]]
    return plain(rows, tuple(kinds))


def _read(value: Any, kind: str) -> Any:
    if value is not None and "DateTime64" in kind:
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return float(value) if value is not None and "Float64" in kind else value


@pytest.mark.parametrize(("question", "host", "values"), ASKED, ids=IDS)
def test_clickhouse_answers_as_duckdb_does(
    clickhouse: Any, sound: Path, trapped: Made, question: Question, host: str, values: dict[str, Any]
) -> None:
    given = values_of(question, host, values)
    expected = of_duckdb(trapped, question, host, values)
    assert_alike(of_clickhouse(clickhouse, sound, question, given), expected)


def test_every_question_is_asked_of_every_engine_and_finds_something(trapped: Made) -> None:
    """An engine that never found anything would agree with another one that never did."""
    assert {question.name for question, _, _ in ASKED} == {question.name for question in QUESTIONS}
    for first in FIRST:
        assert of_duckdb(trapped, *first)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize(
    "value", ["it's", "\\", "\\'", "a\nb", "--", "/*", "$limit", "{x:String}", "'; DROP TABLE x"]
)
def test_a_value_can_t_leave_its_text(dialect: Any, value: str, clickhouse: Any) -> None:
    """What somebody typed is a text in the engine, whatever stands in it."""
    said = filled("select $process as said", {"process": value}, dialect)
    if dialect is CLICKHOUSE:
        told = json.loads(str(clickhouse.query(said, "JSON")))
        assert told["data"] == [{"said": value}]
    else:
        inside = said.removeprefix("select '").removesuffix("' as said")
        assert inside.replace("\\\\", "").replace("\\'", "").count("'") == 0


def test_what_spark_refuses_is_one_line(spark: None, trapped: Made) -> None:
    with pytest.raises(MonitordError, match="cannot ask Spark: ") as refused:
        ask_spark(trapped.root.as_uri(), "select nothing from incidents", ("incidents",), {})
    assert "\n" not in str(refused.value)


def test_what_is_printed_for_a_client_reads_the_bucket_by_its_address() -> None:
    tables: list[Table] = [table for table in TABLES if table.name == "incidents"]
    given = values_of(RECENT, "", {})
    for url, dialect, part in (
        ("s3a://fleet/of-ours", SPARK, "path 's3a://fleet/of-ours/v1/incident'"),
        (
            "https://fleet.example.org/of-ours",
            CLICKHOUSE,
            "s3('https://fleet.example.org/of-ours/v1/incident/date=*",
        ),
    ):
        said = script(url, RECENT.sql, tables, given, dialect)
        assert part in said
        assert "$" not in said.replace("$')", "")


def test_iceberg_adopts_the_files_as_they_lie_and_refuses_foreign_ones(sound: Path, tmp_path: Path) -> None:
    """Whose row it is stands inside the file, too, because a table format forgets the folder."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyiceberg.catalog.sql import SqlCatalog

    from benchmarks.made_fleet import _TYPES
    from monitord.analytics.tables import INCIDENTS

    catalog = SqlCatalog("made", uri=f"sqlite:///{tmp_path}/catalogue.db", warehouse=tmp_path.as_uri())
    catalog.create_namespace("fleet")
    schema = pa.schema([pa.field(name, _TYPES[kind]) for name, kind in INCIDENTS.columns])
    table = catalog.create_table("fleet.incidents", schema=schema)
    counts, refused = 0, []
    for path in sorted((sound / layout.table_folder(INCIDENTS)).rglob("*.parquet")):
        try:
            table.add_files([str(path)])
            counts += pq.ParquetFile(path).metadata.num_rows
        except ValueError:
            refused.append(path.parent.name)
    assert counts > 50
    assert table.scan().to_arrow().num_rows == counts
    assert set(refused) <= {"host=stranger", "host=earlier", "host=newer"}
