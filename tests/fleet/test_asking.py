"""The questions to a fleet find what was planted in it, and say what they could not read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.made_fleet import EVERYWHERE, HOTTER, LAST_DAY, NEW, OLD, Made, make_fleet, path_of
from monitord.analytics.parquet import schema_of
from monitord.analytics.tables import HOTSPOTS, INCIDENTS, MACHINE_MINUTES, TABLES, Table
from monitord.errors import MonitordError, UsageError
from monitord.fleet.asking import Found, ask, asking, pattern
from monitord.fleet.bucket import Scope, open_bucket
from monitord.fleet.compacting import compact
from monitord.fleet.questions import (
    COMPARE,
    HOSTS,
    HOT,
    MACHINE,
    PROCESSES,
    QUESTIONS,
    RECENT,
    SAME,
    Question,
)
from tests.fleet.hosts import ANY

LAST = datetime(LAST_DAY.year, LAST_DAY.month, LAST_DAY.day, tzinfo=UTC)


def answered(made: Made, question: Question, scope: Scope | None = None, **values: Any) -> Found:
    needed = {name: ANY[name] for name in question.parameters if name in ANY}
    bucket = open_bucket(made.root.as_uri())
    try:
        return ask(bucket, question, scope or Scope(LAST), **{**needed, **values})
    finally:
        bucket.close()


def test_the_function_that_got_hotter_after_a_version_is_first_with_the_hosts_that_have_it(
    trapped: Made,
) -> None:
    """Each host is compared with itself; those that never had the version are not counted."""
    upgraded = trapped.upgraded - {"latecomer"}
    for before in ("", OLD):
        first = answered(trapped, COMPARE, before=before).rows[0]
        assert first["function"] == HOTTER
        assert first["hosts"] == first["hosts_hotter"] == len(upgraded)
        assert first["ratio"] == pytest.approx(1.6, abs=0.2)
    assert answered(trapped, COMPARE, version="9.9").rows == []


def test_an_incident_on_many_hosts_is_one_line_though_the_clock_would_cut_it(trapped: Made) -> None:
    """The planted one began at 03:03 and ended at 03:07: two buckets of five minutes."""
    first = answered(trapped, SAME).rows[0]
    assert (first["what"], first["hosts"]) == (EVERYWHERE, len(trapped.struck))
    assert first["ended_at"] - first["began_at"] <= timedelta(seconds=300)
    assert answered(trapped, SAME, hosts=len(trapped.struck) + 1).rows == []


def test_windows_that_meet_are_one_line_and_a_later_one_another(tmp_path: Path) -> None:
    """Incidents two minutes apart on ten hosts are one chain; an hour later begins another."""
    made = _incidents(tmp_path, [(host, 120 * host) for host in range(10)] + [(1, 7200), (2, 7210)])
    rows = answered(made, SAME).rows
    assert [(row["hosts"], row["began_at"].hour) for row in rows] == [(3, 0), (2, 2)]


def test_a_host_that_repeats_itself_is_one_host(tmp_path: Path) -> None:
    """Ten incidents of one host are no incident of the fleet."""
    assert answered(_incidents(tmp_path, [(1, 10 * n) for n in range(10)]), SAME).rows == []


def test_hosts_are_all_there_with_the_last_that_was_heard(trapped: Made) -> None:
    """007 is a name; a host whose day is not there yet shows until when it was heard of; a torn file is said."""
    found = answered(trapped, HOSTS, Scope(LAST - timedelta(days=1)))
    by_name = {row["host_id"]: row for row in found.rows}
    assert by_name.keys() == set(trapped.hosts)
    assert by_name["007"]["last_at"].date() == LAST_DAY
    assert by_name["latecomer"]["minutes"] < by_name["007"]["minutes"]
    assert by_name["host-0001"]["cpu_count"] == 8
    assert len(found.notes) == 1
    assert "host=stranger" in found.notes[0]
    assert sum(row["incidents"] for row in found.rows) == trapped.incidents


def test_recent_has_each_incident_once_newest_first(trapped: Made) -> None:
    """Of all days, hosts and versions of the files."""
    rows = answered(trapped, RECENT, Scope()).rows
    assert len(rows) == trapped.incidents
    assert [row["raised_at"] for row in rows] == sorted((row["raised_at"] for row in rows), reverse=True)
    assert len({(row["host_id"], row["correlation_id"]) for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ({"process": pattern("SVC-1")}, lambda row: "svc-1" in row["process_name"]),
        (
            {"process": pattern("svc-?")},
            lambda row: len(row["process_name"]) == 5 and row["process_name"][:4] == "svc-",
        ),
        ({"function": pattern("db.*")}, lambda row: row["hottest_function"].startswith("db.")),
        ({"unit": pattern("%")}, lambda row: False),
        ({"text": pattern("of one core")}, lambda row: True),
        ({"rule": "cpu-hog"}, lambda row: True),
        ({"rule": "cpu"}, lambda row: False),
        ({"user": "app", "metric": "cpu", "cause": "computing"}, lambda row: True),
        ({"pinned": True}, lambda row: False),
        ({"incident": pattern("00000001*")}, lambda row: row["host_id"] == "host-0001"),
    ],
    ids=str,
)
def test_the_filters_are_those_of_recent(trapped: Made, values: dict[str, Any], fits: Any) -> None:
    """A part of a name or a pattern, whatever its case; letters that LIKE knows are themselves."""
    rows = answered(trapped, RECENT, Scope()).rows
    assert answered(trapped, RECENT, Scope(), **values).rows == [row for row in rows if fits(row)]


def test_hot_counts_a_process_samples_once_an_hour(trapped: Made) -> None:
    """A share is of what the process was sampled, not of the hours in which the function was seen."""
    rows = answered(trapped, HOT, Scope(LAST, None, "host-0004"), function=HOTTER).rows
    assert [row["hosts"] for row in rows] == [1]
    assert 0 < rows[0]["self_share_mean"] <= rows[0]["self_share_max"] < 0.1


def test_one_host_at_a_moment(trapped: Made) -> None:
    """Who ran there, and how the machine was."""
    around = Scope(LAST + timedelta(hours=3), LAST + timedelta(hours=6), "host-0005")
    processes = answered(trapped, PROCESSES, around).rows
    assert [row["cpu_percent_max"] for row in processes] == sorted(
        (row["cpu_percent_max"] for row in processes), reverse=True
    )
    assert {row["host_id"] for row in processes} == {"host-0005"}
    machine = answered(trapped, MACHINE, around).rows
    assert [row["taken_at"].hour for row in machine] == [3, 4, 5]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_every_question_answers_a_fleet_that_is_empty(tmp_path: Path, question: Question) -> None:
    """No rows and no error: nobody has shipped yet."""
    (tmp_path / "v1").mkdir()
    found = answered(Made(tmp_path, (), [], set(), set()), question)
    assert (found.rows, found.notes) == ([], ())
    assert found.columns


def test_damage_inside_a_file_costs_that_file(tmp_path: Path) -> None:
    """It is found by reading all to their ends, once, when DuckDB stopped."""
    made = make_fleet(tmp_path, 4)
    path = path_of(tmp_path, MACHINE_MINUTES, LAST_DAY, "host-0002")
    at = pq.ParquetFile(path).metadata.row_group(0).column(2)  # machine_percent
    begin = min(filter(None, (at.dictionary_page_offset, at.data_page_offset)))
    data = bytearray(path.read_bytes())
    data[begin : begin + 40] = b"\xff" * 40
    path.write_bytes(bytes(data))
    found = answered(made, HOSTS)
    assert {row["host_id"] for row in found.rows if row["minutes"]} == {"host-0000", "host-0001", "host-0003"}
    assert "damaged inside" in found.notes[0]


def test_sql_of_ones_own_reads_the_tables_and_nothing_else(trapped: Made) -> None:
    """One SELECT over the views; a file beside them is refused."""
    bucket = open_bucket(trapped.root.as_uri())
    with asking(bucket, "SELECT count(*) AS n, count(DISTINCT host_id) FROM incidents", Scope()) as answer:
        assert next(answer.rows)[0] == trapped.incidents
    for sql in ("SELECT 1", "SELECT * FROM read_csv('/etc/passwd'), incidents", "DROP VIEW incidents"):
        with pytest.raises(UsageError), asking(bucket, sql, Scope()) as answer:
            list(answer.rows)


def _incidents(root: Path, when: list[tuple[int, int]]) -> Made:
    """Hosts of which each has incidents at these seconds of the day, all of the same kind."""
    import numpy as np

    from benchmarks.made_fleet import write
    from monitord.analytics.tables import INCIDENTS

    begin_us = int(LAST.timestamp()) * 1_000_000
    for host in {host for host, _ in when}:
        at = [second for one, second in when if one == host]
        write(
            root,
            INCIDENTS,
            LAST_DAY,
            f"host-{host}",
            {
                "correlation_id": [f"{host}-{number}" for number in range(len(at))],
                "raised_at": begin_us + np.array(at, np.int64) * 1_000_000,
                "rule": ["cpu-hog"] * len(at),
                "function": ["f"] * len(at),
            },
            len(at),
        )
    return Made(root, (LAST_DAY,), [], set(), set())


def _lying(table: Table, rows: int, **cells: Any) -> pa.Table:
    """Rows of a table: cells by the name of their column, else by its kind; lists have one for each row."""
    plain = {"text": "x", "int64": 1, "float64": 1.0, "bool": False, "time": LAST}
    columns = {name: cells.get(name, cells.get(kind, plain[kind])) for name, kind in table.columns}
    held = {name: one if isinstance(one, list) else [one] * rows for name, one in columns.items()}
    return pa.table(held, schema=schema_of(table))


def _put(made: Made, table: Table, rows: pa.Table) -> None:
    path = path_of(made.root, table, LAST_DAY, "evil")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path)


@pytest.mark.parametrize(("integer", "real"), [(2**63 - 1, 1e308), (-(2**63), float("nan"))])
def test_no_number_of_one_host_breaks_the_answer_for_all(tmp_path: Path, integer: int, real: float) -> None:
    """Sums, shares and means of a lying host; the others' functions are still found."""
    made = make_fleet(tmp_path / "fleet", 5)
    for table in TABLES:
        lies = {"version": [NEW, OLD, OLD], "taken_from": "capture", "int64": integer, "float64": real}
        if table is HOTSPOTS:
            lies |= {"hour": [LAST.replace(hour=20), LAST, LAST], "process_samples": [1, 1, 2**63 - 1]}
        _put(made, table, _lying(table, 3, **lies))
    for question in QUESTIONS:
        host: dict[str, Any] = {"host": "evil"} if question in (PROCESSES, MACHINE) else {}
        found = answered(made, question, **host)
        assert not found.notes, question.name
    assert any(row["function"] == HOTTER for row in answered(made, COMPARE).rows)


