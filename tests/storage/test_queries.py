"""Asking: the right rows, few statements, no SQLAlchemy, and never a change to the file."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.errors import NotFoundError, StorageError, UsageError
from monitord.model import Incident, TriggerMetric
from monitord.storage import RecentFilter, RecentProfilesViewModel, SQLiteProfileStore, StoreReader

Maker = Callable[..., Incident]
AT = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


@pytest.fixture
def reader(store: SQLiteProfileStore, data_dir: Path, make_incident: Maker) -> StoreReader:
    """Six incidents, a minute apart; pids 1 to 6."""
    metrics = [TriggerMetric.CPU, TriggerMetric.MEMORY]
    for pid in range(1, 7):
        incident = make_incident(
            pid=pid,
            name=f"Web-{pid}" if pid % 2 else "db\udcff",
            at=AT + timedelta(minutes=pid),
            metric=metrics[pid % 2],
            rule=f"rule-{pid}",
        )
        store.save_incident(incident)
        if pid == 3:
            store.pin(incident.correlation_id)
    return StoreReader(data_dir)


@pytest.mark.parametrize(
    ("wanted", "pids"),
    [
        (RecentFilter(), [6, 5, 4, 3, 2, 1]),
        (RecentFilter(limit=2), [6, 5]),
        (RecentFilter(limit=None, since=AT + timedelta(minutes=4)), [6, 5, 4]),
        (RecentFilter(until=AT + timedelta(minutes=3)), [2, 1]),
        (RecentFilter(process="web"), [5, 3, 1]),
        (RecentFilter(process="web-[35]"), [5, 3]),
        (RecentFilter(process="b\udcff"), [6, 4, 2]),
        (RecentFilter(process="'; DROP TABLE incident; --"), []),
        (RecentFilter(pid=4), [4]),
        (RecentFilter(metric=TriggerMetric.MEMORY), [5, 3, 1]),
        (RecentFilter(status="ok", limit=1), [6]),
        (RecentFilter(status="timeout"), []),
        (RecentFilter(rule="rule-2"), [2]),
        (RecentFilter(pinned=True), [3]),
        (RecentFilter(text="ABOVE 90 %", limit=1), [6]),
        (RecentFilter(text="web-5 --x"), [5]),
        (RecentFilter(text="no such words"), []),
    ],
)
def test_recent_gives_one_row_per_incident_under_a_filter(
    reader: StoreReader, wanted: RecentFilter, pids: list[int]
) -> None:
    assert [record.pid for record in reader.recent(wanted)] == pids


def test_find_takes_a_row_number_or_a_unique_beginning(reader: StoreReader) -> None:
    newest = reader.recent(RecentFilter(limit=1))[0]
    assert reader.find(str(newest.id)) == newest
    assert reader.find(newest.correlation_id) == newest
    unique = next(n for n in range(1, 13) if _matching(reader, newest.correlation_id[:n]) == 1)
    assert reader.find(newest.correlation_id[:unique]) == newest


def test_find_says_which_it_could_have_been(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    for last in "abc":
        incident = make_incident()
        object.__setattr__(incident, "correlation_id", "qqqqqqqqqqq" + last)
        store.save_incident(incident)
    with pytest.raises(UsageError, match="qqqqqqqqqqqa, qqqqqqqqqqqb, qqqqqqqqqqqc"):
        StoreReader(data_dir).find("qq")


@pytest.mark.parametrize("text", ["", "zzzzzzzzzzzzzzz", "../etc", "%", "99999", "9" * 30, "a' OR 1=1", "A"])
def test_find_does_not_find_what_is_not_there(reader: StoreReader, text: str) -> None:
    with pytest.raises(NotFoundError):
        reader.find(text)


def test_questions_take_few_statements(reader: StoreReader, data_dir: Path, statements: list[str]) -> None:
    """recent: at most 2; show (find + incident): at most 4; the check of the schema counts."""
    with StoreReader(data_dir) as asking:
        identity = asking.recent()[0].correlation_id
    assert len(statements) <= 2
    statements.clear()
    with StoreReader(data_dir) as asking:
        asking.incident(asking.find(identity).correlation_id)
    assert 0 < len(statements) <= 4


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ({}, "idx_incident_time"),
        ({"limit": None}, "idx_incident_time"),
        ({"since": AT, "until": AT + timedelta(days=1)}, "idx_incident_time (raised_at>? AND raised_at<?)"),
        ({"rule": "cpu-hog", "until": AT + timedelta(days=1)}, "idx_incident_time (raised_at<?)"),
        ({"after_id": 3, "limit": None}, "INTEGER PRIMARY KEY (rowid>?)"),
    ],
)
def test_recent_reads_its_rows_by_the_index(
    reader: StoreReader, data_dir: Path, statements: list[str], asked: dict[str, Any], index: str
) -> None:
    """The newest come first by the index of what the screen shows; who follows reads only what is new."""
    reader.recent(RecentFilter(**asked))
    (sql,) = (one for one in statements if "raised_at DESC" in one)
    plan = sqlite3.connect(data_dir / "monitord.db").execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
    steps = [row[3] for row in plan]
    assert index in steps[0], steps
    if "after_id" not in asked:
        assert not any("USE TEMP B-TREE FOR ORDER BY" in step for step in steps), steps


def test_the_time_on_the_screen_is_what_filters_and_orders(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    """Evidence is taken before or after the alert: neither moves an incident out of the period it is shown in."""
    rng = random.Random(7)
    raised = {}
    for i in range(40):
        at = AT + timedelta(seconds=10 * i)
        taken = at + timedelta(seconds=rng.uniform(-120, 120))
        incident = make_incident(pid=i + 1, at=at)
        captures = tuple(replace(capture, started_at=taken) for capture in incident.captures)
        store.save_incident(replace(incident, captures=captures))
        raised[incident.correlation_id] = incident.alert.raised_at
    with StoreReader(data_dir) as reader:
        rows = reader.recent(RecentFilter(limit=None))
        assert [row.correlation_id for row in rows] == sorted(raised, key=raised.__getitem__, reverse=True)
        for since, until in [(0, 10), (35, 200), (200, 395), (390, 400), (5, 9)]:
            period = AT + timedelta(seconds=since), AT + timedelta(seconds=until)
            found = reader.recent(RecentFilter(limit=None, since=period[0], until=period[1]))
            wanted = {one for one, at in raised.items() if period[0] <= at < period[1]}
            assert {row.correlation_id for row in found} == wanted, (since, until)


def test_following_shows_only_what_is_stored_afterwards(
    store: SQLiteProfileStore, data_dir: Path, make_incident: Maker
) -> None:
    """What was stored last need not be the newest: it is not shown as new for that."""
    for pid, minutes in ((1, 10), (2, 0)):
        store.save_incident(make_incident(pid=pid, at=AT + timedelta(minutes=minutes)))
    with StoreReader(data_dir) as reader:
        model = RecentProfilesViewModel(reader, RecentFilter(limit=1))
        assert [row.pid for row in model.refresh()] == [1]
        assert model.follow() == []
        store.save_incident(make_incident(pid=3, at=AT + timedelta(minutes=5)))
        assert [row.pid for row in model.follow()] == [3]


def test_asking_loads_no_sqlalchemy(reader: StoreReader, data_dir: Path) -> None:
    """Also not by `import monitord.storage`; structlog, psutil and alembic stay out as well."""
    code = (
        "import sys; from pathlib import Path; import monitord.storage\n"
        "from monitord.storage import StoreReader, RecentFilter, RecentProfilesViewModel\n"
        "reader = StoreReader(Path(sys.argv[1])); records = reader.recent(); reader.incident(records[0].correlation_id)\n"
        "list(reader.history()); reader.counts(); reader.state('x')\n"
        "print([name for name in ('sqlalchemy', 'alembic', 'structlog', 'psutil') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(data_dir)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_writing_half_loads_no_alembic(data_dir: Path) -> None:
    """The daemon imports the store, opens it and never pays for migrations."""
    code = (
        "import sys; from pathlib import Path; from monitord.storage import open_store\n"
        "open_store(Path(sys.argv[1])).close(); open_store(Path(sys.argv[1])).close()\n"
        "print('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(data_dir)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_counts(reader: StoreReader) -> None:
    counts = reader.counts()
    assert (counts.incidents, counts.captures, counts.pinned, counts.summaries) == (6, 18, 1, 0)
    assert counts.last_incident_id == reader.recent()[0].correlation_id


def test_the_view_model_follows_what_is_added(
    reader: StoreReader, store: SQLiteProfileStore, make_incident: Maker
) -> None:
    model = RecentProfilesViewModel(reader, RecentFilter(limit=3))
    assert [record.pid for record in model.refresh()] == [6, 5, 4]
    assert model.follow() == []
    for pid in (8, 7):
        store.save_incident(make_incident(pid=pid, at=AT + timedelta(hours=pid)))
    assert [record.pid for record in model.follow()] == [7, 8]
    assert [record.pid for record in model.rows] == [8, 7, 6]
    assert model.follow() == []


def test_a_reader_sees_what_is_saved_after_it_opened(
    reader: StoreReader, store: SQLiteProfileStore, make_incident: Maker
) -> None:
    """No read transaction is left open: the WAL can be folded back while a reader lives."""
    reader.recent()
    store.save_incident(make_incident(pid=77, at=AT + timedelta(days=1)))
    assert reader.recent()[0].pid == 77
    store.compact()
    assert store.usage().wal_bytes == 0


def test_no_database_is_not_found_with_the_way_on(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="monitord run"):
        StoreReader(tmp_path / "nothing").recent()
    (tmp_path / "empty").mkdir(mode=0o700)
    with pytest.raises(NotFoundError, match="monitord db check"):
        StoreReader(tmp_path / "empty").recent()


def test_times_are_what_sqlite_itself_understands(reader: StoreReader, data_dir: Path) -> None:
    """The requirement's own DELETE condition works on the stored text."""
    connection = sqlite3.connect(data_dir / "monitord.db")
    (text,) = connection.execute("SELECT max(raised_at) FROM incident").fetchone()
    assert text == "2026-03-01 03:06:00.000000"
    old = (
        "SELECT count(*) FROM profile_capture WHERE captured_at < datetime('2026-03-04 03:03:30', '-3 days')"
    )
    assert connection.execute(old).fetchone() == (9,)


def test_damage_is_told_in_one_line(reader: StoreReader, store: SQLiteProfileStore, data_dir: Path) -> None:
    store.close()
    (data_dir / "monitord.db").write_bytes(b"not a database at all" * 500)
    with pytest.raises(StorageError, match="monitord db check"):
        StoreReader(data_dir).recent()


def test_rows_hold_json_that_others_can_read(reader: StoreReader, data_dir: Path) -> None:
    """notes, hotspots and not_captured are JSON text, for a person with the sqlite3 shell."""
    connection = sqlite3.connect(data_dir / "monitord.db")
    (hotspots, steps) = connection.execute("SELECT hotspots, not_captured FROM incident").fetchone()
    assert json.loads(hotspots)[0]["function"] == "burn"
    assert json.loads(steps)[0]["fix"] == "sudo"


def _matching(reader: StoreReader, prefix: str) -> int:
    return sum(record.correlation_id.startswith(prefix) for record in reader.recent())
