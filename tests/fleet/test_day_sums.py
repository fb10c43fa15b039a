"""A day's sums answer as its hours do: whatever a day holds, wherever a question begins and ends."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.made_fleet import HOTTER, LAST_DAY, SMALL, Made, make_fleet, path_of
from monitord.analytics import sandbox
from monitord.analytics.engine import View
from monitord.analytics.parquet import read, schema_of, write_table
from monitord.analytics.tables import HOTSPOTS, TABLES
from monitord.fleet.asking import _is_whole, ask
from monitord.fleet.bucket import Scope, open_bucket
from monitord.fleet.compacting import compact
from monitord.fleet.day_sums import with_sums
from monitord.fleet.layout import DayFile
from monitord.fleet.questions import COMPARE, HOT, Question
from tests.fleet.hosts import ANY, Bucket, Host

FIRST = datetime(2026, 11, 19, tzinfo=UTC)
DAYS = (date(2026, 11, 19), date(2026, 11, 20))
NAMES = [name for name, _kind in HOTSPOTS.columns]
COUNTS = st.one_of(st.integers(0, 50), st.sampled_from([-1, 10**12, 10**12 + 1, None]))
ROWS = st.lists(
    st.tuples(
        st.integers(0, 5),  # hour
        st.sampled_from(["api", "job", None]),
        st.sampled_from(["1", "2", "3", None]),
        st.sampled_from(["f", "g"]),
        st.sampled_from(["m", None]),
        st.sampled_from(["a", "b"]),  # code
        st.sampled_from(["x.py", "y.py", None]),
        st.sampled_from([1, 2, None]),
        st.sampled_from(["ring", "ring", "capture", "baseline", None]),
        *([st.integers(0, 9)] * 3),
        st.integers(1, 100),
    ),
    max_size=25,
)
"""Numbers as they are; those that can't be come by `ODD`."""
ODD = st.lists(
    st.tuples(st.integers(0, 24), st.sampled_from(["incidents", "self_samples", "process_samples"]), COUNTS),
    max_size=1,
)
FILES = st.lists(st.tuples(ROWS, ODD, st.booleans()), min_size=4, max_size=4)


def rows_of_day(day: date, host: str, rows: Sequence[Any], odd: Sequence[Any]) -> list[tuple[object, ...]]:
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    made = []
    for hour, process, version, function, module, code, file, line, source, *counts in rows:
        own = (begin + timedelta(hours=hour * 4), process, version, function, module, None, code, file, line)
        made.append([host, *own, source, *counts])
    for at, name, value in odd:
        if at < len(made):
            made[at][NAMES.index(name)] = value
    return [tuple(row) for row in made]


def laid(root: Path, files: Sequence[Any], *, is_summed: bool) -> list[str]:
    """Files of two hosts and two days; of hosts that ship no sums at all some, too."""
    found = []
    places = itertools.product(DAYS, ("007", "web1"))
    for (day, host), (rows, odd, is_old) in zip(places, files, strict=True):
        path = root / DayFile(HOTSPOTS, day, host).path
        path.parent.mkdir(parents=True)
        made = rows_of_day(day, host, rows, odd)
        put(path, made, is_summed=is_summed and not is_old)
        found.append(str(path))
    return found


def put(path: Path, rows: Sequence[tuple[object, ...]], *, is_summed: bool) -> None:
    """As a host writes it, without waiting for the disk."""
    held = with_sums(HOTSPOTS, rows) if is_summed else rows
    schema = schema_of(HOTSPOTS, is_summed=is_summed)
    columns = list(zip(*held, strict=True)) or [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path, compression="zstd")


def answered(files: list[str], question: Question, scope: Scope, **values: Any) -> list[tuple[Any, ...]]:
    """As the child answers it, in this process."""
    whole = [str(day) for day in DAYS if _is_whole(day, scope)]
    views = [
        View.of_hosts(table, files if table is HOTSPOTS else (), whole_days=whole).as_plain()
        for table in TABLES
    ]
    notes: list[str] = []
    connection = sandbox.connect(views, 512, 1, question.sql, notes)
    given_ = {**ANY, **values, "since": scope.since, "until": scope.until, "host": ""}
    told = {name: given_[name] for name in question.parameters}
    found = connection.execute(question.sql, told).fetchall()
    connection.close()
    assert notes == []
    return list(found)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    files=FILES,
    begins=st.sampled_from([0, 0, 1, 25]),
    ends=st.sampled_from([48, 48, 47.99, 40, 30, 24]),
    version=st.sampled_from("123"),
    before=st.sampled_from(["", "1"]),
    function=st.sampled_from(["", "f"]),
)
def test_sums_answer_as_hours_do(
    tmp_path_factory: pytest.TempPathFactory,
    files: Any,
    begins: float,
    ends: float,
    version: str,
    before: str,
    function: str,
) -> None:
    """Versions that succeed each other and that run side by side, numbers that can't be, hosts without sums."""
    root = tmp_path_factory.mktemp("sums")
    scope = Scope(FIRST + timedelta(hours=begins), FIRST + timedelta(hours=ends))
    ways = [laid(root / str(is_summed), files, is_summed=is_summed) for is_summed in (True, False)]
    for question, values in (
        (HOT, {"function": function}),
        (COMPARE, {"version": version, "before": before, "factor": 1.0}),
    ):
        summed, hourly = (answered(way, question, scope, **values) for way in ways)
        assert summed == hourly
    shutil.rmtree(root)


