"""Old databases come up to date whole, newer ones stay untouched, models and migrations agree."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from monitord.errors import SchemaTooNewError, StorageError
from monitord.storage import RecentFilter, StoreReader, open_store
from monitord.storage.migrate import alembic_config, migrate
from monitord.storage.readonly import stored_revision
from monitord.storage.schema import HEAD, REVISIONS
from monitord.storage.tables import metadata
from tests.patience import PATIENCE_S

ROWS_OF_0001 = 25


@pytest.fixture
def old_dir(data_dir: Path) -> Path:
    """A database of revision 0001 with the rows that the requirement's program would have written."""
    data_dir.mkdir(mode=0o700)
    migrate(data_dir, "0001")
    connection = sqlite3.connect(data_dir / "monitord.db")
    insert = (
        "INSERT INTO profile_capture (process_name, pid, trigger_metric, trigger_value, captured_at, profile_path,"
        " duration_seconds, notes) VALUES (?, ?, ?, ?, datetime('2026-01-01', ?), ?, ?, ?)"
    )
    for n in range(ROWS_OF_0001):
        metric = ("cpu", "memory", "diskIO", "network")[n % 4]
        notes = "by hand" if n == 7 else '{"k": "v"}'
        row = (f"p{n}", n, metric, n + 0.5, f"+{n} minutes", f"/srv/{n}.sample", 10, notes)
        connection.execute(insert, row)
    connection.commit()
    connection.close()
    return data_dir


def shape(database: Path) -> dict[str, object]:
    """Tables, columns, indexes and foreign keys as SQLite sees them, whatever the words of the DDL."""
    connection = sqlite3.connect(database)
    found: dict[str, object] = {"auto_vacuum": connection.execute("PRAGMA auto_vacuum").fetchone()}
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        columns = [row[1:] for row in connection.execute(f"PRAGMA table_xinfo({table})")]
        found[table] = sorted(columns)
        found[f"{table} references"] = [
            row[2:5] for row in connection.execute(f"PRAGMA foreign_key_list({table})")
        ]
        for _n, index, unique, origin, partial in connection.execute(f"PRAGMA index_list({table})"):
            parts = [row[2:4] for row in connection.execute(f"PRAGMA index_xinfo({index})")]
            found[f"{table}.{index}"] = (unique, origin, partial, parts)
    connection.close()
    return found


def test_head_is_what_the_migrations_say() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    assert script.get_heads() == [HEAD]
    assert tuple(sorted(step.revision for step in script.walk_revisions())) == REVISIONS


def test_models_equal_migrations(tmp_path: Path) -> None:
    """A database built at once and one built by every migration are the same; Alembic sees no difference."""
    built, migrated = tmp_path / "built", tmp_path / "migrated"
    open_store(built).close()
    migrated.mkdir(mode=0o700)
    migrate(migrated)
    assert shape(migrated / "monitord.db") == shape(built / "monitord.db")
    with create_engine(f"sqlite:///{migrated / 'monitord.db'}").connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_the_requirements_table_is_there_as_drawn(old_dir: Path) -> None:
    connection = sqlite3.connect(old_dir / "monitord.db")
    columns = {row[1]: row[2] for row in connection.execute("PRAGMA table_info(profile_capture)")}
    assert columns == {
        "id": "INTEGER",
        "process_name": "TEXT",
        "pid": "INTEGER",
        "trigger_metric": "TEXT",
        "trigger_value": "REAL",
        "captured_at": "DATETIME",
        "profile_path": "TEXT",
        "duration_seconds": "INTEGER",
        "notes": "TEXT",
    }
    indexes = {row[1] for row in connection.execute("PRAGMA index_list(profile_capture)")}
    assert indexes == {"idx_profile_capture_time", "idx_profile_capture_pid_time"}


def test_opening_an_old_database_migrates_its_rows(old_dir: Path) -> None:
    """In a child; each row becomes an incident that can be listed, found and shown; a copy is kept."""
    with pytest.raises(StorageError, match="monitord db upgrade"):
        StoreReader(old_dir).recent()
    store = open_store(old_dir)
    assert not store.is_degraded, store.degraded_reason
    reader = StoreReader(old_dir)
    records = reader.recent(RecentFilter(limit=None))
    assert [record.pid for record in records] == list(reversed(range(ROWS_OF_0001)))
    third = reader.find("3")
    assert (third.trigger_metric, third.notes, third.profile_path) == ("disk_io", {"k": "v"}, "/srv/2.sample")
    assert reader.incident(third.correlation_id).record == third
    assert reader.find("8").notes == {"text": "by hand"}
    assert store.verify() == []
    copy = sqlite3.connect(old_dir / "monitord.db.before-0001")
    assert copy.execute("SELECT count(*) FROM profile_capture").fetchone() == (ROWS_OF_0001,)
    assert (old_dir / "monitord.db.before-0001").stat().st_mode & 0o777 == 0o600
    store.close()


