"""The questions with a name: each over rows whose answer is known, and a folder of one's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.analytics.engine import View, open_engine
from monitord.analytics.parquet import write_table
from monitord.analytics.tables import HOTSPOTS, INCIDENTS, MACHINE_MINUTES, PROCESS_MINUTES, TABLES, Table
from monitord.analytics.templates import FOLDER, parsed, template, templates
from monitord.errors import ConfigError, NotFoundError, UsageError

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
Rows = list[dict[str, Any]]


def _minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def _asked(tmp_path: Path, name: str, *told: str, **rows: Rows) -> Rows:
    """A template's answer over these rows, by table."""
    asked = template(name, [])
    views = []
    for table in TABLES:
        path = tmp_path / f"{table.name}.parquet"
        write_table(table, [_row(table, row) for row in rows.get(table.name, [])], path)
        views.append(View.of(table, [str(path)]))
    with open_engine(views) as engine:
        answer = engine.ask(asked.sql, asked.values(told))
        keys = [column.name for column in answer.columns]
        return [dict(zip(keys, row, strict=True)) for row in answer.rows]


def _row(table: Table, given: Mapping[str, Any]) -> tuple[object, ...]:
    names = [name for name, _kind in table.columns]
    assert given.keys() <= set(names)
    return tuple({"host_id": "h", **given}.get(name) for name in names)


def _hot(hour: int, function: str, self_samples: int, of: int, **more: Any) -> dict[str, Any]:
    told = {"process": "job", "taken_from": "capture", "incidents": 1, "total_samples": self_samples}
    at = {"hour": NOON + timedelta(hours=hour), "self_samples": self_samples, "process_samples": of}
    return {**told, **at, "function": function, **more}


def test_peak_cpu_is_each_process_busiest_minute(tmp_path: Path) -> None:
    """With the moment and the pid of that very minute; minutes without a number count for nothing."""
    seen = [("job", 1, 10.0), ("job", 2, 90.0), ("job", 3, 50.0), ("idle", 9, 1.0), ("job", 4, None)]
    rows = [
        {"taken_at": _minute(i), "process": name, "pid": pid, "cpu_percent": cpu}
        for i, (name, pid, cpu) in enumerate(seen)
    ]
    found = _asked(tmp_path, "peak-cpu", process_minutes=rows)
    assert [row["process"] for row in found] == ["job", "idle"]
    assert found[0] == {
        "process": "job", "peak_cpu_percent": 90.0, "at": _minute(1), "pid": 2, "mean_cpu_percent": 50.0, "minutes": 3,
    }  # fmt: skip
    assert [row["process"] for row in _asked(tmp_path, "peak-cpu", "i*", process_minutes=rows)] == ["idle"]
    assert len(_asked(tmp_path, "peak-cpu", "limit=1", process_minutes=rows)) == 1


def test_hot_functions_have_their_share_of_all_samples_of_their_process(tmp_path: Path) -> None:
    """Hours in which a function was not hot count as well, and each hour's samples once, however many rows."""
    rows = [
        _hot(0, "parse", 60, 100), _hot(0, "sleep", 30, 100), _hot(1, "sleep", 100, 100),
        _hot(1, "parse", 7, 10, process="other"), _hot(2, "parse", 99, 100, taken_from="baseline"),
    ]  # fmt: skip
    found = _asked(tmp_path, "hot-functions", hotspots=rows)
    assert [(row["process"], row["function"], row["self_percent"]) for row in found] == [
        ("other", "parse", 70.0), ("job", "sleep", 65.0), ("job", "parse", 30.0),
    ]  # fmt: skip
    assert found[1]["incidents"] == 2
    assert found[1]["last_hour"] == NOON + timedelta(hours=1)


def test_functions_of_one_name_in_two_modules_stay_apart(tmp_path: Path) -> None:
    rows = [_hot(0, "run", 10, 100, module="a"), _hot(0, "run", 20, 100, module="b")]
    found = _asked(tmp_path, "hot-functions", hotspots=rows)
    assert [(row["module"], row["self_percent"]) for row in found] == [("b", 20.0), ("a", 10.0)]