def test_a_host_that_raises_without_end_does_not_keep_others_from_being_found(tmp_path: Path) -> None:
    """Its own would be paired with each other: 10,000 million pairs, past any deadline."""
    made = make_fleet(tmp_path / "fleet", 10)
    names = [f"i{number}" for number in range(INCIDENTS.most_rows)]
    _put(made, INCIDENTS, _lying(INCIDENTS, len(names), correlation_id=names, raised_at=LAST))
    found = answered(made, SAME)
    assert any(row["what"] == EVERYWHERE for row in found.rows)
    assert found.notes == ()


def test_a_host_with_more_rows_than_any_has_in_a_day_is_left_out_and_named(tmp_path: Path) -> None:
    """Its rows would take all memory, and nobody would have an answer; compaction leaves its file alone."""
    made = make_fleet(tmp_path / "fleet", 10)
    before = [answered(made, question).rows for question in (SAME, RECENT)]
    names = [f"i{number}" for number in range(INCIDENTS.most_rows + 1)]
    _put(made, INCIDENTS, _lying(INCIDENTS, len(names), correlation_id=names, raised_at=LAST))
    for _ in range(2):
        for question, rows in zip((SAME, RECENT), before, strict=True):
            found = answered(made, question)
            assert found.rows == rows
            assert found.notes == (
                "passed over incident/date=2026-11-20/host=evil/day.parquet:"
                " has more than 100,000 rows, which no host has in a day",
            )
        bucket = open_bucket(made.root.as_uri())
        compact(bucket, INCIDENTS, LAST_DAY)
        bucket.close()