def test_what_the_old_state_table_held_is_there(data_dir: Path) -> None:
    """Cooldowns and last runs of revision 0002 are read by the new table's reader, as JSON, to the letter."""
    data_dir.mkdir(mode=0o700)
    migrate(data_dir, "0002")
    connection = sqlite3.connect(data_dir / "monitord.db")
    held = {"detection.memory": '{"cooldowns":["\\udcff",1.5]}', "jobs.last_runs": "[]"}
    connection.executemany("INSERT INTO state (key, value) VALUES (?, ?)", held.items())
    connection.commit()
    connection.close()
    store = open_store(data_dir)
    assert store.get_state("detection.memory") == {"cooldowns": ["\udcff", 1.5]}
    assert StoreReader(data_dir).state("jobs.last_runs") == []
    assert store.state.keys() == sorted(held)
    item = store.state.get("jobs.last_runs")
    assert item is not None
    assert item.expires_at is None
    store.set_state("jobs.last_runs", [1])
    assert store.get_state("jobs.last_runs") == [1]
    store.close()


def test_only_one_copy_is_kept(old_dir: Path) -> None:
    (old_dir / "monitord.db.before-0000").write_bytes(b"older")
    open_store(old_dir).close()
    assert [path.name for path in old_dir.glob("*.before-*")] == ["monitord.db.before-0001"]


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_a_revision_that_changed_on_the_disk_is_damage(data_dir: Path, revision: str) -> None:
    """One flipped bit makes an older one of it; to upgrade what is upgraded would fail for ever."""
    open_store(data_dir, create=True).close()
    connection = sqlite3.connect(data_dir / "monitord.db")
    connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.commit()
    connection.close()
    store = open_store(data_dir)
    store.adopt()
    store.close()
    assert stored_revision(data_dir / "monitord.db") == HEAD
    assert list(data_dir.glob("monitord.db.damaged-*"))


def test_a_newer_schema_is_refused_and_stays_untouched(data_dir: Path) -> None:
    """R13: the bytes, the time of change and the WAL; by the store, the reader and the migration."""
    open_store(data_dir).close()
    database = data_dir / "monitord.db"
    connection = sqlite3.connect(database)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.execute("CREATE TABLE from_the_future (x)")
    connection.close()
    os.utime(database, (1, 1))
    before = (database.read_bytes(), database.stat().st_mtime_ns)
    for use in (open_store, lambda path: StoreReader(path).recent(), migrate):
        with pytest.raises(SchemaTooNewError, match="9999"):
            use(data_dir)
    assert (database.read_bytes(), database.stat().st_mtime_ns) == before


def test_opening_a_current_database_writes_nothing(data_dir: Path) -> None:
    """So that a start succeeds on a full disk."""
    open_store(data_dir).close()
    database = data_dir / "monitord.db"
    os.utime(database, (1, 1))
    before = (database.read_bytes(), database.stat().st_mtime_ns)
    store = open_store(data_dir)
    assert StoreReader(data_dir).recent() == []
    store.close()
    assert (database.read_bytes(), database.stat().st_mtime_ns) == before


def test_two_at_once_migrate_once(old_dir: Path) -> None:
    """The second waits and finds the work done."""
    command = [sys.executable, "-m", "monitord.storage.migrate", str(old_dir)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    outcomes = [(process.communicate()[1], process.returncode) for process in running]
    assert outcomes == [("", 0)] * 3
    assert len(StoreReader(old_dir).recent(RecentFilter(limit=None))) == ROWS_OF_0001


def test_two_at_once_make_one_new_database(data_dir: Path) -> None:
    code = "import sys; from pathlib import Path; from monitord.storage import open_store; s = open_store(Path(sys.argv[1])); s.set_state(sys.argv[2], 1)"
    running = [subprocess.Popen([sys.executable, "-c", code, str(data_dir), str(n)]) for n in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    reader = StoreReader(data_dir)
    assert [reader.state(str(n)) for n in range(4)] == [1] * 4


def test_a_migration_that_is_killed_is_whole_or_has_not_been(old_dir: Path) -> None:
    """R13: after a kill at any moment the database is 0001 or HEAD with all rows; the next start finishes."""
    rng = random.Random(2)
    pristine = (old_dir / "monitord.db").read_bytes()
    for _ in range(4):
        for path in old_dir.glob("monitord.db*"):
            path.unlink()
        (old_dir / "monitord.db").write_bytes(pristine)
        (old_dir / "monitord.db").chmod(0o600)
        command = [sys.executable, "-m", "monitord.storage.migrate", str(old_dir)]
        process = subprocess.Popen(command)
        deadline = time.monotonic() + PATIENCE_S
        while (
            not list(old_dir.glob("monitord.db.*")) and time.monotonic() < deadline and process.poll() is None
        ):
            time.sleep(0.001)  # its first trace: the copy it makes
        time.sleep(rng.random() * 0.06)  # the random moment itself
        process.kill()
        process.wait()
        connection = sqlite3.connect(old_dir / "monitord.db")
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        (rows,) = connection.execute("SELECT count(*) FROM profile_capture").fetchone()
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'incident'").fetchone()
        connection.close()
        assert (revision, rows, tables) in (("0001", ROWS_OF_0001, (0,)), (HEAD, ROWS_OF_0001, (1,)))
        store = open_store(old_dir)
        assert len(store.fetch_recent(-1)) == ROWS_OF_0001
        assert store.verify() == []
        store.close()


def test_a_foreign_database_is_left_alone(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    database = data_dir / "monitord.db"
    sqlite3.connect(database).execute("CREATE TABLE theirs (x)").connection.close()
    before = database.read_bytes()
    store = open_store(data_dir)
    assert "monitord did not make it" in (store.degraded_reason or "")
    assert database.read_bytes() == before


def test_the_child_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "monitord.storage.migrate", str(tmp_path / "nothing")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
