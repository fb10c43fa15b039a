"""Whatever the store let go, whatever was killed and damaged: each row is told once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.actions.incidents import delete
from monitord.actions.querying import Question, asked
from monitord.actions.workspace import Workspace
from monitord.analytics.parquet import is_sound, read, write_table
from monitord.analytics.tables import (
    EVENTS,
    HOTSPOTS,
    INCIDENTS,
    MACHINE_MINUTES,
    PROCESS_MINUTES,
    TABLES,
    Table,
)
from monitord.analytics.tiering import Tiering, TierLimits
from monitord.analytics.tiers import day_path, files_of, forget, read_forgotten, warm_days
from monitord.errors import StorageError
from monitord.model import Event, EventType, Incident
from monitord.storage import SQLiteProfileStore, open_store
from monitord.storage.past import PastReader
from tests.pasts import Past

AT = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
PLENTY = TierLimits(1_000_000_000, 365)
SCRIPT = Path(__file__).with_name("tier_process.py")
Answer = dict[str, Counter[str]]
Rows = list[dict[str, Any]]


def told(
    data_dir: Path,
    table: Table,
    cold_url: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> Rows:
    names = [name for name, _kind in table.columns]
    scratch = data_dir.parent / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    with PastReader(data_dir) as reader:
        files = files_of(reader, scratch, table, cold_url=cold_url, since=since, until=until)
        return [dict(zip(names, row, strict=True)) for path in files for row in read(path, table)]


def all_told(data_dir: Path, cold_url: str = "") -> Answer:
    return {table.name: Counter(map(str, told(data_dir, table, cold_url))) for table in TABLES}


@pytest.fixture
def filled(store: SQLiteProfileStore, data_dir: Path, make_incident: Callable[..., Incident]) -> Path:
    """Four days with two incidents each, loose events and history."""
    for day in range(4):
        past = Past(at=AT + timedelta(days=day))
        for batch in past.looks(900, percent=5.0 + day).batches(20):
            store.add_history(batch)
        for minutes in (1, 5):
            store.save_incident(make_incident(at=AT + timedelta(days=day, minutes=minutes)))
        store.events.store_event(Event(EventType.DAEMON, AT + timedelta(days=day), payload={"day": day}))
    return data_dir


def ids(store: SQLiteProfileStore) -> list[str]:
    with PastReader(store.data_dir) as reader:
        return [view.correlation_id for view in reader.each_incident(AT, AT + timedelta(days=9))]


def test_without_a_tier_the_store_is_told(filled: Path) -> None:
    counts = {name: sum(rows.values()) for name, rows in all_told(filled).items()}
    assert counts == {
        "incidents": 8, "events": 8 * 7 + 4, "hotspots": 4, "process_minutes": 120, "machine_minutes": 60,
    }  # fmt: skip
    assert not (filled / "warm").exists()


def test_what_retention_let_go_is_still_told_once_whatever_went(
    filled: Path, store: SQLiteProfileStore
) -> None:
    before = all_told(filled)
    Tiering(filled, PLENTY).run()
    assert all_told(filled) == before
    first, second, *others = ids(store)
    store.drop_evidence([first, second, *others])
    store.delete_incidents([first, others[1], others[2]])
    store.drop_history_before(AT + timedelta(days=2, minutes=4, seconds=20))
    store.drop_loose_events_before(AT + timedelta(days=2))
    after = all_told(filled)
    assert _without_state(after) == _without_state(before)
    Tiering(filled, PLENTY).run()
    assert _without_state(all_told(filled)) == _without_state(before)
    Tiering(filled, PLENTY).run()
    store.close()
    for name in ("monitord.db", "monitord.db-wal", "monitord.db-shm"):
        (filled / name).unlink(missing_ok=True)
    shutil.rmtree(filled / "artefacts")
    open_store(filled).close()
    assert _without_state(all_told(filled)) == _without_state(before)


def _without_state(answer: Answer) -> Answer:
    """A summary has no other captures any more, and its artefact's end is unknown: that is its newest state."""
    names = ("events", "hotspots", "process_minutes", "machine_minutes")
    return {name: answer[name] for name in names}