@pytest.mark.parametrize("question", [HOSTS, RECENT, HOT, SAME], ids=lambda question: question.name)
def test_days_beyond_tomorrow_stand_before_no_true_one_and_are_named(
    tmp_path: Path, question: Question
) -> None:
    """A clock was ahead: its host is named with what shows its rows, and they are shown when asked for."""
    made = make_fleet(tmp_path / "fleet", 5)
    before = answered(made, question)
    ahead = datetime.now(UTC) + timedelta(days=400)
    for table in TABLES:
        columns = {"version": NEW, "taken_from": "capture", "int64": 1, "float64": 1.0}
        rows = _lying(table, 3, **columns, correlation_id=["a", "b", "c"], **{table.at: ahead})
        path = path_of(made.root, table, ahead.date(), "ahead")
        path.parent.mkdir(parents=True)
        pq.write_table(rows, path)
    found = answered(made, question)
    assert found.rows == before.rows
    (note,) = found.notes
    until = ahead.date() + timedelta(days=1)
    assert note == f"left out days beyond tomorrow of ahead: a clock was ahead; --until {until} shows them"
    with asking(open_bucket(made.root.as_uri()), "SELECT max(raised_at) FROM incidents", Scope()) as answer:
        ((latest,),) = answer.rows
        assert latest < datetime.now(UTC) < ahead
        assert answer.notes == [note]
    shown = answered(made, question, Scope(LAST, ahead + timedelta(days=1)))
    assert shown.notes == ()
    assert shown.rows != before.rows or question is SAME


@pytest.mark.parametrize("limits", [{"deadline_s": 0.2}, {"memory_mb": 16}], ids=["late", "too large"])
def test_a_question_that_takes_too_much_names_options_that_are_there(tmp_path: Path, limits: Any) -> None:
    """`fleet` has neither --timeout nor --memory: another day or fewer hosts are what one can type."""
    made = make_fleet(tmp_path, 3)
    bucket = open_bucket(made.root.as_uri())
    many = "SELECT list(a.pid) FROM process_minutes a, process_minutes b, process_minutes c GROUP BY a.cpu_percent + b.rss_bytes"
    with (
        pytest.raises(MonitordError, match="cannot answer within") as refused,
        asking(bucket, many, Scope(), **limits) as answer,
    ):
        list(answer.rows)
    bucket.close()
    assert str(refused.value).endswith("; try a later --since, or fewer hosts with --host")
