"""`query` and `deployed` on the real command line: every form, one line for what is wrong, nothing hostile through."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from monitord.analytics.tables import INCIDENTS, TABLES
from monitord.analytics.tiering import Tiering, TierLimits
from monitord.cli.terminal import display_width
from monitord.model import Event, EventType, Incident
from monitord.storage import SQLiteProfileStore
from tests.cli.conftest import Cli
from tests.planting import HOSTILE, is_safe, plant

AT = datetime(2026, 3, 4, 12, tzinfo=UTC)
COUNT = "SELECT count(*) AS n FROM incidents"


def test_sql_is_answered_in_every_form(
    store: SQLiteProfileStore, incident: Incident, here: Cli, tmp_path: Path
) -> None:
    """The same rows as a table, JSON, JSON lines, CSV and Parquet, to stdout or into a file."""
    sql = "SELECT correlation_id, raised_at, value, pid, late, NULL AS nothing, [1, 2] AS list FROM incidents"
    raised = incident.alert.raised_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    row = {
        "correlation_id": incident.correlation_id, "raised_at": raised, "value": 97.0, "pid": 4321, "late": False,
        "nothing": None, "list": [1, 2],
    }  # fmt: skip
    assert json.loads(here("query", sql, "-o", "json").out) == [row]
    assert json.loads(here("query", sql, "--json").out) == [row]
    assert json.loads(here("query", sql, "-o", "jsonl").out) == row
    cells = next(csv.DictReader(io.StringIO(here("query", sql, "-o", "csv").out)))
    texts = [incident.correlation_id, raised, "97.0", "4321", "false", "", "[1, 2]"]
    assert cells == dict(zip(row, texts, strict=True))
    header, shown = here("query", sql).out.splitlines()
    assert header.split()[:2] == ["correlation_id", "raised_at"]
    assert shown.startswith(incident.correlation_id)
    for ending in ("json", "csv", "parquet"):
        said = here("query", sql, "-o", str(tmp_path / f"answer.{ending}"))
        assert (said.code, said.out) == (0, "")
        assert (tmp_path / f"answer.{ending}").stat().st_mode & 0o777 == 0o600
    assert json.loads((tmp_path / "answer.json").read_text()) == [row]
    (found,) = pq.read_table(tmp_path / "answer.parquet").to_pylist()
    assert found["raised_at"] == incident.alert.raised_at
    assert (found["list"], found["late"], found["nothing"]) == ("[1, 2]", False, None)


def test_no_row_is_an_empty_answer(incident: Incident, here: Cli) -> None:
    sql = "SELECT * FROM incidents WHERE pid = 0"
    assert here("query", sql, "-o", "json").out == "[]\n"
    assert here("query", sql, "-o", "jsonl").out == ""
    assert here("query", sql, "-o", "csv").out == ",".join(name for name, _ in INCIDENTS.columns) + "\r\n"
    said = here("query", sql)
    assert (said.code, said.out) == (0, "")
    assert "no row" in said.err


def test_a_period_holds_for_every_view(
    store: SQLiteProfileStore, new_incident: Callable[..., Incident], here: Cli
) -> None:
    """-S and -U bound what the views have; the end does not belong to it."""
    for hour in range(4):
        store.save_incident(new_incident(at=AT + timedelta(hours=hour)))
    for flags, count in (
        ((), 4),
        (("-S", "2026-03-04T13:00Z"), 3),
        (("-S", "2026-03-04T13:00Z", "-U", "2026-03-04T14:00Z"), 1),
    ):
        assert json.loads(here("query", COUNT, "-o", "json", *flags).out) == [{"n": count}]
    counted = "SELECT (SELECT count(*) FROM incidents) + (SELECT count(*) FROM query_table('incidents')) AS n"
    assert json.loads(here("query", counted, "-o", "json").out) == [{"n": 8}]


def test_events_of_the_store_are_a_view(store: SQLiteProfileStore, here: Cli) -> None:
    event = Event(EventType.JOB, AT, process_name="x", payload={"job": "tidy", "n": 3})
    store.events.store_event(event)
    sql = "SELECT event_type, taken_at, payload->>'$.n' AS n FROM events WHERE event_type = 'job'"
    assert json.loads(here("query", sql, "-o", "json").out) == [
        {"event_type": "job", "taken_at": "2026-03-04T12:00:00.000Z", "n": "3"}
    ]


def test_templates_are_listed_and_asked_by_name(incident: Incident, here: Cli, tmp_path: Path) -> None:
    """Ours and yours, with the values that one tells; the list has the views and their columns as well."""
    listed = json.loads(here("query", "--list", "-o", "json").out)
    assert [row["name"] for row in listed if row["kind"] == "view"] == [table.name for table in TABLES]
    assert {"peak-cpu", "growth"} < {row["name"] for row in listed if row["kind"] == "template"}
    assert "what-changed-since VERSION" in here("query", "--list").out
    folder = tmp_path / "config/monitord/queries"
    folder.mkdir(parents=True)
    (folder / "mine.sql").write_text(
        "-- Mine.\n-- $least float64 = 0: at least\n" + COUNT + " WHERE value >= $least"
    )
    assert "mine [least=0]" in here("query", "--list").out
    assert json.loads(here("query", "mine", "-o", "json").out) == [{"n": 1}]
    assert json.loads(here("query", "mine", "least=98", "-o", "json").out) == [{"n": 0}]
    found = json.loads(here("query", "hot-functions", "limit=1", "-o", "json").out)
    assert [(row["function"], row["incidents"]) for row in found] == [("fibonacci", 1)]


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        ((), 2, "invalid call: expected SQL in quotes or a template's name"),
        (("SELECT nothing FROM incidents",), 2, "expected one SELECT over incidents, events, hotspots"),
        (("DROP VIEW incidents",), 2, "invalid SQL: DROP is not a question"),
        (("COPY incidents TO 'x.csv'",), 2, "invalid SQL"),
        (("SELECT * FROM '/etc/passwd'",), 2, "invalid SQL"),
        (("nothing",), 3, "cannot find template 'nothing'; there are growth,"),
        (("what-changed-since",), 2, "expected what-changed-since VERSION"),
        (("peak-cpu", "limit=x"), 2, "invalid limit 'x', expected a whole number"),
        (("SELECT 1", "more"), 2, "'more' behind SQL"),
        (("SELECT count(*) FROM range(1000000000000)", "--timeout", "1s"), 1, "cannot answer within 1 s"),
        (("SELECT repeat('x', 2000000000)", "--memory", "32"), 1, "cannot answer within 32 MB of memory"),
        (("SELECT 9223372036854775807::HUGEINT + 1", "-o", "parquet"), 2, "invalid value for Parquet"),
        (("SELECT 1", "-o", "answer.doc"), 2, "answer.doc"),
        (("--list", "-o", "parquet"), 2, "invalid -o parquet with --list"),
    ],
)
def test_what_is_wrong_is_one_line(
    words: tuple[str, ...], code: int, line: str, incident: Incident, here: Cli
) -> None:
    said = here("query", *words)
    assert (said.code, said.out) == (code, "")
    assert line in said.err.splitlines()[0]
    assert "Traceback" not in said.err


def test_without_a_store_that_is_said(here: Cli) -> None:
    said = here("query", COUNT)
    assert said.code == 3
    assert "monitord run" in said.err


def test_nothing_is_left_in_the_temporary_folder(incident: Incident, here: Cli, tmp_path: Path) -> None:
    """What was read from the store lies beside no answer, however the question ended."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for sql in (COUNT, "SELECT nope FROM incidents", "SELECT error('x') FROM incidents"):
        here("query", sql, TMPDIR=str(scratch))
    assert list(scratch.iterdir()) == []