def test_an_incident_of_the_store_is_told_as_it_is_now(filled: Path, store: SQLiteProfileStore) -> None:
    Tiering(filled, PLENTY).run()
    pinned, other = ids(store)[:2]
    store.pin(pinned, True)
    store.set_reason(other, "another reason")
    for _ in range(2):
        rows = {row["correlation_id"]: row for row in told(filled, INCIDENTS)}
        assert len(rows) == len(told(filled, INCIDENTS)) == 8
        assert rows[pinned]["pinned"] is True
        assert rows[other]["reason"] == "another reason"
        Tiering(filled, PLENTY).run()


def test_more_evidence_replaces_what_was_found_before(
    data_dir: Path, store: SQLiteProfileStore, make_incident: Callable[..., Incident]
) -> None:
    incident = make_incident(at=AT)
    store.save_incident(replace(incident, captures=incident.captures[:1]))
    Tiering(data_dir, PLENTY).run()
    later = [replace(each, started_at=each.started_at + timedelta(seconds=9)) for each in incident.captures]
    store.save_incident(incident)
    store.save_incident(replace(incident, captures=tuple(later)))
    Tiering(data_dir, PLENTY).run()
    with PastReader(data_dir) as reader:
        expected = [event.id for event in reader.each_event(AT - timedelta(days=1), AT + timedelta(days=1))]
    assert [row["event_id"] for row in told(data_dir, EVENTS)] == expected
    assert [row["incidents"] for row in told(data_dir, HOTSPOTS)] == [1]


def test_an_hour_that_lost_an_incident_and_got_another_counts_all_of_them(
    data_dir: Path, store: SQLiteProfileStore, make_incident: Callable[..., Incident]
) -> None:
    for minute in (1, 2):
        store.save_incident(make_incident(at=AT + timedelta(minutes=minute)))
    Tiering(data_dir, PLENTY).run()
    store.delete_incidents(ids(store)[:1])
    for minute in (3, 4, 5):
        store.save_incident(make_incident(at=AT + timedelta(minutes=minute)))
        for _ in range(2):
            (row,) = told(data_dir, HOTSPOTS)
            assert (row["incidents"], row["self_samples"]) == (minute, 97 * minute)
            assert row["process_samples"] == 100 * minute
            Tiering(data_dir, PLENTY).run()


def test_what_a_person_deletes_is_told_nowhere(
    filled: Path, store: SQLiteProfileStore, tmp_path: Path
) -> None:
    cold = f"file://{tmp_path / 'cold'}"
    limits = TierLimits(1_000_000_000, 2, cold)
    Tiering(filled, limits).run()
    oldest, newest = ids(store)[0], ids(store)[-1]
    forget(filled, [oldest, newest])
    store.delete_incidents([oldest, newest])
    for _ in range(2):
        assert {oldest, newest}.isdisjoint(row["correlation_id"] for row in told(filled, INCIDENTS, cold))
        assert {oldest, newest}.isdisjoint(row["correlation_id"] for row in told(filled, EVENTS, cold))
        assert len(told(filled, INCIDENTS, cold)) == 6
        Tiering(filled, limits).run()
    assert not read_forgotten(filled)
    assert not any(oldest.encode() in path.read_bytes() for path in tmp_path.rglob("*.parquet"))


def test_days_beyond_the_limits_go_on_to_the_bucket_or_away(filled: Path, tmp_path: Path) -> None:
    before = all_told(filled)
    cold = f"file://{tmp_path / 'cold'}"
    Tiering(filled, TierLimits(1_000_000_000, 2, cold)).run()
    assert warm_days(filled, INCIDENTS) == ("2026-03-03", "2026-03-04")
    assert all_told(filled, cold) == before
    Tiering(filled, TierLimits(1, 365, cold)).run()
    assert warm_days(filled, INCIDENTS) == ("2026-03-04",)
    assert all_told(filled, cold) == before
    names = sorted(path.relative_to(tmp_path / "cold").as_posix().partition("/")[2] for path in
                   (tmp_path / "cold").rglob("*.parquet"))  # fmt: skip
    assert names == sorted(f"{t.folder}/2026-03-0{day}.parquet" for t in TABLES for day in (1, 2, 3))
    lies = {path: path.read_bytes() for path in (tmp_path / "cold").rglob("*.parquet")}
    shutil.rmtree(filled / "warm")  # a data directory that was made anew writes into a folder of its own
    Tiering(filled, TierLimits(1_000_000_000, 2, cold)).run()
    assert all_told(filled, cold) == before
    assert {path: path.read_bytes() for path in lies} == lies