def test_sums_are_taken_for_whole_days_and_only_there(tmp_path: Path) -> None:
    """Else the test above would compare hours with hours: here sums that are wrong are seen in the answer."""
    rows = [(hour, "api", "1", "f", "m", "a", "x.py", 1, "ring", 1, 5, 5, 10) for hour in range(6)]
    made = with_sums(HOTSPOTS, rows_of_day(DAYS[0], "web1", rows, ()))
    at = len(NAMES) + [name for name, _kind in HOTSPOTS.sums].index("day_incidents")
    assert [row[len(NAMES)] for row in made] == [6, 0, 0, 0, 0, 0]
    marked = [(*row[:at], row[at] and 1000, *row[at + 1 :]) for row in made]
    path = tmp_path / DayFile(HOTSPOTS, DAYS[0], "web1").path
    path.parent.mkdir(parents=True)
    write_table(HOTSPOTS, marked, path, is_summed=True)
    incidents = HOT.sql.count("incidents") and 6  # the seventh column of the answer
    for hours, expected in ((24, 1000), (23.5, 1000), (23, 6), (12, 3)):
        ((*found,),) = answered([str(path)], HOT, Scope(FIRST, FIRST + timedelta(hours=hours)))
        assert found[incidents] == expected, hours
    late = answered([str(path)], HOT, Scope(FIRST + timedelta(hours=1), FIRST + timedelta(hours=24)))
    assert late[0][incidents] == 5


@pytest.mark.parametrize(("question", "scans"), [(HOT, 1), (COMPARE, 2)], ids=["hot", "compare"])
def test_files_are_read_no_oftener_than_they_must(tmp_path: Path, question: Question, scans: int) -> None:
    """A thousand hosts' files take half of a question's time to open: what is asked of them is asked at once."""
    made = make_fleet(tmp_path, 3)
    files = [str(path_of(made.root, HOTSPOTS, LAST_DAY, host)) for host in made.hosts]
    view = View.of_hosts(HOTSPOTS, files, whole_days=[str(LAST_DAY)]).as_plain()
    connection = sandbox.connect([view], 512, 1, question.sql, [])
    given = {**ANY, "since": FIRST, "until": FIRST + timedelta(days=2), "host": ""}
    told = {name: given[name] for name in question.parameters}
    ((_kind, plan),) = connection.execute(f"EXPLAIN {question.sql}", told).fetchall()
    connection.close()
    assert plan.upper().count("READ_PARQUET") == scans


def test_versions_side_by_side_and_numbers_that_can_t_be_stand_for_themselves() -> None:
    """Of one process; the others have theirs."""
    good = [(hour, "job", "1", "f", "m", "a", "x.py", 1, "ring", 1, 5, 5, 10) for hour in range(3)]
    beside = [
        (hour, "api", version, "f", "m", "a", "x.py", 1, "ring", 1, 5, 5, 10)
        for hour in range(3)
        for version in "12"
    ]
    rows = rows_of_day(DAYS[0], "web1", [*good, *beside], ())
    assert [row[len(NAMES)] for row in with_sums(HOTSPOTS, rows)] == [3, 0, 0, *[1] * 6]
    odd = rows_of_day(DAYS[0], "web1", good, [(2, "process_samples", 10**12 + 1)])
    assert [row[len(NAMES)] for row in with_sums(HOTSPOTS, odd)] == [1] * 3


# ------------------------------------------------------------------------------------------ in a bucket


def without_sums(root: Path) -> None:
    names = [name for name, _kind in HOTSPOTS.sums]
    for path in (root / "v1" / HOTSPOTS.folder).rglob("*.parquet"):
        try:
            held = pq.ParquetFile(path).read()
        except pa.ArrowException:
            continue
        pq.write_table(held.drop_columns([name for name in names if name in held.column_names]), path)