def test_hostile_texts_break_no_form_of_an_answer(
    store: SQLiteProfileStore, new_incident: Callable[..., Incident], here: Cli
) -> None:
    """Names of processes, and names of columns that SQL made of them."""
    for text in HOSTILE:
        incident = new_incident()
        store.save_incident(plant(incident, text, frozenset({"correlation_id", "role", "format"})))
    for sql in ("FROM incidents", 'SELECT process AS "a\x1b[31mb\u202e=c" FROM incidents'):
        table = here("query", sql, COLUMNS="80")
        assert table.code == 0, table.err
        assert all(is_safe(line) and display_width(line) <= 80 for line in table.out.splitlines())
        assert len(json.loads(here("query", sql, "-o", "json").out)) == len(HOSTILE)
        rows = list(csv.reader(io.StringIO(here("query", sql, "-o", "csv").out, newline="")))
        assert {len(row) for row in rows} == {len(rows[0])}
        assert not [cell for row in rows[1:] for cell in row if cell.startswith(("=", "+", "@"))]
        assert here("query", sql, "-o", "parquet", PYTHONIOENCODING="utf-8").code == 0


def test_a_deployed_version_is_that_of_later_incidents(
    store: SQLiteProfileStore, new_incident: Callable[..., Incident], here: Cli
) -> None:
    """`deployed` notes it, and the views have it: before the mark no version is known."""
    said = here("deployed", "main.py", "1.4.2", "--at", "2026-03-04T12:30Z")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("main.py: version 1.4.2 since 2026-03-04 12:30:00")
    for hour in (0, 1):
        store.save_incident(new_incident(at=AT + timedelta(hours=hour)))
    sql = "SELECT version FROM incidents ORDER BY raised_at"
    assert [row["version"] for row in json.loads(here("query", sql, "-o", "json").out)] == [None, "1.4.2"]
    sql = "SELECT DISTINCT hour, version FROM hotspots ORDER BY hour"
    assert [row["version"] for row in json.loads(here("query", sql, "-o", "json").out)] == [None, "1.4.2"]
    assert here("deployed", "main.py", "").code == 2
    assert here("deployed", "main.py", "1", "--at", "never").code == 2