def test_a_day_that_went_away_is_not_begun_again(filled: Path, store: SQLiteProfileStore) -> None:
    Tiering(filled, TierLimits(1_000_000_000, 2)).run()
    written = Tiering(filled, TierLimits(1_000_000_000, 2))
    written.run()
    assert (written.written, written.moved) == (0, 0)
    assert len(told(filled, INCIDENTS)) == 8  # what the store still has, it tells


def test_a_bucket_that_is_away_loses_nothing_and_keeps_the_tier_bounded(filled: Path, tmp_path: Path) -> None:
    cold = tmp_path / "cold"
    limits = TierLimits(1_000_000_000, 2, f"file://{cold}")
    Tiering(filled, TierLimits(1_000_000_000, 365, f"file://{cold}")).run()
    cold.rename(tmp_path / "away")
    cold.write_text("not a folder")
    with pytest.raises(Exception, match="cold"):
        Tiering(filled, limits).run()
    assert warm_days(filled, INCIDENTS) == tuple(f"2026-03-0{day}" for day in (1, 2, 3, 4))


@pytest.fixture
def tierer() -> Iterator[Any]:
    """The process that tiers in children of its own; see there."""
    with subprocess.Popen(
        [sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


def test_killed_at_every_step_nothing_is_lost_and_nothing_twice(
    store: SQLiteProfileStore,
    data_dir: Path,
    make_incident: Callable[..., Incident],
    tmp_path: Path,
    tierer: Any,
) -> None:
    for day in (0, 1):
        store.save_incident(make_incident(at=AT + timedelta(days=day)))
        for batch in Past(at=AT + timedelta(days=day)).looks(300).batches(20):
            store.add_history(batch)
    before = all_told(data_dir)
    store.close()
    place = tmp_path / "run"
    cold = f"file://{place / 'cold'}"

    def tier(kill_at: int) -> tuple[int, int]:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(data_dir, place / "data")
        tierer.stdin.write(json.dumps([str(place / "data"), cold, kill_at]) + "\n")
        tierer.stdin.flush()
        status, steps = json.loads(tierer.stdout.readline())
        return status, steps

    status, steps = tier(0)
    assert status == 0
    assert steps >= 2 * 2 * len(TABLES) + 3 * len(
        TABLES
    )  # two to write each file, and those that moved again
    assert all_told(place / "data", cold) == before
    for kill_at in range(1, steps + 1):
        assert tier(kill_at)[0] == signal.SIGKILL
        assert all_told(place / "data", cold if (place / "cold").is_dir() else "") == before, kill_at
        if kill_at % 4 == 0:  # and the next run goes on from there
            Tiering(place / "data", TierLimits(1_000_000_000, 1, cold)).run()
            assert all_told(place / "data", cold) == before, kill_at
            assert not [*(place / "data" / "warm").rglob("*.part")]
            assert warm_days(place / "data", INCIDENTS) == ("2026-03-02",)


def test_damaged_foreign_and_linked_things_in_the_folder(filled: Path, tmp_path: Path) -> None:
    Tiering(filled, PLENTY).run()
    before = all_told(filled)
    torn = day_path(filled, INCIDENTS, "2026-03-01")
    torn.write_bytes(torn.read_bytes()[:-40])
    linked = day_path(filled, EVENTS, "2026-03-02")
    victim = tmp_path / "victim.parquet"
    linked.rename(victim)
    linked.symlink_to(victim)
    content = victim.read_bytes()
    (torn.parent / "notes.txt").write_text("mine")
    (torn.parent / "2026-99-99.parquet").write_text("x")
    write_table(HOTSPOTS, [], day_path(filled, MACHINE_MINUTES, "2026-03-03"))  # of another table
    os.mkfifo(torn.parent / "2026-03-09.parquet")
    assert all_told(filled) == before
    run = Tiering(filled, PLENTY)
    run.run()
    assert all_told(filled) == before
    assert len(run.damaged) == 3
    assert victim.read_bytes() == content
    assert (torn.parent / "notes.txt").read_text() == "mine"
    for table in TABLES:
        assert all(is_sound(day_path(filled, table, day), table) for day in warm_days(filled, table))


def test_a_link_in_the_place_of_the_folder_is_refused(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (filled / "warm").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="link"):
        Tiering(filled, PLENTY).run()
    assert not [*(tmp_path / "elsewhere").iterdir()]


def test_a_disk_that_is_nearly_full_is_left_alone(filled: Path) -> None:
    before = all_told(filled)
    with pytest.raises(StorageError, match="must stay free"):
        Tiering(filled, TierLimits(1_000_000_000, 365, min_free_disk_bytes=1 << 60)).run()
    assert all_told(filled) == before
    assert not [*(filled / "warm").rglob("*.parquet")]


def test_damaged_rows_of_the_store_are_told_from_the_tier(filled: Path) -> None:
    Tiering(filled, PLENTY).run()
    before = all_told(filled)
    with sqlite3.connect(filled / "monitord.db") as connection:
        connection.execute("UPDATE incident SET severity = 'much' WHERE rowid = 1")
        connection.execute("UPDATE history SET rates = x'00' WHERE id = 1")
        connection.execute("UPDATE event SET payload = '{' WHERE event_type = 7")
    for _ in range(2):
        assert all_told(filled) == before
        Tiering(filled, PLENTY).run()


def test_a_clock_that_jumped_costs_nothing_that_is_there(
    filled: Path, store: SQLiteProfileStore, make_incident: Callable[..., Incident]
) -> None:
    limits = TierLimits(1_000_000_000, 4)
    Tiering(filled, limits).run()
    store.save_incident(make_incident(at=AT + timedelta(days=3650)))
    Tiering(filled, limits).run()
    assert len(told(filled, INCIDENTS)) == 9
    assert warm_days(filled, INCIDENTS) == ("2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04")
    store.save_incident(make_incident(at=AT + timedelta(days=1, hours=2)))  # a day that was whole
    for _ in range(2):
        assert len(told(filled, INCIDENTS)) == 10
        Tiering(filled, limits).run()


def test_a_second_run_writes_nothing(filled: Path) -> None:
    first, second = Tiering(filled, PLENTY), Tiering(filled, PLENTY)
    first.run()
    assert first.written == 4 * len(TABLES)
    second.run()
    assert second.written == 0


def test_a_period_is_answered_from_its_days_alone(filled: Path) -> None:
    Tiering(filled, PLENTY).run()
    found = told(filled, INCIDENTS, since=AT + timedelta(days=1), until=AT + timedelta(days=2))
    assert {row["raised_at"].date().isoformat() for row in found} == {"2026-03-02", "2026-03-03"}


def test_the_errand_says_how_it_went(filled: Path, tmp_path: Path) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text("[analytics]\nwarm_mb = 100\n[retention]\nmin_free_disk_mb = 0\n")
    words = [
        sys.executable,
        "-m",
        "monitord.analytics.tiering",
        "--data-dir",
        str(filled),
        "--config",
        str(config),
    ]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        said = json.loads(child.stdout.read().splitlines()[-1])
    assert said["outcome"] == "ok", said
    assert "20 files written" in said["detail"]
    assert {row["pid"] for row in told(filled, PROCESS_MINUTES)} == {4321, 99}


def test_sql_is_asked_over_all_tiers(filled: Path, store: SQLiteProfileStore) -> None:
    Tiering(filled, PLENTY).run()
    store.delete_incidents(ids(store)[:5])
    store.drop_history_before(AT + timedelta(days=2))
    workspace = Workspace(filled)
    sql = "SELECT (SELECT count(*) FROM incidents), (SELECT count(*) FROM machine_minutes)"
    with asked(workspace, Question(sql)) as answer:
        assert [tuple(row) for row in answer.rows] == [(8, 60)]


def test_deleting_an_incident_has_the_tiers_forget_it(filled: Path, store: SQLiteProfileStore) -> None:
    Tiering(filled, PLENTY).run()
    gone = ids(store)[0]
    list(delete(Workspace(filled), [gone], confirmed=True))
    assert read_forgotten(filled) == {gone}
    assert gone not in {row["correlation_id"] for row in told(filled, INCIDENTS)}