def test_worst_hours_have_incidents_first_and_then_busy_machines(tmp_path: Path) -> None:
    """An hour has the worst of its incidents and the busiest of its minutes, one without incidents is there too."""
    incidents = [
        {"correlation_id": f"i{i}", "raised_at": _minute(at), "severity": severity, "process": f"p{i}"}
        for i, (at, severity) in enumerate([(1, 1.0), (59, 3.0), (60, 9.0)])
    ]
    minutes = [
        {"taken_at": _minute(at), "machine_percent": percent, "memory_percent": 100 - percent}
        for at, percent in [(0, 10.0), (59, 70.0), (125, 99.0), (185, 98.0)]
    ]
    found = _asked(tmp_path, "worst-hours", incidents=incidents, machine_minutes=minutes)
    assert [(row["hour"].hour, row["incidents"], row["worst_incident"]) for row in found] == [
        (12, 2, "i1"), (13, 1, "i2"), (14, 0, None), (15, 0, None),
    ]  # fmt: skip
    assert (found[0]["worst_severity"], found[0]["worst_process"]) == (3.0, "p1")
    assert (found[0]["peak_machine_percent"], found[0]["peak_memory_percent"]) == (70.0, 90.0)
    assert found[1]["peak_machine_percent"] is None


def test_what_changed_since_a_version_compares_shares_before_and_after_it_came(tmp_path: Path) -> None:
    """After is its first hour, as far as it ran then, and all later ones; before is all that ran earlier."""
    rows = [
        _hot(0, "parse", 10, 100, version="1"), _hot(0, "sleep", 50, 100, version="1"),
        _hot(1, "parse", 20, 100, version=None),
        _hot(2, "parse", 30, 100, version="1"), _hot(2, "parse", 90, 100, version="2"),
        _hot(3, "parse", 70, 100, version="2"), _hot(4, "fresh", 40, 200, version="3"),
        _hot(3, "parse", 99, 100, version="7", process="other"),
        _hot(0, "parse", 100, 100, version="1", taken_from="baseline"),
    ]  # fmt: skip
    found = _asked(tmp_path, "what-changed-since", "2", hotspots=rows)
    told = {row["function"]: row for row in found}
    assert {row["process"] for row in found} == {"job"}
    assert [(told["parse"][key]) for key in ("self_percent_before", "self_percent_after", "change_points")] == [
        20.0, 40.0, 20.0,
    ]  # fmt: skip
    assert (told["parse"]["samples_before"], told["parse"]["samples_after"]) == (300, 400)
    assert (told["sleep"]["self_percent_before"], told["sleep"]["self_percent_after"]) == (
        pytest.approx(50 / 3),
        0.0,
    )
    assert (told["fresh"]["self_percent_before"], told["fresh"]["self_percent_after"]) == (0.0, 10.0)
    assert found[0]["function"] == "parse"
    first = _asked(tmp_path, "what-changed-since", "1", hotspots=rows)
    assert all(row["self_percent_before"] is None and row["change_points"] is None for row in first)
    assert _asked(tmp_path, "what-changed-since", "nothing", hotspots=rows) == []


def test_growth_is_a_line_through_a_process_minutes(tmp_path: Path) -> None:
    """Bytes an hour of each process; what shrinks, what is still and what was seen too seldom is left out."""
    rows = [
        {"taken_at": _minute(i), "process": name, "pid": pid, "rss_bytes": start + i * step}
        for name, pid, start, step, count in [
            ("leak", 1, 1000, 10, 40), ("leak", 2, 1000, 100, 40), ("still", 3, 500, 0, 40),
            ("shrinks", 4, 9000, -10, 40), ("seldom", 5, 0, 1000, 29),
        ]
        for i in range(count)
    ]  # fmt: skip
    found = _asked(tmp_path, "growth", process_minutes=rows)
    assert [(row["process"], row["pid"]) for row in found] == [("leak", 2), ("leak", 1)]
    assert found[0]["rss_bytes_per_h"] == pytest.approx(6000)
    assert found[0]["steadiness"] == pytest.approx(1)
    assert (found[0]["first_rss_bytes"], found[0]["last_rss_bytes"]) == (1000, 4900)
    assert (found[0]["first_at"], found[0]["last_at"], found[0]["minutes"]) == (_minute(0), _minute(39), 40)
    seldom = _asked(tmp_path, "growth", "minutes=29", process_minutes=rows)
    assert seldom[0]["process"] == "seldom"


def test_the_quietest_baseline_is_an_hour_without_an_incident(tmp_path: Path) -> None:
    """Neither one that was raised in it nor one that went on in it; and recorded for long enough."""
    quiet = {12: 5.0, 13: 1.0, 14: 2.0, 15: 30.0, 16: 3.0}
    minutes = [
        {"taken_at": NOON + timedelta(hours=hour - 12, minutes=i), "machine_percent": percent + i % 2}
        for hour, percent in quiet.items()
        for i in range(20 if hour == 16 else 60)
    ]
    incident = {
        "correlation_id": "i", "crossed_at": NOON + timedelta(hours=1, minutes=50),
        "raised_at": NOON + timedelta(hours=1, minutes=55), "ended_at": NOON + timedelta(hours=2, minutes=5),
    }  # fmt: skip
    found = _asked(tmp_path, "quietest-baseline", machine_minutes=minutes, incidents=[incident])
    assert [row["hour"].hour for row in found] == [12, 15]
    assert (found[0]["mean_machine_percent"], found[0]["peak_machine_percent"], found[0]["minutes"]) == (
        5.5,
        6.0,
        60,
    )