def asked(root: Path, since: datetime) -> list[Any]:
    bucket = open_bucket(root.as_uri())
    found = []
    for question in (HOT, COMPARE):
        values = {name: ANY[name] for name in question.parameters if name in ANY}
        answer = ask(bucket, question, Scope(since, datetime(2026, 11, 21, tzinfo=UTC)), **values)
        found += [answer.rows, answer.notes]
    bucket.close()
    return found


@pytest.fixture
def both(tmp_path: Path) -> tuple[Made, Made]:
    """The same fleet twice, with all its traps and a torn file; the second has no sums."""
    made = make_fleet(tmp_path / "summed", 10, days=2, size=SMALL, traps=True)
    torn = path_of(made.root, HOTSPOTS, LAST_DAY, "host-0004")
    torn.write_bytes(torn.read_bytes()[:-50])
    shutil.copytree(made.root, tmp_path / "hourly")
    without_sums(tmp_path / "hourly")
    return made, Made(tmp_path / "hourly", made.days, made.hosts, made.upgraded, made.struck)


def test_a_fleet_with_sums_answers_as_without_before_and_after_compaction(both: tuple[Made, Made]) -> None:
    """A torn file, a later column, host=007, an older host, a late one, and one that ships its day again."""
    summed, hourly = (made.root for made in both)
    for since in (FIRST, FIRST + timedelta(hours=30)):
        answer = asked(summed, since)
        assert answer == asked(hourly, since)
        assert any(row["function"] == HOTTER for row in answer[2])
    late = path_of(summed, HOTSPOTS, LAST_DAY, "host-0003")
    whole = pq.ParquetFile(late).read()
    for root in (summed, hourly):
        bucket = open_bucket(root.as_uri())
        for day in both[0].days:
            assert compact(bucket, HOTSPOTS, day) is not None
        bucket.close()
    compacted = path_of(summed, HOTSPOTS, LAST_DAY, "host-0003").parents[1] / "host=_all" / "day.parquet"
    assert pq.ParquetFile(compacted).metadata.num_columns == len(HOTSPOTS.stored)
    for since in (FIRST, FIRST + timedelta(hours=30)):
        assert asked(summed, since) == asked(hourly, since)
    rows = list(zip(*(whole.column(name).to_pylist() for name in NAMES), strict=True))[: len(whole) // 2]
    for root in (summed, hourly):  # it ships its day once more, with fewer rows
        path = path_of(root, HOTSPOTS, LAST_DAY, "host-0003")
        path.parent.mkdir(exist_ok=True)
        put(path, rows, is_summed=root == summed)
    for since in (FIRST, FIRST + timedelta(hours=30)):
        assert asked(summed, since) == asked(hourly, since)


def test_a_host_ships_sums_and_nobodys_sql_sees_them(tmp_path: Path) -> None:
    """They are of the rows of the same file, also when the day is shipped again with more of them."""
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    bucket = Bucket(f"file://{tmp_path}/bucket")
    host = Host(tmp_path / "one", bucket.url)
    for count in (1, 2):
        host.save(noon + timedelta(minutes=count * 40))
        host.ship(noon + timedelta(hours=count))
        (path,) = (tmp_path / "bucket" / "v1" / HOTSPOTS.folder).rglob("*.parquet")
        held = pq.ParquetFile(path).read()
        assert held.schema.equals(schema_of(HOTSPOTS, is_summed=True))
        first = held.to_pylist()[0]
        assert (first["day_rows"], first["day_incidents"]) == (count, count)
        assert first["day_process_samples"] == 100 * count
        assert len(next(read(path, HOTSPOTS))) == len(HOTSPOTS.columns)


@pytest.mark.parametrize("lie", [2**63 - 1, -(2**63)])
def test_sums_that_lie_break_no_answer_for_others(tmp_path: Path, lie: int) -> None:
    made = make_fleet(tmp_path / "fleet", 5)
    plain: dict[str, Any] = {"text": "x", "int64": lie, "time": FIRST + timedelta(days=1), "float64": 1.0}
    cells = {name: [plain[kind]] * 3 for name, kind in HOTSPOTS.stored}
    path = path_of(made.root, HOTSPOTS, LAST_DAY, "evil")
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table(cells, schema=schema_of(HOTSPOTS, is_summed=True)), path)
    hot, hot_notes, compared, notes = asked(made.root, FIRST)
    assert (hot_notes, notes) == ((), ())
    assert all(row["function"] != "x" for row in hot)
    assert any(row["function"] == HOTTER for row in compared)