def test_an_answer_has_each_row_of_every_tier_once(
    store: SQLiteProfileStore, new_incident: Callable[..., Incident], here: Cli, data_dir: Path
) -> None:
    """What lies in files, what the store has besides, and what only files have; a version stays with its rows."""
    here("deployed", "main.py", "1.4.2", "--at", "2026-03-04T12:30Z")
    first, second = new_incident(at=AT), new_incident(at=AT + timedelta(hours=1))
    store.save_incident(first)
    store.save_incident(second)
    Tiering(data_dir, TierLimits(warm_bytes=1 << 30, warm_days=36_500)).run()
    assert list((data_dir / "warm/incident").glob("*.parquet"))
    store.save_incident(new_incident(at=AT + timedelta(hours=2)))
    store.save_incident(new_incident(at=AT + timedelta(days=2)))
    told = [{"n": 4, "ids": 4, "versions": 3}]
    sql = "SELECT count(*) AS n, count(DISTINCT correlation_id) AS ids, count(version) AS versions FROM incidents"
    assert json.loads(here("query", sql, "-o", "json").out) == told
    store.drop_evidence([first.correlation_id, second.correlation_id])
    assert json.loads(here("query", sql, "-o", "json").out) == told
    (data_dir / "warm/incident/2026-03-04.parquet").write_bytes(b"PAR1 torn")
    said = here("query", sql, "-o", "json")
    assert (said.code, json.loads(said.out)) == (0, told)
    assert "it is damaged" in said.err


def test_the_version_of_a_warm_row_is_kept_when_the_mark_is_gone(
    store: SQLiteProfileStore, new_incident: Callable[..., Incident], here: Cli, data_dir: Path
) -> None:
    store.save_incident(new_incident(at=AT))
    here("deployed", "main.py", "1", "--at", "2026-03-04T11:00Z")
    tiering = Tiering(data_dir, TierLimits(warm_bytes=1 << 30, warm_days=36_500))
    tiering.run()
    store.state.delete_many([key for key in store.state.keys() if key.startswith("deployed/")])  # noqa: SIM118
    told = [{"version": "1"}]
    for _before_and_after_the_files_are_written_anew in range(2):
        for table in ("incidents", "hotspots"):
            sql = f"SELECT DISTINCT version FROM {table}"  # noqa: S608
            assert json.loads(here("query", sql, "-o", "json").out) == told, table
        tiering.run()
    here("deployed", "main.py", "2", "--at", "2026-03-04T11:30Z")
    assert json.loads(here("query", "SELECT version FROM incidents", "-o", "json").out) == [{"version": "2"}]


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_the_list_has_every_column_whole_at_any_width(
    here: Cli, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nowhere else does the command line tell the columns that SQL may name."""
    monkeypatch.setenv("COLUMNS", columns)
    out = here("query", "--list").out
    words = set(out.replace(",", " ").split())
    for table in TABLES:
        assert {name for name, _kind in table.columns} <= words, table.name
    assert "…" not in out


def test_on_a_narrow_screen_names_of_columns_are_cut_before_values(
    incident: Incident, here: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers of two digits stood below long names, and every file was cut to the same eight letters."""
    monkeypatch.setenv("COLUMNS", "60")
    sql = (
        "SELECT 'app/part_1.py' AS file, 12 AS self_percent_of_all_samples, 3 AS total_percent_of_all_samples"
    )
    name, values = here("query", sql).out.splitlines()
    assert values.split() == ["app/part_1.py", "12", "3"]
    assert "self_percent_o" in name
    monkeypatch.setenv("COLUMNS", "40")
    name, values = here("query", sql).out.splitlines()
    assert values.split() == ["app/part_1.py", "12", "3"]
    assert len(name) <= 40


def test_a_table_is_bounded_by_its_texts_and_says_so(incident: Incident, here: Cli) -> None:
    """It is drawn at once; the other forms go on as rows come."""
    sql = "SELECT repeat('x', 60000) AS text FROM range(500)"
    said = here("query", sql)
    assert said.code == 0
    assert 0 < said.out.count("xxx…") + said.out.count("xxxx") < 500 * 100
    assert "only the first 279 rows: their texts are too long; try -o jsonl" in said.err
    assert here("query", sql, "-o", "jsonl").out.count("\n") == 500


def test_the_names_of_columns_are_safe_in_a_spreadsheet(incident: Incident, here: Cli) -> None:
    sql = """SELECT 1 AS "=cmd|'/C calc'!A0", 2 AS "a\n\x1b[31m" """
    said = here("query", sql, "-o", "csv")
    assert is_safe(said.out.replace("\r\n", "\n"))
    (names, values) = csv.reader(io.StringIO(said.out))
    assert names[0].startswith("'=cmd")
    assert values == ["1", "2"]