def test_every_template_is_tried_above_and_says_what_it_answers() -> None:
    """A new one is not forgotten here."""
    ours = templates([])
    assert set(ours) == {path.stem for path in FOLDER.iterdir()}
    assert set(ours) == {
        "peak-cpu", "hot-functions", "worst-hours", "what-changed-since", "growth", "quietest-baseline",
    }  # fmt: skip
    for each in ours.values():
        assert each.says.endswith(".")
        assert all(f"${one.name}" in each.sql.rpartition("--")[2] + each.sql for one in each.parameters)


def test_a_template_over_nothing_answers_with_nothing(tmp_path: Path) -> None:
    for name in templates([]):
        told = ["1"] if name == "what-changed-since" else []
        assert _asked(tmp_path, name, *told) == []


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ([], "expected what-changed-since VERSION"),
        (["1", "*", "3", "4"], "invalid parameter '4'"),
        (["version=1", "version=2"], "invalid parameter 'version=2'"),
        (["1", "limits=5"], "invalid parameter 'limits=5'"),  # no process of that name
        (["1", "limit=many"], "invalid limit 'many', expected a whole number"),
        (["1", f"limit={2**63}"], "expected a whole number"),
    ],
)
def test_values_that_do_not_fit_are_refused(told: list[str], error: str) -> None:
    with pytest.raises(UsageError, match=error.replace("*", r"\*")):
        template("what-changed-since", []).values(told)


def test_a_value_is_a_value_and_never_sql(tmp_path: Path) -> None:
    """Quotes and comments change nothing; what looks like a parameter of another name is refused."""
    rows = [{"taken_at": NOON, "process": "job", "pid": 1, "cpu_percent": 1.0}]
    for value in ("' OR 1=1 --", "'; DROP VIEW process_minutes; --", "$limit", "*' OR '1", "process=x=1"):
        assert _asked(tmp_path, "peak-cpu", value, process_minutes=rows) == []


def test_your_own_templates_stand_beside_ours_and_before_them(tmp_path: Path) -> None:
    """One of the same name counts in place of ours; what is no template is passed over."""
    (tmp_path / "mine.sql").write_text("-- What I ask.\n-- $x float64 = 1.5: a number\nSELECT $x")
    (tmp_path / "growth.sql").write_text("SELECT 1")
    (tmp_path / "notes.txt").write_text("nothing")
    found = templates([tmp_path / "missing", tmp_path])
    assert (found["mine"].says, found["mine"].usage) == ("What I ask.", "mine [x=1.5]")
    assert found["mine"].values(["2"]) == {"x": 2.0}
    assert found["growth"].source.parent == tmp_path
    assert template("growth", [tmp_path]).sql == "SELECT 1"
    with pytest.raises(
        NotFoundError, match=r"cannot find template 'mini'; there are growth, .*mine.* 'SELECT …'"
    ):
        template("mini", [tmp_path])
    for name in ("../mine", "/etc/passwd", "", "a/b", "MINE"):
        with pytest.raises(NotFoundError):
            template(name, [tmp_path])


@pytest.mark.parametrize(
    "text",
    [
        "-- a\n-- $x nothing = 1: y\nSELECT 1",
        "-- $x\nSELECT 1",
        "x" * 70000,
    ],
)
def test_a_template_that_is_wrong_is_named_with_its_file(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mine\.sql"):
        parsed("mine", text, tmp_path / "mine.sql")


@pytest.mark.root
def test_root_takes_no_template_that_others_can_change(tmp_path: Path) -> None:
    """It is trusted as a configuration is: by every part of its path."""
    path = tmp_path / "mine.sql"
    path.write_text("SELECT 1")
    assert template("mine", [tmp_path]).sql == "SELECT 1"
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="can be written by others"):
        template("mine", [tmp_path])
    path.chmod(0o600)
    os.chown(path, 65534, 65534)
    with pytest.raises(ConfigError, match="belongs to"):
        templates([tmp_path])


def test_the_tables_of_these_tests_are_the_frozen_ones() -> None:
    """A template names no column that is not there: DuckDB itself has bound each above, over all of them."""
    assert {table.name for table in (INCIDENTS, HOTSPOTS, PROCESS_MINUTES, MACHINE_MINUTES)} < {
        table.name for table in TABLES
    }
